package transitorytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

var together = []check{
	{name: "MixedOperations", run: mixedOperations,
		promise: "every method is safe for concurrent use; what goes in comes out, once while its reservation holds"},
	{name: "PutWhileReserving_B14", run: putWhileReserving,
		promise: "a Reserve that waits holds up no other call of the same driver"},
	{name: "TwoDrivers", run: twoDrivers, needs: []need{second},
		promise: "two drivers on one store see each other's jobs, and neither can settle what the other holds"},
	{name: "TwoDriversClose", run: twoDriversClose, needs: []need{second},
		promise: "what a closed driver had reserved becomes ready for the others"},
}

var restarting = []check{
	{name: "RestartKeepsJobs_B2", run: restartKeepsJobs, needs: []need{restarts, survives},
		promise: "a kill loses no accepted job and brings no deleted one back; reserved jobs are ready again, delayed ones stay delayed"},
	{name: "RestartForgetsReservations_B13", run: restartForgetsReservations, needs: []need{restarts},
		promise: "an id of before a restart is fault.ErrNotFound, also when another job has its number now"},
	{name: "RestartUnderWay", run: restartUnderWay, needs: []need{restarts, survives},
		promise: "restarts at a third and at half of the work lose no job"},
}

// A ledger counts what came out, by body.
type ledger struct {
	mu   sync.Mutex
	seen map[string]int
}

func (l *ledger) add(body []byte) (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[string]int{}
	}
	l.seen[string(body)]++
	return l.seen[string(body)] == 1
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.seen)
}

func mixedOperations(e *env) {
	const goroutines = 64
	each := e.size(100, 10, 1000)
	var done ledger
	ctx, stop := context.WithCancel(e.ctx)
	defer stop()
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := 0; i < each && !e.Failed(); i++ {
				body := fmt.Appendf(nil, "%d.%d", g, i)
				tube := []string{"a", "b", "c"}[i%3]
				if err := e.q.Put(ctx, transitory.Job{Tube: tube, Priority: uint32(i % 5), TTR: time.Hour, Body: body})[0]; err != nil {
					e.Errorf("put: %v", err)
				}
				e.workOnce(ctx, i, &done)
			}
		})
	}
	wg.Wait()
	for done.len() < goroutines*each && !e.Failed() {
		job := e.reserve(1, "a", "b", "c")[0]
		if !done.add(job.Body) {
			e.Errorf("job %s came twice", job.Body)
		}
		e.remove(job)
	}
	for _, tube := range []string{"a", "b", "c"} {
		if s := e.stats(tube); s.Ready+s.Delayed+s.Reserved != 0 {
			e.Errorf("at the end tube %s has %+v", tube, s)
		}
	}
}

// workOnce reserves, touches and then deletes or releases, as i has it.
func (e *env) workOnce(ctx context.Context, i int, done *ledger) {
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	jobs, err := e.q.Reserve(short, []string{"a", "b", "c"}, 1+i%4)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		e.Errorf("reserve: %v", err)
	}
	for _, job := range jobs {
		if i%7 == 0 {
			if err := e.q.Touch(ctx, job.ID)[0]; err != nil {
				e.Errorf("touch: %v", err)
			}
		}
		if i%5 == 0 {
			if err := e.q.Release(ctx, transitory.Release{ID: job.ID, Priority: 3})[0]; err != nil {
				e.Errorf("release: %v", err)
			}
			continue
		}
		if !done.add(job.Body) {
			e.Errorf("job %s came twice", job.Body)
		}
		if err := e.q.Delete(ctx, job.ID)[0]; err != nil {
			e.Errorf("delete: %v", err)
		}
	}
}

func putWhileReserving(e *env) {
	ctx, cancel := context.WithCancel(e.ctx)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { _, _ = e.q.Reserve(ctx, []string{"empty"}, 1) })
	}
	for range 20 {
		e.put(transitory.Job{Tube: "t"})
		e.remove(e.reserve(1, "t")...)
		e.stats("t")
	}
	cancel()
	wg.Wait()
}

func twoDrivers(e *env) {
	q2 := e.open(e.h.OpenSecond)
	e.put(transitory.Job{Tube: "t", Body: []byte("one"), TTR: time.Hour})
	jobs, err := q2.Reserve(e.ctx, []string{"t"}, 1)
	if err != nil || bodies(jobs) != "one" {
		e.Fatalf("the second driver got %v, %v", jobs, err)
	}
	e.nothing("the other driver holds it", "t")
	e.class("delete by the other driver", e.q.Delete(e.ctx, jobs[0].ID)[0], fault.ErrNotFound)
	if s := e.stats("t"); s.Reserved != 1 {
		e.Errorf("the first driver counts %+v", s)
	}
	got := e.waiting("t")
	if err := q2.Release(e.ctx, transitory.Release{ID: jobs[0].ID})[0]; err != nil {
		e.Fatal(err)
	}
	e.remove(e.woken("a release by the other driver", got))
}

func twoDriversClose(e *env) {
	q2 := e.open(e.h.OpenSecond)
	e.put(transitory.Job{Tube: "t", TTR: time.Hour})
	if _, err := q2.Reserve(e.ctx, []string{"t"}, 1); err != nil {
		e.Fatal(err)
	}
	got := e.waiting("t")
	if err := q2.Close(); err != nil {
		e.Fatal(err)
	}
	e.remove(e.woken("the end of the other driver", got))
}

