package persistence

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// runTx runs a Tx task: its effect and the fact that it is done are one
// commit, so that it happens exactly once. When the answer to the commit is
// lost, custody is read before anything is repeated.
func (e *engine) runTx(ctx context.Context, h *held, t *task, obj any) error {
	crash.Point("tx.task.before")
	i := slices.Index(h.tasks, t)
	state := &h.run.Tasks[i]
	if err := e.layer.ticks.ready(ctx); err != nil {
		return err
	}
	var done *Tx
	restore := putsOf(ctx, e.layer)
	err := e.layer.rows.Tx(context.WithValue(ctx, txKey{}, e.layer), func(ctx context.Context, raw *transactional.Tx) error {
		done = &Tx{layer: e.layer, tx: raw}
		defer done.over.Store(true)
		restore()
		if err := t.callTx(ctx, done, obj); err != nil {
			return err
		}
		crash.Point("tx.task.ran")
		// What remains is recorded as if the task were done; should the commit
		// fail, nothing of this is there.
		state.State = flow.Done
		settle := e.outbox.hold(h)
		state.State = flow.Waiting
		return done.flush(ctx, []transactional.Settlement{settle})
	})
	if err == nil {
		crash.Point("tx.task.committed")
		h.seq++
		done.committed(ctx)
		crash.Point("tx.task.after")
		return nil
	}
	done.refused(err)
	if fault.Unknown(err) || fault.ClassOf(err) == fault.ErrConflict {
		return e.resolve(ctx, h, i, err)
	}
	return err
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

// resolve reads whether a Tx task whose commit has no answer is done.
func (e *engine) resolve(ctx context.Context, h *held, i int, cause error) error {
	mine, err := e.outbox.reload(ctx, h)
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
