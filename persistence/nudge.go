package persistence

import (
	"context"
	"errors"
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
	nudgeShare = 64                   // envelopes that are a process's worth: as many more wake another
)

// nudges reports whether other processes may work on this layer's outbox, and
// there is a queue to tell them.
func (e *engine) nudges() bool {
	return e.queue != nil && e.outbox != nil && e.layer.rows.Features().SharedLog
}

// nudge tells other processes, without waiting, of one envelope more.
func (e *engine) nudge() {
	if !e.nudges() || e.health.isDown[Transitory].Load() {
		return
	}
	e.news.Add(1)
	if e.nudging.Swap(true) {
		return
	}
	e.layer.spawn(func(ctx context.Context) {
		defer e.nudging.Store(false)
		for news := e.news.Swap(0); news > 0 && ctx.Err() == nil; news = e.news.Swap(0) {
			if err := e.tellOthers(ctx, int(news)); err != nil {
				e.layer.log.Debug("a nudge was lost; the work is found at the next tick", "error", err)
			}
			pause(ctx, nudgeEvery)
		}
	})
}

// tellOthers wakes as many processes as so many envelopes are worth.
func (e *engine) tellOthers(ctx context.Context, news int) error {
	ctx, cancel := context.WithTimeout(ctx, nudgeLife)
	defer cancel()
	tube := e.layer.opts.Namespace + "/" + nudgeTube
	if err := e.mayNudge(ctx, tube); err != nil {
		return err
	}
	jobs := make([]transitory.Job, min((news+nudgeShare-1)/nudgeShare, e.nudgesLeft))
	for i := range jobs {
		jobs[i] = transitory.Job{Tube: tube, TTR: nudgeLife}
	}
	e.nudgesLeft -= len(jobs)
	return errors.Join(e.layer.queue.Put(ctx, jobs...)...)
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

// listen wakes the pullers whenever somebody nudges. It takes one nudge at a time,
// so that others are woken by the others.
func (e *engine) listen(ctx context.Context) {
	tube := []string{e.layer.opts.Namespace + "/" + nudgeTube}
	for ctx.Err() == nil {
		if e.health.isDown[Transitory].Load() {
			pause(ctx, tick)
			continue
		}
		wait, cancel := context.WithTimeout(ctx, 10*tick)
		jobs, err := e.layer.queue.Reserve(wait, tube, 1)
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
