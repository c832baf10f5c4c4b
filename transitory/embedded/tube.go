package embedded

import (
	"container/heap"
	"container/list"
	"slices"
)

// A tube holds a window on its ready jobs: the most urgent ones are in memory,
// the others in the table only.
//
// The window is exact: every ready job whose key is not beyond the horizon is
// in it, and none that is beyond. So the top of the window is the most urgent
// job of the tube as long as the window is not empty.
type tube struct {
	name     string
	ready    readyHeap
	horizon  key  // no row beyond it has been looked at
	complete bool // there is no horizon: every ready job is in the window
	expelled map[*entry]bool

	countReady, countDelayed, countReserved int

	waiters list.List // of *waiter, in the order of their arrival
	asked   bool      // a refill is asked for and has not begun
	reading bool      // a refill reads the table: the horizon must not move back
}

// holds says whether a key belongs in the window.
func (t *tube) holds(k key) bool { return t.complete || !t.horizon.less(k) }

func (t *tube) empty() bool {
	return t.countReady+t.countDelayed+t.countReserved == 0 && t.waiters.Len() == 0 && !t.asked && !t.reading
}

// addReady makes an entry ready: into the window if it belongs there, else
// into the table only, where its row is already unless it is dirty.
func (x *index) addReady(e *entry) {
	e.tube.countReady++
	e.readyAt = 0
	x.place(e)
	x.woken = append(x.woken, e.tube)
}

func (x *index) place(e *entry) {
	t := e.tube
	switch {
	case t.holds(e.key()):
		e.state = isReady
		x.entries[e.id] = e
		heap.Push(&t.ready, e)
		if len(t.ready) >= 2*x.window && !t.reading {
			x.trim(t)
		}
	case e.dirty:
		x.expel(e)
	default:
		x.forget(e)
	}
}

// expel parks a ready job that is beyond the window until its row is written.
func (x *index) expel(e *entry) {
	e.state = isExpelled
	x.entries[e.id] = e
	e.tube.expelled[e] = true
}

// forget leaves a job to the table.
func (x *index) forget(e *entry) {
	x.dropBody(e)
	delete(x.entries, e.id)
}

// trim cuts a window that has grown to twice its size. Sorting half of it away
// now and then costs less than an eviction at every put; a sorted slice is a
// heap.
func (x *index) trim(t *tube) {
	slices.SortFunc(t.ready, func(a, b *entry) int {
		if a.key().less(b.key()) {
			return -1
		}
		return 1
	})
	rest := t.ready[x.window:]
	for i, e := range rest {
		if e.dirty {
			x.expel(e)
		} else {
			x.forget(e)
		}
		rest[i] = nil
	}
	t.ready = t.ready[:x.window]
	t.horizon, t.complete = t.ready[x.window-1].key(), false
}

// low says that the window should be refilled, or that expelled jobs pile up.
func (x *index) low(t *tube) bool {
	return x.shallow(t) || len(t.expelled) >= x.window/4+1
}

// shallow says that the window runs dry while the table has more.
func (x *index) shallow(t *tube) bool {
	return !t.complete && len(t.ready) <= x.window/4
}

// A row is a job as the table has it.
type row struct {
	id       int64
	tube     string
	priority uint32
	readyAt  int64
	ttr      int64
	reserves int
}

// refill takes rows that the table has next beyond the horizon, in order; last
// says that there are no more. Rows that memory knows (reserved ones) stay as
// they are.
func (x *index) refill(t *tube, rows []row, last bool) {
	t.reading = false
	for _, r := range rows {
		if x.entries[r.id] != nil {
			continue
		}
		e := &entry{id: r.id, tube: t, priority: r.priority, ttr: r.ttr, reserves: r.reserves, cold: true, pos: -1}
		x.entries[r.id] = e
		heap.Push(&t.ready, e)
	}
	if last {
		t.complete = true
	} else {
		t.horizon = key{rows[len(rows)-1].priority, rows[len(rows)-1].id}
	}
	for e := range t.expelled { // what was expelled while the table was read may now lie within
		if t.holds(e.key()) {
			delete(t.expelled, e)
			x.place(e)
		}
	}
	x.woken = append(x.woken, t)
}

// written says that the row of an expelled job is up to date, so that memory
// may forget it.
func (x *index) written(e *entry) {
	if e.tube.expelled[e] {
		delete(e.tube.expelled, e)
		e.dirty = false
		x.place(e)
	}
}
