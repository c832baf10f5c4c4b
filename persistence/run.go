package persistence

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A worker conducts envelopes of one lane, one at a time.
type worker struct {
	engine   *engine
	realTime bool
	lane     *lane
	ends     chan end
}

// An end is how a task's attempt ended, on its way back to the worker.
type end struct {
	flow.End
	event TaskEvent
	err   error
}

func (e *engine) newWorker(realTime bool) *worker {
	return &worker{engine: e, realTime: realTime, lane: e.laneOf(realTime), ends: make(chan end, MaxTasks)}
}

// serve conducts envelopes until the lane is stopped. ctx is the handlers':
// it ends when the grace period is over.
func (w *worker) serve(ctx context.Context) {
	for {
		h := w.lane.pop()
		if h == nil {
			return
		}
		w.engine.flight.Add(1)
		w.conduct(ctx, h)
		w.engine.flight.Add(-1)
	}
}

// conduct carries an envelope through its classes until it is let go.
func (w *worker) conduct(ctx context.Context, h *held) {
	h.run.Down = w.engine.health.down()
	act := h.run.Begin(nowMicro(), w.realTime)
	for {
		switch act.Kind {
		case flow.Start:
			act = w.class(ctx, h, act.Tasks)
		case flow.Look:
			crash.Point("class.between")
			// A suspect does not give way: what it did must be settled before
			// the next one runs, which may end the process.
			act = h.run.Looked(nowMicro(), !h.suspect && w.lane.urgent(act.Priority))
		case flow.Pass:
			crash.Point("class.pass")
			h.priority, h.realTime = act.Priority, false
			w.engine.hand(ctx, h)
			return
		case flow.GiveBack:
			h.priority = act.Priority
			w.engine.hand(ctx, h)
			return
		default:
			w.engine.release(ctx, h, h.run.Settlement(nowMicro()))
			return
		}
	}
}

// class runs the tasks of one class side by side: the last one in this
// goroutine, so that a class of one costs no goroutine. Tx tasks of one
// envelope run one after another, because each records what remains.
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
	}
	if len(tasks) == 1 {
		return w.finish(ctx, h, w.attempt(ctx, h, tasks[0]))
	}
	return w.sideBySide(ctx, h, tasks)
}

func (w *worker) sideBySide(ctx context.Context, h *held, tasks []int) flow.Action {
	// The default writes share the object, so it is decoded before they start;
	// one that cannot be decoded is reported by each of them.
	_, _ = h.object()
	var own []int
	spawned := 0
	for n, i := range tasks {
		if t := h.tasks[i]; t.tx != nil || n == len(tasks)-1 {
			own = append(own, i)
			continue
		}
		spawned++
		go func() { w.ends <- w.attempt(ctx, h, i) }()
	}
	var act flow.Action
	for _, i := range own {
		act = w.finish(ctx, h, w.attempt(ctx, h, i))
	}
	for range spawned {
		act = w.finish(ctx, h, <-w.ends)
	}
	return act
}

// finish reports the end of an attempt to the step function, the receipt, the
// counters and the observer.
func (w *worker) finish(ctx context.Context, h *held, e end) flow.Action {
	t := h.tasks[e.Task]
	act := h.run.Ended(nowMicro(), e.End)
	state := h.run.Tasks[e.Task].State
	t.counter.ended(state)
	h.receipt.set(t.name, receiptState(state))
	if e.Outcome == flow.Outage {
		w.engine.health.failed(Purpose(e.Store), e.err)
	}
	if e.err != nil && state != flow.Done {
		h.fail(e.Task, e.err)
	}
	if see := w.engine.see.task; see != nil {
		e.event.Err, e.event.Result = e.err, result(e.Outcome, state)
		see.TaskDone(ctx, e.event)
	}
	return act
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
		if t.Attempts >= t.Spec.MaxAttempts {
			t.State, t.Reason = flow.Dead, "the process ended each time that this task ran"
			continue
		}
		t.Attempts++
	}
	h.counted = true
	crash.Point("count.before")
	return h.custody.count(ctx, h)
}

// errGone: this process was away for longer than its lease, and somebody else
// runs what it held. What it has begun is fenced; nothing more is begun.
var errGone = errors.New("the claim was lost: the process was away for longer than its lease")

