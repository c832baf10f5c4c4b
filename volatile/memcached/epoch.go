package memcached

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/volatile"
)

var (
	// errEpochOver says that a connection was dialled and found another
	// generation than that of its epoch: nothing was sent.
	errEpochOver = errors.New("the member has another generation")
	// errNoGeneration says that a member does not keep what it is told.
	errNoGeneration = errors.New("the member does not keep its generation")
)

// An epoch is one generation of a member with the connections that have all
// seen it.
type epoch struct {
	member   *member
	number   uint64
	gen      string
	verified atomic.Int64 // when the generation was last read: nanoseconds since start
	held     atomic.Bool  // as it was then

	mu       sync.Mutex
	free     []*lane       // with connections of their own; the one used last is the last
	shared   *pipe         // nil: none is open
	dialling chan struct{} // closed when the pipe is open, or could not be; nil: nobody dials
	refused  error         // why it could not be
	over     bool          // nothing new begins in it
}

// start is what the times of epochs count from, on the monotonic clock.
var start = time.Now()

func sinceStart() int64 { return int64(time.Since(start)) }

// age is how long ago the generation was read.
func (e *epoch) age() time.Duration { return time.Duration(sinceStart() - e.verified.Load()) }

// verify reads the generation again over one of the epoch's connections.
func (e *epoch) verify() error {
	asked := sinceStart()
	return e.useOwn(context.Background(), func(l *lane) error {
		items, err := l.client.GetMulti([]string{genKey, holdKey})
		if err != nil {
			return err
		}
		if item := items[genKey]; item == nil || string(item.Value) != e.gen {
			return errEpochOver
		}
		e.held.Store(items[holdKey] != nil)
		e.verified.Store(asked)
		return nil
	})
}

// use runs one operation on a lane of its own, not for longer than ctx.
func (e *epoch) use(ctx context.Context, how sharing, send func(l *lane) error) error {
	if l := e.takeShared(ctx, how); l != nil {
		defer e.give(l)
		defer l.begin(ctx)()
		return send(l)
	}
	select {
	case e.member.conns <- struct{}{}:
	default:
		select {
		case e.member.conns <- struct{}{}:
		case <-ctx.Done():
			return errNoPlace
		}
	}
	defer func() { <-e.member.conns }()
	return e.useOwn(ctx, send)
}

// useOwn is use over a connection of the lane's own, beside the places that
// operations have: the driver's own do not wait for one.
func (e *epoch) useOwn(ctx context.Context, send func(l *lane) error) error {
	l := e.take()
	defer e.give(l)
	defer l.begin(ctx)()
	return send(l)
}

// take returns a lane that nobody else uses: the one used last, for its
// connection is the least likely to be closed.
func (e *epoch) take() *lane {
	e.mu.Lock()
	defer e.mu.Unlock()
	return pick(e, &e.free, nil)
}

// pick takes the last of the free lanes, or makes one.
func pick(e *epoch, free *[]*lane, p *pipe) *lane {
	if last := len(*free) - 1; last >= 0 {
		l := (*free)[last]
		*free = (*free)[:last]
		return l
	}
	return newLane(e, p)
}

// give takes a lane back. After the epoch's end its connection is closed.
func (e *epoch) give(l *lane) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case l.pipe != nil:
		l.pipe.free = append(l.pipe.free, l)
	case e.over:
		l.client.Close()
	default:
		e.free = append(e.free, l)
	}
}

// purge closes the idle connections: what closed one has most likely closed
// the others too.
func (e *epoch) purge() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.free {
		l.client.Close()
	}
	e.free = nil
}

// end closes the idle connections; those in use follow when their operations
// are done.
func (e *epoch) end() {
	e.mu.Lock()
	e.over = true
	p := e.shared
	e.shared = nil
	e.mu.Unlock()
	e.purge()
	if p != nil {
		p.end()
	}
}

// stop is end for a member that is down or closed: what waits on the pipe
// fails at once.
func (e *epoch) stop(err error) {
	e.mu.Lock()
	p := e.shared
	e.mu.Unlock()
	e.end()
	if p != nil {
		p.fail(err)
	}
}

// The upper 16 bits of a token are the epoch's number, the others the server's
// number of the write. At a million writes a second that is enough for eight
// years of one server's run.
const casBits = 48

// token returns the token of a server's number in an epoch.
func (e *epoch) token(cas uint64) volatile.Token {
	return volatile.Token(e.number<<casBits | cas&(1<<casBits-1))
}

// cas returns the server's number that a token stands for; false when it was
// read in another epoch.
func (e *epoch) cas(token volatile.Token) (uint64, bool) {
	return uint64(token) & (1<<casBits - 1), uint64(token)>>casBits == e.number
}
