package volatiletest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

var meetingChecks = []check{
	{name: "Barrier", promise: "Nobody passes a barrier before all parties wait, all pass then, and late ones at once; what the cache loses meanwhile comes back.", waits: true, run: checkBarrier},
	{name: "Barrier/Leave", promise: "A party whose context ended, or that died, is not counted.", waits: true, run: checkBarrierLeave},
	{name: "Countdown", promise: "A countdown ends when every part was told, however often, by any process.", run: checkCountdown},
	{name: "Meter/Top", promise: "The keys that arrived most are found among thousands, by all processes, with the counts of Rates.", run: checkTop},
}

func newBarrier(t testing.TB, c *volatile.Cache) *volatile.Barrier {
	t.Helper()
	b, err := volatile.NewBarrier(c, "phases", nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func checkBarrier(t *testing.T, e *env) {
	const parties = 8
	barriers := []*volatile.Barrier{newBarrier(t, e.cache(t, nil)), newBarrier(t, e.cache(t, nil))}
	var came, passed atomic.Int64
	var wg sync.WaitGroup
	join := func(n int) {
		wg.Go(func() {
			came.Add(1)
			if err := barriers[n%2].Wait(e.ctx, "run 1", fmt.Sprint("party ", n), parties); err != nil {
				t.Errorf("party %d: %v", n, err)
			}
			if n := came.Load(); n < parties {
				t.Errorf("one passed when %d of %d had come", n, parties)
			}
			passed.Add(1)
		})
	}
	for n := range parties - 1 {
		join(n)
	}
	join(parties - 2) // twice at one place: counts once
	pass(300 * time.Millisecond)
	if came.Add(-1); passed.Load() > 0 {
		t.Errorf("%d passed when one was lacking", passed.Load())
	}
	e.delete(t, "ff.b.phases:run 1")
	pass(300 * time.Millisecond)
	join(parties - 1)
	wg.Wait()
	if err := barriers[0].Wait(e.ctx, "run 1", "late", parties); err != nil {
		t.Errorf("a late party: %v", err)
	}
	ctx, cancel := context.WithTimeout(e.ctx, 50*time.Millisecond)
	defer cancel()
	if err := barriers[0].Wait(ctx, "run 2", "party 0", 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("another key: %v", err)
	}
	if err := barriers[0].Wait(e.ctx, "run 3", "x", 0); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("no parties: %v", err)
	}
}

func checkBarrierLeave(t *testing.T, e *env) {
	ttl, alone, late, parties := 30*time.Second, time.Minute, 10*time.Minute, 3
	if !e.harness.Virtual {
		// A party has a moment to say that it leaves: all but one may miss it.
		ttl, alone, late, parties = 2*time.Second, 100*time.Millisecond, 500*time.Millisecond, 5
	}
	barrier := func(cache *volatile.Cache) *volatile.Barrier {
		b, err := volatile.NewBarrier(cache, "leaving", &volatile.BarrierOptions{TTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := barrier(e.cache(t, nil))
	for n := range 5 {
		ctx, cancel := context.WithTimeout(e.ctx, alone)
		if err := b.Wait(ctx, "k", fmt.Sprint("leaves ", n), parties); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("party %d, alone: %v", n, err)
		}
		cancel()
	}
	// One that dies tells nobody: its cache is closed before it can.
	cache := e.cache(t, nil)
	dying := barrier(cache)
	go dying.Wait(e.ctx, "k", "dies", parties)
	pass(ttl / 4)
	cache.Close()
	pass(ttl + ttl/10)
	start := time.Now()
	done := make(chan error, 2)
	for n := range 2 {
		go func() {
			pass(time.Duration(n) * late)
			done <- b.Wait(e.ctx, "k", fmt.Sprint("stays ", n), 2)
		}()
	}
	if err := errors.Join(<-done, <-done); err != nil || time.Since(start) < late || e.harness.Virtual && time.Since(start) > late+time.Second {
		t.Errorf("two parties met after %v, %v; the second came after %v", time.Since(start), err, late)
	}
}

func checkCountdown(t *testing.T, e *env) {
	const parts = 20
	var told sync.Map
	opts := &volatile.CountdownOptions{Rebuild: func(context.Context, string) (out []string, err error) {
		told.Range(func(part, _ any) bool { out = append(out, part.(string)); return true })
		return out, nil
	}}
	countdown := func() *volatile.Countdown {
		c, err := volatile.NewCountdown(e.cache(t, nil), "shards", opts)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	one, two := countdown(), countdown()
	left := func(want int) {
		t.Helper()
		for _, c := range []*volatile.Countdown{one, two} {
			if n, err := c.Left(e.ctx, "job", parts); n != want || err != nil {
				t.Errorf("%d left, %v; want %d", n, err, want)
			}
		}
	}
	left(parts)
	waited := make(chan error, 1)
	go func() { waited <- two.Wait(e.ctx, "job", parts) }()
	tell := func(n int) {
		part := fmt.Sprint("part ", n)
		told.Store(part, true)
		for _, c := range []*volatile.Countdown{one, two, one} {
			if err := c.Done(e.ctx, "job", part); err != nil {
				t.Error(err)
			}
		}
	}
	var wg sync.WaitGroup
	for n := range parts - 1 {
		wg.Go(func() { tell(n) })
	}
	wg.Wait()
	left(1)
	e.delete(t, "ff.d.shards:job")
	left(1)
	select {
	case err := <-waited:
		t.Fatalf("the wait ended with one part left: %v", err)
	default:
	}
	tell(parts - 1)
	if err := <-waited; err != nil {
		t.Error(err)
	}
	left(0)
	if _, err := one.Left(e.ctx, "job", 0); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("no parts: %v", err)
	}
}

func checkTop(t *testing.T, e *env) {
	meters := []*volatile.Meter{newMeter(t, e.cache(t, nil)), newMeter(t, e.cache(t, nil))}
	hit := func(m int, key string, n int) {
		t.Helper()
		if err := meters[m].Hit(e.ctx, key, n); err != nil {
			t.Fatal(err)
		}
	}
	if top, err := meters[0].Top(e.ctx, time.Minute, 3); err != nil || len(top) != 0 {
		t.Errorf("no arrivals: %v, %v", top, err)
	}
	for i := range e.size(3000, 700) {
		hit(i%2, fmt.Sprint("rare ", i), 1)
		if i%10 == 0 {
			hit(0, "first", 3)
			hit(1, "second", 2)
			hit(i/10%2, "third", 1)
		}
	}
	e.eventually(t, 4*time.Second, "the others have heard", func() bool {
		top, err := meters[1].Top(e.ctx, time.Minute, 3)
		return err == nil && len(top) == 3 && top[0].Key == "first"
	})
	for _, over := range []time.Duration{30 * time.Second, time.Minute, time.Hour} {
		for _, m := range meters {
			top, err := m.Top(e.ctx, over, 3)
			if err != nil || len(top) != 3 || top[0].Key != "first" || top[1].Key != "second" || top[2].Key != "third" {
				t.Fatalf("over %v: %v, %v", over, top, err)
			}
			if want := float64(e.size(3000, 700)/10) * 3; top[0].Count != want {
				t.Errorf("over %v the first has %v; want %v", over, top[0].Count, want)
			}
		}
	}
	for _, n := range []int{0, volatile.MaxTop + 1} {
		if _, err := meters[0].Top(e.ctx, time.Minute, n); !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("the first %d: %v", n, err)
		}
	}
	if _, err := meters[0].Top(e.ctx, time.Second, 1); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("over a second: %v", err)
	}
}
