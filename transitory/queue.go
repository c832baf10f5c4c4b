package transitory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Limits.
const (
	DefaultTTR = 30 * time.Second
	MaxTTR     = 24 * time.Hour
	MaxDelay   = time.Hour
	MaxTube    = 199 // bytes of a tube's name
)

// A Queue is a queue of jobs in tubes. It validates what it is given before
// the driver sees it, so that no name or size can upset a server. Its methods
// are safe for concurrent use.
type Queue struct {
	driver   Driver
	features Features

	mu       sync.Mutex
	closed   bool
	done     chan struct{} // closed when the driver's Close has returned
	closeErr error         // the driver's answer, read after done
}

// New returns a Queue over a driver, which Close closes.
func New(driver Driver) *Queue {
	q := &Queue{driver: driver, done: make(chan struct{})}
	if f, ok := driver.(Featured); ok {
		q.features = f.Features()
	}
	_, q.features.Search = driver.(Searcher)
	return q
}

// Put adds jobs, each on its own; the result is aligned with jobs, and an
// element is nil when that job is in the queue, as durable as
// Features.Durability says. A zero TTR becomes DefaultTTR. A faulty job is
// refused alone, before the driver sees it: fault.ErrInvalid for a tube, delay
// or TTR out of range, fault.ErrTooLarge for a body over Features.MaxBody.
func (q *Queue) Put(ctx context.Context, jobs ...Job) []error {
	if err := q.ready(ctx, "put"); err != nil {
		return all(len(jobs), err)
	}
	checked := make([]Job, len(jobs))
	var faults []error // nil while every job is sound, which is the common case
	for i, job := range jobs {
		checked[i] = normal(job)
		if err := q.checkJob(job); err != nil {
			if faults == nil {
				faults = make([]error, len(jobs))
			}
			faults[i] = err
		}
	}
	if faults == nil {
		return aligned(q.driver.Put(ctx, checked), len(jobs))
	}
	return q.putSound(ctx, checked, faults)
}

// putSound gives the driver the jobs that have no fault yet, and returns all
// the errors, aligned with jobs.
func (q *Queue) putSound(ctx context.Context, jobs []Job, errs []error) []error {
	var sound []Job
	var at []int
	for i, job := range jobs {
		if errs[i] == nil {
			sound, at = append(sound, job), append(at, i)
		}
	}
	if len(sound) == 0 {
		return errs
	}
	for i, err := range aligned(q.driver.Put(ctx, sound), len(sound)) {
		errs[at[i]] = err
	}
	return errs
}

// Reserve waits until at least one job of the tubes is ready, and returns at
// most max of them, the most urgent first over all the tubes; each is reserved
// for its TTR from now on. When ctx ends first the error is ctx.Err(). A tube
// that is named twice counts once; no tube, or a max below 1, is fault.ErrInvalid.
// The bodies are the caller's own.
func (q *Queue) Reserve(ctx context.Context, tubes []string, max int) ([]Job, error) {
	if err := q.ready(ctx, "reserve"); err != nil {
		return nil, err
	}
	if max < 1 {
		return nil, fault.New(fault.ErrInvalid, "transitory", "reserve",
			fmt.Sprintf("at most %d jobs were asked for; ask for 1 or more", max))
	}
	tubes, err := checkTubes("reserve", tubes, true)
	if err != nil {
		return nil, err
	}
	return q.driver.Reserve(ctx, tubes, max)
}

// Delete removes reserved jobs: their work is done. The result is aligned with
// ids; fault.ErrNotFound says that the reservation is gone, and that somebody
// else may be running the job.
func (q *Queue) Delete(ctx context.Context, ids ...ID) []error {
	if err := q.ready(ctx, "delete"); err != nil {
		return all(len(ids), err)
	}
	return aligned(q.driver.Delete(ctx, ids), len(ids))
}

// Release gives reserved jobs back, each with a priority and a delay of its
// own. The result is aligned with releases: fault.ErrNotFound as of Delete, and
// fault.ErrInvalid, for that job alone, where the delay is out of range.
func (q *Queue) Release(ctx context.Context, releases ...Release) []error {
	if err := q.ready(ctx, "release"); err != nil {
		return all(len(releases), err)
	}
	for _, r := range releases {
		if err := checkDelay("release", "", r.Delay); err != nil {
			return q.releaseSound(ctx, releases)
		}
	}
	return aligned(q.driver.Release(ctx, releases), len(releases))
}

