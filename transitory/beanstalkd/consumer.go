package beanstalkd

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/beanstalkd/go-beanstalk"

	"github.com/fourfold-dev/fourfold/internal/group"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// slice is how long one blocking reserve lasts on the wire.
const slice = 2 * time.Second

// A consumer is a connection that reserves, with one set of tubes for all its
// life. While a blocking reserve is under way every other command would have to
// wait, and beanstalkd lets nobody but this connection settle what it has
// reserved: so a consumer that holds jobs does not wait for more.
type consumer struct {
	server *server
	link   *link
	number uint64 // of the connection: part of every id
	key    string // names the set of tubes
	set    *beanstalk.TubeSet
	ops    *group.Group[*settlement]

	mu     sync.Mutex
	state  state
	since  time.Time // when it became idle; consumers.mu is held where it is read
	held   map[uint64]*hold
	tokens uint64
	timer  *time.Timer // fires when a reservation is over
	taker  *call       // who gets what a blocking reserve brings; nil: nobody any more
}

// A state is what a consumer is doing. consumers.mu is held where it becomes
// idle or stops to be.
type state uint8

const (
	taken   state = iota // a call works with it
	idle                 // nobody uses it
	waiting              // a blocking reserve is under way
	holding              // it holds jobs, and settles them
	gone                 // its connection is closed
)

// A hold is one reservation.
type hold struct {
	token    uint64 // tells this reservation of the job from other ones
	priority uint32
	ttr      time.Duration
	deadline time.Time // when it is over for certain: the server's own is earlier
}

// A call is one Reserve that waits.
type call struct {
	max      int
	arrivals chan arrival // has room for one per server
}

// An arrival is what one consumer brings.
type arrival struct {
	consumer *consumer
	jobs     []transitory.Job
	err      error
}

// fetched is a job that this connection has reserved.
type fetched struct {
	id   uint64
	body []byte
	info jobInfo
}

// jobInfo is what stats-job says: the answer to reserve has neither tube nor
// priority.
type jobInfo struct {
	tube     string
	priority uint32
	ttr      time.Duration
	reserves int
	reserved bool
}

func newConsumer(s *server, l *link, tubes []string, key string) *consumer {
	c := &consumer{
		server: s, link: l, number: s.driver.connections.Add(1), key: key,
		set: beanstalk.NewTubeSet(l.client, tubes...), held: map[uint64]*hold{},
	}
	c.ops = group.New(group.Options{MaxItems: 256}, nil, c.settle)
	return c
}

// attach lets a call wait for what this consumer brings: one that was taken
// starts a blocking reserve, one that waits for nobody any more is adopted. It
// is false when the consumer is in another state by now.
func (c *consumer) attach(to *call, from state) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != from || c.taker != nil {
		return false
	}
	if from == taken && !c.server.driver.spawn(c.wait) {
		return false
	}
	c.state, c.taker = waiting, to
	return true
}

// detach ends a call's claim. The blocking reserve goes on for the rest of its
// slice, for the next call that asks for the same tubes; unless nobody is
// expected to (cut), because a job that comes to nobody is held up.
func (c *consumer) detach(from *call, cut bool) {
	c.mu.Lock()
	mine := c.taker == from
	if mine {
		c.taker = nil
	}
	c.mu.Unlock()
	if mine && cut {
		c.cutParked()
	}
}

// cutParked ends a blocking reserve that nobody waits for, with its connection.
func (c *consumer) cutParked() {
	c.mu.Lock()
	parked := c.state == waiting && c.taker == nil
	if parked {
		c.state = gone
	}
	c.mu.Unlock()
	if parked {
		c.link.fail()
		c.server.drop(c.link)
	}
}

// wait reserves until a job comes, or nobody waits for one any more.
func (c *consumer) wait() {
	for {
		c.link.extend(slice + c.link.timeout)
		first, err := c.reserve(slice)
		if errors.Is(err, beanstalk.ErrTimeout) || errors.Is(err, beanstalk.ErrDeadline) {
			if c.stopWaiting() {
				return
			}
			continue
		}
		var jobs []fetched
		if err == nil {
			jobs, err = c.collect(first, c.wanted())
		}
		c.bring(jobs, err)
		return
	}
}

// stopWaiting frees the consumer when nobody waits for it.
func (c *consumer) stopWaiting() bool {
	c.mu.Lock()
	stop := c.taker == nil
	if stop {
		c.state = taken
	}
	c.mu.Unlock()
	if stop {
		c.server.consumers.free(c, taken)
	}
	return stop
}

func (c *consumer) wanted() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taker == nil {
		return 1
	}
	return c.taker.max
}

// bring hands jobs, or an error, to whoever waits. Jobs that nobody waits for
// any more go back to the server.
func (c *consumer) bring(jobs []fetched, err error) {
	c.mu.Lock()
	taker := c.taker
	c.taker, c.state = nil, taken
	if taker != nil {
		// Sent under the lock: whoever has detached finds all that was brought.
		taker.arrivals <- arrival{consumer: c, jobs: c.hold(jobs), err: err}
	}
	c.mu.Unlock()
	switch {
	case err != nil:
		c.discard()
	case taker == nil:
		c.server.consumers.cutParked(c.key) // or the job would go from one of them to the next
		c.giveBack(jobs)
	case len(jobs) == 0:
		c.server.consumers.free(c, taken)
	}
}

