package transitory_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// fake is a driver in memory whose only clock is package time, so that it can
// live in a synctest bubble. It records what it was called with.
type fake struct {
	mu       sync.Mutex
	jobs     []*fakeJob
	last     int
	changed  chan struct{}
	closed   int
	fail     func(op string) error // nil: nothing fails
	calls    []string
	touches  int
	releases []transitory.Release
}

type fakeJob struct {
	transitory.Job
	readyAt  time.Time
	reserved time.Time // until when; zero: not
}

func newFake() *fake { return &fake{changed: make(chan struct{})} }

func (f *fake) Features() transitory.Features {
	return transitory.Features{Name: "fake", Durability: fault.Memory, MaxBody: 100, Resolution: time.Nanosecond, Strict: true, FIFO: true}
}

func (f *fake) change(op string, do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, op)
	if f.fail != nil {
		if err := f.fail(op); err != nil {
			return err
		}
	}
	err := do()
	close(f.changed)
	f.changed = make(chan struct{})
	return err
}

func (f *fake) Put(_ context.Context, jobs []transitory.Job) []error {
	errs := make([]error, len(jobs))
	for i, job := range jobs {
		errs[i] = f.change("put", func() error {
			f.last++
			job.ID = transitory.ID(fmt.Sprint(f.last))
			f.jobs = append(f.jobs, &fakeJob{Job: job, readyAt: time.Now().Add(job.Delay)})
			return nil
		})
	}
	return errs
}

func (f *fake) Reserve(ctx context.Context, tubes []string, max int) ([]transitory.Job, error) {
	for {
		f.mu.Lock()
		if f.fail != nil {
			if err := f.fail("reserve"); err != nil {
				f.mu.Unlock()
				return nil, err
			}
		}
		changed := f.changed
		for _, j := range f.jobs {
			if slices.Contains(tubes, j.Tube) && !j.readyAt.After(time.Now()) && !j.reserved.After(time.Now()) {
				j.reserved = time.Now().Add(j.TTR)
				j.Reserves++
				f.mu.Unlock()
				return []transitory.Job{j.Job}, nil
			}
		}
		f.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (f *fake) held(id transitory.ID) int {
	return slices.IndexFunc(f.jobs, func(j *fakeJob) bool { return j.ID == id && j.reserved.After(time.Now()) })
}

func (f *fake) settle(op string, id transitory.ID, do func(at int)) error {
	return f.change(op, func() error {
		at := f.held(id)
		if at < 0 {
			return fault.New(fault.ErrNotFound, "transitory", op, "gone")
		}
		do(at)
		return nil
	})
}

func (f *fake) Delete(_ context.Context, ids []transitory.ID) []error {
	var errs []error
	for _, id := range ids {
		errs = append(errs, f.settle("delete", id, func(at int) { f.jobs = slices.Delete(f.jobs, at, at+1) }))
	}
	return errs
}

func (f *fake) Release(_ context.Context, releases []transitory.Release) []error {
	var errs []error
	for _, r := range releases {
		errs = append(errs, f.settle("release", r.ID, func(at int) {
			f.releases = append(f.releases, r)
			f.jobs[at].reserved, f.jobs[at].readyAt = time.Time{}, time.Now().Add(r.Delay)
		}))
	}
	return errs
}

func (f *fake) Touch(_ context.Context, ids []transitory.ID) []error {
	var errs []error
	for _, id := range ids {
		errs = append(errs, f.settle("touch", id, func(at int) {
			f.touches++
			f.jobs[at].reserved = time.Now().Add(f.jobs[at].TTR)
		}))
	}
	return errs
}

func (f *fake) Stats(_ context.Context, tubes []string) ([]transitory.TubeStats, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stats := make([]transitory.TubeStats, len(tubes))
	for i, tube := range tubes {
		stats[i].Tube = tube
		for _, j := range f.jobs {
			if j.Tube == tube {
				stats[i].Ready++
			}
		}
	}
	return stats, nil
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

func (f *fake) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.jobs)
}

func (f *fake) touched() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.touches
}

// fails lets every call of an operation fail n times.
func (f *fake) fails(op string, n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = func(called string) error {
		if called != op || n == 0 {
			return nil
		}
		n--
		return err
	}
}
