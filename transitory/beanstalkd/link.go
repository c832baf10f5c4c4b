package beanstalkd

import (
	"context"
	"sync"
	"time"

	"github.com/beanstalkd/go-beanstalk"
)

const (
	inFlight  = 32   // requests of one pipeline that wait for their answers
	smallBody = 3000 // bytes of a body that leaves in one write, with its command
)

// A link is one connection in the hands of one call at a time.
type link struct {
	wire    *wire
	client  *beanstalk.Conn
	timeout time.Duration

	mu     sync.Mutex
	cut    bool // a context's end has ended the connection
	broken bool // it must not be used again
	puts   bool // jobs are being put over it
}

// begin lets a context end the link's operations, until the function that it
// returns is called.
func (l *link) begin(ctx context.Context) (end func()) {
	l.extend(l.timeout)
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.cut, l.broken = true, true
		_ = l.wire.SetDeadline(time.Unix(1, 0)) // ends what waits; the owner closes
	})
	return func() {
		if !stop() {
			<-ended // or it would cut the connection under its next owner
			return
		}
		_ = l.wire.SetDeadline(time.Time{})
	}
}

// extend gives the operations under way, and the next one, so much time.
func (l *link) extend(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut {
		_ = l.wire.SetDeadline(time.Now().Add(d))
	}
}

// grace is what a put has left when its server cannot be reached by others: a
// server without a descriptor for them still answers those that it knows.
const grace = 200 * time.Millisecond

// putting says whether jobs are being put over the link.
func (l *link) putting(is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.puts = is
}

// hurry leaves the puts under way their grace, and the link is not used again.
func (l *link) hurry() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.puts && !l.cut {
		l.cut, l.broken = true, true
		_ = l.wire.SetDeadline(time.Now().Add(grace))
	}
}

// one runs one operation, and says whether something of it may have left.
func (l *link) one(do func() error) (sent bool, err error) {
	before := l.wire.writes.Load()
	err = do()
	return l.wire.writes.Load() > before, err
}

// A result is how one operation of a pipeline ended.
type result struct {
	sent bool
	err  error
}

// pipeline runs n operations, whose requests leave in order and do not wait for
// each other's answers. go-beanstalk writes a request when its goroutine comes
// to it, so each goroutine starts when the one before it has written: that
// keeps a batch first in, first out. large says that a request does not leave
// in one write; such a one travels alone.
func (l *link) pipeline(n int, large func(i int) bool, do func(i int) error) []result {
	results := make([]result, n)
	if n == 1 {
		results[0].sent, results[0].err = l.one(func() error { return do(0) })
		return results
	}
	slots := make(chan struct{}, inFlight)
	var wg sync.WaitGroup
	for i := range n {
		if l.isBroken() {
			results[i].err = errNotSent
			continue
		}
		l.extend(l.timeout)
		alone := large != nil && large(i)
		if alone {
			wg.Wait()
		}
		slots <- struct{}{}
		results[i].sent = l.launch(&wg, alone, func() {
			defer func() { <-slots }()
			results[i].err = do(i)
			if v := classify(results[i].err, true); v.broken {
				l.fail()
			}
		})
	}
	wg.Wait()
	return results
}

// launch starts one operation and returns when its request was written, or,
// for one that travels alone, when it is done. It says whether something of the
// request may have left.
func (l *link) launch(wg *sync.WaitGroup, alone bool, run func()) (sent bool) {
	select {
	case <-l.wire.wrote: // of an earlier request
	default:
	}
	before := l.wire.writes.Load()
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		run()
	})
	if alone {
		<-done
	} else {
		select {
		case <-l.wire.wrote:
		case <-done:
		}
	}
	return l.wire.writes.Load() > before
}

// expect says whether the answers to what comes next have bodies.
func (l *link) expect(bodies bool) { l.wire.bodies.Store(bodies) }

func (l *link) fail() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
}

func (l *link) isBroken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// usable says whether an idle link can be used: it is whole, and the server
// has not ended it meanwhile. Without this look, the first operation after a
// server's restart would end as unknown.
func (l *link) usable() bool {
	return !l.isBroken() && l.wire.in.Buffered() == 0 && alive(l.wire.Conn)
}

func (l *link) close() { _ = l.client.Close() }
