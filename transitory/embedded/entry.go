package embedded

import "container/heap"

// An entry is what memory knows of one job. Most jobs of a long queue have
// none: they lie in the table only.
type entry struct {
	id       int64
	tube     *tube
	priority uint32
	readyAt  int64 // microseconds; of a delayed job, else 0
	ttr      int64 // microseconds
	deadline int64 // of the reservation
	reserves int
	body     []byte // nil while cold
	cold     bool   // the body lies in the table only
	state    state
	dirty    bool // the row does not yet say ready, or another number of reserves
	busy     bool // its delete or release is under way: it cannot expire
	owner    *owner
	pos      int // in the heap of delayed jobs or of deadlines; -1 when in none
}

type state uint8

const (
	isReady    state = iota // in its tube's window
	isDelayed               // in the window of delayed jobs
	isReserved              // handed out
	isExpelled              // ready and beyond its tube's window, but dirty: its row must be written before memory may forget it
)

// An owner is one opening. Jobs that it has reserved become ready again when
// it closes.
type owner struct {
	epoch  string
	closed bool
}

// A key orders the ready jobs of a tube.
type key struct {
	priority uint32
	id       int64
}

func (k key) less(other key) bool {
	if k.priority != other.priority {
		return k.priority < other.priority
	}
	return k.id < other.id
}

func (e *entry) key() key { return key{e.priority, e.id} }

// readyHeap has the most urgent job on top. Jobs leave it only from the top,
// so it keeps no positions.
type readyHeap []*entry

func (h readyHeap) Len() int           { return len(h) }
func (h readyHeap) Less(i, j int) bool { return h[i].key().less(h[j].key()) }
func (h readyHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *readyHeap) Push(x any)        { *h = append(*h, x.(*entry)) }
func (h *readyHeap) Pop() any          { return popLast((*[]*entry)(h)) }

// A timeHeap has the entry on top whose time comes first.
type timeHeap struct {
	entries []*entry
	at      func(*entry) int64
}

func (h *timeHeap) Len() int { return len(h.entries) }
func (h *timeHeap) Less(i, j int) bool {
	a, b := h.entries[i], h.entries[j]
	if h.at(a) != h.at(b) {
		return h.at(a) < h.at(b)
	}
	return a.id < b.id
}

func (h *timeHeap) Swap(i, j int) {
	h.entries[i], h.entries[j] = h.entries[j], h.entries[i]
	h.entries[i].pos, h.entries[j].pos = i, j
}

func (h *timeHeap) Push(x any) {
	e := x.(*entry)
	e.pos = len(h.entries)
	h.entries = append(h.entries, e)
}

func (h *timeHeap) Pop() any {
	e := popLast(&h.entries)
	e.pos = -1
	return e
}

func (h *timeHeap) add(e *entry)    { heap.Push(h, e) }
func (h *timeHeap) remove(e *entry) { heap.Remove(h, e.pos) }

// due takes the top when its time has come.
func (h *timeHeap) due(now int64) (*entry, bool) {
	if len(h.entries) == 0 || h.at(h.entries[0]) > now {
		return nil, false
	}
	return heap.Pop(h).(*entry), true
}

// popLast shrinks a slice by its last element, which it forgets so that the
// collector may take it.
func popLast(s *[]*entry) *entry {
	old := *s
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	return last
}
