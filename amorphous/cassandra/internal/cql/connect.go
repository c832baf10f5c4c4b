package cql

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Connector has the session, or knows how to get one. Nothing connects
// before somebody needs it, so a program starts without Cassandra.
type Connector struct {
	// Connect opens a session. Nil: the session was handed over, and is
	// neither opened nor closed by us.
	Connect func(ctx context.Context) (Session, error)
	// Deadline bounds one attempt. Default 30 s. An attempt that hangs (some
	// clients do) is left behind, and its session is closed if it ever comes.
	Deadline time.Duration

	mu      sync.Mutex
	session Session
	attempt *attempt
	failed  int       // attempts in a row
	next    time.Time // when the next one may start
	last    error
	silent  time.Time // since when the session has had no host
	closed  bool
}

// Handed returns a Connector of a session that its owner closes.
func Handed(s Session) *Connector { return &Connector{session: s} }

type attempt struct {
	done chan struct{}
}

const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 2 * time.Second
	// maxSilence is how long a session may have no host before it is replaced:
	// clients have been seen to stay that way until they were restarted.
	maxSilence = 10 * time.Second
)

// get returns the session. While Cassandra cannot be reached it answers
// fault.ErrUnavailable at once, but for one attempt at a time.
func (c *Connector) get(ctx context.Context) (Session, error) {
	for {
		c.mu.Lock()
		switch {
		case c.closed:
			c.mu.Unlock()
			return nil, fault.New(fault.ErrClosed, "", "", "the store was closed")
		case c.session != nil:
			defer c.mu.Unlock()
			return c.session, nil
		case c.attempt == nil && time.Now().Before(c.next):
			defer c.mu.Unlock()
			return nil, c.last
		case c.attempt == nil:
			c.attempt = &attempt{done: make(chan struct{})}
			go c.try(c.attempt)
		}
		running := c.attempt
		c.mu.Unlock()
		select {
		case <-running.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// try makes one attempt, within its deadline.
func (c *Connector) try(a *attempt) {
	deadline := c.Deadline
	if deadline == 0 {
		deadline = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	type result struct {
		session Session
		err     error
	}
	results := make(chan result, 1)
	go func() {
		session, err := c.Connect(ctx)
		results <- result{session, err}
	}()
	var r result
	select {
	case r = <-results:
	case <-ctx.Done():
		r.err = errors.New("the connection attempt did not end within " + deadline.String())
		go func() {
			if late := <-results; late.session != nil {
				late.session.Close()
			}
		}()
	}
	c.finish(a, r.session, r.err)
}

func (c *Connector) finish(a *attempt, session Session, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempt = nil
	close(a.done)
	switch {
	case err != nil:
		backoff := min(firstBackoff<<min(c.failed, 10), maxBackoff)
		c.failed++
		c.next = time.Now().Add(backoff)
		c.last = connectError(err)
	case c.closed:
		go session.Close()
	default:
		c.session, c.failed, c.silent = session, 0, time.Time{}
	}
}

// connectError: nothing was sent, whatever happened. What an operator must
// mend is told apart from what heals by itself.
func connectError(err error) error {
	if fault.ClassOf(err) != nil {
		return err
	}
	class := fault.ErrUnavailable
	var answer serverError
	if errors.As(err, &answer) {
		if c := classOfAnswer(answer, "", false); c == fault.ErrMisconfigured {
			class = c
		}
	}
	return &fault.Error{Class: class, Err: err}
}

// observe learns from an operation's error: a session without hosts for too
// long is replaced.
func (c *Connector) observe(used Session, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Connect == nil || c.session != used {
		return
	}
	var unsent *notSent
	if err == nil || !errors.As(err, &unsent) || fault.Cancelled(err) {
		c.silent = time.Time{}
		return
	}
	now := time.Now()
	if c.silent.IsZero() {
		c.silent = now
		return
	}
	if now.Sub(c.silent) > maxSilence {
		go used.Close()
		c.session = nil
	}
}

// Close closes the session, which may hang, in a goroutine.
func (c *Connector) Close() {
	c.mu.Lock()
	session := c.session
	owned := c.Connect != nil && !c.closed
	c.closed = true
	c.mu.Unlock()
	if owned && session != nil {
		done := make(chan struct{})
		go func() {
			session.Close()
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
		}
	}
}