// releaseSound gives the driver those releases whose delay is in range.
func (q *Queue) releaseSound(ctx context.Context, releases []Release) []error {
	errs := make([]error, len(releases))
	var sound []Release
	var at []int
	for i, r := range releases {
		if errs[i] = checkDelay("release", "", r.Delay); errs[i] == nil {
			sound, at = append(sound, r), append(at, i)
		}
	}
	if len(sound) == 0 {
		return errs
	}
	for i, err := range aligned(q.driver.Release(ctx, sound), len(sound)) {
		errs[at[i]] = err
	}
	return errs
}

// Touch restarts the TTR of reserved jobs. The result is aligned with ids, with
// fault.ErrNotFound as of Delete: then whoever runs the job should stop.
func (q *Queue) Touch(ctx context.Context, ids ...ID) []error {
	if err := q.ready(ctx, "touch"); err != nil {
		return all(len(ids), err)
	}
	return aligned(q.driver.Touch(ctx, ids), len(ids))
}

// Stats counts the jobs of tubes, in their order. A tube in which nothing lies
// has zeros.
func (q *Queue) Stats(ctx context.Context, tubes ...string) ([]TubeStats, error) {
	if err := q.ready(ctx, "stats"); err != nil {
		return nil, err
	}
	if _, err := checkTubes("stats", tubes, false); err != nil {
		return nil, err
	}
	return q.driver.Stats(ctx, slices.Clone(tubes))
}

// Search looks into jobs that lie in tubes, reserved or not, and removes those
// that want asks for and that nobody has reserved: see Searcher. A queue whose
// driver cannot is fault.ErrUnsupported.
func (q *Queue) Search(ctx context.Context, tubes []string, want func(Job) bool) (removed []Job, kept int, err error) {
	if err := q.ready(ctx, "search"); err != nil {
		return nil, 0, err
	}
	searcher, ok := q.driver.(Searcher)
	if !ok {
		return nil, 0, fault.New(fault.ErrUnsupported, "transitory", "search", "the queue cannot look into jobs that are not reserved")
	}
	if tubes, err = checkTubes("search", tubes, true); err != nil {
		return nil, 0, err
	}
	return searcher.Search(ctx, tubes, want)
}

// Explain returns the commands or statements that Put sends for a job, as the
// driver's Explainer says them; nil when it is none. Nothing is put.
func (q *Queue) Explain(job Job) []string {
	if explainer, ok := q.driver.(Explainer); ok {
		return explainer.Explain(job)
	}
	return nil
}

// Features are the driver's.
func (q *Queue) Features() Features { return q.features }

// Check reports health. A closed queue is not reachable and says why.
func (q *Queue) Check(ctx context.Context) fault.Report {
	report := fault.Report{Purpose: "transitory", Driver: q.features.Name}
	if q.isClosed() {
		report.Class, report.Problems = fault.ErrClosed, []string{"the queue is closed; open a new one"}
		return report
	}
	checker, ok := q.driver.(Checker)
	if !ok {
		report.Problems = []string{"the driver cannot report its health; implement transitory.Checker"}
		return report
	}
	return checker.Check(ctx)
}

// Close closes the driver: reserved jobs become ready again, and every other
// method returns fault.ErrClosed from now on. Closing twice is fine; both calls
// return when the driver is closed.
func (q *Queue) Close() error {
	q.mu.Lock()
	first := !q.closed
	q.closed = true
	q.mu.Unlock()
	if first {
		q.closeErr = q.driver.Close()
		close(q.done)
	}
	<-q.done
	return q.closeErr
}

func (q *Queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// ready refuses a call on a closed queue, and one whose context has ended: the
// driver would have to find out, and nothing was sent so far.
func (q *Queue) ready(ctx context.Context, op string) error {
	if q.isClosed() {
		return fault.New(fault.ErrClosed, "transitory", op, "the queue was closed")
	}
	return ctx.Err()
}

// all is n times the same error.
func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// aligned makes good for a driver that answers nil for "all applied", so that
// callers may index the result. Any other length is a faulty driver, whose
// answers cannot be told apart.
func aligned(errs []error, n int) []error {
	switch len(errs) {
	case n:
		return errs
	case 0:
		return make([]error, n)
	}
	return all(n, fault.New(fault.ErrUnknown, "transitory", "call",
		fmt.Sprintf("the driver answered %d times for %d jobs", len(errs), n)))
}
