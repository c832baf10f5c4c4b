package persistence

import (
	"context"
	"errors"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// judge turns an attempt's error into an outcome.
func (w *worker) judge(ctx context.Context, h *held, t *task, e *end) {
	err := e.err
	e.Reason = err.Error()
	var snooze errSnooze
	var permanent errPermanent
	switch {
	case errors.Is(err, errBlocked):
		e.Outcome = flow.Blocked
	case errors.Is(err, errGone):
		e.Outcome = flow.Cancelled
	case errors.As(err, &snooze):
		e.Outcome, e.After = flow.Snoozed, snooze.after
	case errors.As(err, &permanent):
		e.Outcome = flow.Permanent
	case ctx.Err() != nil && fault.Cancelled(err):
		e.Outcome = flow.Cancelled
	case t.write == writeCache && !errors.As(err, new(errUnwritten)):
		// A cache entry is never worth waiting for: what is not written is
		// rebuilt, and what is stale was invalidated or is owed.
		e.Outcome = flow.Skip
		t.counter.skipped.Add(1)
	case !t.handles() && fault.Permanent(err):
		e.Outcome = flow.Permanent
	case errors.Is(err, fault.ErrBusy) || errors.Is(err, fault.ErrBackpressure):
		e.Outcome = flow.Busy
	default:
		w.judgeStore(ctx, h, t, e)
	}
}

// judgeStore tells an outage, which is free, from a refusal: an error that
// looks like an outage is charged when the store answers an independent probe,
// and was not away while the attempt ran.
func (w *worker) judgeStore(ctx context.Context, h *held, t *task, e *end) {
	store := w.engine.storeOf(t, e.err)
	if health := w.engine.health; looksAway(e.err, store) && store != 0 && w.engine.layer.has(store) {
		switch {
		case health.cameBack(store, e.began):
			e.Outcome = flow.Snoozed
			return
		case !health.answers(ctx, store):
			e.Outcome, e.Store = flow.Outage, byte(store)
			return
		}
	}
	e.Outcome = flow.Refused
	if fault.Unknown(e.err) {
		e.Outcome = flow.Uncertain
	}
}

// looksAway reports whether an attempt's error looks like a store that is out
// of reach.
func looksAway(err error, store Purpose) bool {
	return fault.Outage(err) || store != 0 && (fault.Unknown(err) || fault.Cancelled(err))
}

// storeOf names the store that an error is about: the one that the error
// names, else the one that the task's default write needs.
func (e *engine) storeOf(t *task, err error) Purpose {
	var fe *fault.Error
	for cur := err; errors.As(cur, &fe); cur = fe.Err {
		for p := Transitory; p <= Amorphous; p++ {
			if fe.Store == p.String() {
				return p
			}
		}
		if fe.Err == nil {
			break
		}
	}
	if t.handles() && t.tx == nil {
		return 0
	}
	return t.purpose
}

// fail keeps the error of a task for its dead letter.
func (h *held) fail(i int, err error) {
	if h.reason == nil {
		h.reason = map[int]error{}
	}
	h.reason[i] = err
}
