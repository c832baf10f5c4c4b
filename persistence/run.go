package persistence

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A worker conducts envelopes of one lane: one at a time where a handler is to
// run, and up to groupMost of one class where nothing but default writes is,
// so that each store gets all of them in one call. After each class it gives
// what goes on back to its lane, which decides what is most urgent now.
type worker struct {
	engine   *engine
	realTime bool
	lane     *lane
	ends     chan end
	beside   beside

	now   time.Time // when it last looked at the clock, which is when it began with what it does now
	group []*held   // that the worker has in hand
	at    int       // of these, the one that is conducted
	back  []*held   // of these, what goes on in this lane
	bulk  bulk      // the default writes of the group

	written chan []*taskWrites // parts of it whose call of a store is over

	runs   *held // the envelope whose class runs
	left   int   // of the class, the attempts whose end is not reported yet
	exited *end  // of an attempt whose handler ended the worker's goroutine

	until   atomic.Int64         // when the handlers that run are overdue, in nanoseconds since 1970; 0: none runs
	watched atomic.Pointer[held] // whose they are
	retired atomic.Bool          // another worker has taken its place

	writes storeSet                    // for which its lane counts this worker as a writer
	parts  [Amorphous + 1]atomic.Int32 // of the bulk that are under way, by store
	wrote  [Amorphous + 1]bool         // its lane knows that those are done
}

// endsKept is how many tasks that ran aside can end without waiting for the
// worker to look. An end is half a kilobyte, and there may be hundreds of
// workers.
const endsKept = 4

// An end is how a task's attempt ended.
type end struct {
	flow.End
	attempts     int       // before this one
	began, ended time.Time // ended is zero where it did not begin
	err          error
	id           string // of the task, where a handler ran and somebody observes
	aside        bool   // it ran beside the worker
}

func (e *engine) newWorker(realTime bool) *worker {
	return &worker{engine: e, realTime: realTime, lane: e.laneOf(realTime), ends: make(chan end, endsKept),
		written: make(chan []*taskWrites, endsKept), now: time.Now()}
}

// serve conducts envelopes until the lane is stopped. ctx is the handlers': it ends
// when the grace period is over. A handler that ends the goroutine ends this one; the
// worker goes on in another.
func (w *worker) serve(ctx context.Context, workers *sync.WaitGroup) {
	stopped := false
	defer func() {
		if !stopped {
			workers.Go(func() { w.serve(ctx, workers) })
		}
	}()
	for w.exited != nil || !w.retired.Load() && w.take() {
		if w.exited == nil {
			w.writes = w.group[0].writes
			w.engine.flight.Add(int64(len(w.group)))
		}
		w.conduct(ctx)
		w.engine.flight.Add(-int64(len(w.group)))
		w.wroteAll()
	}
	stopped = true
	if len(w.back) > 0 { // it did not come to take
		w.engine.hand(w.back...)
	}
	w.engine.crew.leave(w)
}

// take gives back what goes on and waits for the next group; false means that
// the lane is stopped.
func (w *worker) take() bool {
	if len(w.group) != 1 {
		w.now = time.Time{} // custody may have kept it waiting with one of them since
	}
	for {
		var evicted []*held
		w.group, evicted, w.now = w.lane.next(w.back, w.group[:0], w.now)
		w.back, w.at = w.back[:0], 0
		if len(evicted) == 0 {
			return len(w.group) > 0
		}
		for _, h := range evicted {
			w.engine.evict(h)
		}
	}
}

// conduct carries the group through its next class, or what is left of it.
func (w *worker) conduct(ctx context.Context) {
	if w.exited != nil {
		w.follow(ctx, w.runs, w.goOn(ctx))
		w.at++
	} else if w.engine.tellErased(ctx, w.group...) {
		w.now = time.Now()
	}
	down := w.engine.health.down()
	for ; w.at < len(w.group); w.at++ {
		h := w.group[w.at]
		if h.erased == errErased {
			w.engine.dropErased(h)
			w.follow(ctx, h, flow.Action{Kind: flow.Settle})
			continue
		}
		h.without(down)
		act := h.run.Begin(w.now.UnixMicro(), w.realTime)
		if act.Kind == flow.Start && w.writesOnly(h, act.Tasks) {
			if ctx.Err() != nil {
				h.run.Stop()
			}
			w.bulk.add(h, act.Tasks)
			continue
		}
		if act.Kind == flow.Start {
			act = w.class(ctx, h, act.Tasks)
		}
		w.follow(ctx, h, act)
	}
	w.writeBulk(ctx)
}

