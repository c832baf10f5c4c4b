// Package hlc is the clock that versions come from: microseconds since 1970
// that never go backward, also across restarts and when the wall clock does.
//
// The clock is a step function over two numbers, the wall clock's reading and
// its own state; persistence keeps the ceiling in a durable store.
package hlc

import (
	"sync"
	"time"
)

// A State is what the clock remembers.
type State struct {
	Last    int64 // the last version handed out
	Ceiling int64 // versions up to here may be handed out; what a restart continues above
}

// Ahead is how far a new ceiling lies above the version that needed it: the
// larger, the fewer writes of the ceiling, and the further a restarted clock
// may run ahead of the wall clock at most.
const Ahead = int64(900 * time.Millisecond / time.Microsecond)

// Next hands out the next version for a wall clock that reads now. When it
// lies above the ceiling, raise is the new ceiling that must be durable before
// the version is used; else raise is zero.
func (s State) Next(now int64) (next State, version, raise int64) {
	version = max(now, s.Last+1)
	s.Last = version
	if version > s.Ceiling {
		raise = version + Ahead
		s.Ceiling = raise
	}
	return s, version, raise
}

// Restart is the state after a restart that found this ceiling: every version
// handed out before lies at or below it.
func Restart(ceiling int64) State { return State{Last: ceiling, Ceiling: ceiling} }

// A Clock is a State behind a mutex.
type Clock struct {
	mu    sync.Mutex
	state State
	// persist makes a ceiling durable. It is called without the mutex, by one
	// goroutine at a time.
	persist func(ceiling int64) error
	raising chan struct{}
}

// New returns a clock that continues above ceiling. persist makes a new
// ceiling durable; it may be nil.
func New(ceiling int64, persist func(ceiling int64) error) *Clock {
	return &Clock{state: Restart(ceiling), persist: persist, raising: make(chan struct{}, 1)}
}

// Now returns a version that is above every version returned before, by this
// clock or by the one before a restart.
func (c *Clock) Now() (int64, error) {
	for {
		c.mu.Lock()
		next, version, raise := c.state.Next(time.Now().UnixMicro())
		if raise == 0 || c.persist == nil {
			c.state = next
			c.mu.Unlock()
			return version, nil
		}
		c.mu.Unlock()
		if err := c.raise(raise); err != nil {
			return 0, err
		}
	}
}

// raise makes a ceiling durable unless somebody else just did.
func (c *Clock) raise(ceiling int64) error {
	c.raising <- struct{}{}
	defer func() { <-c.raising }()
	c.mu.Lock()
	done := c.state.Ceiling >= ceiling-Ahead
	c.mu.Unlock()
	if done {
		return nil
	}
	if err := c.persist(ceiling); err != nil {
		return err
	}
	c.mu.Lock()
	c.state.Ceiling = max(c.state.Ceiling, ceiling)
	c.mu.Unlock()
	return nil
}

// Observe makes sure that later versions lie above version, one that was read
// or written elsewhere.
func (c *Clock) Observe(version int64) {
	c.mu.Lock()
	c.state.Last = max(c.state.Last, version)
	c.mu.Unlock()
}
