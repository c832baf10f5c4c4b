package persistence

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A txTask is one attempt of a Tx task.
type txTask struct {
	engine  *engine
	ctx     context.Context // the handler's
	held    *held
	task    *task
	index   int // of the task, in the envelope
	obj     any
	restore func() // what it put is forgotten before it runs again
	settled transactional.Settlement

	decided bool // a transaction that it shared says what became of it
	done    *Tx  // of its last run; nil: there is none, or it was cut off
	err     error
}

// runTx runs a Tx task: its effect and the fact that it is done are one
// commit, so that it happens exactly once. When the answer to the commit is
// lost, custody is read before anything is repeated.
func (e *engine) runTx(ctx context.Context, h *held, t *task, obj any) error {
	crash.Point("tx.task.before")
	if err := e.layer.ticks.ready(ctx); err != nil {
		return err
	}
	x := &txTask{engine: e, ctx: ctx, held: h, task: t, index: slices.Index(h.tasks, t), obj: obj, restore: putsOf(ctx, e.layer)}
	x.settled = x.settlement()
	x, err := x.share()
	if err != nil {
		return err
	}
	if !x.decided {
		x.alone()
	}
	if x.err == nil {
		crash.Point("tx.task.committed")
		h.seq++
		x.done.committed(ctx)
		crash.Point("tx.task.after")
		return nil
	}
	x.done.refused(x.err)
	if fault.Unknown(x.err) || fault.ClassOf(x.err) == fault.ErrConflict {
		return e.resolve(ctx, h, x.index, x.err)
	}
	return x.err
}

// alone runs the task in a transaction of its own.
func (x *txTask) alone() {
	x.done, x.err = x.engine.layer.inTx(x.ctx, func(ctx context.Context, t *Tx) error {
		if err := x.call(ctx, t); err != nil {
			return err
		}
		return t.flush(ctx, []transactional.Settlement{x.settled})
	})
}

// call runs the user's function, and takes the time that it needs beside its
// statements.
func (x *txTask) call(ctx context.Context, tx *Tx) error {
	defer tx.over.Store(true)
	x.restore()
	began := time.Now()
	err := x.task.callTx(ctx, tx, x.obj)
	x.task.manners.took(time.Since(began) - tx.tx.Waited())
	x.task.habit.learn(x, tx.got)
	if err == nil {
		crash.Point("tx.task.ran")
	}
	return err
}

// settlement records what remains as if the task were done; should the commit
// fail, nothing of this is there. It is made before the task's function runs,
// which may run for longer than anybody waits for it.
func (x *txTask) settlement() transactional.Settlement {
	state := &x.held.run.Tasks[x.index]
	state.State = flow.Done
	defer func() { state.State = flow.Waiting }()
	return x.engine.outbox.hold(x.held)
}

// callTx runs the user's function. It may be in a goroutine of the store's, and
// so a panic becomes an error where its stack is.
func (t *task) callTx(ctx context.Context, tx *Tx, obj any) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return t.tx(ctx, tx, obj)
}

// resolve reads whether a Tx task whose commit has no answer is done. It may have
// none because the task's time was over.
func (e *engine) resolve(ctx context.Context, h *held, i int, cause error) error {
	ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*tick)
	defer cancel()
	mine, err := e.outbox.reload(ask, h)
	switch {
	case err != nil:
		return errors.Join(cause, err)
	case !mine:
		// Another worker has the envelope, or it is done: this run ends here,
		// and its settlement will be refused. What becomes of the task is that
		// worker's to say: no attempt is spent, and nobody is told that it died.
		h.gone.Store(true)
		return errors.Join(errGone, cause)
	case h.run.Tasks[i].State == flow.Done:
		h.run.Tasks[i].State = flow.Waiting // Ended is about to say so
		return nil
	}
	return cause
}
