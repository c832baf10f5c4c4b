package memcached

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/fourfold-dev/fourfold/volatile"
)

var (
	// errEpochOver says that a connection was dialled and found another
	// generation than that of its epoch: nothing was sent.
	errEpochOver = errors.New("the member has another generation")
	// errNoGeneration says that a member does not keep what it is told.
	errNoGeneration = errors.New("the member does not keep its generation")
)

// An epoch is one generation of a member with the client whose connections
// have all seen it.
type epoch struct {
	number   uint64
	gen      string
	client   *memcache.Client
	verified atomic.Int64 // when the generation was last read: nanoseconds since start
	held     atomic.Bool  // as it was then
	over     atomic.Bool  // nothing new begins in it
}

// end closes the epoch's idle connections; those in use follow when their
// operations are done.
func (e *epoch) end() {
	e.over.Store(true)
	e.client.Close()
}

// start is what the times of epochs count from, on the monotonic clock.
var start = time.Now()

func sinceStart() int64 { return int64(time.Since(start)) }

// age is how long ago the generation was read.
func (e *epoch) age() time.Duration { return time.Duration(sinceStart() - e.verified.Load()) }

// verify reads the generation again over one of the epoch's connections.
func (e *epoch) verify() error {
	asked := sinceStart()
	items, err := e.client.GetMulti([]string{genKey, holdKey})
	if err != nil {
		return err
	}
	if item := items[genKey]; item == nil || string(item.Value) != e.gen {
		return errEpochOver
	}
	e.held.Store(items[holdKey] != nil)
	e.verified.Store(asked)
	return nil
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

// newEpoch returns the epoch of a generation that was just read.
func (m *member) newEpoch(number uint64, gen string, held bool, asked int64) *epoch {
	e := &epoch{number: number, gen: gen}
	e.held.Store(held)
	e.verified.Store(asked)
	e.client = memcache.NewFromSelector(only{m.addr})
	e.client.Timeout = m.opts.Timeout
	e.client.MaxIdleConns = m.opts.Conns
	e.client.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		nc, raw, err := m.dial(ctx)
		if err != nil {
			return nil, err
		}
		seen, _, err := newPlain(nc, time.Now().Add(m.opts.Timeout)).generation()
		if err == nil && seen != gen {
			err = errEpochOver
		} else if err != nil {
			err = &dialError{err}
		}
		if err != nil {
			nc.Close()
			return nil, err
		}
		return newConn(nc, raw, m.opts.Timeout, m.opts.MaxValue+1024), nil
	}
	return e
}

// only is a selector of one member: which one a key belongs to was decided
// before.
type only struct{ addr net.Addr }

func (o only) PickServer(string) (net.Addr, error)   { return o.addr, nil }
func (o only) Each(visit func(net.Addr) error) error { return visit(o.addr) }
