package persistence

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// A Run is what a handler may know about the run it is in.
type Run struct {
	ID       string // task id: the same for every run of this task for this Put
	Kind     string
	Key      string
	Task     string
	Attempt  int // 1 for the first run; outages and snoozes do not count
	Version  int64
	Accepted time.Time // UTC, microseconds

	layer *Layer
	held  *held
	puts  atomic.Int64 // Puts made by this run, for their tokens
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

// token names the next Put of this run, so that a handler that runs twice puts
// once.
func (r *Run) token() string {
	return r.ID + "." + strconv.FormatInt(r.puts.Add(1), 10)
}

// putsSoFar is how many Puts a run had made, for what may run again within it.
type putsSoFar struct {
	run *Run
	n   int64
}

// putsOf returns how many Puts the run of this context has made.
func putsOf(ctx context.Context, l *Layer) putsSoFar {
	run := Current(ctx)
	if run == nil || run.layer != l {
		return putsSoFar{}
	}
	return putsSoFar{run, run.puts.Load()}
}

// restore makes the next Put of the run have the token that it had then.
func (p putsSoFar) restore() {
	if p.run != nil {
		p.run.puts.Store(p.n)
	}
}

// taskID derives the id of a task from kind, key, task and token, else
// version.
func taskID(kind, key, task, token string, version int64) string {
	if token == "" {
		token = "v" + strconv.FormatInt(version, 10)
	} else {
		token = "t" + token
	}
	h := sha256.New()
	for _, part := range [...]string{kind, key, task, token} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
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

// A panicError is a panic of a handler, with its stack.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

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
