package persistence

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A Difference is one thing that a store holds otherwise than the record
// implies.
type Difference struct {
	Kind, Key, Task string
	Purpose         Purpose
	// What is one of: missing (nothing is there), stale (an older version is),
	// altered (the same version is, with another content), newer (a version is
	// that the record has not), surplus (no object implies it), unreadable (the
	// record's own object cannot be read, or its parts are of different
	// versions: Err says why).
	What   string
	Where  string // the place in the store
	Stored int64  // the version that is there; zero: none
	Record int64  // the record's version; zero: it has no such object
	Err    error  // of what is unreadable

	trace *trace // of what is surplus
}

// String is one line for a log.
func (d Difference) String() string {
	if d.Err != nil {
		return fmt.Sprintf("%s %q: %s: %s: %v", d.Kind, d.Key, d.Task, d.What, d.Err)
	}
	return fmt.Sprintf("%s %q: %s (%s): %s at %s: version %d, the record has %d", d.Kind, d.Key, d.Task, d.Purpose, d.What, d.Where, d.Stored, d.Record)
}

// VerifyOptions of Handle.Verify. Nil, and every zero value, is the default.
type VerifyOptions struct {
	// After is the cursor of an earlier verification to go on from.
	After string
	// Rate bounds the objects and rows per second. Zero: no bound.
	Rate int
	// Young is how old a version must be to be looked at: tasks of a younger
	// one may be under way. Default 10 s; negative: any age. It does not hold
	// for versions of the user's own. What waits in custody for longer differs
	// until it is done.
	Young time.Duration
}

// A Verification compares what the stores hold of a kind. It must not be used
// by two goroutines at a time.
type Verification struct {
	layer   *Layer
	kind    *kind
	opts    VerifyOptions
	keepers []kept
	at      cursor // bucket is the phase: 0 the record, then the keepers
	bad     error
	over    bool
	looked  int
	found   int
}

// Verify compares what the stores hold of a kind with its record: the layouts
// of its default writes, with their lists of buckets, a second copy by key, the
// entries of its cache. It goes over the record first, and asks what each
// object implies; then over the layouts, for rows that no object implies. What
// differs is looked at twice, a moment apart, so that a Put under way is no
// difference. Memory is bounded by a page. What handlers wrote is
// theirs, and the members of counts are not compared.
func (h *Handle[T]) Verify(opts *VerifyOptions) *Verification {
	v := &Verification{layer: h.layer, kind: h.kind, keepers: h.layer.keepers(h.kind)}
	if opts != nil {
		v.opts = *opts
	}
	def(&v.opts.Young, 10*time.Second)
	v.at.shape = record.Digest([]byte("verify " + h.kind.table))
	if v.opts.After != "" {
		at, err := parseCursor(v.opts.After)
		if err == nil && (at.shape != v.at.shape || at.bucket < 0 || at.bucket > int64(len(v.keepers))) {
			err = errors.New("the cursor in After belongs to another verification")
		}
		if err != nil {
			v.bad = &fault.Error{Op: "verify", Kind: h.kind.name, Class: fault.ErrInvalid, Err: err}
		}
		v.at = at
	}
	return v
}

// Cursor returns the cursor that goes on behind the last page that was looked
// at as a whole. It survives restarts and concurrent writes.
func (v *Verification) Cursor() string { return v.at.String() }

// Looked is how many objects and rows were looked at.
func (v *Verification) Looked() int { return v.looked }

// Found is how many differences were found.
func (v *Verification) Found() int { return v.found }

// Differences iterates over the differences that are left to find. After an
// error of a store it has stopped, and Differences tries again from there. A
// caller that stops in the middle of a page finds its differences again.
func (v *Verification) Differences(ctx context.Context) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		began, before := time.Now(), v.looked
		for !v.over {
			diffs, next, err := v.page(ctx)
			if err != nil {
				yield(Difference{}, err)
				return
			}
			for _, d := range diffs {
				v.found++
				if !yield(d, nil) {
					v.found--
					return
				}
			}
			v.at, v.over = next, int(next.bucket) > len(v.keepers)
			if v.opts.Rate > 0 && !v.over {
				due := began.Add(time.Duration(float64(v.looked-before) / float64(v.opts.Rate) * float64(time.Second)))
				if err := sleep(ctx, max(time.Until(due), 0)); err != nil {
					yield(Difference{}, err)
					return
				}
			}
		}
	}
}

