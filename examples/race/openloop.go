package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
)

// The phases of the open loop: check-ins come at a rate, whether or not those
// before them are dealt with, then at 5.5 times the rate, which is what the
// busiest minute of a day does, then as before.
const spikeFactor = 5.5

// A phase is one part of an open loop.
type phase struct {
	name  string
	every time.Duration // from one check-in to the next
	n     int
}

// phasesOf are calm, spike and calm again, each of so many seconds.
func phasesOf(rate, seconds int) []phase {
	calm := time.Second / time.Duration(rate)
	spike := time.Duration(float64(calm) / spikeFactor)
	of := func(name string, every time.Duration) phase {
		return phase{name, every, int(time.Duration(seconds) * time.Second / every)}
	}
	return []phase{of("calm", calm), of("spike", spike), of("after", calm)}
}

// An arrivals notes when each check-in was meant to be sent, and what became of
// it.
type arrivals struct {
	mu      sync.Mutex
	meant   []time.Time
	put     []time.Duration // from then to the return of its Put
	started []time.Duration // from then to the start of its real-time task
	delayed []time.Duration // from acceptance to the end of its last task
}

func (a *arrivals) task(i int, e persistence.TaskEvent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch e.Task {
	case "notify":
		a.started[i] = e.Started.Sub(a.meant[i])
	case "index":
		a.delayed[i] = e.Ended.Sub(e.Accepted)
	}
}

// openLoop runs the phases and prints how long check-ins waited in each.
func (r *race) openLoop(ctx context.Context, stdout io.Writer) error {
	phases := phasesOf(r.openRate, r.openSeconds)
	n := 0
	for _, p := range phases {
		n += p.n
	}
	l := newLap(n, r.size, 1, 6)
	a := &arrivals{
		meant: make([]time.Time, n), put: make([]time.Duration, n),
		started: make([]time.Duration, n), delayed: make([]time.Duration, n),
	}
	l.see = func(e persistence.TaskEvent) { a.task(indexOf(l.number, e.Key), e) }
	r.laps.current.Store(l)
	defer r.laps.current.Store(nil)
	stop := r.system.work(ctx)
	last, err := r.send(ctx, l, a, phases)
	if err == nil {
		err = l.wait(ctx)
	}
	drained := time.Since(last)
	if err = errors.Join(err, stop()); err == nil {
		err = r.system.settled(ctx)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%-6s %8s  %-23s  %-23s  %s\n", "", "a second", "Put p50, p99", "real time p50, p99", "last task p50, p99")
	for _, p := range phases {
		fmt.Fprintf(stdout, "%-6s %8.0f  %-23s  %-23s  %s\n", p.name, float64(time.Second)/float64(p.every),
			spread(a.put[:p.n]), spread(a.started[:p.n]), spread(a.delayed[:p.n]))
		a.put, a.started, a.delayed = a.put[p.n:], a.started[p.n:], a.delayed[p.n:]
	}
	fmt.Fprintf(stdout, "%d check-ins, none lost; the last task was done %s after the last was sent\n", n, brief(drained))
	return nil
}

// send puts each check-in at its time, in a goroutine of its own.
func (r *race) send(ctx context.Context, l *lap, a *arrivals, phases []phase) (last time.Time, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	at, i := time.Now(), 0
	for _, p := range phases {
		for range p.n {
			at = at.Add(p.every)
			if wait := time.Until(at); wait > 0 {
				time.Sleep(wait)
			}
			if ctx.Err() != nil {
				break
			}
			a.mu.Lock()
			a.meant[i] = at
			a.mu.Unlock()
			number := i
			all.Go(func() {
				err := put(ctx, r.system.later, &l.objects[number])
				a.mu.Lock()
				defer a.mu.Unlock()
				a.put[number] = time.Since(a.meant[number])
				if err != nil {
					cancel(fmt.Errorf("%s: %w", l.objects[number].ID, err))
				}
			})
			i++
		}
	}
	last = time.Now()
	all.Wait()
	return last, context.Cause(ctx)
}

// spread is the middle and the 99th percentile of durations.
func spread(all []time.Duration) string {
	slices.Sort(all)
	return brief(percentile(all, 50)) + ", " + brief(percentile(all, 99))
}