// cancel ends the attempts of a class that could not start.
func (w *worker) cancel(ctx context.Context, h *held, tasks []int, err error) (act flow.Action) {
	for _, i := range tasks {
		act = w.finish(ctx, h, end{End: flow.End{Task: i, Outcome: flow.Cancelled}, err: err})
	}
	return act
}

// attempt runs one task once.
func (w *worker) attempt(ctx context.Context, h *held, i int) end {
	t, state := h.tasks[i], &h.run.Tasks[i]
	e := end{End: flow.End{Task: i, Counted: h.counted && t.handles()}}
	e.event = TaskEvent{
		Kind: h.kind.name, Key: h.env.Key, Task: t.name, Version: h.env.Version, Purpose: t.purpose,
		Accepted: h.env.Accepted, Attempts: state.Attempts, Started: time.Now(),
	}
	if state.State == flow.Dead {
		e.Outcome, e.Reason = flow.Permanent, state.Reason
		return e
	}
	crash.Point("task.before")
	stale, err := w.run(ctx, h, t, state, &e)
	crash.Point("task.after")
	e.event.Ended = time.Now()
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
		return w.engine.write(ctx, h, t)
	}
	if h.env.Delete && t.onDelete == nil {
		return false, nil
	}
	run := &Run{
		ID:   taskID(h.kind.name, h.env.Key, t.name, h.env.Token, h.env.Version),
		Kind: h.kind.name, Key: h.env.Key, Task: t.name, Attempt: state.Attempts + 1,
		Version: h.env.Version, Accepted: h.env.Accepted, layer: w.engine.layer, held: h,
	}
	if e.Counted {
		run.Attempt--
	}
	e.event.ID = run.ID
	ctx, leave, err := w.engine.enter(ctx, h.kind, t, h.env.Key)
	if err != nil {
		return false, err
	}
	defer leave()
	timeout := t.timeout
	if timeout == 0 {
		timeout = w.engine.layer.opts.Timeout
	}
	ctx, cancel := context.WithTimeoutCause(context.WithValue(ctx, runKey{}, run), timeout, errTimeout)
	defer cancel()
	err = w.call(ctx, h, t)
	if fault.Cancelled(err) && context.Cause(ctx) == errTimeout {
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

// judge turns an attempt's error into an outcome.
func (w *worker) judge(ctx context.Context, h *held, t *task, e *end) {
	err := e.err
	e.Reason = err.Error()
	var snooze errSnooze
	var permanent errPermanent
	switch {
	case errors.Is(err, errBlocked):
		e.Outcome = flow.Blocked
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
// looks like an outage is charged when the store answers an independent probe.
func (w *worker) judgeStore(ctx context.Context, h *held, t *task, e *end) {
	store := w.engine.storeOf(t, e.err)
	looksLike := fault.Outage(e.err) || store != 0 && (fault.Unknown(e.err) || fault.Cancelled(e.err))
	if looksLike && store != 0 && w.engine.layer.has(store) && !w.engine.health.answers(ctx, store) {
		e.Outcome, e.Store = flow.Outage, byte(store)
		return
	}
	e.Outcome = flow.Refused
	if fault.Unknown(e.err) {
		e.Outcome = flow.Uncertain
	}
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

func receiptState(s flow.State) TaskState {
	switch s {
	case flow.Done:
		return TaskDone
	case flow.Superseded:
		return TaskSuperseded
	case flow.Skipped:
		return TaskSkipped
	}
	return TaskPending // a dead task is final when its letter is written
}

func result(o flow.Outcome, s flow.State) string {
	switch {
	case s == flow.Dead:
		return "dead"
	case s != flow.Waiting:
		return receiptState(s).String()
	}
	return [...]string{"done", "superseded", "skipped", "retry", "dead", "parked", "retry", "snoozed", "cancelled", "unknown", "blocked"}[o]
}

// workers runs both pools until their lanes stop.
func (e *engine) workers(ctx context.Context, realTime, background int) *sync.WaitGroup {
	var wg sync.WaitGroup
	for range realTime {
		wg.Go(func() { e.newWorker(true).serve(ctx) })
	}
	for range background {
		wg.Go(func() { e.newWorker(false).serve(ctx) })
	}
	return &wg
}