// hold registers reservations, and makes of them what callers see. The caller
// has the lock.
func (c *consumer) hold(jobs []fetched) []transitory.Job {
	if len(jobs) > 0 {
		c.state = holding
	}
	now := time.Now()
	out := make([]transitory.Job, len(jobs))
	for i, j := range jobs {
		c.tokens++
		c.held[j.id] = &hold{token: c.tokens, priority: j.info.priority, ttr: j.info.ttr, deadline: now.Add(j.info.ttr)}
		out[i] = transitory.Job{
			ID: c.server.driver.idOf(c.number, j.id, c.tokens), Tube: j.info.tube, Priority: j.info.priority,
			TTR: j.info.ttr, Body: j.body, Reserves: j.info.reserves,
		}
	}
	c.arm()
	return out
}

// reserve runs one reserve.
func (c *consumer) reserve(timeout time.Duration) (fetched, error) {
	c.link.expect(true)
	id, body, err := c.set.Reserve(timeout)
	return fetched{id: id, body: body}, err
}

// try reserves at most max jobs that are ready now.
func (c *consumer) try(ctx context.Context, max int) ([]fetched, error) {
	end := c.link.begin(ctx)
	defer end()
	first, err := c.reserve(0)
	if errors.Is(err, beanstalk.ErrTimeout) || errors.Is(err, beanstalk.ErrDeadline) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return c.collect(first, max)
}

// collect adds to the first job what else is ready, up to max, and asks what
// each one is. Rounds of requests double while they are answered with jobs; the
// questions about one round travel with the requests of the next.
func (c *consumer) collect(first fetched, max int) ([]fetched, error) {
	jobs := []fetched{first}
	for asked, more := 0, 1; asked < len(jobs); {
		more = min(more, max-len(jobs), inFlight)
		next := make([]fetched, more)
		questions := jobs[asked:]
		c.link.extend(c.link.timeout)
		results := c.link.pipeline(len(questions)+more, nil, func(i int) (err error) {
			if i < len(questions) {
				questions[i].info, err = c.ask(questions[i].id)
				return err
			}
			next[i-len(questions)], err = c.reserve(0)
			return err
		})
		asked = len(jobs)
		got := 0
		for i, r := range results {
			v := classify(r.err, r.sent)
			c.server.note(c.link, "reserve", v, r.err)
			if v.broken {
				return nil, r.err
			}
			if i >= len(questions) && r.err == nil {
				jobs = append(jobs, next[i-len(questions)])
				got++
			}
		}
		if got < more {
			more, max = 0, len(jobs)
		} else {
			more *= 2
		}
	}
	return c.stillReserved(jobs), nil
}

// stillReserved drops jobs that were no longer ours when we asked: a job with a
// TTR of a second may be over by then.
func (c *consumer) stillReserved(jobs []fetched) []fetched {
	kept := jobs[:0]
	for _, j := range jobs {
		if j.info.reserved {
			kept = append(kept, j)
		}
	}
	return kept
}

// ask asks what a job is.
func (c *consumer) ask(id uint64) (jobInfo, error) {
	dict, err := c.link.client.StatsJob(id)
	if err != nil {
		return jobInfo{}, err
	}
	priority, err1 := strconv.ParseUint(dict["pri"], 10, 32)
	ttr, err2 := strconv.Atoi(dict["ttr"])
	reserves, err3 := strconv.Atoi(dict["reserves"])
	if err := errors.Join(err1, err2, err3); err != nil || dict["tube"] == "" {
		return jobInfo{}, errReply
	}
	return jobInfo{
		tube: dict["tube"], priority: uint32(priority), ttr: time.Duration(ttr) * time.Second,
		reserves: max(1, reserves-c.server.returned(id)), reserved: dict["state"] == "reserved",
	}, nil
}

// giveBack returns jobs that nobody waits for, as they were, and frees the
// consumer.
func (c *consumer) giveBack(jobs []fetched) {
	c.link.extend(c.link.timeout)
	c.link.expect(false)
	for _, j := range jobs {
		c.server.returns(j.id)
	}
	for i, r := range c.link.pipeline(len(jobs), nil, func(i int) error {
		return c.link.client.Release(jobs[i].id, jobs[i].info.priority, 0)
	}) {
		v := classify(r.err, r.sent)
		c.server.note(c.link, "release", v, r.err)
		if errors.Is(r.err, beanstalk.ErrBuried) {
			_ = c.link.client.KickJob(jobs[i].id)
		}
	}
	c.server.consumers.free(c, taken)
}

// discard closes the connection: the server makes ready what it had reserved.
func (c *consumer) discard() {
	c.mu.Lock()
	c.state = gone
	clear(c.held)
	c.arm()
	c.mu.Unlock()
	c.link.fail()
	c.server.drop(c.link)
	c.server.consumers.remove(c)
	c.server.driver.unregister(c)
}

// lost is the error of a reserve that its connection ended: what it may have
// reserved is ready again.
func (c *consumer) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		err = errNotSent
	}
	v := classify(err, false)
	if v.class == nil || v.class == fault.ErrUnknown {
		v.class = fault.ErrUnavailable
	}
	return asError(ctx, "reserve", c.server.addr, v, err)
}
