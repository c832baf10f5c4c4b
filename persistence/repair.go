package persistence

import (
	"context"
	"fmt"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// Repair mends a difference that Verify found, from the record, which it never
// touches: what is missing, stale, altered or newer is written as the record
// has it, and what is surplus is removed, also when the record has lost the
// object. It looks again first, and does nothing when the difference is gone;
// and afterwards, and is fault.ErrRefused when it stays.
//
// A row is written at its object's version. Where the damage has a version or a
// tombstone of its own that is above that, as after a DELETE by hand in
// Cassandra, it is written at a version of now, so that a later Put wins all
// the same; kinds with versions of their own cannot have that, and say so: put
// the object again. An entry of a cache is removed, and the next reader fills
// it.
func (h *Handle[T]) Repair(ctx context.Context, d Difference) error {
	err := h.layer.repair(ctx, h.kind, d)
	if err == nil {
		if t := h.kind.task(d.Task); t != nil {
			t.noted.Store(-1)
		}
		d.found.mended(ctx)
	}
	return err
}

func (l *Layer) repair(ctx context.Context, k *kind, d Difference) error {
	if err := l.open("repair"); err != nil {
		return err
	}
	refuse := func(why string) error {
		return &fault.Error{Op: "repair", Kind: k.name, Key: d.Key, Class: fault.ErrRefused, Err: fmt.Errorf("task %q, %s: %s", d.Task, d.What, why)}
	}
	if d.Kind != k.name {
		return refuse("it is a difference of the kind " + d.Kind)
	}
	if d.What == "unreadable" && d.Task != k.record[0].name {
		return refuse("the object cannot be derived from: put it again, or mend the function")
	}
	if d.What == "unreadable" {
		return refuse("the record itself cannot be read, and there is nothing to mend it from: put the object again")
	}
	kp, err := l.keeperOf(k, d.Task)
	if err != nil {
		return err
	}
	if a, ok := kp.keeper.(auditor); ok && d.What == "miscounted" {
		return a.recount(ctx, d.trace)
	}
	stamps := []func(*subject) (transactional.Stamp, error){
		func(s *subject) (transactional.Stamp, error) { return s.stamp, nil },
		func(s *subject) (transactional.Stamp, error) { return raised(s.stamp), nil },
		func(*subject) (transactional.Stamp, error) {
			version, err := l.ticks.now(ctx, false)
			return transactional.Stamp{Version: version, Tie: raisedTie}, err
		},
	}
	if k.typ.Version != nil {
		stamps = stamps[:2]
	}
	for _, stampOf := range stamps {
		done, err := l.mend(ctx, k, kp, &d, stampOf)
		if done || err != nil {
			return err
		}
	}
	if done, err := l.mend(ctx, k, kp, &d, nil); done || err != nil {
		return err
	}
	return refuse("it is still there after it was written over; its version may lie in the future: remove it by hand")
}

// mend looks whether a difference is still there, and writes once. It is done
// when the difference is gone; without a stamp it only looks.
func (l *Layer) mend(ctx context.Context, k *kind, kp kept, d *Difference, stampOf func(*subject) (transactional.Stamp, error)) (done bool, err error) {
	subjects, err := l.subjects(ctx, k, []string{d.Key})
	if err != nil {
		return false, err
	}
	s := &subjects[0]
	if s.err != nil {
		return false, s.err
	}
	if d.trace != nil {
		done, err = l.mendSurplus(ctx, k, kp, s, d, stampOf)
	} else if diffs, ierr := l.inspect(ctx, k, []kept{kp}, subjects); ierr != nil || len(diffs) == 0 {
		return ierr == nil, ierr
	} else if stampOf != nil {
		var stamp transactional.Stamp
		if stamp, err = stampOf(s); err == nil && s.obj == nil {
			_, err = kp.drop(ctx, d.Key, nil, stamp)
		} else if err == nil {
			err = kp.write(ctx, s, stamp)
		}
	}
	return done, err
}

// mendSurplus removes what no object implies, and writes what the object does
// imply, above the removal.
func (l *Layer) mendSurplus(ctx context.Context, k *kind, kp kept, s *subject, d *Difference, stampOf func(*subject) (transactional.Stamp, error)) (done bool, err error) {
	still, _, err := l.isSurplus(ctx, k, kp, d.Key, d.trace)
	if err != nil || !still {
		return err == nil, err
	}
	if stampOf == nil {
		return false, nil
	}
	stamp, err := stampOf(s)
	if err != nil {
		return false, err
	}
	if s.obj == nil && stamp.Version <= d.trace.stamp.Version {
		stamp = raised(d.trace.stamp) // the record says nothing of it
	}
	all, err := kp.drop(ctx, d.Key, d.trace, stamp)
	if err != nil {
		return false, err
	}
	if s.obj == nil && k.cache != nil {
		// Nobody can walk a cache, which may still serve what the record lost.
		if _, err := (&cacheKeeper{l, k, k.cache}).drop(ctx, d.Key, nil, stamp); err != nil {
			return false, err
		}
	}
	if expected, err := kp.expect(ctx, s); err != nil || len(expected) == 0 || !all {
		return false, err
	}
	stamp.Tie++
	return false, kp.write(ctx, s, stamp)
}

// raisedTie is above every digest that Repair may have to beat at one version,
// but for one in a quadrillion, and below that of a delete.
const raisedTie = ^uint64(0) - 1<<14

// raised is a stamp of the same version, above its other writes, and above
// what an earlier repair wrote.
func raised(s transactional.Stamp) transactional.Stamp {
	if s.Tie >= raisedTie {
		return transactional.Stamp{Version: s.Version, Tie: s.Tie + 2}
	}
	return transactional.Stamp{Version: s.Version, Tie: raisedTie}
}
