package persistence

import (
	"context"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// skewEvery is how often this machine's clock is held against the store's.
const skewEvery = 10 * time.Second

// watchSkew measures how far this machine's clock is ahead of a shared store's:
// a writer far ahead would silence all others.
func (l *Layer) watchSkew(ctx context.Context) {
	for ctx.Err() == nil {
		before := time.Now()
		theirs, err := l.rows.Clock(ctx)
		took := time.Since(before)
		if err == nil && took < l.opts.MaxSkew {
			l.ahead.Store(int64(before.Add(took / 2).Sub(theirs)))
		}
		pause(ctx, skewEvery)
	}
}

// skewed refuses versions while this machine's clock is known to be ahead of
// the durable stores' clocks.
func (l *Layer) skewed() error {
	ahead := time.Duration(l.ahead.Load())
	if ahead <= l.opts.MaxSkew {
		return nil
	}
	return fault.New(fault.ErrUnavailable, "", "put", fmt.Sprintf(
		"this machine's clock is %v ahead of the transactional store's; MaxSkew is %v", ahead, l.opts.MaxSkew))
}
