// Package hlc is the clock that versions come from: microseconds since 1970
// that never go backward, also across restarts and when the wall clock does.
//
// The clock is a step function over two numbers, the wall clock's reading and
// its own state; persistence keeps the ceiling in a durable store.
package hlc

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A State is what the clock remembers.
type State struct {
	Last    int64 // the last version handed out
	Ceiling int64 // versions up to here may be handed out; what a restart continues above
}

// Ahead is how far a new ceiling lies ahead of the wall clock: the larger, the
// fewer writes of the ceiling, and the further a restarted clock may run ahead
// of the wall clock at most. While it does, ceilings rise by Step only, so that
// many restarts in a row do not drive the clock ever further ahead.
const (
	Ahead = int64(3 * time.Second / time.Microsecond)
	Step  = int64(10 * time.Millisecond / time.Microsecond)
)

// Next hands out the next version for a wall clock that reads now. want is the
// ceiling that should be made durable soon, or zero; ok is false when the
// version lies above the present one and must not be used before.
func (s State) Next(now int64) (next State, version, want int64, ok bool) {
	version = max(now, s.Last+1)
	if version > s.Ceiling-Ahead/2 {
		want = max(version+Step, now+Ahead)
	}
	if version > s.Ceiling {
		return s, 0, want, false
	}
	s.Last = version
	return s, version, want, true
}

// Raised is the state once a ceiling is durable.
func (s State) Raised(ceiling int64) State {
	s.Ceiling = max(s.Ceiling, ceiling)
	return s
}

// Restart is the state after a restart that found this ceiling: every version
// handed out before lies at or below it.
func Restart(ceiling int64) State { return State{Last: ceiling, Ceiling: ceiling} }

// A Clock is a State behind a mutex. It never waits for the store that keeps
// its ceiling: whoever calls it may hold that store's only writer.
type Clock struct {
	mu    sync.Mutex
	state State
	want  func(ceiling int64)
	above atomic.Int64 // later versions lie above it for certain
}

// New returns a clock that continues above ceiling. want is told, without
// waiting, which ceiling should be made durable; once it is, Raised must be
// called. With a nil want the clock has no ceiling.
func New(ceiling int64, want func(ceiling int64)) *Clock {
	c := &Clock{state: Restart(ceiling), want: want}
	if want == nil {
		c.state.Ceiling = math.MaxInt64
	}
	return c
}

// Now returns a version above every version returned before, by this clock or
// by the one before a restart. ok is false while the ceiling is too low; it
// has been asked for then.
func (c *Clock) Now() (version int64, ok bool) {
	c.mu.Lock()
	next, version, want, ok := c.state.Next(time.Now().UnixMicro())
	c.state = next
	c.mu.Unlock()
	if want > 0 && c.want != nil {
		c.want(want)
	}
	return version, ok
}

// Roomy reports whether versions can be handed out for a while yet; when not,
// a higher ceiling has been asked for.
func (c *Clock) Roomy() bool {
	if c.want == nil {
		return true
	}
	wall := time.Now().UnixMicro()
	c.mu.Lock()
	next, ceiling := max(wall, c.state.Last), c.state.Ceiling
	c.mu.Unlock()
	least := Ahead / 4
	if next > wall {
		least = Step / 2 // a clock that runs ahead gets small ceilings
	}
	if ceiling-next > least {
		return true
	}
	c.want(max(next+Step, wall+Ahead))
	return false
}

// Raised tells that a ceiling is durable.
func (c *Clock) Raised(ceiling int64) {
	c.mu.Lock()
	c.state = c.state.Raised(ceiling)
	c.mu.Unlock()
}

// Observe makes sure that later versions lie above version, one that was read
// or written elsewhere.
func (c *Clock) Observe(version int64) {
	c.mu.Lock()
	c.state.Last = max(c.state.Last, version)
	c.above.Store(c.state.Last)
	c.mu.Unlock()
}

// Above reports whether later versions lie above version for certain. It takes
// no lock, and is for those who read much and put little.
func (c *Clock) Above(version int64) bool { return version <= c.above.Load() }
