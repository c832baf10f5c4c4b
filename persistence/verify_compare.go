package persistence

import (
	"context"
	"slices"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// inspect compares what objects imply with what is there.
func (l *Layer) inspect(ctx context.Context, k *kind, keepers []kept, subjects []subject) (diffs []Difference, err error) {
	for _, s := range subjects {
		if s.err != nil {
			diffs = append(diffs, Difference{Kind: k.name, Key: s.key, Task: k.record[0].name, Purpose: k.record[0].purpose, What: "unreadable", Err: s.err})
		}
	}
	if len(subjects) == 0 {
		return nil, nil
	}
	for _, kp := range keepers {
		size := len(subjects)
		if kp.few {
			size = fewObjects
		}
		for some := range slices.Chunk(subjects, size) {
			found, err := l.inspectSome(ctx, k, kp, some)
			if err != nil {
				return nil, err
			}
			diffs = append(diffs, found...)
		}
	}
	return diffs, nil
}

// fewObjects are compared at a time where one may have many traces.
const fewObjects = 16

func (l *Layer) inspectSome(ctx context.Context, k *kind, kp kept, subjects []subject) (diffs []Difference, err error) {
	of := make([]sought, 0, len(subjects))
	objects := make([]*subject, 0, len(subjects))
	for i := range subjects {
		s := &subjects[i]
		if s.err != nil {
			continue
		}
		expected, err := kp.expect(ctx, s)
		switch {
		case err != nil && (fault.Outage(err) || fault.Cancelled(err)):
			return nil, err
		case err != nil:
			diffs = append(diffs, Difference{Kind: k.name, Key: s.key, Task: kp.task.name, Purpose: kp.task.purpose, What: "unreadable", Err: err})
			continue
		}
		of, objects = append(of, sought{s.key, expected}), append(objects, s)
	}
	there, err := kp.find(ctx, of)
	for i, s := range objects {
		diffs = append(diffs, kp.compare(k, s, of[i].expected, there[s.key])...)
	}
	return diffs, err
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
