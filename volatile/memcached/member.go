package memcached

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

const (
	// outageMost is the outage after which a member gets a new generation.
	outageMost = 5 * time.Second
	// lostMost is how many lost writes are remembered by key.
	lostMost = 1024
)

// A member is one server: its epoch, its breaker, and what it must be told
// when it comes back.
type member struct {
	addr     address
	opts     Options
	inflight chan struct{} // one place per operation under way
	conns    chan struct{} // one place per operation over a connection of its own
	pipeFrom int           // pipeFrom; less in tests

	// outage is outageMost, shorter in tests.
	outage time.Duration
	// dialer is that of a caller's client; nil: the driver's own.
	dialer func(ctx context.Context, network, address string) (net.Conn, error)

	mu      sync.Mutex
	closed  bool
	epoch   *epoch // nil: none is open
	opening *opening
	number  uint64 // of the last epoch
	gen     string // of the last epoch
	broken  error  // why the member is down; nil: it is up
	since   time.Time
	lost    map[string]uint64 // keys of writes that it may have missed, and which loss it was
	losses  uint64
	lostAll bool // more than can be remembered
	mending bool
	stop    chan struct{} // closed by close
	running sync.WaitGroup
}

func newMember(addr address, opts Options) *member {
	return &member{addr: addr, opts: opts, inflight: make(chan struct{}, pipeMost*opts.Conns), conns: make(chan struct{}, opts.Conns),
		pipeFrom: pipeFrom, outage: outageMost, lost: map[string]uint64{}, stop: make(chan struct{})}
}

// An opening is an epoch about to be opened or verified, for all who wait.
type opening struct {
	done  chan struct{}
	epoch *epoch
	err   error
}

// current returns an epoch whose generation was read less than a second ago.
// While the member is down it fails at once.
func (m *member) current(ctx context.Context) (*epoch, error) {
	m.mu.Lock()
	switch {
	case m.closed:
		m.mu.Unlock()
		return nil, errClosed
	case m.broken != nil:
		err := fmt.Errorf("down for %v: %w", time.Since(m.since).Round(time.Millisecond), m.broken)
		m.mu.Unlock()
		return nil, &dialError{err}
	}
	e := m.epoch
	if e != nil && e.age() < verifyAfter {
		m.mu.Unlock()
		return e, nil
	}
	o := m.open(e)
	m.mu.Unlock()
	if e != nil && e.age() < verifyMost {
		return e, nil
	}
	select {
	case <-o.done:
		return o.epoch, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// open opens an epoch, or verifies the present one, in the background; m.mu is
// held.
func (m *member) open(present *epoch) *opening {
	if m.opening != nil {
		return m.opening
	}
	o := &opening{done: make(chan struct{})}
	m.opening = o
	m.running.Go(func() {
		e, err := m.reach(present)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.settle(o, e, err)
		if err != nil {
			m.trip(err)
		}
	})
	return o
}

// spawn runs a goroutine of the member's own; false when it is closed.
func (m *member) spawn(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.running.Go(f)
	return true
}

// settle gives an opening its result, and the member its epoch; m.mu is held.
// A member that was closed, or found down meanwhile, takes none.
func (m *member) settle(o *opening, e *epoch, err error) {
	switch {
	case err == nil && m.closed:
		err = errClosed
	case err == nil && m.broken != nil:
		err = m.broken
	}
	switch {
	case err == nil:
		m.epoch, m.gen = e, e.gen
	case e != nil:
		e.end()
		e = nil
	}
	o.epoch, o.err = e, err
	m.opening = nil
	close(o.done)
}

// reach verifies an epoch, or opens a new one when it is nil or over.
func (m *member) reach(present *epoch) (*epoch, error) {
	if present == nil {
		return m.establish()
	}
	err := present.verify()
	if err == nil {
		return present, nil
	}
	m.drop(present)
	if v := classify(err, false); !v.closed {
		return nil, err
	}
	return m.establish()
}

// establish dials and returns a new epoch, which is not yet the member's.
func (m *member) establish() (*epoch, error) {
	ctx, cancel := context.WithTimeout(context.Background(), m.opts.Timeout)
	defer cancel()
	asked := sinceStart()
	nc, _, err := m.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	gen, held, err := m.generation(ctx, nc)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// Numbers go round after 65,535 epochs, and are never zero: a token is
	// never zero.
	m.number = m.number%(1<<16-1) + 1
	e := &epoch{member: m, number: m.number, gen: gen}
	e.held.Store(held)
	e.verified.Store(asked)
	return e, nil
}

// dial connects, below the client.
func (m *member) dial(ctx context.Context) (nc, raw net.Conn, err error) {
	if m.dialer != nil {
		nc, err = m.dialer(ctx, m.addr.network, m.addr.name)
		if err != nil {
			return nil, nil, &dialError{err}
		}
		return nc, below(nc), nil
	}
	dialer := net.Dialer{Timeout: m.opts.Timeout}
	raw, err = dialer.DialContext(ctx, m.addr.network, m.addr.name)
	if err != nil {
		return nil, nil, &dialError{err}
	}
	if m.opts.TLS == nil || m.addr.network == "unix" {
		return raw, raw, nil
	}
	config := m.opts.TLS
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName, _, _ = net.SplitHostPort(m.addr.name)
	}
	secure := tls.Client(raw, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, nil, &dialError{err}
	}
	return secure, raw, nil
}

// suspect asks a member whether it is well, after an operation whose caller did
// not wait for the answer. Were nobody to ask, a dead member would cost every
// caller with a short patience all of it, for ever.
func (m *member) suspect(e *epoch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epoch == e && m.broken == nil && !m.closed {
		m.open(e)
	}
}

// drop ends an epoch: its idle connections are closed, its tokens are void.
func (m *member) drop(e *epoch) {
	m.mu.Lock()
	if m.epoch == e {
		m.epoch = nil
	}
	m.mu.Unlock()
	e.end()
}

// trip opens the breaker; m.mu is held. From now on every operation fails at
// once, until the member has been reached and mended.
func (m *member) trip(err error) {
	if m.broken != nil || m.closed {
		return
	}
	m.broken, m.since = err, time.Now()
	if e := m.epoch; e != nil {
		m.epoch = nil
		e.stop(err)
	}
	m.mend()
}

// down opens the breaker for an error of an operation in an epoch. An error
// of an epoch that is over says nothing about the present.
func (m *member) down(e *epoch, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epoch == e {
		m.trip(err)
	}
}

// lose remembers that the member may have missed a write.
func (m *member) lose(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.losses++
	if _, again := m.lost[key]; again || len(m.lost) < lostMost {
		m.lost[key] = m.losses
	} else {
		m.lostAll = true
	}
	m.mend()
}

// close ends the member. Operations under way may go on until their timeout.
func (m *member) close() {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return
	}
	m.closed = true
	close(m.stop)
	e := m.epoch
	m.epoch = nil
	m.mu.Unlock()
	if e != nil {
		e.stop(errClosed)
	}
	m.running.Wait()
}

var errClosed = fault.New(fault.ErrClosed, "volatile", "memcached", "the driver is closed")
