package persistence

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/transitory"
)

// A nudge tells workers in other processes that the outbox has something new:
// a job without content, in a tube of its own. Losing one costs a tick, so the
// queue may be lost whole, and nothing in it is ever more than a hint. What
// other libraries put there, a copy of each object, would have to be kept in
// step with the rows that are the truth.

const (
	nudgeTube  = "nudge"
	nudgeEvery = 5 * time.Millisecond // at most one nudge per process in this time
	nudgeLife  = 5 * time.Second      // how long one call to the queue may take
	nudgeMost  = 64                   // when so many lie there nobody listens, and one more tells nobody
	nudgeTrust = 8                    // nudges for one look at how many lie there, while none does
)

// nudges reports whether other processes may work on this layer's outbox, and
// there is a queue to tell them.
func (e *engine) nudges() bool {
	return e.queue != nil && e.outbox != nil && e.layer.rows.Features().SharedLog
}

// nudge tells other processes, without waiting.
func (e *engine) nudge() {
	if !e.nudges() || e.health.isDown[Transitory].Load() || e.nudging.Swap(true) {
		return
	}
	e.layer.spawn(func(ctx context.Context) {
		defer e.nudging.Store(false)
		put, cancel := context.WithTimeout(ctx, nudgeLife)
		defer cancel()
		tube := e.layer.opts.Namespace + "/" + nudgeTube
		err := e.mayNudge(put, tube)
		if err == nil && e.nudgesLeft > 0 {
			e.nudgesLeft--
			err = e.layer.queue.Put(put, transitory.Job{Tube: tube, TTR: nudgeLife})[0]
		}
		if err != nil {
			e.layer.log.Debug("a nudge was lost; the work is found at the next tick", "error", err)
		}
		pause(ctx, nudgeEvery)
	})
}

// mayNudge asks the queue whether somebody listens. Where nothing lies there
// somebody does, or nobody has nudged yet: a few more nudges need no question.
// Called while nudging is set.
func (e *engine) mayNudge(ctx context.Context, tube string) error {
	if e.nudgesLeft > 0 {
		return nil
	}
	lie, err := e.layer.queue.Stats(ctx, tube)
	switch {
	case err != nil:
		return err
	case lie[0].Ready == 0:
		e.nudgesLeft = nudgeTrust
	case lie[0].Ready < nudgeMost:
		e.nudgesLeft = 1
	}
	return nil
}

// listen wakes the pullers whenever somebody nudges.
func (e *engine) listen(ctx context.Context) {
	tube := []string{e.layer.opts.Namespace + "/" + nudgeTube}
	for ctx.Err() == nil {
		if e.health.isDown[Transitory].Load() {
			pause(ctx, tick)
			continue
		}
		wait, cancel := context.WithTimeout(ctx, 10*tick)
		jobs, err := e.layer.queue.Reserve(wait, tube, 64)
		cancel()
		if err != nil {
			pause(ctx, tick/10)
			continue
		}
		e.wake()
		ids := make([]transitory.ID, len(jobs))
		for i := range jobs {
			ids[i] = jobs[i].ID
		}
		e.layer.queue.Delete(ctx, ids...)
	}
}
