package beanstalkd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/beanstalkd/go-beanstalk"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// Put gives the jobs to one server, and those that it did not take to the next.
// A job whose answer was lost is given to no other: it may be there.
func (d *driver) Put(ctx context.Context, jobs []transitory.Job) []error {
	errs := make([]error, len(jobs))
	if err := d.ready(ctx, "put"); err != nil {
		fill(errs, err)
		return errs
	}
	var rest []int
	for i, job := range jobs {
		if errs[i] = d.refuse(job); errs[i] == nil {
			rest = append(rest, i)
		}
	}
	first := int(d.turn.Add(1))
	for k := range d.servers {
		if len(rest) == 0 {
			break
		}
		s := d.servers[(first+k)%len(d.servers)]
		s.put(ctx, jobs, rest, errs)
		rest = elsewhere(rest, errs)
	}
	return errs
}

// elsewhere keeps those that another server may take.
func elsewhere(indices []int, errs []error) []int {
	var rest []int
	for _, i := range indices {
		if err := errs[i]; !fault.Unknown(err) && (fault.Outage(err) || errors.Is(err, fault.ErrBusy)) {
			rest = append(rest, i)
		}
	}
	return rest
}

// put puts some of the jobs, in their order, over one connection.
func (s *server) put(ctx context.Context, jobs []transitory.Job, which []int, errs []error) {
	set := func(err error) {
		for _, i := range which {
			errs[i] = err
		}
	}
	if err := s.accepts(s.driver.features.Durability); err != nil {
		set(err)
		return
	}
	l, err := s.producer(ctx, true)
	if err != nil {
		set(err)
		return
	}
	if err := s.accepts(s.driver.features.Durability); err != nil { // the dial may have learned more
		s.release(l)
		set(err)
		return
	}
	end := l.begin(ctx)
	l.expect(false)
	l.putting(true)
	if err := s.reachable(); err != nil { // since then
		l.putting(false)
		end()
		s.release(l)
		set(err)
		return
	}
	answered := s.whileMute()
	results := l.pipeline(len(which),
		func(k int) bool { return len(jobs[which[k]].Body) > smallBody },
		func(k int) error { return putOne(l, jobs[which[k]]) })
	answered()
	l.putting(false)
	end()
	ill := false
	for k, r := range results {
		v := classify(r.err, r.sent)
		ill = ill || v.alarm
		errs[which[k]] = asError(ctx, "put", s.addr, v, r.err)
		s.note(l, "put", v, r.err)
	}
	s.lookAndRelease(l, ill)
}

// note acts upon what an answer says of the connection and the server.
func (s *server) note(l *link, op string, v verdict, err error) {
	if v.broken {
		l.fail()
	}
	if v.alarm {
		s.alarm(op, err)
	}
}

// putOne puts a job. A job that the server has put into its holding area is
// taken out again at once; whether that works, the alarm stands.
func putOne(l *link, job transitory.Job) error {
	body := job.Body
	if body == nil {
		body = []byte{} // a nil one would be sent without its length
	}
	ttr := job.TTR
	if ttr == 0 {
		ttr = transitory.DefaultTTR
	}
	_, err := beanstalk.NewTube(l.client, job.Tube).Put(body, job.Priority, seconds(job.Delay), seconds(ttr))
	if id, buried := buriedID(err); buried {
		_ = l.client.KickJob(id)
		return fmt.Errorf("%w: job %d", errBuried, id)
	}
	return err
}

// seconds rounds up to what beanstalkd resolves.
func seconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// refuse is the last line before the client, which a bad name would wedge for
// ever: the portable Queue has said it before, in better words.
func (d *driver) refuse(job transitory.Job) error {
	if err := transitory.ValidTube(job.Tube); err != nil {
		return err
	}
	if len(job.Body) > d.features.MaxBody {
		return fault.New(fault.ErrTooLarge, "transitory", "put", fmt.Sprintf("the body has %d bytes; the servers take %d", len(job.Body), d.features.MaxBody))
	}
	if job.Delay < 0 || job.Delay > transitory.MaxDelay || job.TTR < 0 || job.TTR > transitory.MaxTTR {
		return fault.New(fault.ErrInvalid, "transitory", "put", "the delay or the TTR is out of range")
	}
	return nil
}

func fill(errs []error, err error) {
	for i := range errs {
		errs[i] = err
	}
}

// Explain implements transitory.Explainer.
func (d *driver) Explain(job transitory.Job) []string {
	ttr := job.TTR
	if ttr == 0 {
		ttr = transitory.DefaultTTR
	}
	return []string{
		"use " + job.Tube,
		fmt.Sprintf("put %d %d %d %d", job.Priority, seconds(job.Delay)/time.Second, seconds(ttr)/time.Second, len(job.Body)),
	}
}
