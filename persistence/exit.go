package persistence

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/fourfold-dev/fourfold/internal/flow"
)

// A handler may end its goroutine instead of returning: runtime.Goexit, which
// testing.T.FailNow calls. Nothing can stop that, and what would have followed
// in the goroutine is lost. Most handlers run in the worker's own, for one of
// their own would cost more than all the rest of routing. So a worker keeps what
// it has in hand where the next goroutine finds it.

// exit ends the attempt of a handler that ends its goroutine, which it does
// when this returns.
func (w *worker) exit(ctx context.Context, h *held, t *task, e end) {
	e.err = &panicError{exit: true, stack: debug.Stack()}
	e.ended = time.Now()
	w.judge(ctx, h, t, &e)
	if e.aside {
		w.ends <- e
		return
	}
	w.exited = &e
}

// goOn ends the class of an attempt that ended the goroutine, in another one.
func (w *worker) goOn(ctx context.Context) flow.Action {
	e := *w.exited
	w.exited = nil
	act := w.finish(ctx, w.runs, e)
	if w.left--; w.left == 0 {
		w.over()
		return act
	}
	return w.rest(ctx)
}

// outlive runs fn, and again in another goroutine as often as a handler ended
// the one that it ran in.
func outlive(fn func()) {
	for exited := true; exited; {
		ended := make(chan bool)
		go func() {
			exits := true
			defer func() { ended <- exits }()
			fn()
			exits = false
		}()
		exited = <-ended
	}
}

// observe calls an observer, whose panic harms nobody.
func (l *Layer) observe(call func()) {
	defer func() {
		if v := recover(); v != nil {
			l.log.Error("an observer panicked", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	call()
}
