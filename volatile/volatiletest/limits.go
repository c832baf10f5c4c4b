package volatiletest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

func newLimiter(t testing.TB, c *volatile.Cache, limit volatile.Limit) *volatile.Limiter {
	t.Helper()
	l, err := volatile.NewLimiter(c, "calls", limit, nil)
	if err != nil {
		t.Fatalf("new limiter: %v", err)
	}
	return l
}

func checkLimiter(t *testing.T, e *env) {
	limit := volatile.Limit{Events: 50, Per: time.Second, Burst: 20}
	limiters := []*volatile.Limiter{newLimiter(t, e.cache(t, nil), limit), newLimiter(t, e.cache(t, nil), limit)}
	var passed atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for worker := range 64 {
		wg.Go(func() {
			for range 5 {
				wait, err := limiters[worker%2].Allow(e.ctx, "ann", 1)
				if err != nil {
					t.Error(err)
					return
				}
				if wait == 0 {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	most := 20 + int64(math.Floor(50*time.Since(start).Seconds()))
	if n := passed.Load(); n < 20 || n > most {
		t.Errorf("%d events passed; want 20 to %d", n, most)
	}
	if wait, err := limiters[0].Allow(e.ctx, "bob", 20); wait != 0 || err != nil {
		t.Errorf("another key waits %v, %v", wait, err)
	}
	for _, n := range []int{0, -1, 21} {
		if _, err := limiters[0].Allow(e.ctx, "bob", n); !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("%d events at once: %v", n, err)
		}
	}
	ctx, cancel := context.WithTimeout(e.ctx, 2*time.Second)
	defer cancel()
	if err := limiters[1].Wait(ctx, "bob", 5); err != nil {
		t.Errorf("wait: %v", err)
	}
}

// checkLimiterDecayLive is the check in real time, of what holds however late a
// call is: a machine that stands still makes waits shorter, never too short.
func checkLimiterDecayLive(t *testing.T, e *env) {
	const each = 100 * time.Millisecond // in which one event flows back
	l := newLimiter(t, e.cache(t, nil), volatile.Limit{Events: 3, Per: 3 * each, Burst: 6})
	allow := func(n int) time.Duration {
		t.Helper()
		wait, err := l.Allow(e.ctx, "ann", n)
		if err != nil || wait < 0 || wait > time.Duration(n)*each {
			t.Fatalf("%d events wait %v, %v", n, wait, err)
		}
		return wait
	}
	passed, start := 0, time.Now()
	pay := func(n int) {
		t.Helper()
		if passed += n; time.Since(start)+each/10 < time.Duration(passed-6)*each {
			t.Errorf("%d events passed in %v: a burst of 6, and one each %v", passed, time.Since(start), each)
		}
	}
	if wait := allow(6); wait != 0 {
		t.Errorf("the burst waits %v", wait)
	}
	pay(6)
	for n := range 3 { // the wait is the time after which they may pass
		waits := 0
		for wait := allow(n + 1); wait > 0; wait = allow(n + 1) {
			if waits++; waits > 2 { // the clock may be set meanwhile
				t.Fatalf("%d events do not pass after their wait", n+1)
			}
			pass(wait)
		}
		pay(n + 1)
	}
	for range 6 {
		if err := l.Wait(e.ctx, "ann", 1); err != nil {
			t.Fatal(err)
		}
		pay(1)
	}
	pass(6 * each)
	if wait := allow(6); wait != 0 {
		t.Errorf("what flowed back in the time of a burst waits %v", wait)
	}
	asked := time.Now()
	one, two := allow(1), time.Duration(0)
	if one > 0 { // else it was late
		two = allow(2)
	}
	if two > 0 && (two-one > each+each/10 || two-one < each-time.Since(asked)-each/10) {
		t.Errorf("one event waits %v, two wait %v; one flows back in %v", one, two, each)
	}
}

func checkLimiterDecay(t *testing.T, e *env) {
	if !e.harness.Virtual {
		checkLimiterDecayLive(t, e)
		return
	}
	l := newLimiter(t, e.cache(t, nil), volatile.Limit{Events: 3, Per: time.Minute, Burst: 6})
	allow := func(n int, want time.Duration) {
		t.Helper()
		if wait, err := l.Allow(e.ctx, "ann", n); err != nil || wait != want {
			t.Errorf("%d events wait %v, %v; want %v", n, wait, err, want)
		}
	}
	allow(6, 0)
	allow(1, 20*time.Second)
	allow(2, 40*time.Second)
	pass(19 * time.Second)
	allow(1, time.Second)
	pass(time.Second)
	allow(1, 0)
	allow(1, 20*time.Second)
	pass(time.Hour)
	allow(6, 0)
	allow(1, 20*time.Second)
	start := time.Now()
	for range 9 {
		if err := l.Wait(e.ctx, "ann", 1); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took != 3*time.Minute {
		t.Errorf("nine events at three a minute took %v", took)
	}
	thirds := newLimiter(t, e.cache(t, nil), volatile.Limit{Events: 3, Per: time.Second, Burst: 1})
	passed := 0
	for start := time.Now(); time.Since(start) < 100*time.Second; {
		wait, _ := thirds.Allow(e.ctx, "thirds", 1)
		if wait == 0 {
			passed++
		}
		if wait > time.Millisecond {
			wait /= 2 // who asks too early uses up nothing
		}
		pass(wait)
	}
	if passed < 299 || passed > 301 {
		t.Errorf("%d events in 100 s at three a second", passed)
	}
}

// A skewed driver is that of a process whose clock is ahead: the times that a
// limiter keeps are nearer to it by that much.
type skewed struct {
	volatile.Driver
	ahead time.Duration
}

func (d skewed) Features() volatile.Features { return d.Driver.(volatile.Featured).Features() }

// shift moves the time that a limiter's state ends with.
func shift(value []byte, by time.Duration) []byte {
	moved := bytes.Clone(value)
	at := moved[len(moved)-8:]
	binary.BigEndian.PutUint64(at, binary.BigEndian.Uint64(at)+uint64(by))
	return moved
}

func (d skewed) Get(ctx context.Context, keys []string) ([]volatile.Item, error) {
	items, err := d.Driver.Get(ctx, keys)
	for i := range items {
		items[i].Value = shift(items[i].Value, -d.ahead)
	}
	return items, err
}

func (d skewed) Swap(ctx context.Context, item volatile.Item) error {
	item.Value = shift(item.Value, d.ahead)
	return d.Driver.Swap(ctx, item)
}

func checkLimiterErrors(t *testing.T, e *env) {
	const rate, burst, inSkew = 50, 20, 10
	limit := volatile.Limit{Events: rate, Per: time.Second, Burst: burst}
	fast, err := volatile.New(skewed{e.open(t), time.Second * inSkew / rate}, nil)
	if err != nil {
		t.Fatal(err)
	}
	right, ahead := newLimiter(t, e.cache(t, nil), limit), newLimiter(t, fast, limit)
	start := time.Now()
	passed := 0
	ask := func(l *volatile.Limiter, want int) {
		t.Helper()
		before := passed
		for range 100 {
			wait, err := l.Allow(e.ctx, "ann", 1)
			if err != nil {
				t.Fatal(err)
			}
			if wait == 0 {
				passed++
			}
		}
		if n := passed - before; n < want || e.harness.Virtual && n > want {
			t.Errorf("%d events passed; want %d", n, want)
		}
	}
	most := func(what string, n int) {
		t.Helper()
		if n += 1 + int(rate*time.Since(start).Seconds()); passed > n {
			t.Errorf("%s: %d events passed, %d at most might", what, passed, n)
		}
	}
	ask(right, burst)
	ask(ahead, inSkew)
	ask(right, 0)
	ask(ahead, 0)
	most("two clocks", burst+inSkew)
	e.delete(t, "ff.l.calls:ann")
	ask(right, burst)
	most("a lost entry", 2*burst+inSkew)
}

func newMeter(t testing.TB, c *volatile.Cache) *volatile.Meter {
	t.Helper()
	m, err := volatile.NewMeter(c, "arrivals")
	if err != nil {
		t.Fatalf("new meter: %v", err)
	}
	return m
}

func checkMeter(t *testing.T, e *env) {
	meters := []*volatile.Meter{newMeter(t, e.cache(t, nil)), newMeter(t, e.cache(t, nil))}
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for range 20 {
				if err := meters[worker%2].Hit(e.ctx, "pier", 3); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	rates, err := meters[0].Rates(e.ctx, "pier")
	if err != nil || rates.PerSecond != 32 || rates.Minute != 960 || rates.Hour != 960 {
		t.Errorf("960 arrivals are %+v, %v", rates, err)
	}
	if rates, err := meters[0].Rates(e.ctx, "park"); err != nil || rates != (volatile.Rates{}) {
		t.Errorf("no arrivals are %+v, %v", rates, err)
	}
	if err := meters[0].Hit(e.ctx, "pier", 0); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("zero arrivals: %v", err)
	}
}

func checkMeterWindows(t *testing.T, e *env) {
	m := newMeter(t, e.cache(t, nil))
	want := func(perSecond, minute, hour float64) {
		t.Helper()
		rates, err := m.Rates(e.ctx, "pier")
		if err != nil || math.Abs(rates.PerSecond-perSecond) > 0.01 || math.Abs(rates.Minute-minute) > 0.1 || math.Abs(rates.Hour-hour) > hour/60 {
			t.Errorf("%+v, %v; want %v %v %v", rates, err, perSecond, minute, hour)
		}
	}
	for range 7200 {
		if err := m.Hit(e.ctx, "pier", 2); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
	}
	want(2, 120, 7200)
	pass(15 * time.Second)
	want(1, 90, 7170)
	pass(15*time.Second + time.Millisecond)
	want(0, 60, 7140)
	pass(30 * time.Second)
	want(0, 0, 7080)
	pass(30 * time.Minute)
	want(0, 0, 3480)
	pass(30 * time.Minute)
	want(0, 0, 0)
}

func checkClaims(t *testing.T, e *env) {
	newClaims := func(name string, opts *volatile.ClaimsOptions) *volatile.Claims {
		c, err := volatile.NewClaims(e.cache(t, nil), name, opts)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	one, two := newClaims("jobs", nil), newClaims("jobs", nil)
	first, err := one.Acquire(e.ctx, "k")
	if err != nil {
		t.Fatalf("acquire: %v", err)
	}
	_, err = two.Acquire(e.ctx, "k")
	conflict(t, "a second claim", err)
	if err := first.Extend(e.ctx); err != nil {
		t.Errorf("extend: %v", err)
	}
	if err := errors.Join(first.Release(e.ctx), first.Release(e.ctx)); err != nil {
		t.Errorf("release: %v", err)
	}
	conflict(t, "extend after release", first.Extend(e.ctx))
	second, err := two.Acquire(e.ctx, "k")
	if err != nil || second.Fence <= first.Fence {
		t.Fatalf("the second claim: %+v, %v; the first had fence %d", second, err, first.Fence)
	}
	for _, key := range []string{"ff.c.jobs:k", "ff.cf.jobs:k"} {
		e.delete(t, key)
	}
	pass(time.Millisecond) // the clock is all that is left
	third, err := one.Acquire(e.ctx, "k")
	if err != nil || third.Fence <= second.Fence {
		t.Fatalf("a claim after the cache forgot: %+v, %v; before it was fence %d", third, err, second.Fence)
	}
	conflict(t, "extend of a forgotten claim", second.Extend(e.ctx))
	if err := second.Release(e.ctx); err != nil {
		t.Errorf("release of a forgotten claim: %v", err)
	}
	if err := third.Extend(e.ctx); err != nil {
		t.Errorf("a release by a former holder ended the claim: %v", err)
	}
	short := newClaims("short", &volatile.ClaimsOptions{TTL: time.Second})
	if _, err := short.Acquire(e.ctx, "k"); err != nil {
		t.Fatal(err)
	}
	e.eventually(t, 4*time.Second, "the claim ends", func() bool { _, err := short.Acquire(e.ctx, "k"); return err == nil })
	contenders(t, e, one)
}

// contenders race for one key: at most one holds it at any time, and fences
// come in the order of holding.
func contenders(t *testing.T, e *env, claims *volatile.Claims) {
	var holders atomic.Int64
	var mu sync.Mutex
	var last uint64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for got := 0; got < 3; {
				claim, err := claims.Acquire(e.ctx, "race")
				if errors.Is(err, fault.ErrConflict) {
					pass(time.Millisecond)
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				got++
				if holders.Add(1) > 1 {
					t.Error("two hold one claim")
				}
				mu.Lock()
				if claim.Fence <= last {
					t.Errorf("fence %d after %d", claim.Fence, last)
				}
				last = claim.Fence
				mu.Unlock()
				holders.Add(-1)
				if err := claim.Release(e.ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
