package group

import (
	"context"
	"errors"
	"fmt"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// work runs groups until nothing waits.
func (g *Group[T]) work() {
	// A run that ends its goroutine (runtime.Goexit, which a failing test
	// does) must not leave the queue without a worker.
	ended := false
	defer func() {
		if !ended {
			go g.work()
		}
	}()
	for {
		entries := g.take()
		if entries == nil {
			ended = true
			return
		}
		g.runGroup(entries)
	}
}

// take returns the next group, or nil when nothing waits and this worker has
// signed off.
func (g *Group[T]) take() []*entry[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.queue.head == nil {
		if g.workers--; g.workers == 0 && g.closed {
			close(g.idle)
		}
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
	return entries
}

// runGroup runs one group and settles its entries, however run ends.
func (g *Group[T]) runGroup(entries []*entry[T]) {
	items := make([]T, len(entries))
	for i, e := range entries {
		items[i] = e.item
	}
	var errs []error
	failure := unknown(errors.New("the run of the group ended its goroutine"))
	defer func() {
		if p := recover(); p != nil {
			failure = unknown(fmt.Errorf("the run of the group panicked: %v", p))
		}
		g.settle(entries, errs, failure)
	}()
	errs = g.run(context.Background(), items)
	failure = nil
	if errs != nil && len(errs) != len(items) {
		failure = unknown(fmt.Errorf("the run of the group gave %d answers for %d items", len(errs), len(items)))
	}
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
