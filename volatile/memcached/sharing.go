package memcached

import (
	"context"
	"errors"
)

// A sharing says whether an operation goes over the pipe.
type sharing int

const (
	busy  sharing = iota // when others are under way too: alone, a connection of its own is faster
	never                // its bytes would hold up the others
	group                // in any case: it is many commands
)

const (
	// pipeFrom is how many operations are under way when the pipe begins to pay.
	pipeFrom = 8
	// pipeMost is how many operations are under way per connection that a
	// member may have: the pipe takes what the connections would not.
	pipeMost = 16
	// wideFrom is the size of a value, in bytes, that goes over a connection
	// of its own.
	wideFrom = 16 << 10
)

// errNoPlace says that a context ended before a connection was free: nothing
// was sent.
var errNoPlace = errors.New("no connection was free in time")

// takeShared returns a lane over the pipe, or nil. A group waits for the pipe
// to be dialled; what is only busy goes on without it meanwhile.
func (e *epoch) takeShared(ctx context.Context, how sharing) *lane {
	if how == never || how == busy && len(e.member.inflight) < e.member.pipeFrom {
		return nil
	}
	l, dialling := e.shareOrDial()
	if l != nil || how != group || dialling == nil {
		return l
	}
	select {
	case <-dialling:
	case <-ctx.Done():
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shared == nil {
		return nil
	}
	return pick(e, &e.shared.free, e.shared)
}

// shareOrDial returns a lane over the pipe, or what tells when it is dialled;
// both are nil when the epoch is over.
func (e *epoch) shareOrDial() (*lane, <-chan struct{}) {
	e.mu.Lock()
	if e.shared != nil {
		defer e.mu.Unlock()
		return pick(e, &e.shared.free, e.shared), nil
	}
	dialling := e.dialling
	if dialling != nil || e.over {
		defer e.mu.Unlock()
		return nil, dialling
	}
	dialling = make(chan struct{})
	e.dialling = dialling
	e.mu.Unlock()
	if !e.member.spawn(func() { e.connect(dialling) }) {
		close(dialling)
	}
	return nil, dialling
}

// connect dials the pipe, and serves it until it is over.
func (e *epoch) connect(dialling chan struct{}) {
	m := e.member
	c, err := m.join(context.Background(), e.gen)
	var p *pipe
	if err == nil {
		p = newPipe(c.Conn, m.opts.MaxValue+1024, nil)
		p.over = func() { e.unshare(p) }
	}
	e.mu.Lock()
	e.dialling, e.refused = nil, err
	over := e.over
	if p != nil && !over {
		e.shared = p
	}
	e.mu.Unlock()
	close(dialling)
	if p == nil {
		return
	}
	if over || !m.spawn(func() { p.write(m.opts.Timeout) }) {
		p.fail(errClosed)
		return
	}
	p.read()
}

// noPipe is why a group found no pipe.
func (e *epoch) noPipe() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refused != nil {
		return e.refused
	}
	return errNoPipe
}

// unshare forgets a pipe that is over.
func (e *epoch) unshare(p *pipe) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shared == p {
		e.shared = nil
	}
}
