package memcached

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// A lane is a client with one connection, used by one operation at a time. So
// it is known which connection an operation is on, and the end of a context
// can interrupt it, which the client itself offers no way to.
type lane struct {
	epoch  *epoch
	client *memcache.Client
	pipe   *pipe // which it shares; nil: its connection is its own

	mu   sync.Mutex
	ctx  context.Context // of the operation under way
	op   uint64          // counts operations
	conn *conn           // the last that was dialled; may be closed
}

func newLane(e *epoch, p *pipe) *lane {
	l := &lane{epoch: e, pipe: p, client: memcache.NewFromSelector(only{e.member.addr}), ctx: context.Background()}
	l.client.Timeout = e.member.opts.Timeout
	l.client.MaxIdleConns = 1
	if p != nil {
		l.client.DialContext = func(context.Context, string, string) (net.Conn, error) { return &stream{lane: l, pipe: p}, nil }
		return l
	}
	l.client.DialContext = func(context.Context, string, string) (net.Conn, error) {
		c, err := e.member.join(l.ctx, e.gen)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conn = c
		return c, nil
	}
	return l
}

// begin starts an operation, and returns its end. In between the end of ctx
// interrupts what the lane does.
func (l *lane) begin(ctx context.Context) (end func()) {
	if l.pipe != nil {
		l.ctx = ctx // its stream looks at the context itself
		return func() {}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.op++
	l.ctx = ctx
	if l.conn != nil {
		l.conn.allow()
	}
	if ctx.Done() == nil {
		return func() {}
	}
	op := l.op
	stop := context.AfterFunc(ctx, func() { l.interrupt(op) })
	return func() {
		if !stop() {
			// The interruption may be on its way: it must not meet the next.
			l.mu.Lock()
			defer l.mu.Unlock()
			l.op++
		}
	}
}

// interrupt ends what an operation does on its connection, if it is still
// under way.
func (l *lane) interrupt(op uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.op == op && l.conn != nil {
		l.conn.interrupt()
	}
}

// join dials a connection for an epoch: it must find the epoch's generation.
func (m *member) join(ctx context.Context, gen string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, m.opts.Timeout)
	defer cancel()
	nc, raw, err := m.dial(ctx)
	if err != nil {
		return nil, err
	}
	seen, _, err := m.generation(ctx, nc)
	if err == nil && seen != gen {
		err = errEpochOver
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return newConn(nc, raw, m.opts.Timeout, m.opts.MaxValue+1024), nil
}

// generation reads the generation over a connection that was just dialled.
func (m *member) generation(ctx context.Context, nc net.Conn) (gen string, held bool, err error) {
	defer context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })()
	gen, held, err = newPlain(nc, time.Now().Add(m.opts.Timeout)).generation()
	if err != nil {
		return "", false, &dialError{err}
	}
	return gen, held, nil
}

// only is a selector of one member: which one a key belongs to was decided
// before.
type only struct{ addr net.Addr }

func (o only) PickServer(string) (net.Addr, error)   { return o.addr, nil }
func (o only) Each(visit func(net.Addr) error) error { return visit(o.addr) }
