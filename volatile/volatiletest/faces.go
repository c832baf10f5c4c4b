package volatiletest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

var faceChecks = []check{
	{name: "View/Rebuild", promise: "A view returns the value of a key, rebuilt if it is lost, and remembers absences.", run: checkView},
	{name: "View/Versions", promise: "A view with versions never shows an older value after a newer one was put.", run: checkViewVersions},
	{name: "View/Plain", promise: "A view without a rebuild keeps the last value put; what is lost is not found.", run: checkViewPlain},
	{name: "View/Stale", promise: "Past its TTL the old value is served at once while one rebuild runs behind.", waits: true, run: checkViewStale},
	{name: "Limiter", promise: "A limiter lets through the burst at once and Events per Per in the long run, never more, from 64 goroutines in two processes.", run: checkLimiter},
	{name: "Limiter/Decay", promise: "What was used flows back evenly; the wait is the time after which events may pass.", waits: true, run: checkLimiterDecay},
	{name: "Limiter/Errors", promise: "Processes whose clocks differ by d let through what flows back in d, a lost entry lets through a full burst, and that is all.", run: checkLimiterErrors},
	{name: "Meter", promise: "A meter counts arrivals of the last 30 seconds, minute and hour.", run: checkMeter},
	{name: "Meter/Windows", promise: "Arrivals leave the windows when they are older.", needs: needsVirtual("its windows are of half a minute, a minute and an hour of real time"), run: checkMeterWindows},
	{name: "Claims", promise: "One at a time holds a claim; its fence grows with every claim, also when the cache forgot.", waits: true, run: checkClaims},
	{name: "Presence", promise: "Members come, go and decay; told in any order or twice, the latest news counts.", waits: true, run: checkPresence},
	{name: "Presence/Rebuild", promise: "What the cache has lost is rebuilt, also by the one who enters first.", run: checkPresenceRebuild},
	{name: "Presence/Many", promise: "A crowd from many goroutines in two processes is complete, also when its entry is split and in part lost.", run: checkPresenceMany},
}

type weather struct {
	Place   string `persistence:"key"`
	Degrees float64
	At      int64
}

func newView[T any](t testing.TB, c *volatile.Cache, name string, opts *volatile.ViewOptions[T]) *volatile.View[T] {
	t.Helper()
	v, err := volatile.NewView(c, name, opts)
	if err != nil {
		t.Fatalf("new view: %v", err)
	}
	return v
}

func checkView(t *testing.T, e *env) {
	var rebuilds atomic.Int64
	opts := &volatile.ViewOptions[weather]{Rebuild: func(_ context.Context, key string) (weather, error) {
		rebuilds.Add(1)
		if strings.HasPrefix(key, "no ") {
			return weather{}, fmt.Errorf("%s: %w", key, fault.ErrNotFound)
		}
		return weather{Place: key, Degrees: 20.5}, nil
	}}
	one, two := newView(t, e.cache(t, nil), "weather", opts), newView(t, e.cache(t, nil), "weather", opts)
	other := newView(t, e.cache(t, nil), "other", opts)
	for range 3 {
		for _, v := range []*volatile.View[weather]{one, two} {
			if got, err := v.Get(e.ctx, "Accra"); err != nil || got != (weather{Place: "Accra", Degrees: 20.5}) {
				t.Fatalf("get: %+v, %v", got, err)
			}
			if _, err := v.Get(e.ctx, "no place"); !errors.Is(err, fault.ErrNotFound) {
				t.Fatalf("get of an absence: %v", err)
			}
		}
	}
	if rebuilds.Load() != 2 {
		t.Errorf("%d rebuilds of two keys", rebuilds.Load())
	}
	if _, _, ok, err := other.Peek(e.ctx, "Accra"); ok || err != nil {
		t.Errorf("a view of another name sees the value: %v", err)
	}
	if err := two.Drop(e.ctx, "Accra"); err != nil {
		t.Fatal(err)
	}
	if _, _, ok, _ := one.Peek(e.ctx, "Accra"); ok {
		t.Error("the value is there after Drop")
	}
	all, err := one.GetAll(e.ctx, []string{"Accra", "Tema", "no place"})
	if err != nil || len(all) != 2 || all["Tema"].Place != "Tema" {
		t.Errorf("get all: %v, %v", all, err)
	}
	if got, age, ok, err := one.Peek(e.ctx, "Tema"); !ok || err != nil || got.Place != "Tema" || age < 0 || age > time.Minute {
		t.Errorf("peek: %+v, %v old, %v, %v", got, age, ok, err)
	}
}

