package volatile

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// ViewOptions of a View; zero values are the defaults.
type ViewOptions[T any] struct {
	// TTL is how long a value is fresh. Default 10 min.
	TTL time.Duration
	// Stale, Ahead and Parts are those of Keeping.
	Stale time.Duration
	Ahead time.Duration
	Parts bool
	// Rebuild computes a value that is not there, from normal operation or
	// from long-term storage. fault.ErrNotFound is an answer too, and is
	// remembered for Options.Absence. nil: what is lost stays lost.
	Rebuild func(ctx context.Context, key string) (T, error)
	// Version orders the values of a key: the higher wins, whoever is late.
	// nil: values cannot be ordered.
	Version func(T) int64
}

// A View shows values of one type, by key, and rebuilds those that are lost.
// It is safe for concurrent use.
//
// Values are kept as they are for []byte, as records for structs with a
// persistence key (see the tags of package persistence), else as JSON.
type View[T any] struct {
	face   face
	opts   ViewOptions[T]
	policy policy
	codec  record.Values[T]
}

// NewView returns the view of a name: 1 to 64 letters, digits, '_' and '-'.
// Views of one name share their values, in whatever process they are, and must
// agree about T.
func NewView[T any](cache *Cache, name string, opts *ViewOptions[T]) (*View[T], error) {
	v := &View[T]{}
	if opts != nil {
		v.opts = *opts
	}
	if v.opts.TTL == 0 {
		v.opts.TTL = 10 * time.Minute
	}
	keep := Keeping{TTL: v.opts.TTL, Stale: v.opts.Stale, Ahead: v.opts.Ahead, Parts: v.opts.Parts}
	err := keep.check("new view")
	if err != nil {
		return nil, err
	}
	v.policy = keep.policy()
	if v.face, err = cache.face("v", name); err != nil {
		return nil, err
	}
	v.codec, err = record.ValuesOf[T](purpose, "new", volatileFields)
	return v, err
}

// Get returns the value of a key, rebuilt if it is lost. It is
// fault.ErrNotFound when there is none. With a Rebuild, a cache that cannot be
// reached is no error: the value is rebuilt and not kept.
func (v *View[T]) Get(ctx context.Context, key string) (T, error) {
	var value T
	_, err := v.get(ctx, key, &value)
	return value, err
}

// GetAged is Get that also tells how old the value is: how long ago it was
// rebuilt or put. What was rebuilt by this call has no age.
func (v *View[T]) GetAged(ctx context.Context, key string) (value T, age time.Duration, err error) {
	written, err := v.get(ctx, key, &value)
	if err != nil {
		return value, 0, err
	}
	return value, max(time.Since(written), 0), nil
}

// get sets a zero value, or leaves it zero.
func (v *View[T]) get(ctx context.Context, key string, value *T) (written time.Time, err error) {
	full, err := v.face.key("get", key)
	if err != nil {
		return written, err
	}
	for range 2 {
		var s slot
		if err := v.entry(ctx, full, key, &s); err != nil {
			return written, err
		}
		if s.Absent {
			return written, &fault.Error{Op: "get", Store: purpose, Key: key, Class: fault.ErrNotFound}
		}
		if err = v.codec.Decode(s.Value, value); err == nil {
			return s.Written, nil
		}
		// Another version of the program wrote it: as good as lost.
		var zero T
		*value = zero
		v.face.cache.stats.foreign.Add(1)
		v.face.cache.driver.Delete(ctx, []string{full})
	}
	return written, &fault.Error{Op: "get", Store: purpose, Key: key, Class: fault.ErrCorrupt}
}

// entry reads or rebuilds the entry of a zero slot.
func (v *View[T]) entry(ctx context.Context, full, key string, s *slot) error {
	c, p := v.face.cache, &v.policy
	err := c.lookInto(ctx, full, !v.codec.Shares, s)
	if err == nil && p.answers(s) {
		c.stats.hits.Add(1)
		return nil
	}
	s.Entry, err = v.missed(ctx, full, key, *s, err)
	return err
}

