package persistence

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/group"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

// newLike returns a new object of the type of obj.
func newLike(obj any) any { return reflect.New(reflect.TypeOf(obj).Elem()).Interface() }

// notFound is the error of an object that is not there.
func notFound(k *kind, key string) error {
	return &fault.Error{Op: "get", Kind: k.name, Key: key, Class: fault.ErrNotFound}
}

// readable refuses to read a kind that keeps no object by key.
func (l *Layer) readable(k *kind, op string) error {
	if err := l.open(op); err != nil {
		return err
	}
	if len(k.record) == 0 && k.cache == nil {
		return &fault.Error{Op: op, Kind: k.name, Class: fault.ErrUnsupported,
			Err: errors.New("the kind has no record: give its plan a transactional default write, or an amorphous one without PartitionBy")}
	}
	return nil
}

// get returns the object of a key: from the cache, else from the record.
func (l *Layer) get(ctx context.Context, k *kind, key string) (any, error) {
	f, err := l.getFound(ctx, k, key, nil)
	return f.obj, err
}

// getFound is get with what else is known of the object. What the cache has is
// decoded into a zero object of the caller's, if that is not nil.
func (l *Layer) getFound(ctx context.Context, k *kind, key string, into any) (found, error) {
	if err := l.readable(k, "get"); err != nil {
		return found{}, err
	}
	if err := checkKey(key); err != nil {
		return found{}, err
	}
	f, err := l.fetch(ctx, k, key, into, (*Layer).readOne)
	l.saw(k, f.stamp.Version)
	if err == nil && f.obj == nil {
		err = notFound(k, key)
	}
	return f, err
}

// hurried reports whether a read asks for a consistency of its own: it goes
// past the cache, which others take for the record's truth.
func hurried(ctx context.Context) bool { return amorphous.ConsistencyOf(ctx) != 0 }

// A reader reads one object from the record. It takes the layer, so that a
// method is one without being bound to it at each call.
type reader func(l *Layer, ctx context.Context, k *kind, key string) (found, error)

// fetch returns an object through the cache, if the kind has one; for into see
// getFound.
func (l *Layer) fetch(ctx context.Context, k *kind, key string, into any, read reader) (found, error) {
	switch {
	case k.cache == nil || len(k.record) > 0 && hurried(ctx):
		return read(l, ctx, k, key)
	case len(k.record) == 0:
		return l.cachedOnly(ctx, k, key)
	case l.owed.some.Load() && l.owes(k.cacheKey(key)):
		return read(l, ctx, k, key)
	}
	var hit found
	// Set when the entry was rebuilt for this call, perhaps behind its back.
	var loaded *atomic.Pointer[found]
	entry, used, err := l.cache.FetchUsing(ctx, k.cachePrefix, key, k.cache.keeping(), func(e volatile.Entry) bool {
		ok := false
		if k.oneLook {
			ok, _ = k.decodeEntry(&e, into, &hit)
		}
		return ok
	}, func() func(context.Context) (volatile.Entry, error) {
		mine := &atomic.Pointer[found]{}
		loaded = mine
		return func(ctx context.Context) (volatile.Entry, error) {
			f, err := read(l, ctx, k, key)
			if err != nil {
				return volatile.Entry{}, err
			}
			mine.Store(&f)
			return k.entryOf(f)
		}
	})
	if err != nil || used {
		return hit, err
	}
	if f := loaded.Load(); f != nil && f.obj != nil && volatile.Stamp(f.stamp) == entry.Stamp {
		return *f, nil
	}
	return l.complete(ctx, k, key, &entry, read)
}

// keeping is how long the task's entries are kept and served.
func (t *task) keeping() volatile.Keeping {
	return volatile.Keeping{TTL: t.ttl, Stale: t.stale, Ahead: t.ahead, Parts: t.parts}
}

// entryOf is the cache entry of an object, or of its absence.
func (k *kind) entryOf(f found) (volatile.Entry, error) {
	entry := volatile.Entry{Stamp: volatile.Stamp(f.stamp), Absent: f.obj == nil}
	if entry.Absent {
		return entry, nil
	}
	var body []byte
	var err error
	if k.cache.whole {
		if body, err = k.all.Append(nil, value(f.obj)); err != nil {
			return entry, err
		}
	}
	entry.Value, err = k.cache.cacheOf(f.obj, body)
	return entry, err
}

// decodeEntry makes an object of a cache entry; ok is false for one that is of
// another program's shape, or cannot be decoded. The object is obj, or a new one
// if that is nil.
func (k *kind) decodeEntry(e *volatile.Entry, obj any, f *found) (ok bool, err error) {
	if !e.Absent {
		if obj == nil {
			obj = k.make()
		}
		if ok, err := k.cache.uncache(e.Value, obj); !ok {
			return false, err
		}
		f.obj = obj
	}
	f.stamp.Version, f.stamp.Tie, f.at = e.Stamp.Version, e.Stamp.Tie, e.Written
	return true, nil
}

