package group

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

const (
	defaultMaxItems = 512
	defaultMaxQueue = 16384
)

// Options of a Group; zero values are the defaults.
type Options struct {
	MaxItems int // items of one group; default 512
	MaxSize  int // sum of sizes of one group, in the caller's own unit; zero: no bound; a larger item travels alone
	Parallel int // groups under way at once; default 1
	// Eager is how many of them begin whatever is under way; default Parallel.
	// More begin only past groups of fewer items than Small, which cost little
	// side by side and would keep a lone caller waiting, and past those that
	// have been under way for longer than Patience: fewer groups are larger
	// ones, and one that stands holds up nobody else for long.
	Eager    int
	Small    int
	Patience time.Duration
	MaxQueue int // items that may wait; over it Do waits until its context ends; default 16384
}

func (o Options) withDefaults() Options {
	if o.MaxItems <= 0 {
		o.MaxItems = defaultMaxItems
	}
	if o.Parallel <= 0 {
		o.Parallel = 1
	}
	if o.Eager <= 0 || o.Eager > o.Parallel {
		o.Eager = o.Parallel
	}
	if o.MaxQueue <= 0 {
		o.MaxQueue = defaultMaxQueue
	}
	return o
}

// A Group runs items in groups. Its methods may be called from many
// goroutines.
type Group[T any] struct {
	opts Options
	size func(T) int
	run  func(ctx context.Context, items []T) []error

	calls   sync.Pool     // of *call[T] with one entry, that were answered
	slots   chan struct{} // holds one value per waiting item
	near    atomic.Int32  // callers that may turn out to be alone, or are
	closing chan struct{} // closed by Close, for those who wait for a slot

	mu      sync.Mutex
	queue   list[T]
	workers []*worker // goroutines that run groups now
	watched bool      // a timer looks for groups that stand
	closed  bool
	idle    chan struct{} // closed by the last worker after Close; nil before
}

// New returns a Group whose groups are run by run, in a goroutine that lives
// only while there is work. run gets a context that no caller can cancel (it
// sets its own deadline), but from DoAllHere, and returns one error per item, or
// nil when all succeeded; it may keep items, not the slice it returns. size may be nil when
// no MaxSize is set. A run that panics, or answers for another number of
// items than it was given, leaves every item of that group with
// fault.ErrUnknown.
func New[T any](opts Options, size func(T) int, run func(ctx context.Context, items []T) []error) *Group[T] {
	opts = opts.withDefaults()
	return &Group[T]{
		opts:    opts,
		size:    size,
		run:     run,
		slots:   make(chan struct{}, opts.MaxQueue),
		closing: make(chan struct{}),
	}
}

// Do adds an item and waits for its group. When ctx ends first: an item that
// no group has taken yet is withdrawn and the error is ctx's own; else the
// error is both ctx's and fault.ErrUnknown, and the group goes on. A closed
// Group answers fault.ErrClosed.
func (g *Group[T]) Do(ctx context.Context, item T) error {
	c, _ := g.calls.Get().(*call[T])
	if c == nil {
		c = newCall[T](1)
	}
	c.begin(item)
	answered := g.await(ctx, c)
	err := c.entries[0].err
	if answered {
		c.forget()
		g.calls.Put(c)
	}
	return err
}

// DoAll adds items that may share one group and waits for all of them; the
// result is aligned, nil when all succeeded. When ctx ends, each item gets
// what Do would have answered for it.
func (g *Group[T]) DoAll(ctx context.Context, items []T) []error {
	if len(items) == 0 {
		return nil
	}
	c := newCall[T](len(items))
	c.begin(items...)
	g.await(ctx, c)
	return c.errors()
}

// DoAllHere is DoAll for items that may be cut off with their caller. Who comes while
// nothing waits and nothing is under way runs them as a group here, which saves a
// goroutine and the ways to it and back. Then run gets ctx, has to return soon after
// it has ended, and answers itself for what that has left.
func (g *Group[T]) DoAllHere(ctx context.Context, items []T) []error {
	if len(items) == 0 {
		return nil
	}
	c := newCall[T](len(items))
	c.begin(items...)
	if !g.lone(ctx, c) {
		g.await(ctx, c)
	}
	return c.errors()
}

// Close lets what was added finish, refuses what comes later with
// fault.ErrClosed, and returns when no group is under way. Closing twice is
// fine. It must not be called by run, which it would wait for.
func (g *Group[T]) Close() {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		close(g.closing)
		g.idle = make(chan struct{})
		if len(g.workers) == 0 {
			close(g.idle)
		}
	}
	idle := g.idle
	g.mu.Unlock()
	<-idle
}

// await adds the entries of a call and returns when all of them are settled. It
// reports whether they were answered, so that nobody else knows of the call any
// more; one that its context took away may still be in a group's hands.
func (g *Group[T]) await(ctx context.Context, c *call[T]) (answered bool) {
	if g.size != nil {
		for i := range c.entries {
			c.entries[i].size = g.size(c.entries[i].item)
		}
	}
	for rest := c.entries; len(rest) > 0; {
		n, err := g.reserve(ctx, len(rest))
		if err == nil {
			err = g.enter(rest[:n])
		}
		if err != nil {
			g.refuse(rest, err)
			break
		}
		rest = rest[n:]
	}
	select {
	case <-c.done:
		return true
	case <-ctx.Done():
		g.leave(ctx, c)
		return false
	}
}

// reserve waits for a place in the queue and takes as many as are free, up to
// n, so that items which came together enter together.
func (g *Group[T]) reserve(ctx context.Context, n int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	for i := range n {
		select {
		case g.slots <- struct{}{}:
			continue
		default:
		}
		if i > 0 {
			return i, nil
		}
		select {
		case g.slots <- struct{}{}:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-g.closing:
			return 0, closedError()
		}
	}
	return n, nil
}

// enter puts entries into the queue and sees to it that somebody works on
// them.
func (g *Group[T]) enter(entries []entry[T]) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		g.release(len(entries))
		return closedError()
	}
	for i := range entries {
		entries[i].state = queued
		g.queue.push(&entries[i])
	}
	g.staff()
	return nil
}

// release gives n places back; whoever calls it holds as many.
func (g *Group[T]) release(n int) {
	for range n {
		<-g.slots
	}
}

// refuse settles entries that never entered the queue.
func (g *Group[T]) refuse(entries []entry[T], err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range entries {
		entries[i].call.settle(&entries[i], err)
	}
}

// leave settles what a call whose ctx ended still waits for. Afterwards no
// worker touches the call, so that its entries can be read without the lock.
func (g *Group[T]) leave(ctx context.Context, c *call[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range c.entries {
		e := &c.entries[i]
		switch e.state {
		case queued:
			g.queue.remove(e)
			g.release(1)
			c.settle(e, ctx.Err())
		case taken:
			c.settle(e, &fault.Error{Op: "wait for a group", Class: fault.ErrUnknown, Err: ctx.Err()})
		}
	}
}

func closedError() error {
	return fault.New(fault.ErrClosed, "", "group", "no item is taken any more")
}
