package volatiletest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/volatile"
)

var viewChecks = []check{
	{name: "View/Ahead", promise: "A value that is read often is rebuilt ahead of its end, once, and no reader waits; one that is not read ends.", waits: true, run: checkViewAhead},
	{name: "View/Aged", promise: "A value says how old it is.", waits: true, run: checkViewAged},
	{name: "View/Parts", promise: "A value over the limit lies in parts where the view allows it: whole in every process, and rebuilt when one part is lost.", run: checkViewParts},
	{name: "View/Bound", promise: "No value is served past its TTL and Stale, also while somebody rebuilds.", waits: true, run: checkViewBound},
	{name: "View/Crashed", promise: "The old value is served at once while it may be, also when who rebuilds it has crashed, and another one takes over.", waits: true, run: checkViewCrashed},
	{name: "Cache/Rate", promise: "Loads begin at RebuildRate per second, one turn for all readers of a key, and what waits for its turn ends with its context.", waits: true, run: checkRate},
	{name: "Cache/Jitter", promise: "Entries written together with a TTL end within its last tenth, and not together.", needs: needsVirtual("a resolution of seconds hides the tenth of a TTL of less than minutes of real time"), run: checkJitter},
}

func checkViewAhead(t *testing.T, e *env) {
	if !e.harness.Virtual {
		checkViewAheadLive(t, e)
		return
	}
	var loads atomic.Int64
	v := newView(t, e.cache(t, nil), "hot", &volatile.ViewOptions[int64]{TTL: 10 * time.Second, Ahead: 4 * time.Second,
		Rebuild: func(context.Context, string) (int64, error) {
			n := loads.Add(1)
			pass(time.Second)
			return n, nil
		}})
	if _, err := v.Get(e.ctx, "hot"); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < time.Minute; pass(50 * time.Millisecond) {
		asked := time.Now()
		_, age, err := v.GetAged(e.ctx, "hot")
		if err != nil || time.Since(asked) > 0 || age > 10*time.Second {
			t.Fatalf("after %v: waited %v for a value %v old, %v", time.Since(start), time.Since(asked), age, err)
		}
	}
	if n := loads.Load(); n < 6 || n > 10 {
		t.Errorf("%d rebuilds in a minute of a value that is fresh for 10 s and rebuilt up to 4 s ahead", n)
	}
	before := loads.Load()
	pass(30 * time.Second)
	if _, _, ok, _ := v.Peek(e.ctx, "hot"); ok || loads.Load() != before {
		t.Errorf("a value that nobody reads is there: %v, and was rebuilt %d times", ok, loads.Load()-before)
	}
}

// checkViewAheadLive is the check in real time. That somebody waited shows in the
// rebuild itself: the reader, who never rests, does not come back meanwhile. So
// it does when the machine stands still, and three rebuilds in a row are looked
// for of which nothing was felt; without the rebuild ahead there is none.
func checkViewAheadLive(t *testing.T, e *env) {
	const ttl, ahead = 500 * time.Millisecond, 250 * time.Millisecond
	var reads, loads, unfelt atomic.Int64
	var last time.Time // of rebuilds, which are one after the other
	v := newView(t, e.cache(t, &volatile.Options{Lease: time.Minute}), "hot", &volatile.ViewOptions[int64]{TTL: ttl, Ahead: ahead,
		Rebuild: func(context.Context, string) (int64, error) {
			if n := loads.Add(1); n > 1 && time.Since(last) < ttl-ahead-5*time.Millisecond {
				t.Errorf("rebuild %d began %v after the last value was there", n, time.Since(last))
			}
			before := reads.Load()
			pass(50 * time.Millisecond)
			if last = time.Now(); reads.Load() > before {
				unfelt.Add(1)
			} else {
				unfelt.Store(0)
			}
			return loads.Load(), nil
		}})
	e.eventually(t, 30*time.Second, "three rebuilds that no reader waited for", func() bool {
		asked := time.Now()
		_, age, err := v.GetAged(e.ctx, "hot")
		if reads.Add(1); err != nil || age-time.Since(asked) > ttl {
			t.Fatalf("a value %v old, %v", age, err)
		}
		return unfelt.Load() >= 3
	})
	e.eventually(t, 10*time.Second, "what nobody reads ends", func() bool { _, _, ok, _ := v.Peek(e.ctx, "hot"); return !ok })
	before := loads.Load()
	pass(ttl)
	if _, _, ok, _ := v.Peek(e.ctx, "hot"); ok || loads.Load() != before {
		t.Errorf("a value that nobody reads is there: %v, and was rebuilt %d times", ok, loads.Load()-before)
	}
}

