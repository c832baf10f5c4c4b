package embedded

import (
	"container/list"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A waiter is a Reserve that found nothing. It stands in the line of each of
// its tubes.
type waiter struct {
	owner *owner
	tubes []*tube
	spots []*list.Element // in the line of the tube of the same index
	max   int
	done  chan answer // has room for one
}

// An answer is what a waiter waited for.
type answer struct {
	taken []handed
	err   error
}

// A handed job is reserved and on its way to the caller.
type handed struct {
	entry    *entry
	reserves int // names the reservation
	priority uint32
	body     []byte
	cold     bool // the body has still to be read
}

func (t *tube) firstWaiter() *waiter {
	front := t.waiters.Front()
	if front == nil {
		return nil
	}
	return front.Value.(*waiter)
}

func newWaiter(o *owner, tubes []*tube, max int) *waiter {
	w := &waiter{owner: o, tubes: tubes, max: max, done: make(chan answer, 1)}
	for _, t := range tubes {
		w.spots = append(w.spots, t.waiters.PushBack(w))
	}
	return w
}

// leave takes the waiter out of every line.
func (w *waiter) leave() {
	for i, t := range w.tubes {
		t.waiters.Remove(w.spots[i])
	}
	w.spots, w.tubes = nil, nil
}

// settle answers the waiter, once.
func (w *waiter) settle(taken []handed, err error) {
	w.leave()
	w.done <- answer{taken: taken, err: err}
}

// serve gives the ready jobs of a tube to those who wait for it, in the order
// in which they came.
func (c *core) serve(t *tube, now int64) {
	for w := t.firstWaiter(); w != nil; w = t.firstWaiter() {
		taken := c.handOut(w.tubes, w.max, w.owner, now)
		if len(taken) == 0 {
			return
		}
		w.settle(taken, nil)
	}
}

// handOut reserves jobs, and takes those bodies along that are in memory.
func (c *core) handOut(tubes []*tube, max int, o *owner, now int64) []handed {
	var out []handed
	for _, e := range c.index.take(tubes, max, o, now) {
		cold := e.cold
		out = append(out, handed{entry: e, reserves: e.reserves, priority: e.priority, body: c.index.takeBody(e), cold: cold})
	}
	for _, t := range tubes {
		if c.index.low(t) {
			c.ask(t)
		}
	}
	return out
}

// dismiss answers the waiters of an owner that closes.
func (c *core) dismiss(o *owner) {
	closed := fault.New(fault.ErrClosed, "transitory", "reserve", "the queue was closed")
	for _, t := range c.index.tubes {
		for spot := t.waiters.Front(); spot != nil; {
			w := spot.Value.(*waiter)
			spot = spot.Next()
			if w.owner == o {
				w.settle(nil, closed)
			}
		}
		c.index.drop(t)
	}
}
