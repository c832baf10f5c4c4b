package persistence

import (
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

// groupMost is how many envelopes a worker takes at a time, and so how many
// may have to be written before something more urgent has its turn.
const groupMost = 64

// writersAtOnce is how many groups of default writes a lane has under way before
// what arrives gathers for the next: a store does sixteen writes together for
// little more than one. A full group waits for nobody, and when none of those
// under way ends within a stall, a store hangs, and others begin: after twice as
// long each time, up to stallMost, so that a store that hangs for seconds does
// not come to hold every worker.
const (
	writersAtOnce = 4
	stall         = 20 * time.Millisecond
	stallMost     = 4 * stall
)

// A lane is the envelopes that this process holds for one class of workers,
// most urgent first.
type lane struct {
	mu      sync.Mutex
	some    sync.Cond
	waiting classes
	slots   uint64        // that were given to workers
	most    int           // envelopes that may wait here
	stopped bool          // workers go home
	idle    int           // workers that wait
	writing int           // workers that have a group of default writes in hand
	stalled *time.Timer   // wakes one although enough are writing; nil: not set
	stall   time.Duration // that it is set to next
	overdue bool          // it has ended, and no worker has come yet
	hungry  chan struct{} // capacity 1: the lane could take more from custody
	woken   chan struct{} // capacity 1: custody has something new
	mayHold atomic.Bool   // custody may hold more for this lane
}

func newLane(most int) *lane {
	l := &lane{most: most, stall: stall, hungry: make(chan struct{}, 1), woken: make(chan struct{}, 1)}
	l.some.L = &l.mu
	return l
}

// push adds envelopes at their priorities, all of them before a worker sees the
// first: who begins with the less urgent one of two that came together is not
// to be called back. When the lane is full it returns the least urgent ones,
// which must go back to custody, and when it is stopped all of hs.
func (l *lane) push(hs ...*held) (evicted []*held) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return append(evicted, hs...)
	}
	for _, h := range hs {
		again := !h.since.IsZero()
		if !again {
			h.since = time.Now()
		}
		l.waiting.push(h, again)
		if l.waiting.len > l.most {
			evicted = append(evicted, l.waiting.popLast())
		}
	}
	l.wake() // who takes some wakes the next
	return evicted
}

// wake sees to it that a worker comes for what waits: now, or, while enough of
// them are writing and there are only writes, when one of these is done.
func (l *lane) wake() {
	if l.waiting.len == 0 {
		return
	}
	if l.gathers() {
		if l.stalled == nil {
			l.stalled = time.AfterFunc(l.stall, l.unstall)
			l.stall = min(2*l.stall, stallMost)
		}
		if l.waiting.handlers == 0 {
			return
		}
	}
	l.some.Signal()
}

// gathers reports whether the writes that are next are left for a worker that
// is writing now.
func (l *lane) gathers() bool {
	return l.waiting.byPriority[0].first.bulk && l.waiting.len < groupMost && l.writing >= writersAtOnce
}

// unstall wakes a worker for what has gathered for too long.
func (l *lane) unstall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalled, l.overdue = nil, true
	l.some.Signal()
}

// wrote is called by a worker whose group was of default writes, when they are
// done and before it comes for the next.
func (l *lane) wrote() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing--
	l.stall = stall
}

// next gives envelopes back that go on in this lane, in their order and before
// those of their class that wait already, and appends to group what a worker
// does next. It waits until there is something; nothing means that the lane is
// stopped. What is evicted has no room here, and must go back to custody.
//
// This is where a worker gives way to what is more urgent, once for each group.
// When nothing is, it gets back what it has given.
func (l *lane) next(back, group []*held) (taken, evicted []*held) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return group, back
	}
	for i := len(back) - 1; i >= 0; i-- {
		l.waiting.push(back[i], true)
	}
	for l.waiting.len == 0 || l.gathers() && l.waiting.handlers == 0 && !l.overdue {
		l.hunger()
		l.idle++
		l.wake()
		l.some.Wait()
		l.idle--
		if l.stopped {
			return group, nil
		}
	}
	group = l.take(group)
	for l.waiting.len > l.most {
		evicted = append(evicted, l.waiting.popLast())
	}
	if l.waiting.len < l.most/4 {
		l.hunger()
	}
	if group[0].bulk {
		l.writing++
	}
	l.wake()
	return group, evicted
}

// take appends the next envelopes: of the most urgent class, but one time in
// ten of the one that has waited longest, if that is too long. An envelope with
// a handler comes alone, because nobody knows how long that takes.
func (l *lane) take(group []*held) []*held {
	l.slots++
	q := l.waiting.byPriority[0]
	if l.slots%aged == 0 {
		if old := l.waiting.oldest(); time.Since(old.first.since) > starving {
			q = old
		}
	}
	if q == l.waiting.byPriority[0] && l.gathers() && l.waiting.handlers > 0 && !l.overdue {
		return append(group, l.waiting.popHandler())
	}
	l.overdue = false
	most := len(group) + groupMost
	for first := true; q.first != nil && (first || q.first.bulk && len(group) < most); first = false {
		h := l.waiting.pop(q)
		group = append(group, h)
		if !h.bulk {
			break
		}
	}
	return group
}

// hunger tells the puller that there is room.
func (l *lane) hunger() {
	select {
	case l.hungry <- struct{}{}:
	default:
	}
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
