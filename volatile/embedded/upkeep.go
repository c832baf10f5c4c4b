package embedded

import (
	"sync/atomic"
	"time"
)

// A clock counts from the opening of a store.
type clock struct{ start time.Time }

// NowNano never is zero, which otter takes for no time.
func (c clock) NowNano() int64 { return int64(time.Since(c.start)) + 1<<otterTick }

// Tick is that of package time.
func (c clock) Tick(d time.Duration) <-chan time.Time { return time.Tick(d) }

// otterTick is how many bits of otter's clock pass before it looks for entries
// that have ended: about a second.
const otterTick = 30

// beforeTick is how long before such a look upkeep no longer runs inline, so that
// one which is held up on its way does not come to it.
const beforeTick = int64(time.Millisecond)

// An upkeep decides where otter notes what was read and written and evicts what
// is too much, of some twenty operations each time. A goroutine for that wakes
// another thread, which costs a reader more than the notes themselves, so it runs
// where it becomes due. Only what comes to a look for ended entries, of which there
// may be any number, runs in a goroutine.
type upkeep struct {
	now  func() int64
	tick atomic.Int64 // of the clock, in which otter has looked already
}

func (u *upkeep) run(work func()) {
	if u.inline() {
		work()
		return
	}
	go work()
}

// inline reports whether upkeep that begins now comes to no such look.
func (u *upkeep) inline() bool {
	now := u.now()
	tick := now >> otterTick
	return (now+beforeTick)>>otterTick == tick && u.tick.Swap(tick) == tick
}
