package volatile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Limit is how many events a limiter lets through: Events per Per in the
// long run, and Burst at once after a quiet time.
type Limit struct {
	Events int           // 1 to 1,000,000,000
	Per    time.Duration // default 1 s
	Burst  int           // default Events
}

// LimiterOptions of a Limiter; zero values are the defaults.
type LimiterOptions struct {
	// Closed refuses while the cache cannot be reached. Default: everything
	// is let through, and counted as Stats.Skipped.
	Closed bool
}

// A Limiter limits how often something may happen, by key, with decay: every
// event uses up a part of the burst, which flows back evenly over time. It is
// shared by all processes that use the same cache and name (let the key name
// the caller too, for a limit per caller), and exact among any number of goroutines and processes, but for two things: processes whose
// clocks differ by d may let through what flows back in d, and an entry that
// the cache has lost begins with a full burst.
type Limiter struct {
	face  face
	limit Limit
	opts  LimiterOptions
	full  time.Duration // in which a whole burst flows back
	each  time.Duration // in which one event does
	asks  *combiner[*allowing]
}

// NewLimiter returns the limiter of a name: 1 to 64 letters, digits, '_' and
// '-'. A changed limit of the same name holds for what comes next.
func NewLimiter(cache *Cache, name string, limit Limit, opts *LimiterOptions) (*Limiter, error) {
	l := &Limiter{limit: limit}
	l.asks = newCombiner(l.pass)
	if opts != nil {
		l.opts = *opts
	}
	if l.limit.Per == 0 {
		l.limit.Per = time.Second
	}
	if l.limit.Burst == 0 {
		l.limit.Burst = l.limit.Events
	}
	if err := l.limit.check(); err != nil {
		return nil, err
	}
	l.full, l.each = l.limit.cost(l.limit.Burst), l.limit.cost(1)
	var err error
	l.face, err = cache.face("l", name)
	return l, err
}

func (l Limit) check() error {
	const most, longest = 1_000_000_000, 10 * 365 * 24 * time.Hour
	if l.Events < 1 || l.Events > most || l.Burst < 1 || l.Burst > most || l.Per < 0 || l.Per > longest {
		return fault.New(fault.ErrInvalid, purpose, "new limiter", fmt.Sprintf("%d events per %v in bursts of %d; 1 to %d events, %v at most", l.Events, l.Per, l.Burst, most, longest))
	}
	if float64(l.Burst)*float64(l.Per)/float64(l.Events) > float64(longest) {
		return fault.New(fault.ErrInvalid, purpose, "new limiter", fmt.Sprintf("a burst of %d takes more than %v to flow back", l.Burst, longest))
	}
	return nil
}

// cost is the time in which n events flow back, rounded up. The product does
// not fit 64 bits.
func (l Limit) cost(n int) time.Duration {
	hi, lo := bits.Mul64(uint64(n), uint64(l.Per))
	lo, carry := bits.Add64(lo, uint64(l.Events-1), 0)
	quotient, _ := bits.Div64(hi+carry, lo, uint64(l.Events))
	return time.Duration(quotient)
}

// take is one step of the generic cell rate algorithm: tat is the time at
// which the burst will be full again. It returns the next such time, or how
// long to wait until n events may pass. Times are Unix nanoseconds, which cost
// a fraction of what a time.Time does.
func (l *Limiter) take(tat, now int64, n int) (next int64, wait time.Duration) {
	cost := l.each
	if n > 1 {
		cost = l.limit.cost(n)
	}
	tat = max(tat, now)
	next = tat + int64(cost)
	if over := time.Duration(next-now) - l.full; over > 0 {
		return tat, over
	}
	return next, 0
}

// An allowing is one call of Allow.
type allowing struct {
	n     int
	wait  time.Duration
	err   error
	value [limiterSize]byte // of the first one of a group: what is written for all
}

// Allow lets n events of a key through, all or none: the wait is zero when
// they may pass, else the time after which they may, if nobody else comes
// first. More than Burst events can never pass and are fault.ErrInvalid.
func (l *Limiter) Allow(ctx context.Context, key string, n int) (wait time.Duration, err error) {
	full, err := l.face.key("allow", key)
	if err != nil {
		return 0, err
	}
	if n < 1 || n > l.limit.Burst {
		return 0, fault.New(fault.ErrInvalid, purpose, "allow", fmt.Sprintf("%d events at once; 1 to %d, the burst", n, l.limit.Burst))
	}
	a := &allowing{n: n}
	if err = l.asks.do(ctx, full, a); err == nil {
		wait, err = a.wait, a.err
	}
	switch {
	case err == nil || ctx.Err() != nil || errors.Is(err, fault.ErrBusy):
		return wait, l.face.cache.fail("allow", key, err)
	case l.opts.Closed:
		return 0, l.face.cache.fail("allow", key, err)
	}
	l.face.cache.stats.skipped.Add(1)
	return 0, nil
}

// The state of a key is a format byte and the time at which its burst will be
// full again, in nanoseconds. It has no checksum: a time that no limiter would
// have written is as good as none.
const (
	limiterFormat = 2
	limiterSize   = 1 + 8
)

// state reads the time from a value. One that lies further ahead than a whole
// burst is damage, or of a former, slower limit.
func (l *Limiter) state(value []byte, now int64) (tat int64) {
	if len(value) != limiterSize || value[0] != limiterFormat {
		return 0
	}
	return min(int64(binary.BigEndian.Uint64(value[1:])), now+int64(l.full))
}

// pass is the compare-and-swap loop over one key's state, for all who ask at
// the same time, in their order. It returns false when its context ended
// before the others have their answers.
func (l *Limiter) pass(ctx context.Context, full string, asks []*allowing) bool {
	c := l.face.cache
	for attempt := range changesMost {
		last, token, err := c.glance(ctx, full)
		if err != nil {
			return l.failed(ctx, asks, err)
		}
		now := time.Now().UnixNano()
		next := l.state(last, now)
		passed := false
		for _, a := range asks {
			if next, a.wait = l.take(next, now, a.n); a.wait == 0 {
				passed = true
			}
		}
		if !passed {
			return true
		}
		value := asks[0].value[:]
		value[0] = limiterFormat
		binary.BigEndian.PutUint64(value[1:], uint64(next))
		err = c.driver.Swap(ctx, Item{Key: full, Value: value, TTL: time.Duration(next - now), Token: token})
		if err == nil {
			return true
		}
		if !errors.Is(err, fault.ErrConflict) {
			return l.failed(ctx, asks, err)
		}
		if err := pause(ctx, attempt); err != nil {
			return l.failed(ctx, asks, err)
		}
	}
	return l.failed(ctx, asks, fault.New(fault.ErrBusy, purpose, "swap", "too many callers of one key"))
}

// failed gives an error to all who ask, unless it comes from the context of the
// one who asks for them.
func (l *Limiter) failed(ctx context.Context, asks []*allowing, err error) bool {
	for _, a := range asks {
		a.wait, a.err = 0, err
	}
	return ctx.Err() == nil
}

// Wait lets n events of a key through as soon as they may pass, or returns the
// context's error.
func (l *Limiter) Wait(ctx context.Context, key string, n int) error {
	for {
		d, err := l.Allow(ctx, key, n)
		if err != nil || d == 0 {
			return err
		}
		if err := wait(ctx, d); err != nil {
			return err
		}
	}
}
