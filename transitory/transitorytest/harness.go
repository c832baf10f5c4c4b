package transitorytest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// A Harness gives the suite one empty store and what can be done to it. Only
// Open is required; what is nil cannot be done, and the checks that need it
// are skipped aloud.
type Harness struct {
	// Open opens a driver on the store. The suite closes it.
	Open func(ctx context.Context) (transitory.Driver, error)
	// OpenSecond opens a driver beside the first, as another program would.
	// The suite closes it.
	OpenSecond func(ctx context.Context) (transitory.Driver, error)
	// Restart kills the store without a warning and brings it back, with all
	// that Features.Durability promises for a kill.
	Restart func(ctx context.Context) error
	// Reconnects says that a driver which was open at a Restart serves again
	// after it. Without it the suite closes the driver before each Restart,
	// and opens another one afterwards.
	Reconnects bool
	// Pause lets the store fall silent, without ending a connection, until
	// Resume.
	Pause, Resume func()
	// Full makes the long checks as long as they get: 64 goroutines of 1,000 jobs
	// each, ten that open and close fifty times, and 10,000 jobs that go through two
	// restarts.
	Full bool
	// Close ends the store. The suite calls it when every driver is closed.
	Close func()
}

// patience is how long a check waits for what must happen. It bounds a hanging
// test, and asserts nothing about speed.
const patience = time.Minute

// An env is one check at work on one store.
type env struct {
	*testing.T
	ctx context.Context
	h   *Harness
	q   *transitory.Queue

	closers []func()
}

// newEnv opens a queue on a store of its own; the caller calls close.
func newEnv(t *testing.T, harness func(t *testing.T) *Harness) *env {
	t.Helper()
	h := harness(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	e := &env{T: t, ctx: ctx, h: h, closers: []func(){cancel}}
	if h.Close != nil {
		e.closers = append(e.closers, h.Close)
	}
	e.q = e.open(h.Open)
	return e
}

// size is how much a long check does: usually, and with -short, and with
// Harness.Full.
func (e *env) size(usual, short, full int) int {
	switch {
	case testing.Short():
		return short
	case e.h.Full:
		return full
	}
	return usual
}

// close ends what the check has opened, the last first.
func (e *env) close() {
	for i := len(e.closers) - 1; i >= 0; i-- {
		e.closers[i]()
	}
	e.closers = nil
}

// open opens a queue that is closed at the end of the check.
func (e *env) open(open func(ctx context.Context) (transitory.Driver, error)) *transitory.Queue {
	e.Helper()
	driver, err := open(e.ctx)
	if err != nil {
		e.Fatalf("open: %v", err)
	}
	q := transitory.New(driver)
	e.closers = append(e.closers, func() { _ = q.Close() })
	return q
}

// reopen closes the queue and opens it again.
func (e *env) reopen() {
	e.Helper()
	if err := e.q.Close(); err != nil {
		e.Fatalf("close: %v", err)
	}
	e.q = e.open(e.h.Open)
}

// restart kills the store and brings it back.
func (e *env) restart() {
	e.Helper()
	if !e.h.Reconnects {
		if err := e.q.Close(); err != nil {
			e.Fatalf("close: %v", err)
		}
	}
	if err := e.h.Restart(e.ctx); err != nil {
		e.Fatalf("restart: %v", err)
	}
	if !e.h.Reconnects {
		e.q = e.open(e.h.Open)
	}
}

// put puts jobs, all of which must be accepted.
func (e *env) put(jobs ...transitory.Job) {
	e.Helper()
	for i, err := range e.q.Put(e.ctx, jobs...) {
		if err != nil {
			e.Fatalf("put of job %d: %v", i, err)
		}
	}
}

// reserve returns n jobs of a tube, in the order in which they came.
func (e *env) reserve(n int, tubes ...string) []transitory.Job {
	e.Helper()
	var jobs []transitory.Job
	for len(jobs) < n {
		got, err := e.q.Reserve(e.ctx, tubes, n-len(jobs))
		if err != nil {
			e.Fatalf("reserve of %d jobs, after %d: %v", n, len(jobs), err)
		}
		if len(got) == 0 || len(got) > n-len(jobs) {
			e.Fatalf("reserve of at most %d returned %d jobs and no error", n-len(jobs), len(got))
		}
		jobs = append(jobs, got...)
	}
	return jobs
}

// nothing asserts that no job is handed out for a while.
func (e *env) nothing(why string, tubes ...string) {
	e.Helper()
	e.nothingFor(100*time.Millisecond, why, tubes...)
}

func (e *env) nothingFor(d time.Duration, why string, tubes ...string) {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.ctx, d)
	defer cancel()
	jobs, err := e.q.Reserve(ctx, tubes, 1)
	if len(jobs) > 0 {
		e.Fatalf("job %.40q was handed out: %s", jobs[0].Body, why)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		e.Fatalf("a reserve that its context ended returned %v", err)
	}
}

// remove deletes jobs, all of which must be held.
func (e *env) remove(jobs ...transitory.Job) {
	e.Helper()
	for i, err := range e.q.Delete(e.ctx, idsOf(jobs)...) {
		if err != nil {
			e.Fatalf("delete of job %.40q: %v", jobs[i].Body, err)
		}
	}
}

// class asserts the class of an error.
func (e *env) class(what string, err, class error) {
	e.Helper()
	if !errors.Is(err, class) {
		e.Errorf("%s: the error is %v, want %v", what, err, class)
	}
	if fault.ClassOf(err) != class {
		e.Errorf("%s: the class of %v is %v, want %v", what, err, fault.ClassOf(err), class)
	}
}

// stats returns the counts of one tube.
func (e *env) stats(tube string) transitory.TubeStats {
	e.Helper()
	stats, err := e.q.Stats(e.ctx, tube)
	if err != nil || len(stats) != 1 {
		e.Fatalf("stats of %s: %v, %v", tube, stats, err)
	}
	return stats[0]
}

// ttr is the shortest TTR that a check can rely on not to pass while it works.
func (e *env) ttr() time.Duration {
	return max(2*time.Second, e.q.Features().Resolution)
}

// delay is a short delay that the driver can keep.
func (e *env) delay() time.Duration {
	return max(50*time.Millisecond, e.q.Features().Resolution)
}

// eventually polls until ok holds.
func (e *env) eventually(what string, ok func() bool) {
	e.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			e.Fatalf("after %v: %s", patience, what)
		}
		runtime.Gosched()
		<-time.After(5 * time.Millisecond)
	}
}

func idsOf(jobs []transitory.Job) []transitory.ID {
	ids := make([]transitory.ID, len(jobs))
	for i, job := range jobs {
		ids[i] = job.ID
	}
	return ids
}

func bodies(jobs []transitory.Job) string {
	var all []string
	for _, job := range jobs {
		all = append(all, string(job.Body))
	}
	return strings.Join(all, " ")
}
