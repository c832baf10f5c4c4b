package embedded

import (
	"container/heap"
	"slices"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// An index is what memory knows of the queue: windows on the ready jobs of
// each tube and on the delayed jobs, and every reservation. It is a pure
// state machine: time comes in as an argument (microseconds), nothing blocks,
// nothing does I/O, and a mutex is its caller's business.
type index struct {
	window int // entries of a window; it may grow to twice as many
	budget int // bytes of bodies that are kept in memory

	tubes     map[string]*tube
	entries   map[int64]*entry
	bodies    int // bytes of bodies in memory
	deadlines timeHeap
	delayed   timeHeap

	delayedHorizon  moment // no delayed row beyond it has been looked at
	delayedComplete bool
	delayedAsked    bool
	delayedReading  bool

	woken []*tube // tubes that may have something for their waiters
}

// A moment orders delayed jobs.
type moment struct{ at, id int64 }

func (m moment) less(other moment) bool {
	if m.at != other.at {
		return m.at < other.at
	}
	return m.id < other.id
}

func newIndex(window, budget int) *index {
	return &index{
		window:          window,
		budget:          budget,
		tubes:           map[string]*tube{},
		entries:         map[int64]*entry{},
		deadlines:       timeHeap{at: func(e *entry) int64 { return e.deadline }},
		delayed:         timeHeap{at: func(e *entry) int64 { return e.readyAt }},
		delayedComplete: true,
	}
}

// tube returns a tube, which it makes when there is none.
func (x *index) tube(name string) *tube {
	t := x.tubes[name]
	if t == nil {
		t = &tube{name: name, complete: true, expelled: map[*entry]bool{}}
		x.tubes[name] = t
	}
	return t
}

// drop forgets a tube that has no jobs and no waiters, so that programs may
// make tubes as they like.
func (x *index) drop(t *tube) {
	if t.empty() {
		delete(x.tubes, t.name)
	}
}

// put takes a job whose row is in the table.
func (x *index) put(r row, body []byte, now int64) {
	e := &entry{id: r.id, tube: x.tube(r.tube), priority: r.priority, readyAt: r.readyAt, ttr: r.ttr, cold: true, pos: -1}
	if x.bodies+len(body) <= x.budget {
		e.body, e.cold = body, false
		x.bodies += len(body)
	}
	x.admit(e, now)
}

// admit makes an entry whose row is up to date ready or delayed.
func (x *index) admit(e *entry, now int64) {
	if e.readyAt > now {
		x.addDelayed(e)
		return
	}
	e.dirty = e.readyAt != 0 // its row still says delayed
	x.addReady(e)
}

func (x *index) addDelayed(e *entry) {
	e.tube.countDelayed++
	if !x.delayedComplete && x.delayedHorizon.less(moment{e.readyAt, e.id}) {
		x.forget(e)
		return
	}
	e.state = isDelayed
	x.entries[e.id] = e
	x.delayed.add(e)
	if x.delayed.Len() >= 2*x.window && !x.delayedReading {
		x.trimDelayed()
	}
}

func (x *index) trimDelayed() {
	slices.SortFunc(x.delayed.entries, func(a, b *entry) int {
		if (moment{a.readyAt, a.id}).less(moment{b.readyAt, b.id}) {
			return -1
		}
		return 1
	})
	rest := x.delayed.entries[x.window:]
	for i, e := range rest {
		e.pos = -1
		x.forget(e)
		rest[i] = nil
	}
	x.delayed.entries = x.delayed.entries[:x.window]
	for i, e := range x.delayed.entries {
		e.pos = i
	}
	last := x.delayed.entries[x.window-1]
	x.delayedHorizon, x.delayedComplete = moment{last.readyAt, last.id}, false
}

// refillDelayed takes delayed rows that the table has next beyond the horizon.
func (x *index) refillDelayed(rows []row, last bool) {
	x.delayedReading = false
	for _, r := range rows {
		if x.entries[r.id] != nil {
			continue
		}
		e := &entry{id: r.id, tube: x.tube(r.tube), priority: r.priority, readyAt: r.readyAt, ttr: r.ttr,
			reserves: r.reserves, cold: true, state: isDelayed, pos: -1}
		x.entries[r.id] = e
		x.delayed.add(e)
	}
	if last {
		x.delayedComplete = true
	} else {
		x.delayedHorizon = moment{rows[len(rows)-1].readyAt, rows[len(rows)-1].id}
	}
}

func (x *index) delayedLow() bool {
	return !x.delayedComplete && x.delayed.Len() <= x.window/4
}

// advance lets time pass: delayed jobs become ready, reservations end.
func (x *index) advance(now int64) {
	for e, ok := x.delayed.due(now); ok; e, ok = x.delayed.due(now) {
		e.tube.countDelayed--
		e.dirty = true
		x.addReady(e)
	}
	for e, ok := x.deadlines.due(now); ok; e, ok = x.deadlines.due(now) {
		x.giveBack(e)
	}
}

// next is when advance has something to do; ok is false when nothing will
// happen by itself.
func (x *index) next() (at int64, ok bool) {
	if x.delayed.Len() > 0 {
		at, ok = x.delayed.entries[0].readyAt, true
	}
	if x.deadlines.Len() > 0 && (!ok || x.deadlines.entries[0].deadline < at) {
		at, ok = x.deadlines.entries[0].deadline, true
	}
	return at, ok
}

// giveBack makes a reserved entry, which is in no heap, ready again.
func (x *index) giveBack(e *entry) {
	e.tube.countReserved--
	e.owner, e.busy = nil, false
	e.dirty = true // its number of reserves
	x.addReady(e)
}

// take reserves at most max jobs of the tubes, the most urgent first. It takes
// none while a tube whose window is being refilled might have a more urgent
// one.
func (x *index) take(tubes []*tube, max int, o *owner, now int64) []*entry {
	var taken []*entry
	for len(taken) < max {
		t := x.mostUrgent(tubes)
		if t == nil {
			break
		}
		e := heap.Pop(&t.ready).(*entry)
		t.countReady--
		t.countReserved++
		e.state, e.owner, e.deadline = isReserved, o, now+e.ttr
		e.reserves++
		x.deadlines.add(e)
		taken = append(taken, e)
	}
	return taken
}

// mostUrgent is the tube whose top is to be handed out next, or nil.
func (x *index) mostUrgent(tubes []*tube) *tube {
	var best *tube
	for _, t := range tubes {
		if len(t.ready) > 0 && (best == nil || t.ready[0].key().less(best.ready[0].key())) {
			best = t
		}
	}
	if best == nil {
		return nil
	}
	for _, t := range tubes {
		if len(t.ready) == 0 && t.countReady > 0 && !t.complete && t.horizon.priority < best.ready[0].priority {
			return nil
		}
	}
	return best
}

// takeBody hands the body of a reserved entry over to its caller: memory
// forgets it, and reads it again should the job come back.
func (x *index) takeBody(e *entry) []byte {
	body := e.body
	x.dropBody(e)
	return body
}

func (x *index) dropBody(e *entry) {
	if !e.cold {
		x.bodies -= len(e.body)
		e.body, e.cold = nil, true
	}
}

// A claim names one reservation: a job, and how often it had been reserved
// then. Without the second, a worker that lost its reservation could delete the
// job under the hands of the next one.
type claim struct {
	id       int64
	reserves int
}

// reserved finds the entry of a reservation of o that has not ended.
func (x *index) reserved(c claim, o *owner) (*entry, error) {
	e := x.entries[c.id]
	if e == nil || e.state != isReserved || e.owner != o || e.busy || e.reserves != c.reserves {
		return nil, errGone
	}
	return e, nil
}

// begin marks a reserved job whose delete or release is under way.
func (x *index) begin(c claim, o *owner) (*entry, error) {
	e, err := x.reserved(c, o)
	if err != nil {
		return nil, err
	}
	e.busy = true
	x.deadlines.remove(e)
	return e, nil
}

var errGone = fault.New(fault.ErrNotFound, "transitory", "job", "the reservation is gone: it was deleted, released, or its TTR passed and somebody else may be running it")

// cancel undoes begin.
func (x *index) cancel(e *entry) {
	if e.owner.closed {
		x.giveBack(e)
		return
	}
	e.busy = false
	x.deadlines.add(e)
}

// deleted ends a job whose row is gone.
func (x *index) deleted(e *entry) {
	e.tube.countReserved--
	x.forget(e)
	x.drop(e.tube)
}

// released gives a job back whose row is up to date.
func (x *index) released(e *entry, priority uint32, readyAt, now int64) {
	e.tube.countReserved--
	e.owner, e.busy, e.dirty = nil, false, false
	e.priority, e.readyAt = priority, readyAt
	x.admit(e, now)
}

// untake undoes a take for a job that could not be handed out. The number of
// reserves tells whether the reservation still is the one that was taken.
func (x *index) untake(e *entry, reserves int) {
	if e.state != isReserved || e.busy || e.reserves != reserves {
		return
	}
	x.deadlines.remove(e)
	e.reserves--
	x.giveBack(e)
}

// touch restarts the TTR of a reserved job.
func (x *index) touch(c claim, o *owner, now int64) error {
	e, err := x.reserved(c, o)
	if err != nil {
		return err
	}
	e.deadline = now + e.ttr
	heap.Fix(&x.deadlines, e.pos)
	return nil
}

// leave gives back what an owner that closes has reserved. What is busy comes
// back by cancel, if at all.
func (x *index) leave(o *owner) {
	o.closed = true
	for _, e := range x.entries {
		if e.state == isReserved && e.owner == o && !e.busy {
			x.deadlines.remove(e)
			x.giveBack(e)
		}
	}
}
