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

// writersAtOnce is how many groups of default writes to one store a lane has under
// way before what arrives for it gathers for the next: a store does sixteen
// writes together for little more than one, and four were groups of a few where the
// store is quick, above all for the cache. A full group waits for nobody, and
// when none of those under way ends within a stall, the store is slow, and another
// one begins: until a quarter of the workers write to it, and leave the others to
// its siblings. What writes to several stores has patience with that bound for a
// second: see place.
const (
	writersAtOnce = 2
	stall         = 20 * time.Millisecond
	patience      = time.Second
)

// excess is by how much of its bound a lane is exceeded before less comes: by one of
// so many parts.
const excess = 2

// A lane is the envelopes that this process holds for one class of workers,
// most urgent first.
type lane struct {
	mu       sync.Mutex
	some     sync.Cond
	waiting  classes
	slots    uint64                   // that were given to workers
	relieved uint64                   // times that a worker found the lane exceeded
	came     uint64                   // envelopes, so far
	most     int                      // envelopes that may wait here
	stopped  bool                     // workers go home
	writers  int                      // that may write to one store at a time, at most
	yields   *yielding                // how many of them do; nil: all
	writing  [Amorphous + 1]int       // workers that have a group of default writes in hand, by store
	began    [Amorphous + 1]time.Time // when the last of them began
	stalled  *time.Timer              // wakes one although enough are writing; nil: not set
	overdue  bool                     // it has ended, and no worker has come yet
	hungry   [2]chan struct{}         // capacity 1, one for each custody: the lane could take more from it
	woken    chan struct{}            // capacity 1: custody has something new
	mayHold  atomic.Bool              // custody may hold more for this lane
}

// newLane makes a lane for so many workers.
func newLane(most, workers int) *lane {
	l := &lane{most: most, writers: max(1, workers/4), woken: make(chan struct{}, 1)}
	for c := range l.hungry {
		l.hungry[c] = make(chan struct{}, 1)
	}
	l.some.L = &l.mu
	return l
}

// push adds envelopes at their priorities, all of them before a worker sees the
// first: who begins with the less urgent one of two that came together is not
// to be called back. When the lane is full it returns those that give way, which
// must go back to custody, and when it is stopped all of hs.
func (l *lane) push(hs ...*held) (evicted []*held) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return append(evicted, hs...)
	}
	now := time.Now()
	for _, h := range hs {
		l.add(h, now)
		if l.waiting.len > l.most {
			evicted = append(evicted, l.giveWay())
		}
	}
	l.wake() // who takes some wakes the next
	return evicted
}

func (l *lane) add(h *held, now time.Time) {
	again := h.came != 0
	l.came++
	h.came = l.came
	l.waiting.push(h, again, now)
}

// pass adds an envelope, even over the lane's bound, and reports whether it did: it
// does not when the lane is stopped. What has no room is given back to custody by
// a worker of the lane, for which who passes it need not wait.
func (l *lane) pass(h *held) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	l.add(h, time.Now())
	l.wake()
	return true
}

// overfull reports whether so much waits over the lane's bound that nothing should
// be begun of which more would come.
func (l *lane) overfull() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting.len-l.most > l.most/excess
}

// wake sees to it that a worker comes for what waits: now, or, where enough of
// them are writing, when one of these is done.
func (l *lane) wake() {
	if l.waiting.urgent(l.gathers) != nil && l.stalled == nil {
		l.stalled = time.AfterFunc(stall, l.unstall)
	}
	if l.waiting.len > l.most || l.waiting.urgent(l.free) != nil {
		l.some.Signal()
	}
}

// free reports whether a worker may take from a class.
func (l *lane) free(q *class) bool {
	n, has := l.place(q, l.atOnce())
	return has && (n < writersAtOnce || q.len >= groupMost || l.overdue)
}

// atOnce is how many workers may write to one store now.
func (l *lane) atOnce() int {
	if l.yields == nil {
		return l.writers
	}
	return int(l.yields.bound.Load())
}

// yield looks at how many that should be.
func (l *lane) yield() {
	if l.yields != nil {
		l.yields.step(time.Now())
	}
}

// gathers reports whether the writes of a class are left to those who are
// writing now, for a stall: then there may be more of them, if they yield.
func (l *lane) gathers(q *class) bool {
	_, has := l.place(q, l.writers)
	return has && !l.free(q)
}

// place is how many workers write to the busiest store of a class, and whether
// one more may, where so many writers are the bound. What writes to several stores
// may find one of them full of what writes to that alone, time and again: after a
// while it has room where any of its stores has, up to twice as many writers.
func (l *lane) place(q *class, writers int) (most int, has bool) {
	least := writers
	for p, n := range l.writing {
		if q.writes.has(Purpose(p)) {
			most, least = max(most, n), min(least, n)
		}
	}
	return most, most < writers || least < writers && most < 2*writers && time.Since(q.since) > patience
}