// missed answers where the first look did not.
func (v *View[T]) missed(ctx context.Context, full, key string, s slot, err error) (Entry, error) {
	c, p := v.face.cache, v.policy
	if v.opts.Rebuild != nil {
		return c.fetchFrom(ctx, full, p, s, err, func(ctx context.Context) (Entry, error) { return v.load(ctx, key) })
	}
	switch {
	case err != nil:
		return Entry{}, c.fail("get", key, err)
	case p.fresh(&s):
		if e, ok := c.answer(ctx, full, p, &s, nil); ok {
			return e, nil
		}
	}
	c.stats.misses.Add(1)
	return Entry{Absent: true}, nil
}

// load rebuilds one value as an entry.
func (v *View[T]) load(ctx context.Context, key string) (Entry, error) {
	value, err := v.opts.Rebuild(ctx, key)
	if errors.Is(err, fault.ErrNotFound) {
		return Entry{Absent: true}, nil
	}
	if err != nil {
		return Entry{}, err
	}
	return v.encode(value)
}

func (v *View[T]) encode(value T) (e Entry, err error) {
	if v.opts.Version != nil {
		e.Stamp.Version = v.opts.Version(value)
	}
	e.Value, err = v.codec.Encode(&value)
	return e, err
}

// Put tells the view of a new value; call it after the store of record has it.
//
// A view that rebuilds never takes an older value for the newest: with a
// Version the value is written over an older one that is there, and where
// nothing is, the next Get rebuilds; without a Version nobody can tell which of
// two values is newer, so Put drops what is there. A view without a Rebuild
// keeps the value: the one with the highest Version, else the last.
func (v *View[T]) Put(ctx context.Context, key string, value T) error {
	full, err := v.face.key("put", key)
	if err != nil {
		return err
	}
	e, err := v.encode(value)
	if err != nil {
		return err
	}
	c, ttl := v.face.cache, v.policy.ttl
	switch {
	case v.opts.Rebuild != nil && v.opts.Version == nil:
		return v.Drop(ctx, key)
	case v.opts.Rebuild != nil:
		_, err = c.writeFull(ctx, "put", key, full, e, ttl, v.opts.Parts, e.replaces)
	case v.opts.Version != nil:
		_, err = c.writeFull(ctx, "put", key, full, e, ttl, v.opts.Parts, e.raises)
	default:
		_, err = c.writeFull(ctx, "put", key, full, e, ttl, v.opts.Parts, func(slot) verdict { return put })
	}
	return err
}

// Drop removes the value of a key. A rebuild that is under way is not kept.
func (v *View[T]) Drop(ctx context.Context, key string) error {
	full, err := v.face.key("drop", key)
	if err != nil {
		return err
	}
	return v.face.cache.fail("drop", key, v.face.cache.driver.Delete(ctx, []string{full})[0])
}

// Peek returns the value that is there, without rebuilding, and how old it is.
func (v *View[T]) Peek(ctx context.Context, key string) (value T, age time.Duration, ok bool, err error) {
	full, err := v.face.key("peek", key)
	if err != nil {
		return value, 0, false, err
	}
	s, err := v.face.cache.look(ctx, full)
	if err != nil {
		return value, 0, false, v.face.cache.fail("peek", key, err)
	}
	if s.ours && !s.hollow && !s.Absent {
		if e, whole := v.face.cache.whole(ctx, &s); whole && v.codec.Decode(e.Value, &value) == nil {
			return value, max(time.Since(s.Written), 0), true, nil
		}
	}
	var zero T
	return zero, 0, false, nil
}

// getAllAtOnce is how many keys GetAll reads side by side.
const getAllAtOnce = 16

// GetAll returns the values of many keys, rebuilding those that are lost; keys
// without a value are not in the map. The first error ends it.
func (v *View[T]) GetAll(ctx context.Context, keys []string) (map[string]T, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	found := make(map[string]T, len(keys))
	var mu sync.Mutex
	var wg sync.WaitGroup
	places := make(chan struct{}, getAllAtOnce)
	for _, key := range keys {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			value, err := v.Get(ctx, key)
			switch {
			case err == nil:
				mu.Lock()
				found[key] = value
				mu.Unlock()
			case !errors.Is(err, fault.ErrNotFound):
				cancel(err)
			}
		})
	}
	wg.Wait()
	return found, context.Cause(ctx)
}