func checkViewAged(t *testing.T, e *env) {
	v := newView(t, e.cache(t, nil), "aged", &volatile.ViewOptions[string]{
		Rebuild: func(_ context.Context, key string) (string, error) { return key, nil }})
	if got, age, err := v.GetAged(e.ctx, "k"); err != nil || got != "k" || age > time.Second/2 {
		t.Errorf("rebuilt: %q, %v old, %v", got, age, err)
	}
	pass(time.Second)
	if got, age, err := v.GetAged(e.ctx, "k"); err != nil || got != "k" || age < 900*time.Millisecond || age > 5*time.Second {
		t.Errorf("a second later: %q, %v old, %v", got, age, err)
	}
}

func checkViewParts(t *testing.T, e *env) {
	size := e.cache(t, nil).Features().MaxValue*2 + 12_345
	value := func(version int64) []byte { return bytes.Repeat([]byte{byte('a' + version)}, size) }
	var loads, version atomic.Int64
	view := func(parts bool, c *volatile.Cache) *volatile.View[[]byte] {
		return newView(t, c, fmt.Sprint("large-", parts), &volatile.ViewOptions[[]byte]{Parts: parts,
			Version: func(b []byte) int64 { return int64(b[0] - 'a') },
			Rebuild: func(context.Context, string) ([]byte, error) { loads.Add(1); return value(version.Load()), nil }})
	}
	want := func(v *volatile.View[[]byte], loaded int64) {
		t.Helper()
		before := loads.Load()
		got, err := v.Get(e.ctx, "k")
		if err != nil || !bytes.Equal(got, value(version.Load())) || loads.Load()-before != loaded {
			t.Fatalf("got %s, %v after %d loads; want version %d after %d", brief(got), err, loads.Load()-before, version.Load(), loaded)
		}
	}
	driver := &noting{Driver: e.driver}
	c, err := volatile.New(driver, nil)
	if err != nil {
		t.Fatal(err)
	}
	one, two, none := view(true, c), view(true, e.cache(t, nil)), view(false, e.cache(t, nil))
	want(one, 1)
	want(one, 0)
	want(two, 0)
	if all, err := two.GetAll(e.ctx, []string{"k"}); err != nil || len(all["k"]) != size {
		t.Errorf("get all: %d bytes, %v", len(all["k"]), err)
	}
	version.Store(1)
	if err := one.Put(e.ctx, "k", value(1)); err != nil {
		t.Fatal(err)
	}
	want(two, 0)
	if len(driver.set) != 6 {
		t.Fatalf("two values of three parts each have %d", len(driver.set))
	}
	e.delete(t, driver.set[len(driver.set)-1])
	want(two, 1)
	want(one, 0)
	want(none, 1)
	want(none, 1)
	huge := make([]byte, volatile.MaxParts*e.cache(t, nil).Features().MaxValue+1)
	if err := one.Put(e.ctx, "k", huge); err == nil {
		t.Error("more parts than MaxParts are kept")
	}
}

// A noting driver knows which entries were set: the parts of large values are.
type noting struct {
	volatile.Driver
	mu  sync.Mutex
	set []string
}

func (n *noting) Features() volatile.Features { return n.Driver.(volatile.Featured).Features() }

func (n *noting) Set(ctx context.Context, items []volatile.Item) []error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, item := range items {
		n.set = append(n.set, item.Key)
	}
	return n.Driver.Set(ctx, items)
}

func checkViewBound(t *testing.T, e *env) {
	second := time.Second
	if !e.harness.Virtual {
		second /= 20
	}
	began := time.Now()
	var rebuilds atomic.Int64
	v := newView(t, e.cache(t, &volatile.Options{Lease: 20 * second}), "bound", &volatile.ViewOptions[int64]{
		TTL: 5 * second, Stale: 2 * second, Ahead: second,
		Rebuild: func(context.Context, string) (int64, error) {
			n := rebuilds.Add(1)
			if n > 1 {
				pass(15 * second) // slower than the value lives
			}
			return n, nil
		}})
	// The age that a value has when it is chosen is what is bounded: in real time
	// it is older when it is looked at, but no more than the call took.
	slack := func(time.Time) time.Duration { return 0 }
	if !e.harness.Virtual {
		slack = time.Since
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for time.Since(began) < 60*second || rebuilds.Load() < 3 {
				asked := time.Now()
				_, age, err := v.GetAged(e.ctx, "k")
				if err != nil || age-slack(asked) > 7*second {
					t.Errorf("%v old, %v; it is fresh for %v, and served for %v more", age, err, 5*second, 2*second)
					return
				}
				pass(second / 10)
			}
		})
	}
	wg.Wait()
}