// page looks at one page, and says where the next one begins.
func (v *Verification) page(ctx context.Context) (diffs []Difference, next cursor, err error) {
	next = v.at
	switch {
	case v.bad != nil:
		return nil, next, v.bad
	case v.at.bucket == 0:
		subjects, more, err := v.layer.recordPage(ctx, v.kind, string(v.at.inner), readPage)
		if err != nil {
			return nil, next, err
		}
		if len(subjects) > 0 {
			next.inner = []byte(subjects[len(subjects)-1].key)
		}
		if !more {
			next.bucket, next.inner = 1, nil
		}
		v.looked += len(subjects)
		diffs, err = v.inspectTwice(ctx, subjects)
		return diffs, next, err
	}
	kp := v.keepers[v.at.bucket-1]
	keys, traces, after, err := kp.walk(ctx, v.at.inner, readPage)
	if err != nil {
		return nil, next, err
	}
	if next.inner = after; after == nil {
		next.bucket++
	}
	v.looked += len(keys)
	diffs, err = v.layer.surplus(ctx, v.kind, kp, keys, traces, v.young())
	return diffs, next, err
}

// young is the version from which on nothing is looked at; zero: none.
func (v *Verification) young() int64 {
	if v.opts.Young < 0 || v.kind.typ.Version != nil {
		return 0
	}
	return time.Now().Add(-v.opts.Young).UnixMicro()
}

// againAfter is the moment after which a difference is looked at again.
const againAfter = 50 * time.Millisecond

// inspectTwice finds what the keepers hold otherwise than objects imply, also
// when it is asked again.
func (v *Verification) inspectTwice(ctx context.Context, subjects []subject) ([]Difference, error) {
	if young := v.young(); young > 0 {
		subjects = slices.DeleteFunc(subjects, func(s subject) bool { return s.err == nil && s.stamp.Version > young })
	}
	diffs, err := v.layer.inspect(ctx, v.kind, v.keepers, subjects)
	if err != nil || len(diffs) == 0 {
		return nil, err
	}
	if err := sleep(ctx, againAfter); err != nil {
		return nil, err
	}
	var keys []string
	for _, d := range diffs {
		if !slices.Contains(keys, d.Key) {
			keys = append(keys, d.Key)
		}
	}
	again, err := v.layer.subjects(ctx, v.kind, keys)
	if err != nil {
		return nil, err
	}
	return v.layer.inspect(ctx, v.kind, v.keepers, again)
}

// subjects reads objects of the record by key, in the order of the keys. One
// that cannot be read carries its error; an error of the store ends it.
func (l *Layer) subjects(ctx context.Context, k *kind, keys []string) ([]subject, error) {
	all, err := l.readRecord(ctx, k, keys)
	out := make([]subject, len(keys))
	for i, key := range keys {
		f, ok := all[key]
		out[i] = subject{key: key, found: f}
		if ok || err == nil {
			continue
		}
		one, err := l.readRecord(ctx, k, []string{key})
		if fault.Outage(err) || fault.Cancelled(err) {
			return nil, err
		}
		out[i] = subject{key: key, found: one[key], err: err}
	}
	return out, nil
}

