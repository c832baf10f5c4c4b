package persistence

import (
	"cmp"
	"slices"
	"time"
)

// A classes holds envelopes by priority and by what they write next, first in,
// first out within one. A plan has few of either, so that a sorted slice of
// queues is both exact and quick, and the oldest of each class is its first. The
// envelopes are linked to one another, so that nothing is allocated for those
// that come and go.
type classes struct {
	inOrder []*class // most urgent first, none empty
	spare   []*class // that are empty
	len     int
}

type class struct {
	priority    uint32
	writes      storeSet // of its default writes; empty: its envelopes have handlers to run
	first, last *held
	len         int
	served      uint64    // the lane's slot when a worker last took from it; 0: none did since it was empty
	since       time.Time // when that was, or since when it is not empty
}

// A storeSet is a set of purposes.
type storeSet uint8

func (s storeSet) with(p Purpose) storeSet { return s | 1<<p }
func (s storeSet) has(p Purpose) bool      { return s&(1<<p) != 0 }

func (q *class) compare(h *held) int {
	return cmp.Or(cmp.Compare(q.priority, h.priority), cmp.Compare(q.writes, h.writes))
}

// of returns the class of an envelope.
func (c *classes) of(h *held, now time.Time) *class {
	i, found := slices.BinarySearchFunc(c.inOrder, h, (*class).compare)
	if found {
		return c.inOrder[i]
	}
	if len(c.spare) == 0 {
		c.spare = append(c.spare, &class{})
	}
	last := len(c.spare) - 1
	q := c.spare[last]
	c.spare = c.spare[:last]
	q.priority, q.writes, q.served, q.since = h.priority, h.writes, 0, now
	c.inOrder = slices.Insert(c.inOrder, i, q)
	return q
}

// push adds an envelope behind its class, or before it when it was here
// already and had to wait for something more urgent.
func (c *classes) push(h *held, again bool, now time.Time) {
	q := c.of(h, now)
	switch {
	case q.first == nil:
		h.since = q.since
		q.first, q.last = h, h
	case again:
		h.since = q.first.since // no envelope waits longer than the first
		h.next, q.first.prev, q.first = q.first, h, h
	default:
		h.since = now
		h.prev, q.last.next, q.last = q.last, h, h
	}
	c.len++
	q.len++
}

// pop removes the first envelope of a class.
func (c *classes) pop(q *class) *held { return c.remove(q, q.first) }

// last returns the class of the least urgent envelope, and of equally urgent ones
// of the one that came last, whatever they write; but for the empty set, only of
// those that write to one of the stores.
func (c *classes) last(to storeSet) (best *class) {
	for _, q := range slices.Backward(c.inOrder) {
		if best != nil && q.priority < best.priority {
			break
		}
		if (to == 0 || q.writes&to != 0) && (best == nil || q.last.came > best.last.came) {
			best = q
		}
	}
	return best
}

func (c *classes) remove(q *class, h *held) *held {
	if h.prev == nil {
		q.first = h.next
	} else {
		h.prev.next = h.next
	}
	if h.next == nil {
		q.last = h.prev
	} else {
		h.next.prev = h.prev
	}
	h.prev, h.next = nil, nil
	c.len--
	if q.len--; q.first == nil {
		c.inOrder = slices.DeleteFunc(c.inOrder, func(of *class) bool { return of == q })
		c.spare = append(c.spare, q)
	}
	return h
}

// oldest returns the class of the envelope that has waited longest, of those
// classes that may be taken; nil without any.
func (c *classes) oldest(may func(*class) bool) (best *class) {
	for _, q := range c.inOrder {
		if may(q) && (best == nil || q.first.since.Before(best.first.since)) {
			best = q
		}
	}
	return best
}

// urgent returns the most urgent class of those that may be taken, and of
// equally urgent ones the one whose turn it is; nil without any.
func (c *classes) urgent(may func(*class) bool) (best *class) {
	for _, q := range c.inOrder {
		if best != nil && q.priority > best.priority {
			break
		}
		if may(q) && (best == nil || q.served < best.served) {
			best = q
		}
	}
	return best
}

// all takes everything out, most urgent first.
func (c *classes) all() []*held {
	out := make([]*held, 0, c.len)
	for c.len > 0 {
		out = append(out, c.pop(c.inOrder[0]))
	}
	return out
}
