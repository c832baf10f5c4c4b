package persistence

import (
	"context"
	"sync"
	"time"
)

// A runContext is the context of a handler's run: it knows the run, and it ends
// with its Timeout. The timer and what else that takes is made when somebody
// asks for the end, which a handler that only computes never does, and the Run
// when somebody asks for that: each run leaves a context behind.
type runContext struct {
	parent   context.Context
	layer    *Layer
	held     *held
	task     *task
	deadline time.Time
	attempt  int32

	mu     sync.Mutex
	over   bool            // the run has ended
	run    *Run            // nil until it is needed
	bound  context.Context // parent with the deadline; likewise
	cancel context.CancelFunc
}

// bounded returns the context that ends.
func (c *runContext) bounded() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bound == nil {
		c.bound, c.cancel = context.WithDeadlineCause(c.parent, c.deadline, errTimeout)
		if c.over {
			c.cancel()
		}
	}
	return c.bound
}

// end is for the end of the run: whoever kept the context finds it cancelled.
func (c *runContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.cancel != nil {
		c.cancel()
	}
}

// current returns the run.
func (c *runContext) current() *Run {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run == nil {
		h, env := c.held, c.held.env
		c.run = &Run{
			ID:   taskID(h.kind.name, env.Key, c.task.name, env.Token, env.Version),
			Kind: h.kind.name, Key: env.Key, Task: c.task.name, Attempt: int(c.attempt),
			Version: env.Version, Accepted: env.Accepted, layer: c.layer, held: h,
		}
	}
	return c.run
}

// quiet reports that nobody has asked for the end and that it has not come.
func (c *runContext) quiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bound == nil && !c.over && c.parent.Err() == nil && time.Now().Before(c.deadline)
}

// Deadline implements context.Context.
func (c *runContext) Deadline() (time.Time, bool) {
	if at, ok := c.parent.Deadline(); ok && at.Before(c.deadline) {
		return at, true
	}
	return c.deadline, true
}

// Done implements context.Context.
func (c *runContext) Done() <-chan struct{} { return c.bounded().Done() }

// Err implements context.Context.
func (c *runContext) Err() error {
	if c.quiet() {
		return nil
	}
	return c.bounded().Err()
}

// Value implements context.Context. Package context finds its own contexts by
// a value, so the bounded one is asked once it is there: those that are derived
// from this one then end with it at no further cost.
func (c *runContext) Value(key any) any {
	if key == (runKey{}) {
		return c.current()
	}
	c.mu.Lock()
	from := c.bound
	c.mu.Unlock()
	if from == nil {
		from = c.parent
	}
	return from.Value(key)
}

// timedOut reports whether the run ended by its Timeout.
func (c *runContext) timedOut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bound != nil && context.Cause(c.bound) == errTimeout
}
