package persistence

import (
	"context"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// skewEvery is how often this machine's clock is held against the store's.
const skewEvery = 10 * time.Second

// A reading is what a shared store's clock said.
type reading struct {
	theirs time.Time
	at     time.Time // when, by our monotonic clock
}

// ahead is how far a wall clock is ahead, so long after the reading. How long
// our monotonic clock says, which nobody sets: a wall clock that leaps is found
// out at once.
func (r *reading) ahead(wall time.Time, since time.Duration) time.Duration {
	return wall.Round(0).Sub(r.theirs) - since
}

// watchSkew measures how far this machine's clock is ahead of a shared store's:
// a writer far ahead would silence all others.
func (l *Layer) watchSkew(ctx context.Context) {
	for ctx.Err() == nil {
		before := time.Now()
		theirs, err := l.rows.Clock(ctx)
		took := time.Since(before)
		if err == nil && took < l.opts.MaxSkew {
			l.skew.Store(&reading{theirs: theirs, at: before.Add(took / 2)})
		}
		pause(ctx, skewEvery)
	}
}

// skewed refuses versions while this machine's clock is known to be ahead of
// the transactional store's.
func (l *Layer) skewed() error {
	r := l.skew.Load()
	if r == nil {
		return nil
	}
	ahead := r.ahead(time.Now(), time.Since(r.at))
	if ahead <= l.opts.MaxSkew {
		return nil
	}
	return fault.New(fault.ErrUnavailable, "", "put", fmt.Sprintf(
		"this machine's clock is %v ahead of the transactional store's; MaxSkew is %v", ahead, l.opts.MaxSkew))
}

// saw makes later versions of this layer lie above one that was read of an
// object. Otherwise a machine whose clock is slow would read what another one
// put, put what it makes of that, and lose to what it has read. Versions of the
// user's own say nothing about the clock, and one that is further ahead of it
// than the horizon is a fault of whoever wrote it, which must not spread: above
// that a Put is superseded, and its receipt says so.
func (l *Layer) saw(k *kind, version int64) {
	if k.typ.Version != nil || l.ticks.clock.Above(version) || version > nowMicro()+l.opts.Horizon.Microseconds() {
		return
	}
	l.ticks.clock.Observe(version)
}
