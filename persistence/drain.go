package persistence

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A Left is a group of tasks that Drain left.
type Left struct {
	Kind string // empty, as is Task, where a queue that is down cannot be counted
	Task string // empty in transitory custody, where whole envelopes are counted
	Why  string // such as "not due", "waits for the amorphous store", "served by another program"
	N    int    // 0 where nobody knows
}

// String is such as "3 object of checkin: waits for the amorphous store".
func (l Left) String() string {
	var b strings.Builder
	if l.N > 0 {
		fmt.Fprintf(&b, "%d ", l.N)
	}
	switch {
	case l.Task != "":
		fmt.Fprintf(&b, "%s of %s: ", l.Task, l.Kind)
	case l.Kind != "":
		fmt.Fprintf(&b, "of %s: ", l.Kind)
	}
	return b.String() + l.Why
}

// Drain runs everything that is due, and returns what it left: tasks that wait
// for their time (so does one that has just failed, for its next attempt), for a store that is down, for another program, or for the end
// of the lease that a worker which died had on them. When ctx ends first, the
// error is ctx's. It works beside Work, and without it.
func (l *Layer) Drain(ctx context.Context) ([]Left, error) {
	if err := l.open("drain"); err != nil {
		return nil, err
	}
	if stop, err := l.engine.start(false); err == nil {
		l.engine.draining.Store(true)
		defer func() {
			stop()
			l.engine.draining.Store(false)
		}()
	}
	// Work sweeps every second, and a drain may be over sooner. Where nobody
	// shares the log, what dead processes held was freed when it was opened.
	if l.rows != nil && l.rows.Features().SharedLog && !l.engine.health.isDown[Transactional].Load() {
		if _, err := l.rows.Sweep(ctx); err != nil {
			return nil, err
		}
	}
	l.engine.wake()
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		quiet, err := l.engine.quiet(ctx)
		if err != nil {
			return nil, err
		}
		if quiet {
			return l.left(ctx)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.closing:
			return nil, l.open("drain")
		case <-time.After(wait):
		}
	}
}

// quiet reports whether nothing is in flight and nothing due waits in custody.
func (e *engine) quiet(ctx context.Context) (bool, error) {
	moves := e.moves.Load()
	idle := func() bool {
		return e.told() && e.sought() && e.flight.Load() == 0 && len(e.holding()) == 0 && e.moves.Load() == moves
	}
	if !idle() {
		return false, nil
	}
	down := e.health.down()
	lanes := e.lanes(e.lanes(nil, true, down, anyKind), false, down, anyKind)
	if len(lanes) == 0 {
		return true, nil
	}
	if e.outbox != nil && !e.health.isDown[Transactional].Load() {
		if due, err := e.outbox.due(ctx, lanes); due || err != nil {
			return false, err
		}
	}
	if e.queue != nil && !e.health.isDown[Transitory].Load() {
		if empty, err := e.emptied(ctx, lanes); !empty || err != nil {
			return false, err
		}
	}
	return idle(), nil
}

// emptied reports whether the tubes hold nothing that is due. What was moved to
// the suspects is due in a moment.
func (e *engine) emptied(ctx context.Context, tubes []string) (bool, error) {
	due := len(tubes)
	stats, err := e.layer.queue.Stats(ctx, append(tubes, e.suspects()...)...)
	if fault.Outage(err) {
		e.health.failed(Transitory, err) // what it holds is left, and Drain says so
		return false, nil
	}
	for i, s := range stats {
		if s.Ready+s.Reserved > 0 || i >= due && s.Delayed > 0 {
			return false, err
		}
	}
	return true, err
}

func anyKind(*kind) bool { return true }

// left counts what remains in custody.
func (l *Layer) left(ctx context.Context) ([]Left, error) {
	count := map[Left]int{}
	if l.rows != nil {
		err := l.rows.Walk(ctx, func(rec transactional.Record) bool {
			l.countLeft(count, &rec)
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return l.leftInQueue(ctx, count)
}
