package beanstalkd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// Reserve waits for jobs on every server that can be reached. One server
// orders its own jobs; over several, each answers in turn.
func (d *driver) Reserve(ctx context.Context, tubes []string, max int) ([]transitory.Job, error) {
	if err := d.ready(ctx, "reserve"); err != nil {
		return nil, err
	}
	if len(tubes) == 0 || max < 1 {
		return nil, fault.New(fault.ErrInvalid, "transitory", "reserve", "no tube is named, or no job is asked for")
	}
	tubes = slices.Compact(slices.Sorted(slices.Values(tubes)))
	for _, tube := range tubes {
		if err := transitory.ValidTube(tube); err != nil {
			return nil, err
		}
	}
	key := strings.Join(tubes, " ") // no name has a space in it
	for {
		if len(d.servers) > 1 {
			jobs, err := d.poll(ctx, key, tubes, max)
			if err != nil || len(jobs) > 0 {
				return jobs, err
			}
		}
		jobs, err := d.wait(ctx, key, tubes, max)
		if err != nil || len(jobs) > 0 {
			return jobs, err
		}
	}
}

// poll asks one server after the other for what is ready now, and begins with
// another one each time. It is an error when no server can be asked.
func (d *driver) poll(ctx context.Context, key string, tubes []string, max int) ([]transitory.Job, error) {
	var failed []error
	first := int(d.turn.Add(1))
	for k := range d.servers {
		s := d.servers[(first+k)%len(d.servers)]
		jobs, err := s.now(ctx, key, tubes, max)
		if ctx.Err() != nil && err != nil {
			return nil, ctx.Err()
		}
		if len(jobs) > 0 {
			return jobs, nil
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == len(d.servers) {
		return nil, fault.Wrap(fault.ErrUnavailable, "transitory", "reserve", errors.Join(failed...))
	}
	return nil, nil
}

// now reserves what one server has ready.
func (s *server) now(ctx context.Context, key string, tubes []string, max int) ([]transitory.Job, error) {
	if err := s.reachable(); err != nil {
		return nil, err
	}
	c, err := s.acquire(ctx, key, tubes)
	if err != nil {
		return nil, err
	}
	jobs, err := c.try(ctx, max)
	if err != nil || c.link.isBroken() {
		c.discard()
		return nil, c.lost(ctx, err)
	}
	if len(jobs) == 0 {
		s.consumers.free(c, taken)
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hold(jobs), nil
}

// wait waits until one server brings jobs. With several servers it returns
// nothing after a slice of time, so that a server that came back is asked too.
func (d *driver) wait(ctx context.Context, key string, tubes []string, max int) ([]transitory.Job, error) {
	to := &call{max: max, arrivals: make(chan arrival, len(d.servers))}
	var attached []*consumer
	var failed []error
	for _, s := range d.servers {
		c, err := s.attach(ctx, key, tubes, to)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		attached = append(attached, c)
	}
	jobs, err := d.await(ctx, to, len(attached), failed)
	for _, c := range attached {
		c.detach(to, ctx.Err() != nil)
	}
	return to.gather(d, jobs, err)
}

// attach makes one consumer of a server wait for a call.
func (s *server) attach(ctx context.Context, key string, tubes []string, to *call) (*consumer, error) {
	if err := s.reachable(); err != nil {
		return nil, err
	}
	for {
		if c := s.consumers.parked(key, to); c != nil {
			return c, nil
		}
		c, err := s.acquire(ctx, key, tubes)
		if err != nil {
			return nil, err
		}
		if c.attach(to, taken) {
			return c, nil
		}
		if s.driver.ctx.Err() != nil {
			return nil, errClosed("reserve")
		}
		c.discard()
	}
}

// await returns what arrives first, or the errors when nobody is left to wait
// for.
func (d *driver) await(ctx context.Context, to *call, waiting int, failed []error) ([]transitory.Job, error) {
	var over <-chan time.Time // of one slice
	if len(d.servers) > 1 {
		timer := time.NewTimer(slice)
		defer timer.Stop()
		over = timer.C
	}
	for waiting > 0 {
		select {
		case a := <-to.arrivals:
			if a.err == nil {
				return a.jobs, nil
			}
			waiting--
			failed = append(failed, a.consumer.lost(ctx, a.err))
		case <-over:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-d.ctx.Done():
			return nil, errClosed("reserve")
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if d.ctx.Err() != nil {
		return nil, errClosed("reserve")
	}
	return nil, fault.Wrap(fault.ErrUnavailable, "transitory", "reserve", errors.Join(failed...))
}

// gather adds what other servers brought at the same moment, as far as it fits;
// the rest goes back. Nothing is kept for a call that ends with an error.
func (to *call) gather(d *driver, jobs []transitory.Job, err error) ([]transitory.Job, error) {
	var back []transitory.Job
	if len(jobs) > to.max {
		// A consumer that waits for several calls may bring more than this one
		// asked for.
		jobs, back = jobs[:to.max:to.max], append(back, jobs[to.max:]...)
	}
	for {
		select {
		case a := <-to.arrivals:
			room := to.max - len(jobs)
			if err != nil {
				room = 0
			}
			room = min(room, len(a.jobs))
			jobs, back = append(jobs, a.jobs[:room]...), append(back, a.jobs[room:]...)
			continue
		default:
		}
		break
	}
	if len(back) > 0 {
		d.spawn(func() { d.returnUnused(back) })
	}
	return jobs, err
}

// returnUnused releases jobs that no caller got.
func (d *driver) returnUnused(jobs []transitory.Job) {
	releases := make([]transitory.Release, len(jobs))
	for i, job := range jobs {
		releases[i] = transitory.Release{ID: job.ID, Priority: job.Priority}
		if c, id, _, ok := d.parse(job.ID); ok {
			c.server.returns(id)
		}
	}
	d.Release(d.ctx, releases)
}

// mostReturned bounds what a server remembers of jobs that went back.
const mostReturned = 4096

// returns remembers that a job goes back without having been handed out: the
// server counts the reservation all the same, and whoever reads
// transitory.Job.Reserves would take it for a worker that died.
func (s *server) returns(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unused == nil || len(s.unused) >= mostReturned {
		s.unused = map[uint64]int{}
	}
	s.unused[id]++
}

// returned is how often a job went back so.
func (s *server) returned(id uint64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unused[id]
}
