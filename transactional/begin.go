package transactional

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// The phases of a transaction, as far as the end of a context is concerned.
const (
	phaseWaits int32 = iota
	phaseRuns
	phaseEnds // it commits or rolls back
	phaseGone // its context ended before it began
)

// begin runs a unit in a transaction of the driver. When ctx ends while the
// unit waits for its turn it never starts; when ctx ends while it runs, its
// next statement fails and it is rolled back, which begin waits for, so that
// the outcome is known; only the end of ctx during COMMIT leaves it unknown.
func (s *Store) begin(ctx context.Context, unit func(context.Context, Conn) error) error {
	return s.beginWith(ctx, s.driver.Run, unit)
}

// A runner is Driver.Run, or what stands in for it.
type runner func(ctx context.Context, unit func(Conn) error) error

func (s *Store) beginWith(ctx context.Context, run runner, unit func(context.Context, Conn) error) error {
	if ctx.Done() == nil {
		return run(ctx, func(c Conn) error { return unit(ctx, c) })
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var phase atomic.Int32
	outer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		if phase.CompareAndSwap(phaseWaits, phaseGone) || phase.Load() == phaseEnds {
			cancel()
		}
	})
	defer stop()
	err := run(outer, func(c Conn) error {
		if !phase.CompareAndSwap(phaseWaits, phaseRuns) {
			return ctx.Err()
		}
		err := unit(ctx, c)
		phase.Store(phaseEnds)
		if err == nil {
			err = ctx.Err()
		}
		return err
	})
	if err == nil || outer.Err() == nil {
		return err
	}
	// The driver saw the outer context's end, which stands for ctx's.
	if class := fault.ClassOf(err); class != nil {
		return &fault.Error{Op: "commit", Store: purpose, Class: class, Err: ctx.Err()}
	}
	return ctx.Err()
}

// run executes a unit that is not grouped, again while the database is busy.
func (s *Store) run(ctx context.Context, unit func(context.Context, Conn) error) error {
	if err := s.nested(ctx); err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		err := s.begin(ctx, unit)
		if !errors.Is(err, fault.ErrBusy) || fault.Unknown(err) || !backoff(ctx, attempt) {
			return err
		}
	}
}

// view executes a unit that only reads.
func (s *Store) view(ctx context.Context, unit func(Conn) error) error {
	for attempt := 0; ; attempt++ {
		nameless := false
		err := s.driver.View(ctx, func(c Conn) error {
			err := unit(c)
			nameless = err == nil && s.notice(ctx, c)
			return err
		})
		if nameless {
			_ = s.learn(ctx) // for Join, which says what is wrong
		}
		if !errors.Is(err, fault.ErrBusy) || !backoff(ctx, attempt) {
			return err
		}
	}
}

// busyAttempts bounds how often a unit is run again when the database says
// that it is busy.
const busyAttempts = 10

// backoff waits before another attempt and reports whether there should be
// one. Waits grow from about one to about 64 ms, with full jitter, because
// those who deadlocked once must not meet again.
func backoff(ctx context.Context, attempt int) bool {
	if attempt+1 >= busyAttempts {
		return false
	}
	timer := time.NewTimer(rand.N(time.Millisecond << min(attempt+1, 6)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
