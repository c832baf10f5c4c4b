package persistence

import (
	"cmp"
	"slices"
)

// A classes holds envelopes by priority, first in, first out within one. A
// plan has few priorities, so that a sorted slice of queues is both exact and
// quick, and the oldest of each class is its first. The envelopes are linked
// to one another, so that nothing is allocated for those that come and go.
type classes struct {
	byPriority []*class // most urgent first, none empty
	spare      []*class // that are empty
	len        int
	handlers   int // of these, how many have a handler to run
}

type class struct {
	priority    uint32
	first, last *held
}

// of returns the class of a priority.
func (c *classes) of(priority uint32) *class {
	i, found := slices.BinarySearchFunc(c.byPriority, priority, func(q *class, p uint32) int {
		return cmp.Compare(q.priority, p)
	})
	if found {
		return c.byPriority[i]
	}
	if len(c.spare) == 0 {
		c.spare = append(c.spare, &class{})
	}
	last := len(c.spare) - 1
	q := c.spare[last]
	c.spare = c.spare[:last]
	q.priority = priority
	c.byPriority = slices.Insert(c.byPriority, i, q)
	return q
}

// push adds an envelope behind its class, or before it when it was here
// already and had to wait for something more urgent.
func (c *classes) push(h *held, again bool) {
	q := c.of(h.priority)
	switch {
	case q.first == nil:
		q.first, q.last = h, h
	case again:
		h.next, q.first.prev, q.first = q.first, h, h
	default:
		h.prev, q.last.next, q.last = q.last, h, h
	}
	c.len++
	if !h.bulk {
		c.handlers++
	}
}

// pop removes the first envelope of a class.
func (c *classes) pop(q *class) *held { return c.remove(q, q.first) }

// popHandler removes the most urgent envelope with a handler, past the writes
// before it; there must be one.
func (c *classes) popHandler() *held {
	for _, q := range c.byPriority {
		for h := q.first; h != nil; h = h.next {
			if !h.bulk {
				return c.remove(q, h)
			}
		}
	}
	return nil
}

// popLast removes the least urgent envelope, the latest of its class.
func (c *classes) popLast() *held {
	q := c.byPriority[len(c.byPriority)-1]
	return c.remove(q, q.last)
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
	if !h.bulk {
		c.handlers--
	}
	if c.len--; q.first == nil {
		c.byPriority = slices.DeleteFunc(c.byPriority, func(of *class) bool { return of == q })
		c.spare = append(c.spare, q)
	}
	return h
}

// oldest returns the class whose first envelope has waited longest.
func (c *classes) oldest() *class {
	best := c.byPriority[0]
	for _, q := range c.byPriority[1:] {
		if q.first.since.Before(best.first.since) {
			best = q
		}
	}
	return best
}

// all takes everything out, most urgent first.
func (c *classes) all() []*held {
	out := make([]*held, 0, c.len)
	for c.len > 0 {
		out = append(out, c.pop(c.byPriority[0]))
	}
	return out
}
