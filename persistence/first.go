package persistence

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/internal/group"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Groups of what is written before Put returns. A group that is not small keeps the
// next one from beginning for a while, but for one beside it.
const (
	firstsMost     = 256
	firstsAtOnce   = 8
	firstsEager    = 2
	firstsSmall    = 4
	firstsPatience = 10 * time.Millisecond
)

// A firstly is the default writes of one envelope that are due before its Put
// returns.
type firstly struct {
	held  *held
	tasks []int
	over  atomic.Bool // they are done, or the Put has left: who finds it set goes on with the envelope
}

// firsts are those of the objects of one kind that go to the same stores. Callers
// whose objects were accepted in one commit come with them at once, and one call of a
// store for all of them costs this process a sixth less of all that a Put costs it.
// Objects of other kinds, and those that go to other stores, do not wait for them.
type firsts struct {
	under atomic.Int64 // envelopes
	group *group.Group[*firstly]
}

// first does what is due before Put returns, and says what is not done.
func (e *engine) first(ctx context.Context, h *held) error {
	h.run.Down = e.health.down()
	e.firstAlone(ctx, h, h.run.Begin(nowMicro(), true))
	return h.undone()
}

// firstAlone does it for one envelope, in this goroutine and some beside it.
func (e *engine) firstAlone(ctx context.Context, h *held, act flow.Action) {
	w := e.newWorker(true)
	for act.Kind == flow.Start && h.tasks[act.Tasks[0]].priority == 0 {
		batch := append([]int(nil), act.Tasks...)
		crash.Point("first.before")
		act = w.class(ctx, h, batch)
		crash.Point("first.after")
		if act.Kind == flow.Look && act.Priority == 0 {
			act = h.run.Looked(w.now.UnixMicro(), false)
		}
	}
}

// firstJointly does it in this goroutine and some beside it, as a group of one: what
// may share a call of its store does.
func (e *engine) firstJointly(ctx context.Context, h *held, tasks []int) {
	if ctx.Err() != nil {
		h.run.Stop()
	}
	w := e.newWorker(true)
	h.put = ctx
	w.bulk.add(h, tasks)
	crash.Point("first.joint.before")
	w.writeBulk(ctx)
	crash.Point("first.joint.after")
	h.put = nil
}

// undone says what is not done that was due before Put returns.
func (h *held) undone() error {
	var errs []error
	for i, t := range h.tasks {
		state := h.run.Tasks[i].State
		switch {
		case t.priority != 0 || state != flow.Waiting && state != flow.Dead:
		case h.reason[i] != nil:
			errs = append(errs, h.reason[i])
		case state == flow.Waiting:
			errs = append(errs, fault.New(fault.ErrUnavailable, t.purpose.String(), "write", "the store is down; task "+t.name+" waits in custody"))
		}
	}
	return errors.Join(errs...)
}

// firstAmong does what is due before Put returns, with what others of its kind
// write just now, and lets the envelope go on. A lone caller waits for nobody.
func (e *engine) firstAmong(ctx context.Context, h *held) error {
	h.run.Down = e.health.down()
	act := h.run.Begin(nowMicro(), true)
	f := e.firstsOf(h, act)
	if f != nil {
		defer f.under.Add(-1)
		if f.under.Add(1) > 1 {
			return e.firstTogether(ctx, f, h, act)
		}
	}
	if f != nil && e.joinsAny(h, act.Tasks) {
		e.firstJointly(ctx, h, act.Tasks)
	} else {
		e.firstAlone(ctx, h, act)
	}
	err := h.undone()
	e.afterFirst(ctx, h)
	return err
}

// firstsOf is with what the first class of an envelope may be written; nil: with
// nothing.
func (e *engine) firstsOf(h *held, act flow.Action) *firsts {
	if act.Kind != flow.Start {
		return nil
	}
	var stores storeSet
	for _, i := range act.Tasks {
		t := h.tasks[i]
		if t.priority != 0 || !h.kind.groups(t) {
			return nil
		}
		stores = stores.with(t.purpose)
	}
	of := &h.kind.firsts[stores]
	if of.Load() == nil {
		of.CompareAndSwap(nil, &firsts{group: group.New(group.Options{
			MaxItems: firstsMost, Parallel: firstsAtOnce, Eager: firstsEager, Small: firstsSmall, Patience: firstsPatience,
		}, nil, e.writeFirsts)})
	}
	return of.Load()
}

// firstTogether does it in a group. A Put whose context ends leaves the envelope to
// its group, which goes on with it.
func (e *engine) firstTogether(ctx context.Context, f *firsts, h *held, act flow.Action) error {
	h.put = ctx
	own := &firstly{held: h, tasks: act.Tasks}
	crash.Point("first.group.before")
	err := f.group.Do(ctx, own)
	crash.Point("first.group.after")
	switch {
	case err == nil && !h.alone:
	case fault.Unknown(err) && !own.over.Swap(true):
		return err
	default: // it was withdrawn, or is to be tried apart from the others
		h.put = nil
		e.firstAlone(ctx, h, h.run.Begin(nowMicro(), true))
	}
	h.put = nil
	err = h.undone()
	e.afterFirst(ctx, h)
	return err
}

// writeFirsts does the writes of a group.
func (e *engine) writeFirsts(ctx context.Context, group []*firstly) []error {
	defer func() {
		for _, f := range group {
			if f.over.Swap(true) { // its Put has left
				f.held.put = nil
				e.afterFirst(ctx, f.held)
			}
		}
	}()
	w := e.newWorker(true)
	for _, f := range group {
		w.bulk.add(f.held, f.tasks)
	}
	w.writeBulk(ctx)
	return nil
}

// afterFirst lets the envelope go on: to this process's workers, or back to
// custody.
func (e *engine) afterFirst(ctx context.Context, h *held) {
	if e.working.Load() > 0 {
		e.place(ctx, h, nowMicro())
		return
	}
	h.run.Down = e.health.down()
	s := h.run.Settlement(nowMicro())
	if s.Done {
		e.settle(h, s)
		return
	}
	e.follow(h.id(), h.receipt)
	e.release(ctx, h, s)
}
