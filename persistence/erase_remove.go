package persistence

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// remove removes what there is, at the version of the erasure. Custody comes
// first: what it still holds could be written anew.
func (e *erasing) remove(ctx context.Context) error {
	// A letter may keep its envelope, and an envelope may become a letter.
	for _, step := range []func(context.Context) error{e.removeLetters, e.removeWaiting, e.removeJobs, e.removeLetters} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	gone := &version{key: e.key, stamp: e.stamp, deleted: true, shape: e.kind.all.Shape, accepted: time.Now().UTC(), late: true}
	for _, t := range e.kind.tasks {
		if t.write == writeNone || t.write == writeJob {
			continue
		}
		if _, err := e.layer.engine.writeObject(ctx, e.kind, t, gone); err != nil {
			return err
		}
	}
	for _, kp := range e.layer.keepers(e.kind) {
		there, err := e.traces(ctx, kp)
		if err != nil {
			return err
		}
		if err := e.drop(ctx, kp, there, gone); err != nil {
			return err
		}
	}
	if names := e.cacheNames(); len(names) > 0 {
		return e.layer.cache.Delete(ctx, names...)
	}
	return nil
}

func (e *erasing) removeLetters(ctx context.Context) error {
	letters, err := e.letters(ctx)
	if err != nil {
		return err
	}
	for _, d := range letters {
		if d.Version > e.stamp.Version {
			continue
		}
		err := e.layer.DeadLetters().remove(ctx, d.ID)
		if class := fault.ClassOf(err); e.layer.rows != nil && (class == fault.ErrBusy || class == fault.ErrCorrupt) {
			// Its envelope is gone, or waits for something else.
			_, err = e.layer.rows.Apply(ctx, &transactional.Unit{Unbury: []string{d.ID}})
		}
		if err != nil && fault.ClassOf(err) != fault.ErrNotFound {
			return err
		}
	}
	return nil
}

// drop drops what the tombstone did not reach, and writes the tombstone again
// where that may have gone with it.
func (e *erasing) drop(ctx context.Context, kp kept, there []trace, gone *version) error {
	again := false
	for i := range there {
		t := &there[i]
		if t.at == "" || t.aside {
			continue
		}
		all, err := kp.drop(ctx, e.key, t, e.stamp)
		if err != nil {
			return err
		}
		again = again || all
		if still, err := kp.there(ctx, e.key, t); err != nil || !still {
			if err != nil {
				return err
			}
			continue
		}
		// It lies at a place of its own, or at a version above ours.
		tick, err := e.layer.ticks.now(ctx, false)
		if err != nil {
			return err
		}
		stamp := transactional.Stamp{Version: max(tick, t.stamp.Version), Tie: ^uint64(0)}
		if e.kind.typ.Version != nil {
			stamp.Version = max(e.stamp.Version, t.stamp.Version) + 1
		}
		if _, err := kp.drop(ctx, e.key, t, stamp); err != nil {
			return err
		}
	}
	if !again {
		return nil
	}
	_, err := e.layer.engine.writeObject(ctx, e.kind, kp.task, gone)
	return err
}

// removeWaiting ends the envelopes of the key that are older than the erasure.
// One that a worker has in hand is waited for, until it is done or given back.
func (e *erasing) removeWaiting(ctx context.Context) error {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		waiting, err := e.waiting(ctx)
		if err != nil {
			return err
		}
		left := 0
		for _, w := range waiting {
			if w.env.Version >= e.stamp.Version {
				continue
			}
			ended, err := e.end(ctx, &w)
			if err != nil {
				return err
			}
			if !ended {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		if err := sleep(ctx, wait); err != nil {
			return fmt.Errorf("%d envelopes are in a worker's hands: %w", left, err)
		}
	}
}

// end claims an envelope and ends it, with a mark that does not name the key.
func (e *erasing) end(ctx context.Context, w *waitingEnvelope) (ended bool, err error) {
	recs, err := e.layer.rows.Seize(ctx, e.layer.owner, e.layer.opts.Lease, w.rec.ID)
	if err != nil || len(recs) == 0 {
		return false, err
	}
	m := mark{Kind: w.rec.Kind, Version: w.env.Version, Accepted: w.env.Accepted.UnixMicro(), Other: map[string]string{}}
	for _, t := range e.kind.tasks {
		m.Other[t.name] = TaskSuperseded.String()
	}
	body, err := json.Marshal(m)
	if err != nil {
		return false, err
	}
	_, err = e.layer.rows.Apply(ctx, &transactional.Unit{Settle: []transactional.Settlement{
		{ID: w.rec.ID, Owner: e.layer.owner, Seq: recs[0].Seq, Done: true, Mark: body},
	}})
	if fault.ClassOf(err) == fault.ErrConflict {
		return false, nil // somebody was faster
	}
	return err == nil, err
}