// writesOnly reports whether tasks of an envelope are default writes, all of
// them, and may be done with those of others.
func (w *worker) writesOnly(h *held, tasks []int) bool {
	for _, i := range tasks {
		if !h.kind.groups(h.tasks[i]) {
			return false
		}
	}
	return !h.alone && h.erased == nil && !h.gone.Load()
}

// follow does what follows a class. What goes on, goes on when its lane says
// so: that is the look for something more urgent, and the answer is always that
// there may be.
func (w *worker) follow(ctx context.Context, h *held, act flow.Action) {
	if h.put != nil {
		return // its Put goes on with it
	}
	now := w.now.UnixMicro()
	if act.Kind == flow.Look {
		crash.Point("class.between")
		act = h.run.Looked(now, true)
	}
	switch act.Kind {
	case flow.Wait: // for what else is under way of its class
	case flow.GiveBack:
		h.waits(act.Priority, h.realTime, now)
		w.back = append(w.back, h)
	case flow.Pass:
		crash.Point("class.pass")
		h.waits(act.Priority, false, now)
		if !w.engine.laneFor(h).pass(h) {
			w.engine.evict(h)
		}
	default:
		w.engine.settleFor(h, h.run.Settlement(now), !w.realTime)
	}
}

// conductAlone carries one envelope through its classes until it is let go, and
// gives way to none: what a suspect did must be settled before the next one
// runs, which may end the process.
func (w *worker) conductAlone(ctx context.Context, h *held) {
	var act flow.Action
	if w.exited != nil {
		act = w.goOn(ctx)
	} else {
		h.run.Down = w.engine.health.down()
		if w.engine.tellErased(ctx, h); h.erased == errErased {
			w.engine.dropErased(h)
		}
		w.now = time.Now()
		act = h.run.Begin(w.now.UnixMicro(), w.realTime)
	}
	for {
		switch act.Kind {
		case flow.Start:
			act = w.class(ctx, h, act.Tasks)
		case flow.Look:
			crash.Point("alone.between")
			act = h.run.Looked(w.now.UnixMicro(), false)
		default:
			w.engine.release(ctx, h, h.run.Settlement(w.now.UnixMicro()))
			return
		}
	}
}

// class runs the tasks of one class side by side. They begin when the worker last
// looked at the clock, and it looks again when each has ended.
func (w *worker) class(ctx context.Context, h *held, tasks []int) flow.Action {
	crash.Point("class.before")
	if ctx.Err() != nil {
		h.run.Stop()
	}
	if h.gone.Load() {
		return w.cancel(ctx, h, tasks, errGone)
	}
	if h.suspect && h.lost > 0 && w.suspicious(h, tasks) {
		if err := w.countFirst(ctx, h, tasks); err != nil {
			return w.cancel(ctx, h, tasks, err)
		}
		w.now = time.Now()
	}
	h.expect(tasks)
	w.watch(h, tasks)
	w.runs, w.left = h, len(tasks)
	if len(tasks) == 1 {
		act := w.finish(ctx, h, w.attempt(ctx, h, tasks[0], w.now, false))
		w.over()
		return act
	}
	w.sideBySide(ctx, h, tasks)
	return w.rest(ctx)
}

// finish reports the end of an attempt to the step function, the receipt, the
// counters and the observer.
func (w *worker) finish(ctx context.Context, h *held, e end) flow.Action {
	t := h.tasks[e.Task]
	switch {
	case e.err != nil || e.ended.IsZero(): // it was judged, for which a store may have been asked, or did not begin
		w.now = time.Now()
	case e.ended.After(w.now):
		w.now = e.ended
	}
	act := h.run.Ended(w.now.UnixMicro(), e.End)
	state := h.run.Tasks[e.Task].State
	if state != flow.Waiting && state != flow.Dead && w.engine.spilled.first(h.id(), t) {
		t.counter.ended(state)
		if h.run.Tasks[e.Task].Late {
			t.counter.late.Add(1)
		}
		w.engine.unqueue(h, t)
		h.ends.Or(1 << e.Task)
	}
	h.receipt.set(t.name, receiptState(state))
	if e.Outcome == flow.Outage {
		w.engine.health.failed(Purpose(e.Store), e.err)
	}
	if e.err != nil && state != flow.Done {
		h.fail(e.Task, e.err)
	}
	if see := w.engine.see.task; see != nil {
		if h.put != nil {
			ctx = h.put
		}
		w.engine.layer.observe(func() { see.TaskDone(ctx, h.event(&e, state)) })
	}
	return act
}