// complete makes an object of a cache entry. One that cannot be decoded is a
// miss. Fields that the entry does not hold are read from where they lie, and
// must be of the same version.
func (l *Layer) complete(ctx context.Context, k *kind, key string, entry *volatile.Entry, read reader) (found, error) {
	var f found
	if ok, _ := k.decodeEntry(entry, nil, &f); !ok {
		return read(l, ctx, k, key)
	}
	obj := f.obj
	if obj == nil || k.oneLook {
		return f, nil
	}
	parts := make([]part, len(k.record))
	for i, t := range k.record {
		if k.covers([]*task{k.cache}, t.set) {
			continue
		}
		err := l.readPart(ctx, t, []string{key}, func(_ string, p part) { parts[i] = p })
		if err != nil {
			return found{}, err
		}
		if p := parts[i]; !p.there || p.deleted || p.stamp != f.stamp {
			return read(l, ctx, k, key)
		}
		if err := k.fill(obj, t, key, parts[i]); err != nil {
			return found{}, err
		}
	}
	return f, l.fillVolatile(ctx, k, map[string]found{key: f})
}

// cachedOnly reads a kind that has no record: what the cache lost is not
// there.
func (l *Layer) cachedOnly(ctx context.Context, k *kind, key string) (found, error) {
	entry, ok, err := l.cache.Get(ctx, k.cacheKey(key))
	if err != nil || !ok || entry.Absent {
		return found{}, err
	}
	var f found
	if ok, err := k.decodeEntry(&entry, nil, &f); !ok {
		return found{}, err
	}
	return f, l.fillVolatile(ctx, k, map[string]found{key: f})
}

// getAll returns the objects that are there. It asks the cache once for all
// keys, and the record for what the cache does not have, in as few reads as
// the stores allow.
func (l *Layer) getAll(ctx context.Context, k *kind, keys []string) (map[string]any, error) {
	if err := l.readable(k, "get"); err != nil {
		return nil, err
	}
	unique := make([]string, 0, len(keys))
	seen := make(map[string]bool, len(keys))
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return nil, err
		}
		if !seen[key] {
			seen[key] = true
			unique = append(unique, key)
		}
	}
	out := make(map[string]any, len(unique))
	if k.cache == nil || len(k.record) > 0 && hurried(ctx) {
		err := l.readInto(ctx, k, unique, out)
		return out, err
	}
	missing, err := l.cachedInto(ctx, k, unique, out)
	if err == nil {
		err = l.fetchAll(ctx, k, missing, out)
	}
	return out, err
}

// readInto reads objects from the record.
func (l *Layer) readInto(ctx context.Context, k *kind, keys []string, out map[string]any) error {
	all, err := l.readRecord(ctx, k, keys)
	if ferr := l.fillVolatile(ctx, k, all); err == nil {
		err = ferr
	}
	for key, f := range all {
		l.saw(k, f.stamp.Version)
		if f.obj != nil {
			out[key] = f.obj
		}
	}
	return err
}

// cachedInto takes what the cache has, and returns the keys that it does not
// answer for.
func (l *Layer) cachedInto(ctx context.Context, k *kind, keys []string, out map[string]any) (missing []string, err error) {
	if !k.oneLook {
		return keys, nil
	}
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = k.cacheKey(key)
	}
	entries, _ := l.cache.GetAll(ctx, names)
	for i, key := range keys {
		entry, ok := entries[names[i]]
		past := k.cache.stale > 0 && time.Since(entry.Written) > k.cache.ttl
		if !ok || past || l.owes(names[i]) {
			missing = append(missing, key)
			continue
		}
		l.saw(k, entry.Stamp.Version)
		if entry.Absent {
			continue
		}
		obj := k.make()
		if ok, err := k.cache.uncache(entry.Value, obj); err != nil || !ok {
			missing = append(missing, key)
			continue
		}
		out[key] = obj
	}
	return missing, ctx.Err()
}

// fetching bounds the keys of one GetAll that wait for a rebuild at a time.
const fetching = 64

// fetchAll reads objects through the cache, each under its own lease, so that
// no slow reader puts an old version back; the reads of the record that the
// leases lead to are made together.
func (l *Layer) fetchAll(ctx context.Context, k *kind, keys []string, out map[string]any) error {
	type ask struct {
		key    string
		answer found
	}
	reads := group.New(group.Options{MaxItems: fetching}, nil, func(_ context.Context, asks []*ask) []error {
		names := make([]string, len(asks))
		for i, a := range asks {
			names[i] = a.key
		}
		all, err := l.readRecord(ctx, k, names)
		if ferr := l.fillVolatile(ctx, k, all); err == nil {
			err = ferr
		}
		errs := make([]error, len(asks))
		for i, a := range asks {
			f, ok := all[a.key]
			a.answer = f
			if !ok {
				errs[i] = err
			}
		}
		return errs
	})
	read := func(_ *Layer, ctx context.Context, _ *kind, key string) (found, error) {
		a := &ask{key: key}
		err := reads.Do(ctx, a)
		if err != nil {
			return found{}, err
		}
		return a.answer, nil
	}
	return forEach(keys, fetching, func(key string) (any, error) {
		f, err := l.fetch(ctx, k, key, nil, read)
		l.saw(k, f.stamp.Version)
		return f.obj, err
	}, out)
}

// forEach calls fetch for every key, a bounded number at a time, and collects
// the objects that are there. The error is the first one; the other keys are
// fetched all the same.
func forEach(keys []string, most int, fetch func(key string) (any, error), out map[string]any) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
		slots = make(chan struct{}, most)
	)
	for _, key := range keys {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			obj, err := fetch(key)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && first == nil {
				first = err
			}
			if err == nil && obj != nil {
				out[key] = obj
			}
		})
	}
	wg.Wait()
	return first
}
