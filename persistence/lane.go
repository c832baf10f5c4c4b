package persistence

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// starving is how long an envelope waits before its class gets one slot in
// ten, and aged how many slots that is.
const (
	starving = 30 * time.Second
	aged     = 10
)

// A lane is the envelopes that this process holds for one class of workers,
// most urgent first.
type lane struct {
	mu      sync.Mutex
	some    sync.Cond
	waiting classes
	pops    uint64
	most    int           // envelopes that may wait here
	stopped bool          // workers go home
	idle    int           // workers that wait
	hungry  chan struct{} // capacity 1: the lane could take more from custody
	woken   chan struct{} // capacity 1: custody has something new
	mayHold atomic.Bool   // custody may hold more for this lane
}

func newLane(most int) *lane {
	l := &lane{most: most, hungry: make(chan struct{}, 1), woken: make(chan struct{}, 1)}
	l.some.L = &l.mu
	return l
}

// push adds an envelope at its priority. When the lane is full it returns the
// least urgent one, which must go back to custody, and when it is stopped the
// envelope itself; else nil.
func (l *lane) push(h *held) (evicted *held) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return h
	}
	again := !h.since.IsZero()
	if !again {
		h.since = time.Now()
	}
	l.waiting.push(h, again)
	if l.waiting.len > l.most {
		evicted = l.waiting.popLast()
	}
	l.some.Signal()
	return evicted
}

// pop waits for an envelope; nil means that the lane is stopped.
func (l *lane) pop() *held {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.waiting.len == 0 || l.stopped {
		if l.stopped {
			return nil
		}
		l.hunger()
		l.idle++
		l.some.Wait()
		l.idle--
	}
	h := l.take()
	if l.waiting.len < l.most/4 {
		l.hunger()
	}
	return h
}

// take removes the next envelope: the most urgent one, but one time in ten
// the one that has waited longest, if that is too long.
func (l *lane) take() *held {
	l.pops++
	if l.pops%aged == 0 {
		if i := l.waiting.oldest(); time.Since(l.waiting.byPriority[i].fifo[0].since) > starving {
			return l.waiting.pop(i)
		}
	}
	return l.waiting.pop(0)
}

// hunger tells the puller that there is room.
func (l *lane) hunger() {
	select {
	case l.hungry <- struct{}{}:
	default:
	}
}

// urgent reports whether something more urgent than priority waits here.
func (l *lane) urgent(priority uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting.len > 0 && l.waiting.byPriority[0].priority < priority
}

// room returns how many envelopes the lane would take from custody.
func (l *lane) room() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return 0
	}
	return max(l.most/2-l.waiting.len, 0)
}

// accepts reports whether an envelope of this priority may be handed over
// directly: there is room, or it is more urgent than the last one.
func (l *lane) accepts(priority uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	last := len(l.waiting.byPriority) - 1
	return l.waiting.len < l.most || priority < l.waiting.byPriority[last].priority
}

// stop sends the workers home and returns what was waiting.
func (l *lane) stop() []*held {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	rest := l.waiting.all()
	l.waiting = classes{}
	l.some.Broadcast()
	return rest
}

// start opens the lane for workers.
func (l *lane) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = false
}

// A classes holds envelopes by priority, first in, first out within one. A
// plan has few priorities, so that a sorted slice of queues is both exact and
// quick, and the oldest of each class is its first.
type classes struct {
	byPriority []*class // most urgent first, none empty
	len        int
}

type class struct {
	priority uint32
	fifo     []*held
}

// find returns the position of a priority, and whether it is there.
func (c *classes) find(priority uint32) (int, bool) {
	return slices.BinarySearchFunc(c.byPriority, priority, func(c *class, p uint32) int {
		return cmp.Compare(c.priority, p)
	})
}

// push adds an envelope behind its class, or before it when it was here
// already and had to wait for something more urgent.
func (c *classes) push(h *held, again bool) {
	i, found := c.find(h.priority)
	if !found {
		c.byPriority = slices.Insert(c.byPriority, i, &class{priority: h.priority})
	}
	q := c.byPriority[i]
	if again {
		q.fifo = slices.Insert(q.fifo, 0, h)
	} else {
		q.fifo = append(q.fifo, h)
	}
	c.len++
}

// pop removes the first envelope of class i.
func (c *classes) pop(i int) *held {
	q := c.byPriority[i]
	h := q.fifo[0]
	q.fifo[0] = nil
	q.fifo = q.fifo[1:]
	c.drop(i)
	return h
}

// popLast removes the least urgent envelope, the latest of its class.
func (c *classes) popLast() *held {
	i := len(c.byPriority) - 1
	q := c.byPriority[i]
	h := q.fifo[len(q.fifo)-1]
	q.fifo = q.fifo[:len(q.fifo)-1]
	c.drop(i)
	return h
}

func (c *classes) drop(i int) {
	c.len--
	if len(c.byPriority[i].fifo) == 0 {
		c.byPriority = slices.Delete(c.byPriority, i, i+1)
	}
}

// oldest returns the class whose first envelope has waited longest.
func (c *classes) oldest() int {
	best := 0
	for i, q := range c.byPriority {
		if q.fifo[0].since.Before(c.byPriority[best].fifo[0].since) {
			best = i
		}
	}
	return best
}

// all returns everything, most urgent first.
func (c *classes) all() []*held {
	out := make([]*held, 0, c.len)
	for _, q := range c.byPriority {
		out = append(out, q.fifo...)
	}
	return out
}
