package persistence

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/volatile"
)

// writeCaches writes the entries of a cached kind, or of the volatile fields of
// one. An entry that is too large for the cache is left out: the reader gets it
// from the record. One whose cache may have forgotten a newer version only goes
// over an older one.
func (e *engine) writeCaches(ctx context.Context, k *kind, t *task, vs []version) {
	writes := make([]volatile.Write, 0, len(vs))
	faulty := make([]error, 0, len(vs)) // why an entry is only invalidated; aligned
	for i := range vs {
		v := &vs[i]
		if v.err != nil {
			continue
		}
		mode := volatile.Raising
		if v.late && t == k.cache && len(k.record) > 0 {
			mode = volatile.Replacing
		}
		w, err := t.cacheWrite(k, v, mode)
		writes, faulty = append(writes, w), append(faulty, err)
	}
	if len(writes) == 0 {
		return
	}
	crash.Point("write.cache.before")
	n, written := 0, e.layer.cache.WriteAll(ctx, writes)
	for i := range vs {
		v := &vs[i]
		if v.err != nil {
			continue
		}
		if v.stale, v.err = written[n].Superseded, e.unpaid(ctx, k, writes[n], written[n].Err); v.err == nil && faulty[n] != nil {
			v.err = Permanent(faulty[n])
		}
		n++
	}
}

// unpaid is the error of a write that the cache did not take: an old entry may
// have stayed, and its invalidation is owed. It is errUnwritten when the debt
// would not outlive this process.
func (e *engine) unpaid(ctx context.Context, k *kind, w volatile.Write, err error) error {
	if err == nil || errors.Is(err, fault.ErrTooLarge) {
		return err // then nothing old has stayed
	}
	if unwritten := e.layer.owe(ctx, k, w.Key, transactional.Stamp(w.Entry.Stamp)); unwritten != nil {
		return unwritten
	}
	return err
}

// cacheWrite is the write of a version's entry. One that cannot be encoded, or
// is of another program's shape and serves nobody here, invalidates what is
// there.
func (t *task) cacheWrite(k *kind, v *version, mode volatile.WriteMode) (volatile.Write, error) {
	w := volatile.Write{
		Key: k.cacheKey(v.key), TTL: t.ttl + t.stale, Mode: mode, Parts: t.parts,
		Entry: volatile.Entry{Stamp: volatile.Stamp(v.stamp), Absent: v.deleted},
	}
	if t != k.cache {
		w.Key = t.partKey(k, v.key)
	}
	if v.deleted {
		return w, nil
	}
	body, err := t.cacheOf(v.obj, v.body)
	if err != nil || v.shape != k.all.Shape {
		w.Mode = volatile.Invalidating
		return w, err
	}
	w.Entry.Value = body
	return w, nil
}

// cacheTakes is the largest value that the cache takes as the task's entry.
func (l *Layer) cacheTakes(t *task) int {
	most := l.cache.Features().MaxValue
	switch {
	case most == 0:
		return math.MaxInt
	case t.parts:
		return most * volatile.MaxParts
	}
	return most
}

// keepsAlone reports whether a volatile default write keeps a field that no
// durable one does.
func (k *kind) keepsAlone(t *task) bool {
	if t.write != writeCache || t.set == nil {
		return false
	}
	var durable []*task
	for _, other := range k.tasks {
		if (other.write == writeRow || other.write == writeCell) && other.when == nil {
			durable = append(durable, other)
		}
	}
	return !k.covers(durable, t.set) || len(durable) == 0
}

// cacheable refuses an object that only the cache would keep, and cannot.
// Elsewhere an entry that is too large is left out.
func (l *Layer) cacheable(k *kind, obj any, body []byte) error {
	for _, t := range k.alone {
		most := l.cacheTakes(t)
		if shapeLen+len(body) <= most {
			continue // and so is every part of it
		}
		entry, err := t.cacheOf(obj, body)
		if err != nil {
			return err
		}
		if len(entry) > most {
			return &fault.Error{Op: "put", Class: fault.ErrTooLarge,
				Err: fmt.Errorf("task %q alone keeps %s, %d bytes, and the volatile store takes %d: %s", t.name, t.keeps(k), len(entry), most, t.largerWay())}
		}
	}
	return nil
}

// keeps says in words what of an object the entry of a volatile task is.
func (t *task) keeps(k *kind) string {
	if t == k.cache {
		return "the object"
	}
	return "its fields of the object"
}

// largerWay is the way out for an entry that the cache does not take.
func (t *task) largerWay() string {
	if t.parts {
		return "give the plan a durable default write of it"
	}
	return "give the task Parts, or the plan a durable default write of it"
}

// refresh is refreshAll for one version.
func (e *engine) refresh(ctx context.Context, k *kind, v *version) error {
	vs := []version{*v}
	vs[0].err = nil
	e.refreshAll(ctx, k, vs)
	return vs[0].err
}

// refreshAll replaces cache entries after writes of the record, so that a slow
// reader cannot put the versions before them back. Where nothing is, it leaves
// nothing: the write may have lost to a version that the cache has forgotten.
// A version gets an error when an old entry may stay and nobody would know.
func (e *engine) refreshAll(ctx context.Context, k *kind, vs []version) {
	writes := make([]volatile.Write, 0, len(vs))
	at := make([]*version, 0, len(vs))
	for i := range vs {
		if v := &vs[i]; v.err == nil {
			w, _ := k.cache.cacheWrite(k, v, volatile.Replacing)
			writes, at = append(writes, w), append(at, v)
		}
	}
	if len(writes) == 0 {
		return
	}
	crash.Point("refresh.before")
	for n, w := range e.layer.cache.WriteAll(ctx, writes) {
		err := e.unpaid(ctx, k, writes[n], w.Err)
		if err == nil {
			continue
		}
		k.cache.counter.skipped.Add(1)
		var unwritten errUnwritten
		if errors.As(err, &unwritten) {
			at[n].err = unwritten
		}
	}
}
