package persistence

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"
)

// A Run is what a handler may know about the run it is in.
type Run struct {
	ID       string    // task id: the same for every run of this task for this Put
	Kind     string    // its name, as declared
	Key      string    // the object's
	Task     string    // its name in the plan
	Attempt  int       // 1 for the first run; outages and snoozes do not count
	Version  int64     // the object's, of this Put
	Accepted time.Time // UTC, microseconds

	layer *Layer
	held  *held
	puts  putTally // for the tokens of what this run puts
}

type runKey struct{}

// Current returns the run that a handler's context belongs to, or nil outside
// of a handler.
func Current(ctx context.Context) *Run {
	run, _ := ctx.Value(runKey{}).(*Run)
	return run
}

// Newer reports whether a newer version of the object is stored in the kind's
// record: a handler whose work only matters for the newest one may then do
// nothing. It is false for a kind without a record.
func (r *Run) Newer(ctx context.Context) (bool, error) {
	return r.layer.newer(ctx, r.held.kind, r.Key, r.held.stamp())
}

// token names the next Put of this object by this run, so that a handler that
// runs twice puts once: also when it puts several objects in another order, or
// computes an object anew from what its first run changed.
func (r *Run) token(kind, key string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + key))
	object := hex.EncodeToString(sum[:8])
	return r.ID + "." + object + "." + strconv.Itoa(r.puts.next(object))
}

// A putTally counts the Puts of a run by object.
type putTally struct {
	mu sync.Mutex
	n  map[string]int
}

func (p *putTally) next(object string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == nil {
		p.n = map[string]int{}
	}
	p.n[object]++
	return p.n[object]
}

// putsOf returns a function that sets the tally of this context's run back to
// what it is now, for what may run again within the run.
func putsOf(ctx context.Context, l *Layer) (restore func()) {
	run := Current(ctx)
	if run == nil || run.layer != l {
		return func() {}
	}
	run.puts.mu.Lock()
	defer run.puts.mu.Unlock()
	now := maps.Clone(run.puts.n)
	return func() {
		run.puts.mu.Lock()
		defer run.puts.mu.Unlock()
		run.puts.n = maps.Clone(now)
	}
}

// taskID derives the id of a task from kind, key, task and token, else
// version.
func taskID(kind, key, task, token string, version int64) string {
	// Every run of a handler has one made, so it is put together on the stack.
	var text [256]byte
	b := text[:0]
	part := func(mark, value string) {
		b = strconv.AppendInt(b, int64(len(mark)+len(value)), 10)
		b = append(append(append(b, ':'), mark...), value...)
	}
	part("", kind)
	part("", key)
	part("", task)
	if token != "" {
		part("t", token)
	} else {
		var digits [20]byte
		part("v", string(strconv.AppendInt(digits[:0], version, 10)))
	}
	sum := sha256.Sum256(b)
	var id [32]byte
	hex.Encode(id[:], sum[:16])
	return string(id[:])
}

// errPermanent marks an error that no attempt can mend.
type errPermanent struct{ err error }

func (e errPermanent) Error() string { return e.err.Error() }
func (e errPermanent) Unwrap() error { return e.err }

// Permanent makes a handler's error final: the task becomes a dead letter at
// once. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return errPermanent{err}
}

// errSnooze asks for a later run.
type errSnooze struct{ after time.Duration }

func (e errSnooze) Error() string { return "snoozed for " + e.after.String() }

// Snooze makes the task wait for d without spending an attempt. A negative d
// is zero.
func Snooze(d time.Duration) error { return errSnooze{max(d, 0)} }

// A panicError is a panic of a handler, or the end of its goroutine, with the
// stack.
type panicError struct {
	value any
	exit  bool // runtime.Goexit
	stack []byte
}

func (e *panicError) Error() string {
	if e.exit {
		return "the handler ended its goroutine instead of returning: runtime.Goexit, which testing.T.FailNow calls"
	}
	return fmt.Sprintf("panic: %v", e.value)
}

// detail is the full text of an error for its dead letter.
func detail(err error) string {
	var p *panicError
	if errors.As(err, &p) {
		return p.Error() + "\n\n" + string(p.stack)
	}
	if err == nil {
		return ""
	}
	return err.Error()
}
