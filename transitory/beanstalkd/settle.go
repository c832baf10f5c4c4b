package beanstalkd

import (
	"context"
	"errors"
	"time"

	"github.com/beanstalkd/go-beanstalk"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// A settlement is one delete, release or touch on its way to the connection
// that holds the job.
type settlement struct {
	kind  settlementKind
	id    uint64
	token uint64
	as    transitory.Release
}

type settlementKind uint8

const (
	toDelete settlementKind = iota
	toRelease
	toTouch
	toExpire // releases what is over, whichever it is
)

var settlementNames = [...]string{"delete", "release", "touch", "expire"}

var errGone = fault.New(fault.ErrNotFound, "transitory", "job",
	"the reservation is gone: it was deleted, released, its TTR passed or its connection ended, and somebody else may be running it")

// Delete removes reserved jobs.
func (d *driver) Delete(ctx context.Context, ids []transitory.ID) []error {
	return d.settle(ctx, toDelete, len(ids), func(i int) transitory.Release { return transitory.Release{ID: ids[i]} })
}

// Release gives reserved jobs back.
func (d *driver) Release(ctx context.Context, releases []transitory.Release) []error {
	return d.settle(ctx, toRelease, len(releases), func(i int) transitory.Release { return releases[i] })
}

// Touch restarts the TTR of reserved jobs.
func (d *driver) Touch(ctx context.Context, ids []transitory.ID) []error {
	return d.settle(ctx, toTouch, len(ids), func(i int) transitory.Release { return transitory.Release{ID: ids[i]} })
}

// settle sends each settlement to the connection that holds its job. What runs
// at the same time on one connection travels together; a caller that leaves
// does not end the connection, because that would end every reservation on it.
func (d *driver) settle(ctx context.Context, kind settlementKind, n int, next func(i int) transitory.Release) []error {
	errs := make([]error, n)
	if err := d.ready(ctx, settlementNames[kind]); err != nil {
		fill(errs, err)
		return errs
	}
	by := map[*consumer][]int{}
	items := make([]*settlement, n)
	for i := range n {
		as := next(i)
		c, id, token, ok := d.parse(as.ID)
		switch {
		case !ok:
			errs[i] = errGone
		case as.Delay < 0 || as.Delay > transitory.MaxDelay:
			errs[i] = fault.New(fault.ErrInvalid, "transitory", "release", "the delay is out of range")
		default:
			items[i] = &settlement{kind: kind, id: id, token: token, as: as}
			by[c] = append(by[c], i)
		}
	}
	done := make(chan struct{}, len(by))
	for c, which := range by {
		go func() {
			defer func() { done <- struct{}{} }()
			c.run(ctx, items, which, errs)
		}()
	}
	for range by {
		<-done
	}
	return errs
}

// run adds some of the items to the consumer's next group.
func (c *consumer) run(ctx context.Context, items []*settlement, which []int, errs []error) {
	mine := make([]*settlement, len(which))
	for k, i := range which {
		mine[k] = items[i]
	}
	for k, err := range c.ops.DoAll(ctx, mine) {
		if errors.Is(err, fault.ErrClosed) { // the connection has ended
			err = errGone
		}
		errs[which[k]] = err
	}
}

// settle runs one group of settlements over the connection. The context is that
// of no caller.
func (c *consumer) settle(_ context.Context, items []*settlement) []error {
	errs := make([]error, len(items))
	if c.holds() && !c.link.usable() { // the server has ended the connection, and with it every reservation
		c.discard()
	}
	valid, at := c.admit(items, errs)
	if len(valid) > 0 {
		c.link.extend(c.link.timeout)
		c.link.expect(false)
	}
	for k, r := range c.link.pipeline(len(valid), nil, func(k int) error { return c.tell(valid[k]) }) {
		name := settlementNames[valid[k].kind]
		v := classify(r.err, r.sent)
		c.server.note(c.link, name, v, r.err)
		if v.class == fault.ErrNotFound {
			c.forget(valid[k])
		}
		if at[k] >= 0 {
			errs[at[k]] = asError(context.Background(), name, c.server.addr, v, r.err)
		}
	}
	c.after()
	return errs
}

// holds reports whether there are reservations. Without, the connection is another
// one's to use: what is settled late, or expires late, must leave it alone.
func (c *consumer) holds() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == holding
}

// admit picks the settlements of reservations that still hold, and says where
// their errors belong; -1 is nowhere. Whatever ends a reservation ends it here,
// so that a second delete of a job, in this very group, finds nothing.
func (c *consumer) admit(items []*settlement, errs []error) (valid []*settlement, at []int) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range items {
		if s.kind == toExpire {
			continue
		}
		h := c.held[s.id]
		if c.state != holding || h == nil || h.token != s.token || now.After(h.deadline) {
			errs[i] = errGone
			continue
		}
		valid, at = append(valid, s), append(at, i)
		if s.kind != toTouch {
			delete(c.held, s.id)
		}
	}
	for id, h := range c.held {
		if now.After(h.deadline) {
			delete(c.held, id)
			valid, at = append(valid, &settlement{kind: toExpire, id: id, token: h.token, as: transitory.Release{Priority: h.priority}}), append(at, -1)
		}
	}
	return valid, at
}

// tell sends one settlement and reads its answer.
func (c *consumer) tell(s *settlement) error {
	client := c.link.client
	switch s.kind {
	case toDelete:
		return client.Delete(s.id)
	case toRelease, toExpire:
		err := client.Release(s.id, s.as.Priority, seconds(s.as.Delay))
		if errors.Is(err, beanstalk.ErrBuried) { // the server had no memory to make it ready
			_ = client.KickJob(s.id)
		}
		return err
	}
	err := client.Touch(s.id)
	if err == nil {
		c.mu.Lock()
		if h := c.held[s.id]; h != nil && h.token == s.token {
			h.deadline = time.Now().Add(h.ttr)
		}
		c.mu.Unlock()
	}
	return err
}

func (c *consumer) forget(s *settlement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.held[s.id]; h != nil && h.token == s.token {
		delete(c.held, s.id)
	}
}

// after closes a connection that broke, and frees one that holds nothing more.
func (c *consumer) after() {
	if !c.holds() {
		return
	}
	c.mu.Lock()
	c.arm()
	c.mu.Unlock()
	if c.link.isBroken() {
		c.discard()
		return
	}
	c.server.consumers.free(c, holding)
}

// arm sets the timer to the end of the reservation that is over first; the
// caller has the lock.
//
// The server should end it by itself, but beanstalkd 1.12 forgets the timers of
// connections that are silent: every second job of a silent worker stayed
// reserved until its connection was used or closed (its issues 262 and 380).
// So we release what is over. The server says NOT_FOUND where it has done so.
func (c *consumer) arm() {
	var first time.Time
	for _, h := range c.held {
		if first.IsZero() || h.deadline.Before(first) {
			first = h.deadline
		}
	}
	wait := time.Until(first) + time.Millisecond
	switch {
	case first.IsZero() && c.timer != nil:
		c.timer.Stop()
	case first.IsZero():
	case c.timer == nil:
		c.timer = time.AfterFunc(wait, c.expire)
	default:
		c.timer.Reset(wait)
	}
}

func (c *consumer) expire() {
	c.server.driver.spawn(func() {
		_ = c.ops.Do(c.server.driver.ctx, &settlement{kind: toExpire}) // it has no errors of its own
	})
}
