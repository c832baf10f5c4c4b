package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
)

// A lap is one entrant's run over its own check-ins.
type lap struct {
	number  int64 // microseconds since 1970: no two laps have the same
	objects []Checkin
	callers int
	// done[task][i] counts how often the follow-up of check-in i was done.
	done  [2][]atomic.Int32
	all   bool                        // every task is waited for, not the follow-ups alone
	left  atomic.Int64                // how many of them
	over  chan struct{}               // closed when none is left
	waits bool                        // tasks may wait: what waited a second is cached only over an older entry
	see   func(persistence.TaskEvent) // told of every task that is done; nil: nobody
	lost  atomic.Int64                // entries that the cache does not have afterwards
}

// laps is the lap that is run at present, for those who are told of follow-ups.
type laps struct{ current atomic.Pointer[lap] }

// newLap makes a lap that is over when so many tasks per check-in are done: the
// follow-ups, and if there are more than these, all.
func newLap(n, size, callers, tasks int) *lap {
	number := time.Now().UnixMicro()
	l := &lap{number: number, objects: checkins(number, n, size), callers: callers, all: tasks > len(tubeNames), over: make(chan struct{})}
	for task := range l.done {
		l.done[task] = make([]atomic.Int32, n)
	}
	if l.left.Store(int64(n * tasks)); tasks == 0 {
		close(l.over)
	}
	return l
}

// followed notes that a follow-up was done. Only the first time counts: a queue
// may hand out a job twice.
func (ls *laps) followed(task int, c *Checkin) {
	l := ls.current.Load()
	if l == nil {
		return
	}
	if i := indexOf(l.number, c.ID); i >= 0 && i < len(l.objects) && l.done[task][i].Add(1) == 1 {
		l.ended()
	}
}

// ended notes that a task is done.
func (l *lap) ended() {
	if l.left.Add(-1) == 0 {
		close(l.over)
	}
}

// A putter has one check-in dealt with.
type putter func(ctx context.Context, c *Checkin) error

// drive puts all check-ins, each caller one after the other, and returns how
// long each took. The first error ends it.
func (l *lap) drive(ctx context.Context, puts []putter) ([]time.Duration, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	took := make([]time.Duration, len(l.objects))
	errs := make([]error, len(puts))
	var next atomic.Int64
	var all sync.WaitGroup
	for caller, put := range puts {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(l.objects) || ctx.Err() != nil {
					return
				}
				begun := time.Now()
				if err := put(ctx, &l.objects[i]); err != nil {
					errs[caller] = fmt.Errorf("%s: %w", l.objects[i].ID, err)
					stop()
					return
				}
				took[i] = time.Since(begun)
			}
		})
	}
	all.Wait()
	return took, errors.Join(errs...)
}

// patience is how long a lap may take to end after its last put.
const patience = 2 * time.Minute

// wait waits until the last task is done.
func (l *lap) wait(ctx context.Context) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-l.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("%d tasks are not done %v after the last put", l.left.Load(), patience)
	}
}