// unstall wakes a worker for what has gathered for too long.
func (l *lane) unstall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalled, l.overdue = nil, true
	l.some.Signal()
}

// wrote is called by a worker whose group was of default writes, when those to
// some of their stores are done.
func (l *lane) wrote(to storeSet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(to, -1, time.Time{})
	l.wake()
}

func (l *lane) count(to storeSet, n int, now time.Time) {
	for p := range l.writing {
		if to.has(Purpose(p)) {
			l.writing[p] += n
			if n > 0 {
				l.began[p] = now
			}
		}
	}
}

// next gives envelopes back that go on in this lane, in their order and before
// those of their class that wait already, and appends to group what a worker
// does next. It waits until there is something; nothing means that the lane is
// stopped. What is evicted has no room here, and must go back to custody: as long as
// there is any, that is what a worker does, nine times in ten. The time is when the
// worker takes what it is given: at, if it has looked at the clock when it gave
// something back, or else now.
//
// This is where a worker gives way to what is more urgent, once for each group.
// When nothing is, it gets back what it has given.
func (l *lane) next(back, group []*held, at time.Time) (taken, evicted []*held, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return group, back, at
	}
	if now = at; len(back) == 0 {
		now = time.Time{} // it will have waited
	} else if now.IsZero() {
		now = time.Now()
	}
	for i := len(back) - 1; i >= 0; i-- {
		l.waiting.push(back[i], true, now)
	}
	l.yield()
	for l.waiting.len <= l.most && l.waiting.urgent(l.free) == nil {
		l.hunger()
		l.wake()
		l.some.Wait()
		if l.stopped {
			return group, nil, now
		}
		now = time.Time{} // it has waited
		l.yield()
	}
	if now.IsZero() {
		now = time.Now()
	}
	q, n := l.pick(now)
	if l.waiting.len-n > l.most {
		if l.relieved++; q == nil || l.relieved%aged != 0 {
			evicted = l.relieve(n)
			l.wake()
			return group, evicted, now
		}
	}
	group = l.take(group, q, n, now)
	if n, _ := l.behind(); l.waiting.len-n < l.most/4 {
		l.hunger()
	}
	l.count(group[0].writes, 1, now)
	l.wake()
	return group, nil, now
}

// relieve takes out what is too much when so many envelopes more leave the lane, or
// as much of it as one worker gives back at a time.
func (l *lane) relieve(leave int) (evicted []*held) {
	for l.waiting.len-leave > l.most && len(evicted) < groupMost {
		evicted = append(evicted, l.giveWay())
	}
	return evicted
}

// pick chooses the class of the next envelopes, and how many: the most urgent one,
// but one time in ten that of the one that has waited longest, if that is too long. An
// envelope with a handler comes alone, because nobody knows how long that takes.
// Without a class that is free it is none of nothing.
func (l *lane) pick(now time.Time) (q *class, n int) {
	q = l.waiting.urgent(l.free)
	if q != nil && (l.slots+1)%aged == 0 {
		if old := l.waiting.oldest(l.free); now.Sub(old.first.since) > starving {
			q = old
		}
	}
	switch {
	case q == nil:
		return nil, 0
	case q.writes == 0:
		return q, 1
	}
	return q, min(q.len, groupMost)
}

// take appends so many envelopes of a class.
func (l *lane) take(group []*held, q *class, n int, now time.Time) []*held {
	l.slots++
	if busy, _ := l.place(q, l.writers); busy >= writersAtOnce && q.len < groupMost {
		l.overdue = false
	}
	q.served, q.since = l.slots, now
	for range n {
		group = append(group, l.waiting.pop(q))
	}
	return group
}

// Who takes from which custody, in lane.hungry.
const (
	ofOutbox = iota
	ofQueue
)

// hunger tells the pullers that there is room.
func (l *lane) hunger() {
	for _, c := range l.hungry {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// room returns how many envelopes the lane would take from custody.
func (l *lane) room() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return 0
	}
	n, crowd := l.behind()
	room := (l.most+1)/2 - (l.waiting.len - n)
	if crowd == 0 { // nothing would give way
		room = min(room, l.most-l.waiting.len)
	}
	return max(room, 0)
}

// accepts reports whether an envelope may be handed over directly: there is room,
// or another one would give way to it.
func (l *lane) accepts(h *held) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	if l.waiting.len < l.most {
		return true
	}
	_, crowd := l.behind()
	return crowd != 0 && h.writes&crowd == 0 || h.priority < l.waiting.last(crowd).priority
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
