package group

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/internal/stack"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A worker is a goroutine that runs groups.
type worker struct {
	began time.Time // its group
	items int       // of its group; none while it looks for one
}

// staff starts a worker for what waits, or sees to it that somebody does when
// the groups under way have stood for too long. The caller holds mu.
func (g *Group[T]) staff() {
	if g.queue.head == nil || len(g.workers) >= g.opts.Parallel {
		return
	}
	moving, next := g.moving()
	switch {
	case moving < g.opts.Eager:
		w := &worker{began: time.Now()}
		g.workers = append(g.workers, w)
		go g.work(w)
	case !g.watched:
		g.watched = true
		time.AfterFunc(next, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.watched = false
			g.staff()
		})
	}
}

// moving counts the groups under way that are not small and do not stand, and
// says how long it is until the first of them does. The caller holds mu.
func (g *Group[T]) moving() (n int, next time.Duration) {
	if g.opts.Eager == g.opts.Parallel {
		return len(g.workers), 0
	}
	next = g.opts.Patience
	for _, w := range g.workers {
		if w.items > 0 && w.items < g.opts.Small {
			continue
		}
		if left := g.opts.Patience - time.Since(w.began); left > 0 {
			n, next = n+1, min(next, left)
		}
	}
	return n, next
}

// work runs groups until nothing waits.
func (g *Group[T]) work(w *worker) {
	// A run that ends its goroutine (runtime.Goexit, which a failing test
	// does) must not leave the queue without a worker.
	ended := false
	stack.Grow()
	defer func() {
		if !ended {
			go g.work(w)
		}
	}()
	for {
		// Whoever can run now runs before us, and what it adds shares the group.
		// Without it the first of many callers that an answer has just woken was
		// a group of its own, and the rest of them the next.
		runtime.Gosched()
		entries := g.take(w)
		if entries == nil {
			ended = true
			return
		}
		g.runGroup(context.Background(), entries)
	}
}

// take returns the next group, or nil when nothing waits, or others are enough
// for it, and this worker has signed off.
func (g *Group[T]) take(w *worker) []*entry[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	w.began, w.items = time.Now(), 0
	if moving, _ := g.moving(); g.queue.head == nil || moving > g.opts.Eager {
		g.signOff(w)
		return nil
	}
	var entries []*entry[T]
	size := 0
	for e := g.queue.head; e != nil && len(entries) < g.opts.MaxItems; e = g.queue.head {
		size += e.size
		if g.opts.MaxSize > 0 && size > g.opts.MaxSize && len(entries) > 0 {
			break
		}
		g.queue.remove(e)
		g.release(1)
		e.state = taken
		entries = append(entries, e)
	}
	w.items = len(entries)
	g.staff() // for what is left, should this group come to stand
	return entries
}

// signOff lets a worker go that takes no more groups. The caller holds mu.
func (g *Group[T]) signOff(w *worker) {
	g.workers = slices.DeleteFunc(g.workers, func(of *worker) bool { return of == w })
	g.staff() // the others may come to stand
	if len(g.workers) == 0 && g.closed {
		close(g.idle)
	}
}

// lone runs a call in its caller's goroutine, as a group of its own, when it is the
// only one. What comes meanwhile forms the next groups, as beside any worker.
func (g *Group[T]) lone(ctx context.Context, c *call[T]) bool {
	defer g.near.Add(-1)
	if g.near.Add(1) > 1 || !g.idles() {
		return false
	}
	runtime.Gosched() // whoever can run now comes to wait, and is company: see work
	w, entries := g.takeAlone(ctx, c)
	if w == nil {
		return false
	}
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.signOff(w)
	}()
	g.runGroup(ctx, entries)
	<-c.done
	return true
}

// idles is free for who does not hold mu.
func (g *Group[T]) idles() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.free()
}

// free reports whether nothing waits, nothing is under way, and something is taken.
// The caller holds mu.
func (g *Group[T]) free() bool {
	return !g.closed && len(g.workers) == 0 && g.queue.head == nil
}

// takeAlone makes a call the group of a worker that is its caller; without a worker
// it is not alone, or no group.
func (g *Group[T]) takeAlone(ctx context.Context, c *call[T]) (*worker, []*entry[T]) {
	entries := make([]*entry[T], len(c.entries))
	size := 0
	for i := range c.entries {
		if entries[i] = &c.entries[i]; g.size != nil {
			size += g.size(entries[i].item)
		}
	}
	if ctx.Err() != nil || len(entries) > g.opts.MaxItems || g.opts.MaxSize > 0 && size > g.opts.MaxSize && len(entries) > 1 {
		return nil, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.free() {
		return nil, nil
	}
	w := &worker{began: time.Now(), items: len(entries)}
	g.workers = append(g.workers, w)
	for _, e := range entries {
		e.state = taken
	}
	return w, entries
}

// runGroup runs one group and settles its entries, however run ends.
func (g *Group[T]) runGroup(ctx context.Context, entries []*entry[T]) {
	items := make([]T, len(entries))
	for i, e := range entries {
		items[i] = e.item
	}
	var errs []error
	returned := false
	defer func() {
		var failure error
		switch p := recover(); {
		case p != nil:
			failure = unknown(fmt.Errorf("the run of the group panicked: %v", p))
		case !returned:
			failure = unknown(errors.New("the run of the group ended its goroutine"))
		case errs != nil && len(errs) != len(items):
			failure = unknown(fmt.Errorf("the run of the group gave %d answers for %d items", len(errs), len(items)))
		}
		g.settle(entries, errs, failure)
	}()
	errs = g.run(ctx, items)
	returned = true
}

func (g *Group[T]) settle(entries []*entry[T], errs []error, failure error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, e := range entries {
		err := failure
		if failure == nil && errs != nil {
			err = errs[i]
		}
		e.call.settle(e, err)
	}
}

// unknown is the answer for items of which nobody can say what became of them.
func unknown(err error) error {
	return &fault.Error{Op: "run a group", Class: fault.ErrUnknown, Err: err}
}
