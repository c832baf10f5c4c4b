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

func open() *volatile.Cache {
	cache, err := volatile.Open(context.Background(), embedded.New(nil), nil)
	if err != nil {
		log.Fatal(err)
	}
	return cache
}

func ExampleURL() {
	cache, err := volatile.Open(context.Background(), volatile.URL("embedded:?size=16MB"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	fmt.Println(cache.Features().Name)
	// Output: embedded
}

func ExampleCache_Raise() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	v2 := volatile.Entry{Value: []byte("new"), Stamp: volatile.Stamp{Version: 2}}
	v1 := volatile.Entry{Value: []byte("old"), Stamp: volatile.Stamp{Version: 1}}
	cache.Raise(ctx, "k", v2, time.Minute)
	superseded, err := cache.Raise(ctx, "k", v1, time.Minute)
	fmt.Println(superseded, err)
	e, ok, _ := cache.Get(ctx, "k")
	fmt.Println(string(e.Value), ok)
	// Output:
	// true <nil>
	// new true
}

func ExampleCache_Fetch() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	load := func(context.Context) (volatile.Entry, error) {
		fmt.Println("reading the store of record")
		return volatile.Entry{Value: []byte("ann"), Stamp: volatile.Stamp{Version: 7}}, nil
	}
	for range 2 {
		e, err := cache.Fetch(ctx, "user 1", time.Minute, load)
		fmt.Println(string(e.Value), err)
	}
	// Output:
	// reading the store of record
	// ann <nil>
	// ann <nil>
}

func ExampleView() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	squares, err := volatile.NewView(cache, "squares", &volatile.ViewOptions[int]{
		TTL: time.Hour,
		Rebuild: func(_ context.Context, key string) (int, error) {
			var n int
			_, err := fmt.Sscan(key, &n)
			fmt.Println("rebuilding", key)
			return n * n, err
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(squares.Get(ctx, "12"))
	fmt.Println(squares.Get(ctx, "12"))
	squares.Drop(ctx, "12") // or a restart, or an eviction
	fmt.Println(squares.Get(ctx, "12"))
	// Output:
	// rebuilding 12
	// 144 <nil>
	// 144 <nil>
	// rebuilding 12
	// 144 <nil>
}

func ExampleLimiter() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	calls, err := volatile.NewLimiter(cache, "calls", volatile.Limit{Events: 2, Per: time.Hour}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		wait, err := calls.Allow(ctx, "ann", 1)
		fmt.Println(wait == 0, wait.Round(time.Minute), err)
	}
	// Output:
	// true 0s <nil>
	// true 0s <nil>
	// false 30m0s <nil>
}

func ExampleMeter() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	arrivals, err := volatile.NewMeter(cache, "arrivals")
	if err != nil {
		log.Fatal(err)
	}
	for range 60 {
		arrivals.Hit(ctx, "pier", 1)
	}
	rates, err := arrivals.Rates(ctx, "pier")
	fmt.Println(rates.PerSecond, rates.Minute, rates.Hour, err)
	// Output: 2 60 60 <nil>
}

func ExamplePresence() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	checkins := map[string]time.Time{"bob": time.Now().Add(-10 * time.Minute)} // the long-term storage
	guests, err := volatile.NewPresence(cache, "guests", &volatile.PresenceOptions{
		TTL: time.Hour,
		Rebuild: func(context.Context, string) (members []volatile.Member, err error) {
			for id, at := range checkins {
				members = append(members, volatile.Member{ID: id, Seen: at})
			}
			return members, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	guests.Enter(ctx, "pier", volatile.Member{ID: "ann"})
	members, err := guests.Members(ctx, "pier")
	for _, m := range members {
		fmt.Println(m.ID)
	}
	// Output:
	// ann
	// bob
}

func ExampleClaims() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	reports, err := volatile.NewClaims(cache, "reports", &volatile.ClaimsOptions{TTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	claim, err := reports.Acquire(ctx, "2026-11")
	fmt.Println(claim.Fence > 0, err)
	_, err = reports.Acquire(ctx, "2026-11")
	fmt.Println(errors.Is(err, fault.ErrConflict))
	fmt.Println(claim.Release(ctx))
	// Output:
	// true <nil>
	// true
	// <nil>
}