// checkViewCrashed has a process that never comes back from its rebuild.
func checkViewCrashed(t *testing.T, e *env) {
	opts := &volatile.Options{Lease: time.Second}
	crash, crashed := make(chan struct{}), make(chan struct{})
	view := func(rebuild func() int64) *volatile.View[int64] {
		return newView(t, e.cache(t, opts), "crashed", &volatile.ViewOptions[int64]{TTL: time.Second, Stale: time.Minute,
			Rebuild: func(context.Context, string) (int64, error) { return rebuild(), nil }})
	}
	rebuilds := int64(0)
	first := view(func() int64 {
		if rebuilds++; rebuilds == 2 {
			close(crashed)
			<-crash
		}
		return rebuilds
	})
	// Before the caches close, which wait for what runs behind.
	t.Cleanup(func() { close(crash) })
	want := func(v *volatile.View[int64], n int64) {
		t.Helper()
		if got, _, err := v.GetAged(e.ctx, "k"); err != nil || got != n {
			t.Errorf("%d, %v, want %d", got, err, n)
		}
	}
	want(first, 1)
	pass(1500 * time.Millisecond)
	want(first, 1) // and rebuilds behind
	<-crashed
	second := view(func() int64 {
		pass(500 * time.Millisecond)
		return 7
	})
	for start := time.Now(); ; pass(50 * time.Millisecond) {
		asked := time.Now()
		got, err := second.Get(e.ctx, "k")
		waited := time.Since(asked)
		switch {
		case err != nil || got != 1 && got != 7 || e.harness.Virtual && waited > 0:
			t.Fatalf("after %v: %d, %v, waited %v, with an old value that may be served for a minute", time.Since(start), got, err, waited)
		case got == 7 && time.Since(start) < opts.Lease:
			t.Errorf("taken over after %v, before the lease ended", time.Since(start))
		case got == 1 && time.Since(start) < 20*time.Second:
			continue
		case got == 1:
			t.Error("nobody has taken over")
		}
		break
	}
}

func checkRate(t *testing.T, e *env) {
	c := e.cache(t, &volatile.Options{RebuildRate: 10})
	start := time.Now()
	var loads atomic.Int64
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if _, err := fetch(e.ctx, c, fmt.Sprint("k", i%40), 1, &loads); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	// Five readers of a key take one turn: with one each it takes 15 s.
	if took := time.Since(start); took < 3*time.Second || took > 12*time.Second || e.harness.Virtual && took != 3*time.Second {
		t.Errorf("40 loads at 10 a second took %v; want a burst of 10, then 3 s", took)
	}
	if loads.Load() != 40 {
		t.Errorf("%d loads of 40 keys", loads.Load())
	}
	// In real time a turn or two may come before the end.
	ctx, cancel := context.WithTimeout(e.ctx, 50*time.Millisecond)
	defer cancel()
	var ended atomic.Int64
	for i := range 40 {
		wg.Go(func() {
			switch _, err := fetch(ctx, c, fmt.Sprint("another ", i), 1, &loads); {
			case errors.Is(err, context.DeadlineExceeded):
				ended.Add(1)
			case err != nil || e.harness.Virtual:
				t.Errorf("a load without a turn: %v", err)
			}
		})
	}
	wg.Wait()
	if ended.Load() == 0 {
		t.Error("forty loads had their turn within 50 ms")
	}
}

func checkJitter(t *testing.T, e *env) {
	c := e.cache(t, nil)
	const n = 200
	for i := range n {
		if _, err := c.Raise(e.ctx, fmt.Sprint("k", i), versioned(1), 100*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	there := func() (left int) {
		for i := range n {
			if _, ok, _ := c.Get(e.ctx, fmt.Sprint("k", i)); ok {
				left++
			}
		}
		return left
	}
	pass(90 * time.Second)
	if left := there(); left != n {
		t.Errorf("%d of %d are there in the last tenth", left, n)
	}
	pass(5 * time.Second)
	if left := there(); left < n/4 || left > n*3/4 {
		t.Errorf("%d of %d are there in the middle of the last tenth", left, n)
	}
	pass(5 * time.Second)
	if left := there(); left != 0 {
		t.Errorf("%d are there after their TTL", left)
	}
}
