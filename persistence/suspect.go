package persistence

import (
	"context"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A task that ends the process takes along whatever else the process held, and
// what ran beside it looks as guilty as it does. So an envelope with a handler
// that was lost more than once is a suspect: suspects run one at a time, in both
// custodies, and only they are charged for a run before it begins.
//
// The outbox is told of each such run. A queue counts how often it handed a job
// out, not how often its tasks ran; so its suspects go to a tube of their own,
// whose jobs are reserved one at a time and run at once: there, a reservation
// that ended without an answer is a run that ended the process.

// suspicious reports whether the envelope may be what ends the process.
func (h *held) suspicious() bool {
	if h.lost < flow.Doubtful {
		return false
	}
	for i, t := range h.tasks {
		if t != nil && t.handles() && h.run.Tasks[i].State == flow.Waiting {
			return true
		}
	}
	return false
}

// suspects are the tubes of the kinds in transitory custody.
func (e *engine) suspects() []string {
	var out []string
	for _, k := range e.layer.declared() {
		if k.custody == TransitoryCustody {
			for _, lanes := range k.served {
				out = append(out, lanes.suspect)
			}
		}
	}
	return out
}

// interrogate runs the suspects that this process claimed from the outbox, and
// those that gave way to something more urgent, until their lane stops.
func (e *engine) interrogate(handlers context.Context) {
	w := e.newWorker(false)
	w.lane = e.suspected
	for w.take() {
		e.examine(handlers, w, w.group[0])
	}
}

// examine runs one suspect, alone.
func (e *engine) examine(handlers context.Context, w *worker, h *held) {
	e.flight.Add(1)
	defer e.flight.Add(-1)
	e.inquiry.Lock()
	defer e.inquiry.Unlock()
	outlive(func() { w.conductAlone(handlers, h) })
}

// summon takes suspects from the queue, one at a time, until ctx ends.
func (e *engine) summon(ctx, handlers context.Context) {
	w := e.newWorker(false)
	w.lane = e.suspected
	var wait shortWait
	defer wait.end()
	for ctx.Err() == nil {
		tubes := e.suspects()
		if len(tubes) == 0 || e.health.isDown[Transitory].Load() {
			pause(ctx, tick/10)
			continue
		}
		hs, err := e.queue.claim(wait.within(ctx), tubes, 1)
		if err != nil && !fault.Cancelled(err) {
			if fault.Outage(err) {
				e.health.failed(Transitory, err)
			}
			pause(ctx, tick/10)
		}
		for _, h := range hs {
			e.moves.Add(1)
			e.keep(h)
			e.examine(handlers, w, h)
		}
	}
}

// suspicious reports whether one of the tasks may be what took the process
// down: a handler whose envelope was lost before.
func (w *worker) suspicious(h *held, tasks []int) bool {
	for _, i := range tasks {
		if h.tasks[i].handles() {
			return true
		}
	}
	return false
}

// countFirst makes the attempt durable before the run, so that a task that
// takes the process down each time ends as a dead letter. In the queue the
// server counts the reservations for us.
func (w *worker) countFirst(ctx context.Context, h *held, tasks []int) error {
	for _, i := range tasks {
		t := &h.run.Tasks[i]
		if !h.tasks[i].handles() {
			continue
		}
		if _, queued := h.custody.(*queueCustody); queued {
			t.Attempts = max(t.Attempts, h.lost)
		}
		t.Charge()
	}
	h.counted = true
	crash.Point("count.before")
	err := h.custody.count(ctx, h)
	for _, i := range tasks {
		if err != nil && h.tasks[i].handles() {
			h.run.Tasks[i].Refund()
		}
	}
	return err
}
