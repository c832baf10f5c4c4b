package volatile_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
	"github.com/fourfold-dev/fourfold/volatile/embedded"
)

func ExampleOptions() {
	// A cold cache reads the store of record at most 8 times at once and 200
	// times a second.
	cache, err := volatile.Open(context.Background(), embedded.New(nil), &volatile.Options{
		Namespace: "shop", Lease: 5 * time.Second, Absence: time.Second, Rebuilds: 8, RebuildRate: 200,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	_, err = volatile.Open(context.Background(), embedded.New(nil), &volatile.Options{Rebuilds: -1})
	fmt.Println(errors.Is(err, fault.ErrInvalid))
	// Output: true
}

func ExampleSourceFunc() {
	source := volatile.SourceFunc(func(ctx context.Context) (volatile.Driver, error) {
		return embedded.New(nil).OpenDriver(ctx) // or a driver of your own
	})
	cache, err := volatile.Open(context.Background(), source, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cache.Features().Name, cache.Close())
	// Output: embedded <nil>
}

func ExampleDriver() {
	ctx := context.Background()
	driver, err := embedded.New(nil).OpenDriver(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer driver.Close()
	driver.Set(ctx, []volatile.Item{{Key: "k", Value: []byte("one"), TTL: time.Minute}})
	items, _ := driver.Get(ctx, []string{"k"})
	next := volatile.Item{Key: "k", Value: []byte("two"), Token: items[0].Token}
	fmt.Println(driver.Swap(ctx, next))
	fmt.Println(errors.Is(driver.Swap(ctx, next), fault.ErrConflict)) // its token is old
	fmt.Println(driver.Add(ctx, "n", 5, time.Minute))
	// Output:
	// <nil>
	// true
	// 5 <nil>
}

func ExampleFeatures() {
	cache := open()
	defer cache.Close()
	f := cache.Features()
	fmt.Println(f.Name, f.MaxValue, f.Shared)
	// Output: embedded 1047514 false
}

func ExampleEntry() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	// The store of record has nothing under this key, and that is remembered.
	cache.Raise(ctx, "nobody", volatile.Entry{Absent: true, Stamp: volatile.Stamp{Version: 3}}, time.Second)
	e, ok, err := cache.Get(ctx, "nobody")
	fmt.Println(e.Absent, e.Stamp.Version, ok, err)
	// Output: true 3 true <nil>
}

func ExampleStamp() {
	older, newer := volatile.Stamp{Version: 7, Tie: 1}, volatile.Stamp{Version: 7, Tie: 2}
	fmt.Println(older.Less(newer), newer.Compare(older))
	// Output: true 1
}

func ExampleStats() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	for range 3 {
		cache.Fetch(ctx, "k", time.Minute, func(context.Context) (volatile.Entry, error) { return volatile.Entry{}, nil })
	}
	s := cache.Stats()
	fmt.Println(s.Misses, s.Loads, s.Hits)
	// Output: 1 1 2
}

func ExampleViewOptions() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	type price struct {
		Cents, Version int64
	}
	prices, err := volatile.NewView(cache, "prices", &volatile.ViewOptions[price]{
		TTL: time.Hour, Ahead: 10 * time.Minute, Stale: time.Minute,
		Version: func(p price) int64 { return p.Version },
		Rebuild: func(_ context.Context, key string) (price, error) { return price{100, 2}, nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	prices.Get(ctx, "tea")
	prices.Put(ctx, "tea", price{90, 1}) // told late
	p, err := prices.Get(ctx, "tea")
	fmt.Println(p.Cents, err)
	// Output: 100 <nil>
}

func ExampleLimit() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	// A thousand an hour for each caller, fifty at once, and none while the
	// cache cannot be asked. An upload costs ten.
	limit := volatile.Limit{Events: 1000, Per: time.Hour, Burst: 50}
	calls, err := volatile.NewLimiter(cache, "calls", limit, &volatile.LimiterOptions{Closed: true})
	if err != nil {
		log.Fatal(err)
	}
	wait, err := calls.Allow(ctx, "ann upload", 10)
	fmt.Println(wait, err)
	// Output: 0s <nil>
}

func ExampleClaim() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	jobs, err := volatile.NewClaims(cache, "jobs", &volatile.ClaimsOptions{TTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	first, _ := jobs.Acquire(ctx, "nightly")
	first.Release(ctx)
	second, _ := jobs.Acquire(ctx, "nightly")
	// Whoever is asked to act refuses a fence below the highest that it has seen.
	fmt.Println(second.Fence > first.Fence, second.Extend(ctx))
	fmt.Println(errors.Is(first.Extend(ctx), fault.ErrConflict))
	// Output:
	// true <nil>
	// true
}

func ExampleBarrierOptions() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	phases, err := volatile.NewBarrier(cache, "phases", &volatile.BarrierOptions{TTL: 10 * time.Second, Keep: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	fmt.Println(phases.Wait(ctx, "run 43", "h1", 2)) // h2 does not come
	// Output: context deadline exceeded
}

func ExampleCountdownOptions() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	// What the cache has lost is asked for again.
	shards, err := volatile.NewCountdown(cache, "shards", &volatile.CountdownOptions{
		Keep:    time.Hour,
		Rebuild: func(_ context.Context, job string) ([]string, error) { return []string{"a-h", "i-q"}, nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(shards.Left(ctx, "reindex 43", 3))
	// Output: 1 <nil>
}