func restartKeepsJobs(e *env) {
	for i := range 30 {
		e.put(transitory.Job{Tube: "t", Priority: uint32(i), TTR: time.Hour, Body: fmt.Append(nil, i)})
	}
	e.put(transitory.Job{Tube: "delayed", Delay: transitory.MaxDelay})
	held := e.reserve(20, "t")
	e.remove(held[:10]...)
	e.restart()
	var back []transitory.Job
	for len(back) < 20 {
		jobs := e.reserveThrough(20-len(back), "t")
		back = append(back, jobs...)
	}
	if !e.q.Features().Strict { // then which jobs are left is all there is to know
		slices.SortFunc(back, func(a, b transitory.Job) int { return int(a.Priority) - int(b.Priority) })
	}
	deleted := map[string]bool{}
	for _, job := range held[:10] {
		deleted[string(job.Body)] = true
	}
	for i := range 30 {
		if body := fmt.Sprint(i); !deleted[body] {
			if string(back[0].Body) != body {
				e.Fatalf("after the restart job %s came where %s was due", back[0].Body, body)
			}
			back = back[1:]
		}
	}
	e.nothing("the rest was deleted before the restart", "t")
	e.nothing("it is delayed", "delayed")
	if s := e.stats("delayed"); s.Delayed != 1 {
		e.Errorf("the delayed job is counted as %+v", s)
	}
}

// reserveThrough reserves although the store may still be coming back.
func (e *env) reserveThrough(most int, tubes ...string) []transitory.Job {
	e.Helper()
	var jobs []transitory.Job
	e.eventually("nothing can be reserved after the restart", func() bool {
		ctx, cancel := context.WithTimeout(e.ctx, 10*time.Second)
		defer cancel()
		var err error
		jobs, err = e.q.Reserve(ctx, tubes, most)
		if err != nil && !fault.Retryable(err) && !fault.Unknown(err) && ctx.Err() == nil {
			e.Fatalf("reserve after a restart: %v", err)
		}
		return len(jobs) > 0
	})
	return jobs
}

func restartForgetsReservations(e *env) {
	e.put(transitory.Job{Tube: "t", TTR: time.Hour, Body: []byte("old")})
	stale := e.reserve(1, "t")[0]
	e.restart()
	e.eventually("a put never succeeds after the restart", func() bool {
		return e.q.Put(e.ctx, transitory.Job{Tube: "u", TTR: time.Hour, Body: []byte("new")})[0] == nil
	})
	e.reserveThrough(1, "u")
	for op, err := range map[string]error{
		"delete":  e.q.Delete(e.ctx, stale.ID)[0],
		"touch":   e.q.Touch(e.ctx, stale.ID)[0],
		"release": e.q.Release(e.ctx, transitory.Release{ID: stale.ID})[0],
	} {
		e.class(op+" of a reservation of before the restart", err, fault.ErrNotFound)
	}
}

// restartUnderWay is the total-queue check: every acknowledged put comes out,
// nothing comes out that was not put, and a repeat is no loss.
func restartUnderWay(e *env) {
	jobs := e.size(3000, 300, 10_000)
	acked, maybe := map[string]bool{}, map[string]bool{}
	var done ledger
	var next atomic.Int64
	var mu sync.Mutex
	for next.Load() < int64(jobs) {
		until := int64(jobs / 3)
		if n := next.Load(); n >= until {
			until = int64(jobs / 2)
			if n >= until {
				until = int64(jobs)
			}
		}
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for {
					n := next.Add(1)
					if n > until {
						next.Add(-1)
						return
					}
					body := fmt.Sprint(n)
					err := e.q.Put(e.ctx, transitory.Job{Tube: "t", TTR: time.Hour, Body: []byte(body)})[0]
					mu.Lock()
					if err == nil {
						acked[body] = true
					} else {
						maybe[body] = true
					}
					mu.Unlock()
					if n%2 == 0 {
						e.consume(&done)
					}
				}
			})
		}
		if e.h.Reconnects && until < int64(jobs) {
			e.restart() // in the middle of the work
		}
		wg.Wait()
		if !e.h.Reconnects && until < int64(jobs) {
			e.restart()
		}
	}
	e.drain(&done, acked)
	for body := range done.seen {
		if !acked[body] && !maybe[body] {
			e.Errorf("job %s came out and never was put", body)
		}
	}
}

// consume works on one job if there is one soon; errors are what a restart
// gives.
func (e *env) consume(done *ledger) {
	ctx, cancel := context.WithTimeout(e.ctx, 100*time.Millisecond)
	defer cancel()
	jobs, err := e.q.Reserve(ctx, []string{"t"}, 1)
	if err != nil {
		return
	}
	for _, job := range jobs {
		done.add(job.Body)
		_ = e.q.Delete(ctx, job.ID)
	}
}

// drain takes what is left until every acknowledged job came out.
func (e *env) drain(done *ledger, acked map[string]bool) {
	e.Helper()
	e.eventually("acknowledged jobs are lost", func() bool {
		e.consume(done)
		done.mu.Lock()
		defer done.mu.Unlock()
		for body := range acked {
			if done.seen[body] == 0 {
				return false
			}
		}
		return true
	})
}