// errGone: this process was away for longer than its lease, and somebody else
// runs what it held. What it has begun is fenced; nothing more is begun.
var errGone = errors.New("the claim was lost: the process was away for longer than its lease")

// cancel ends the attempts of a class that could not start.
func (w *worker) cancel(ctx context.Context, h *held, tasks []int, err error) (act flow.Action) {
	for _, i := range tasks {
		act = w.finish(ctx, h, end{End: flow.End{Task: i, Outcome: flow.Cancelled}, attempts: h.run.Tasks[i].Attempts, err: err})
	}
	return act
}

// attempt runs one task once. One that ends the goroutine leaves its end to the
// worker.
func (w *worker) attempt(ctx context.Context, h *held, i int, began time.Time, aside bool) end {
	t, state := h.tasks[i], &h.run.Tasks[i]
	e := end{End: flow.End{Task: i, Counted: h.counted && t.handles()}, attempts: state.Attempts, began: began, aside: aside}
	if state.State == flow.Dead {
		e.Outcome, e.Reason = flow.Permanent, state.Reason
		return e
	}
	if h.erased != nil {
		w.withheld(ctx, h, t, &e)
		return e
	}
	crash.Point("task.before")
	returned := false
	defer func() {
		if !returned && t.handles() {
			w.exit(ctx, h, t, e)
		}
	}()
	stale, err := w.run(ctx, h, t, state, &e)
	returned = true
	crash.Point("task.after")
	e.ended = time.Now()
	t.took(e.ended.Sub(e.began))
	e.err = err
	if err == nil {
		if stale {
			e.Outcome = flow.Stale
		}
		return e
	}
	w.judge(ctx, h, t, &e)
	return e
}

// run does what the task is: a default write, a delete's function, a handler.
func (w *worker) run(ctx context.Context, h *held, t *task, state *flow.Task, e *end) (stale bool, err error) {
	if !t.handles() {
		defer w.engine.health.watch(t.purpose).answered()
		return w.engine.write(ctx, h, t)
	}
	if h.env.Delete && t.onDelete == nil {
		return false, nil
	}
	timeout := w.timeoutOf(t)
	c := h.newContext()
	c.layer, c.held, c.task, c.attempt = w.engine.layer, h, t, int32(state.Attempts)
	if !e.Counted {
		c.attempt++
	}
	if w.engine.see.task != nil {
		e.id = c.current().ID
	}
	ctx, leave, err := w.engine.enter(ctx, h.kind, t, h.env.Key)
	if err != nil {
		return false, err
	}
	defer leave()
	began := e.began
	if t.limit != nil {
		began = time.Now() // it has waited
	}
	c.parent, c.deadline = ctx, began.Add(timeout)
	defer c.end()
	err = w.call(c, h, t)
	if fault.Cancelled(err) && c.timedOut() {
		err = fmt.Errorf("the handler ran longer than its Timeout of %v: %w", timeout, err)
	}
	return false, err
}

// errTimeout ends the context of a handler.
var errTimeout = errors.New("the handler's Timeout is over")

// call runs the user's function; a panic is an error of its task.
func (w *worker) call(ctx context.Context, h *held, t *task) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	if blocked, err := w.engine.blocked(ctx, h, t); blocked || err != nil {
		if err == nil {
			err = errBlocked
		}
		return err
	}
	if h.env.Delete {
		return t.onDelete(ctx, h.env.Key)
	}
	obj, err := h.own()
	if err != nil {
		return Permanent(err)
	}
	if t.tx != nil {
		return w.engine.runTx(ctx, h, t, obj)
	}
	return t.do(ctx, obj)
}

// errBlocked: an earlier object with the same ordering key is not done. The
// end of that one makes this envelope due.
var errBlocked = errors.New("an earlier object holds the ordering key")
