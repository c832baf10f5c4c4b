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
)

// A Difference is one thing that a store holds otherwise than the record
// implies.
type Difference struct {
	Kind, Key, Task string  // of the object, and the task that stores it
	Purpose         Purpose // the task's: which store
	// What is one of: missing (nothing is there), stale (an older version is),
	// altered (the same version is, with another content), newer (a version is
	// that the record has not), surplus (no object implies it; of a derived row
	// Key is then the row's own), miscounted (a sum is not that of what it
	// counts; it has no Key), unreadable (the record's own object cannot be read,
	// or its parts are of different versions, or Derive refuses it: Err says why).
	What   string
	Where  string // the place in the store
	Stored int64  // the version that is there; zero: none
	Record int64  // the record's version; zero: it has no such object
	Err    error  // of what is unreadable

	trace *trace   // of what is surplus, or miscounted
	found *finding // nil: its verification concludes nothing
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
	phases  []phase // behind the one over the record
	at      cursor  // bucket is the phase: 0 the record, then the others
	bad     error
	over    bool
	looked  int
	found   int

	begun bool
	ends  *conclusion // nil: there is nothing to conclude
}

// A phase of a verification goes over what one keeper keeps, of any object, or
// over its sums.
type phase struct {
	kept
	walk func(ctx context.Context, after []byte, n int) (walked, error)
	sums bool
}

// Verify compares what the stores hold of a kind with its record: the layouts
// of its default writes, with their lists of buckets, a second copy by key, the
// entries of its cache, the rows that Derive makes, with the register of where
// they lie, and what Count counts, with the sums. It goes over the record first,
// and asks what each object implies; then over the rest, for what no object
// implies, and for sums that are not those of what they count. For derived rows
// it goes over the record once more, and once again where there are such rows.
// What differs is looked at twice, a moment apart, so that a Put under way is no
// difference. Memory is bounded by a page, by the rows that sixteen objects
// imply, and by 32 MiB. What handlers wrote is theirs. A Derive that asks others
// is asked again, and what it answers now is what ought to be there.
func (h *Handle[T]) Verify(opts *VerifyOptions) *Verification {
	v := &Verification{layer: h.layer, kind: h.kind, keepers: h.layer.keepers(h.kind)}
	if opts != nil {
		v.opts = *opts
	}
	def(&v.opts.Young, 10*time.Second)
	for _, kp := range v.keepers {
		v.phases = append(v.phases, phase{kept: kp, walk: kp.walk})
		if a, ok := kp.keeper.(auditor); ok {
			audit := func(ctx context.Context, after []byte, _ int) (walked, error) { return a.audit(ctx, after) }
			v.phases = append(v.phases, phase{kept: kp, walk: audit, sums: true})
		}
	}
	v.at.shape = record.Digest([]byte("verify " + h.kind.table))
	if v.opts.After != "" {
		at, err := parseCursor(v.opts.After)
		if err == nil && (at.shape != v.at.shape || at.bucket < 0 || at.bucket > int64(len(v.phases))) {
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
		if !v.begun && v.opts.After == "" && v.bad == nil {
			v.ends = v.layer.concluding(ctx, v.kind)
		}
		v.begun = true
		for !v.over {
			diffs, next, err := v.page(ctx)
			if err != nil {
				yield(Difference{}, err)
				return
			}
			for _, d := range diffs {
				v.found++
				d.found = v.ends.found()
				if !yield(d, nil) {
					v.found--
					d.found.mended(ctx)
					return
				}
			}
			if v.at, v.over = next, int(next.bucket) > len(v.phases); v.over {
				v.ends.end(ctx, true)
			}
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
	ph := v.phases[v.at.bucket-1]
	w, err := ph.walk(ctx, v.at.inner, readPage)
	if err != nil {
		return nil, next, err
	}
	if next.inner = w.next; w.next == nil {
		next.bucket++
	}
	v.looked += w.looked
	if ph.sums {
		diffs, err = v.miscounted(ctx, ph, &w)
	} else {
		diffs, err = v.surplus(ctx, ph.kept, &w)
	}
	return diffs, next, err
}

// miscounted tells the sums that differ also when they are looked at again.
func (v *Verification) miscounted(ctx context.Context, ph phase, first *walked) (diffs []Difference, err error) {
	if len(first.traces) == 0 {
		return nil, nil
	}
	if err := sleep(ctx, againAfter); err != nil {
		return nil, err
	}
	again, err := ph.walk(ctx, v.at.inner, readPage)
	for i := range again.traces {
		t := &again.traces[i]
		if slices.ContainsFunc(first.traces, func(f trace) bool { return f.at == t.at }) {
			diffs = append(diffs, Difference{Kind: v.kind.name, Task: ph.task.name, Purpose: ph.task.purpose, What: "miscounted", Where: t.at, trace: t})
		}
	}
	return diffs, err
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
	return out, l.fillSubjects(ctx, k, out)
}

// surplus finds the traces that no object implies, also when it is asked again.
func (v *Verification) surplus(ctx context.Context, kp kept, w *walked) (diffs []Difference, err error) {
	l, k, young := v.layer, v.kind, v.young()
	keys, traces := w.keys, w.traces
	unique := slices.Compact(slices.Sorted(slices.Values(keys)))
	subjects, err := l.subjects(ctx, k, unique)
	if err != nil {
		return nil, err
	}
	for i := range traces {
		t := &traces[i]
		at, _ := slices.BinarySearch(unique, keys[i])
		recent := young > 0 && t.stamp.Version > young
		if t.aside || recent && v.ends == nil || subjects[at].err != nil {
			continue
		}
		if wanted, err := kp.implies(ctx, &subjects[at], t); err != nil || wanted {
			if err != nil {
				return nil, err
			}
			continue
		}
		if recent {
			v.ends.doubt()
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
func (kp kept) implies(ctx context.Context, s *subject, t *trace) (bool, error) {
	expected, err := kp.expect(ctx, s)
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
	wanted, err := kp.implies(ctx, &subjects[0], t)
	return !wanted && err == nil, subjects[0], err
}