// inspect compares what objects imply with what is there.
func (l *Layer) inspect(ctx context.Context, k *kind, keepers []kept, subjects []subject) (diffs []Difference, err error) {
	keys := make([]string, 0, len(subjects))
	for _, s := range subjects {
		if keys = append(keys, s.key); s.err != nil {
			diffs = append(diffs, Difference{Kind: k.name, Key: s.key, Task: k.record[0].name, Purpose: k.record[0].purpose, What: "unreadable", Err: s.err})
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	for _, kp := range keepers {
		there, err := kp.find(ctx, keys)
		if err != nil {
			return nil, err
		}
		for i := range subjects {
			s := &subjects[i]
			if s.err != nil {
				continue
			}
			expected, err := kp.expect(s)
			if err != nil {
				return nil, err
			}
			diffs = append(diffs, kp.compare(k, s, expected, there[s.key])...)
		}
	}
	return diffs, nil
}

// compare says what is otherwise than expected of one object. What is there and
// not expected is surplus, which only a cache is asked for here: a store is
// walked for it.
func (kp kept) compare(k *kind, s *subject, expected, there []trace) (out []Difference) {
	_, cached := kp.keeper.(*cacheKeeper)
	tell := func(what, where string, stored int64) {
		out = append(out, Difference{Kind: k.name, Key: s.key, Task: kp.task.name, Purpose: kp.task.purpose,
			What: what, Where: where, Stored: stored, Record: versionIf(s.obj != nil, s.stamp)})
	}
	for i := range expected {
		e := &expected[i]
		at := slices.IndexFunc(there, func(t trace) bool { return t.at == e.at })
		switch {
		case at >= 0:
			if what := kp.differs(e, &there[at]); what != "" {
				tell(what, e.at, there[at].stamp.Version)
			}
		case e.at == bucketAt && len(there) == 0:
			// The row is missing, and its bucket is looked for with it.
		case !cached:
			tell("missing", e.at, 0)
		case len(there) > 0: // an absence is remembered
			tell("stale", e.at, there[0].stamp.Version)
		}
	}
	if cached && len(expected) == 0 && len(there) > 0 && there[0].at != "" {
		tell("surplus", there[0].at, there[0].stamp.Version)
	}
	return out
}

// differs says how one trace differs from what is expected; empty: it does not.
func (kp kept) differs(want, got *trace) string {
	switch same := want.same(got); {
	case same && (kp.follows() || !want.stamp.Newer(got.stamp)):
		return ""
	case want.stamp.Newer(got.stamp) && !kp.follows():
		return "stale"
	case same:
		return ""
	case got.stamp.Version > want.stamp.Version && !kp.follows():
		return "newer"
	}
	return "altered"
}

func versionIf(there bool, s transactional.Stamp) int64 {
	if !there {
		return 0
	}
	return s.Version
}

// surplus finds the traces that no object implies, also when it is asked again.
func (l *Layer) surplus(ctx context.Context, k *kind, kp kept, keys []string, traces []trace, young int64) (diffs []Difference, err error) {
	unique := slices.Compact(slices.Sorted(slices.Values(keys)))
	subjects, err := l.subjects(ctx, k, unique)
	if err != nil {
		return nil, err
	}
	for i := range traces {
		t := &traces[i]
		at, _ := slices.BinarySearch(unique, keys[i])
		if young > 0 && t.stamp.Version > young || subjects[at].err != nil {
			continue
		}
		if wanted, err := kp.implies(&subjects[at], t); err != nil || wanted {
			if err != nil {
				return nil, err
			}
			continue
		}
		still, sub, err := l.isSurplus(ctx, k, kp, keys[i], t)
		if err != nil {
			return nil, err
		}
		if still {
			diffs = append(diffs, Difference{Kind: k.name, Key: keys[i], Task: kp.task.name, Purpose: kp.task.purpose, What: "surplus",
				Where: t.at, Stored: t.stamp.Version, Record: versionIf(sub.obj != nil, sub.stamp), trace: t})
		}
	}
	return diffs, nil
}

// implies reports whether an object implies a trace at this place.
func (kp kept) implies(s *subject, t *trace) (bool, error) {
	expected, err := kp.expect(s)
	return slices.ContainsFunc(expected, func(e trace) bool { return e.at == t.at }), err
}

// isSurplus looks again at one trace, and at its object.
func (l *Layer) isSurplus(ctx context.Context, k *kind, kp kept, key string, t *trace) (bool, subject, error) {
	there, err := kp.there(ctx, key, t)
	if err != nil || !there {
		return false, subject{}, err
	}
	subjects, err := l.subjects(ctx, k, []string{key})
	if err != nil {
		return false, subject{}, err
	}
	wanted, err := kp.implies(&subjects[0], t)
	return !wanted && err == nil, subjects[0], err
}
