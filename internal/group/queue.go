package group

// A state says where an entry is on its way.
type state uint8

const (
	absent  state = iota // it has not entered the queue
	queued               // it waits, and can be withdrawn
	taken                // a group has it
	settled              // its call has the answer
)

// An entry is one item of one call. Everything in it but err is guarded by
// the Group's mutex; err as well until the call is done.
type entry[T any] struct {
	item       T
	size       int
	state      state
	err        error
	call       *call[T]
	prev, next *entry[T]
}

// A call is what one Do or DoAll waits for.
type call[T any] struct {
	entries []entry[T]
	left    int           // entries that are not settled
	done    chan struct{} // holds a value when left is zero
}

func newCall[T any](items int) *call[T] {
	return &call[T]{entries: make([]entry[T], items), done: make(chan struct{}, 1)}
}

// begin takes the items of a call, as many as it has entries.
func (c *call[T]) begin(items ...T) {
	c.left = len(items)
	for i, item := range items {
		c.entries[i] = entry[T]{item: item, call: c}
	}
}

// forget drops the items and answers of a call that waits for its next use.
func (c *call[T]) forget() { clear(c.entries) }

// settle gives an entry its answer, once.
func (c *call[T]) settle(e *entry[T], err error) {
	if e.state == settled {
		return
	}
	e.state, e.err = settled, err
	if c.left--; c.left == 0 {
		c.done <- struct{}{}
	}
}

// errors returns the answers, nil when all of them are nil.
func (c *call[T]) errors() []error {
	var out []error
	for i := range c.entries {
		if err := c.entries[i].err; err != nil {
			if out == nil {
				out = make([]error, len(c.entries))
			}
			out[i] = err
		}
	}
	return out
}

// A list is a queue from whose middle an entry can be withdrawn at once: one
// that only marked it would grow without bound while a group hangs and
// callers come and go.
type list[T any] struct{ head, tail *entry[T] }

func (l *list[T]) push(e *entry[T]) {
	e.prev, e.next = l.tail, nil
	if l.tail == nil {
		l.head = e
	} else {
		l.tail.next = e
	}
	l.tail = e
}

func (l *list[T]) remove(e *entry[T]) {
	if e.prev == nil {
		l.head = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.tail = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
}
