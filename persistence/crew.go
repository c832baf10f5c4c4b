package persistence

import (
	"context"
	"slices"
	"sync"
	"time"
)

// overrun is for how long past its Timeout a handler may run until its worker
// counts as stuck. A handler that looks at its context has ended by then.
const overrun = 10 * tick

// A crew is the workers of a layer. Nothing can end a handler that neither
// returns nor looks at its context, so another worker takes the place of the one
// that it keeps, which goes home when the handler returns after all. There are at
// most as many of these as there are workers: a task that keeps every one is a
// fault of the program, and shall not fill its memory.
type crew struct {
	mu      sync.Mutex
	workers []*worker
	stuck   int // of them, those whose place another has taken
}

func (c *crew) join(w *worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.workers = append(c.workers, w)
}

// leave takes a worker out that goes home.
func (c *crew) leave(w *worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.workers = slices.DeleteFunc(c.workers, func(other *worker) bool { return other == w })
	if w.retired.Load() {
		c.stuck--
	}
}

// stuckNow is how many handlers keep a worker whose place another has taken.
func (c *crew) stuckNow() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stuck
}

// overdue retires the workers whose handlers run for too long, and returns them.
func (c *crew) overdue(now time.Time) (out []*worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.workers {
		if until := w.until.Load(); until == 0 || now.UnixNano() < until || w.retired.Load() || 2*c.stuck >= len(c.workers) {
			continue
		}
		w.retired.Store(true)
		c.stuck++
		out = append(out, w)
	}
	return out
}

// replaceStuck starts a worker for each that is stuck, until ctx ends.
func (e *engine) replaceStuck(ctx, handlers context.Context, workers *sync.WaitGroup) {
	for pause(ctx, tick); ctx.Err() == nil; pause(ctx, tick) {
		for _, w := range e.crew.overdue(time.Now()) {
			if h := w.watched.Load(); h != nil {
				e.layer.log.Error("a handler neither returns nor looks at its context, whose time is over; another worker takes its place",
					"kind", h.kind.name, "key", h.env.Key, "over", overrun)
			}
			e.staff(handlers, workers, w.realTime)
		}
	}
}

// workers runs both pools until their lanes stop.
func (e *engine) workers(ctx context.Context, realTime, background int) *sync.WaitGroup {
	var wg sync.WaitGroup
	for range realTime {
		e.staff(ctx, &wg, true)
	}
	for range background {
		e.staff(ctx, &wg, false)
	}
	return &wg
}

// staff starts a worker.
func (e *engine) staff(handlers context.Context, workers *sync.WaitGroup, realTime bool) {
	w := e.newWorker(realTime)
	e.crew.join(w)
	workers.Go(func() { w.serve(handlers, workers) })
}

// watch notes until when the handlers of a class may run.
func (w *worker) watch(h *held, tasks []int) {
	longest := time.Duration(-1)
	for _, i := range tasks {
		if t := h.tasks[i]; t.handles() {
			longest = max(longest, w.timeoutOf(t))
		}
	}
	if longest >= 0 {
		w.watched.Store(h)
		w.until.Store(w.now.Add(longest + overrun).UnixNano())
	}
}

// over notes the end of a class.
func (w *worker) over() {
	if w.until.Swap(0) != 0 {
		w.watched.Store(nil)
	}
}

// timeoutOf is how long a handler may run.
func (w *worker) timeoutOf(t *task) time.Duration {
	if t.timeout == 0 {
		return w.engine.layer.opts.Timeout
	}
	return t.timeout
}
