package persistence

import (
	"context"
	"errors"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/hlc"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// ceilingName is the row of the clock's high-water mark.
const ceilingName = "clock"

// ticks are the clock that versions come from, and the goroutine that keeps its
// high-water mark durable ahead of it. The clock itself never waits for the
// store: a transaction that asks for a version may hold the only writer.
type ticks struct {
	clock  *hlc.Clock
	wanted chan int64      // capacity 1: a ceiling to make durable
	over   <-chan struct{} // the layer is closed; nil where the clock has no ceiling
}

// errMark is why a transaction must run again: see ticks.now.
var errMark = errors.New("the clock's high-water mark is being written")

func newTicks(l *Layer, ceiling int64) *ticks {
	t := &ticks{wanted: make(chan int64, 1), over: l.life.Done()}
	t.clock = hlc.New(ceiling, func(ceiling int64) {
		select {
		case t.wanted <- ceiling:
		default: // one is under way; the next version asks again
		}
	})
	l.spawn(func(ctx context.Context) { t.keep(ctx, l) })
	return t
}

// keep makes ceilings durable as they are wanted.
func (t *ticks) keep(ctx context.Context, l *Layer) {
	for {
		select {
		case <-ctx.Done():
			return
		case ceiling := <-t.wanted:
			crash.Point("clock.raise.before")
			high, err := raise(ctx, l, ceiling)
			crash.Point("clock.raise.after")
			if fault.Outage(err) {
				// Kinds that do not need this store go on. After a restart in
				// the meantime the wall clock alone keeps versions growing.
				high, err = ceiling, nil
			}
			if err != nil {
				if ctx.Err() == nil {
					l.log.Warn("the clock's high-water mark is not durable yet; it is tried again, and nothing is lost", "error", err)
				}
				pause(ctx, tick/10)
				continue
			}
			t.clock.Raised(high)
		}
	}
}

// raiseIn is how long a store may take to keep the mark before it is asked
// whether it is there at all: well inside the time for which the mark lies ahead.
const raiseIn = tick / 2

// raise makes a ceiling durable. A store that takes the call and does not answer,
// as a server that is stopped, is an outage like any other: the kinds that do
// not need it must not wait for it.
func raise(ctx context.Context, l *Layer, ceiling int64) (int64, error) {
	health := l.engine.health
	if health.isDown[Transactional].Load() {
		return ceiling, nil
	}
	soon, cancel := context.WithTimeout(ctx, raiseIn)
	defer cancel()
	high, err := l.rows.Raise(soon, ceilingName, ceiling)
	if err == nil || fault.Outage(err) || soon.Err() == nil || ctx.Err() != nil {
		return high, err
	}
	probe, stop := context.WithTimeout(ctx, raiseIn)
	defer stop()
	if l.check(probe, Transactional).Reachable || ctx.Err() != nil {
		return high, err
	}
	health.failed(Transactional, err)
	return ceiling, nil
}

// ready waits until a transaction that starts now will get its versions: inside
// it must not wait for them.
func (t *ticks) ready(ctx context.Context) error {
	for !t.clock.Roomy() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.over:
			return errLayerClosed("tx")
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// now returns the next version. Within a transaction it does not wait for the
// high-water mark but says fault.ErrBusy, so that the transaction ends, lets
// the mark be written, and is run again.
func (t *ticks) now(ctx context.Context, inTx bool) (int64, error) {
	for {
		version, ok := t.clock.Now()
		if ok {
			return version, nil
		}
		if inTx {
			return 0, &fault.Error{Op: "put", Store: "transactional", Class: fault.ErrBusy, Err: errMark}
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-t.over:
			return 0, errLayerClosed("put")
		case <-time.After(time.Millisecond):
		}
	}
}
