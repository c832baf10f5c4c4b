package sqlitefile

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

const (
	maxGroupUnits = 256
	maxGroupWork  = 20 * time.Millisecond // after it a group takes no further unit
	// waryUnits get a savepoint after one failed without: where failing is
	// common, running its neighbours again would cost more than savepoints do.
	waryUnits = 1024
)

// A writer runs units in groups. There is no goroutine while there is no work:
// whoever adds the first unit starts one that leads group after group until
// nothing waits. A leader whose unit is cut off has lost its place: the
// goroutine of the cut-off leads on, and the old one ends when the unit lets
// go of it.
type writer struct {
	timeout time.Duration
	work    time.Duration // maxGroupWork; tests ask for more
	reopen  func() (*rawConn, error)
	there   func() error  // see stays
	commits atomic.Uint64 // see File.Commits

	// What follows is the leader's.
	raw  *rawConn // nil after it broke
	log  *logKeeper
	wary int // units that still get a savepoint, whatever their terms

	mu     sync.Mutex
	head   *job
	tail   *job
	leads  bool
	closed bool
	idle   chan struct{} // closed when closed and nobody leads; nil before
}

// A job is a unit on its way.
type job struct {
	unit       func(Conn) error
	terms      Terms
	prev, next *job
	state      jobState // guarded by writer.mu
	err        error    // of a done job
	done       chan struct{}
}

type jobState uint8

const (
	jobWaits jobState = iota
	jobStarted
	jobDone
)

func newWriter(raw *rawConn, timeout time.Duration, there func() error, reopen func() (*rawConn, error)) *writer {
	return &writer{raw: raw, timeout: timeout, work: maxGroupWork, there: there, reopen: reopen, log: newLogKeeper(reopen)}
}

// do adds a unit and waits for its commit.
func (w *writer) do(ctx context.Context, j *job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !w.push(j) {
		return closedError()
	}
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
		return w.leave(ctx, j)
	}
}

func (w *writer) push(j *job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	if j.prev = w.tail; w.tail == nil {
		w.head = j
	} else {
		w.tail.next = j
	}
	w.tail = j
	if !w.leads {
		w.leads = true
		go w.lead()
	}
	return true
}

// leave answers a caller whose ctx has ended.
func (w *writer) leave(ctx context.Context, j *job) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch j.state {
	case jobWaits:
		w.unlink(j)
		return ctx.Err()
	case jobStarted:
		return &fault.Error{Op: "wait for a commit", Class: fault.ErrUnknown, Err: ctx.Err()}
	}
	return j.err
}

// unlink takes a job out of the queue; the mutex is held.
func (w *writer) unlink(j *job) {
	if j.prev == nil {
		w.head = j.next
	} else {
		j.prev.next = j.next
	}
	if j.next == nil {
		w.tail = j.prev
	} else {
		j.next.prev = j.prev
	}
	j.prev, j.next = nil, nil
}

// pop starts the job that has waited longest, if any.
func (w *writer) pop() *job {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := w.head
	if j != nil {
		w.unlink(j)
		j.state = jobStarted
	}
	return j
}

// refuseWaiting answers all who wait when no transaction can be begun: each
// would find out for itself otherwise, one after another, and may wait for
// seconds while another program holds the file.
func (w *writer) refuseWaiting(err error) {
	for j := w.pop(); j != nil; j = w.pop() {
		w.settle(err, j)
	}
}

// settle answers jobs.
func (w *writer) settle(err error, jobs ...*job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, j := range jobs {
		j.state, j.err = jobDone, err
		close(j.done)
	}
}

// lead runs groups until nothing waits.
func (w *writer) lead() {
	for !w.retire() {
		g := &group{w: w}
		if !g.fill() {
			return
		}
		g.commit()
		// Those whom the commit has woken get a chance to come back before
		// the next group is formed; without it, groups of one and of many
		// would alternate.
		runtime.Gosched()
	}
}

// retire ends the leadership if nothing waits.
func (w *writer) retire() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.head != nil {
		return false
	}
	w.leads = false
	if w.closed {
		close(w.idle)
	}
	return true
}

// conn returns the connection, a new one after the old one broke.
func (w *writer) conn() (*rawConn, error) {
	if err := w.there(); err != nil {
		return nil, err
	}
	if w.raw == nil {
		raw, err := w.reopen()
		if err != nil {
			return nil, err
		}
		w.raw = raw
	}
	return w.raw, nil
}

// discard closes a connection that is not to be believed any more.
func (w *writer) discard() {
	if w.raw != nil {
		_ = w.raw.close() // it is broken, and says so
		w.raw = nil
	}
}

// close waits for what is under way and closes the connection.
func (w *writer) close() error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		w.idle = make(chan struct{})
		if !w.leads {
			close(w.idle)
		}
	}
	w.mu.Unlock()
	<-w.idle
	err := w.log.close()
	if w.raw != nil {
		err = errors.Join(err, Classify(w.raw.close(), "close"))
		w.raw = nil
	}
	return err
}

// A panicError is a panic of a unit, for its caller.
func panicError(value any, stack []byte) error {
	return &unitPanic{value, stack}
}

type unitPanic struct {
	value any
	stack []byte
}

func (e *unitPanic) Error() string { return fmt.Sprintf("the unit panicked: %v\n%s", e.value, e.stack) }

func (e *unitPanic) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

var errGoexit = errors.New("the unit ended its goroutine")

// A cutOff is the answer to a unit that held the writer for too long. It has no
// class: nothing was applied, and it counts against the unit.
type cutOff struct{ after time.Duration }

func (e *cutOff) Error() string {
	return fmt.Sprintf("the unit held the writer longer than %v and was rolled back", e.after)
}

func (e *cutOff) Unwrap() error { return context.DeadlineExceeded }
