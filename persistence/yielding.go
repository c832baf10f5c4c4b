package persistence

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A yielding bounds how many groups of background writes to one store are under way,
// for the sake of what is real time: the two share processors, disks and connections,
// here and in the servers. It does what LEDBAT (RFC 6817) does for the network: what
// counts is not how long the others take but how much longer than they need, which is
// the least that was seen lately. So a store that is slow by itself is no reason to
// yield, and what waits for it is as many as ever.
//
// What is measured is the acceptance of objects that have real-time tasks. While it
// takes longer than it may, the bound shrinks by as much, down to one: background
// tasks are never starved. Then it grows in small steps, because each one too far is
// felt by those who are accepted meanwhile; where nothing is accepted it doubles. What
// acceptance needs is measured again while the bound is low, so that a server which has
// become slower is not taken for one that is overloaded for ever.
type yielding struct {
	most  float64
	bound atomic.Int32

	mu     sync.Mutex
	exact  float64   // the bound, and by what part of one it has grown since
	under  int       // acceptances
	began  time.Time // the step
	took   [2]timing // in the step, by custody
	floors [2]floor  // likewise
}

// A timing is how long some acceptances took together.
type timing struct {
	n   int
	sum time.Duration
}

// A floor is the least average of a step in this period and the one before.
type floor struct {
	now, before time.Duration // zero: unknown
	began       time.Time
}

const (
	yieldStep   = 10 * time.Millisecond // of which the average counts
	yieldGrowth = 1. / 8                // of the bound in a step
	yieldSlack  = 5 * time.Millisecond  // by which acceptance may take longer in any case
	floorPeriod = 10 * time.Second
)

func newYielding(most int, now time.Time) *yielding {
	y := &yielding{most: float64(most), exact: float64(most), began: now}
	y.bound.Store(int32(most))
	return y
}

// begins notes that an object is about to be accepted.
func (y *yielding) begins() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.under++
}

// ends notes that it was, by a custody.
func (y *yielding) ends(custody int, took time.Duration, now time.Time) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.under--
	y.took[custody].n++
	y.took[custody].sum += took
	y.stepped(now)
}

// fails notes that it was not, which says nothing of how long it takes.
func (y *yielding) fails() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.under--
}

// step draws the conclusions from what was measured, if it is time to.
func (y *yielding) step(now time.Time) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.stepped(now)
}

// stepped is step for who has locked mu.
func (y *yielding) stepped(now time.Time) {
	steps := now.Sub(y.began) / yieldStep
	if steps <= 0 {
		return
	}
	y.began = now
	slowed := 0. // as part of what it may be
	for c, t := range y.took {
		if t.n > 0 {
			took := t.sum / time.Duration(t.n)
			slowed = max(slowed, float64(took)/float64(y.floors[c].allows(took, now)))
		}
	}
	y.took = [2]timing{}
	switch {
	case slowed > 1:
		y.exact = max(1, y.exact/slowed)
	case slowed > 0:
		y.exact = min(y.most, y.exact+float64(steps)*yieldGrowth)
	case y.under == 0: // else nobody knows yet
		y.exact = min(y.most, y.exact*float64(int(1)<<min(steps, 16)))
	}
	y.bound.Store(int32(y.exact))
}

// allows is how long acceptances may take on average, now that some took so long.
func (f *floor) allows(took time.Duration, now time.Time) time.Duration {
	if now.Sub(f.began) > floorPeriod {
		f.before, f.now, f.began = f.now, 0, now
	}
	if f.now == 0 || took < f.now {
		f.now = max(took, 1)
	}
	least := f.now
	if f.before != 0 {
		least = min(least, f.before)
	}
	return least + max(least, yieldSlack)
}

// yieldTo is called before an object of a kind is accepted, and says when that was, or
// the zero time if it has no real-time tasks for which others are to yield.
func (e *engine) yieldTo(k *kind) time.Time {
	if !slices.ContainsFunc(k.tasks, func(t *task) bool { return t.realTime }) {
		return time.Time{}
	}
	e.background.yields.begins()
	return time.Now()
}

// yielded is called afterwards.
func (e *engine) yielded(began time.Time, custody int, err error) {
	switch now := time.Now(); {
	case began.IsZero():
	case err != nil:
		e.background.yields.fails()
	default:
		e.background.yields.ends(custody, now.Sub(began), now)
	}
}