func checkViewVersions(t *testing.T, e *env) {
	record := weather{Place: "Accra", At: 1}
	opts := &volatile.ViewOptions[weather]{
		Rebuild: func(context.Context, string) (weather, error) { return record, nil },
		Version: func(w weather) int64 { return w.At },
	}
	v := newView(t, e.cache(t, nil), "weather", opts)
	want := func(at int64) {
		t.Helper()
		if got, err := v.Get(e.ctx, "Accra"); err != nil || got.At != at {
			t.Fatalf("got version %d, %v; want %d", got.At, err, at)
		}
	}
	want(1)
	for at := range int64(5) {
		record.At = max(record.At, at)
		if err := v.Put(e.ctx, "Accra", weather{Place: "Accra", At: at}); err != nil {
			t.Fatal(err)
		}
		want(record.At)
	}
	if err := v.Put(e.ctx, "Accra", weather{Place: "Accra", At: 2}); err != nil {
		t.Fatal(err)
	}
	want(4)
	// The cache forgets, and a late writer comes back with what is old.
	if err := v.Drop(e.ctx, "Accra"); err != nil {
		t.Fatal(err)
	}
	if err := v.Put(e.ctx, "Accra", weather{Place: "Accra", At: 3}); err != nil {
		t.Fatal(err)
	}
	want(4)
}

func checkViewPlain(t *testing.T, e *env) {
	v := newView[map[string]int](t, e.cache(t, nil), "plain", nil)
	if _, err := v.Get(e.ctx, "k"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("get of nothing: %v", err)
	}
	for i := range 3 {
		if err := v.Put(e.ctx, "k", map[string]int{"n": i}); err != nil {
			t.Fatal(err)
		}
		if got, err := v.Get(e.ctx, "k"); err != nil || got["n"] != i {
			t.Errorf("get: %v, %v; want %d", got, err, i)
		}
	}
	raw := newView[[]byte](t, e.cache(t, nil), "raw", nil)
	if err := raw.Put(e.ctx, "k", []byte{0, 255}); err != nil {
		t.Fatal(err)
	}
	if got, err := raw.Get(e.ctx, "k"); err != nil || string(got) != "\x00\xff" {
		t.Errorf("get: %q, %v", got, err)
	}
	// A value that the program no longer understands is as good as lost.
	numbers := newView[int](t, e.cache(t, nil), "raw", nil)
	if _, err := numbers.Get(e.ctx, "k"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("get of a value of another type: %v", err)
	}
}

func checkViewStale(t *testing.T, e *env) {
	var rebuilds atomic.Int64
	v := newView(t, e.cache(t, nil), "slow", &volatile.ViewOptions[int64]{
		TTL: 100 * time.Millisecond, Stale: time.Hour,
		Rebuild: func(ctx context.Context, _ string) (int64, error) {
			n := rebuilds.Add(1)
			if n > 1 {
				pass(50 * time.Millisecond)
			}
			if n == 2 {
				return 0, errors.New("the store of record is down")
			}
			return n, nil
		},
	})
	// On a slow machine the third rebuild may be done before the last reader asks.
	want := func() {
		t.Helper()
		if got, err := v.Get(e.ctx, "k"); err != nil || got != 1 && (e.harness.Virtual || got < 3) {
			t.Errorf("got %d, %v; want 1", got, err)
		}
	}
	want()
	pass(150 * time.Millisecond)
	start := time.Now()
	for range 20 {
		want()
	}
	if e.harness.Virtual && time.Since(start) > 0 {
		t.Errorf("readers of an old value waited %v", time.Since(start))
	}
	e.eventually(t, 10*time.Second, "the rebuild behind has failed", func() bool { return rebuilds.Load() >= 2 })
	pass(100 * time.Millisecond)
	want()
	e.eventually(t, 10*time.Second, "the next rebuild's value is there", func() bool {
		got, err := v.Get(e.ctx, "k")
		return err == nil && got >= 3
	})
}
