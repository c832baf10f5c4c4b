package persistence_test

import (
	"context"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/volatile"
)

// A Stop is made by a bus.
type Stop struct {
	ID  string `persistence:"key"`
	Bus string `transactional:",index"`
}

// countStops counts the stops of a bus in the record.
func countStops(ctx context.Context, stops *persistence.Handle[Stop], bus string) (n int, err error) {
	for _, err := range stops.Find(ctx, persistence.Query{Where: map[string]any{"Bus": bus}}) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// How many stops a bus has made is kept in a view. Whatever the cache loses is
// counted again from the record.
func ExampleRebuild() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	var stops *persistence.Handle[Stop]
	var made *volatile.View[int]
	stops = persistence.Declare(layer, "stop", persistence.Plan[Stop]{
		{Purpose: persistence.Transactional},
		{Priority: 1, Name: "made", Purpose: persistence.Volatile,
			Do:      func(ctx context.Context, s Stop) error { return made.Drop(ctx, s.Bus) },
			Rebuild: persistence.Rebuild(func(ctx context.Context, bus string) (int, error) { return countStops(ctx, stops, bus) })},
	})
	made = persistence.ViewOf[int](stops, "made")
	for i := range 3 {
		if _, err := stops.Put(ctx, Stop{ID: fmt.Sprint("s", i), Bus: "12"}); err != nil {
			panic(err)
		}
		if _, err := layer.Drain(ctx); err != nil {
			panic(err)
		}
		fmt.Println(made.Get(ctx, "12"))
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 3 <nil>
}

// A cache entry in the plan may be served past its TTL while it is read again
// behind the caller's back, and says how old it is.
func ExampleHandle_GetAged() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	stops := persistence.Declare(layer, "stop", persistence.Plan[Stop]{
		{Purpose: persistence.Transactional},
		{Purpose: persistence.Volatile, TTL: time.Hour, Stale: time.Minute, Ahead: 10 * time.Minute},
	})
	stops.Put(ctx, Stop{ID: "s1", Bus: "12"})
	stop, age, err := stops.GetAged(ctx, "s1")
	fmt.Println(stop.Bus, age < time.Hour, err)
	// Output: 12 true <nil>
}

// The layer's cache carries limiters, meters, claims, barriers and presences too.
func ExampleLayer_Volatile() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	calls, err := volatile.NewLimiter(layer.Volatile(), "calls", volatile.Limit{Events: 2, Per: time.Hour}, nil)
	rate, err2 := volatile.NewMeter(layer.Volatile(), "rate")
	fmt.Println(err, err2)
	for range 3 {
		wait, err := calls.Allow(ctx, "ann", 1)
		fmt.Println(wait.Round(time.Minute), err, rate.Hit(ctx, "ann", 1))
	}
	rates, err := rate.Rates(ctx, "ann")
	fmt.Println(rates.Minute, err)
	// Output:
	// <nil> <nil>
	// 0s <nil> <nil>
	// 0s <nil> <nil>
	// 30m0s <nil> <nil>
	// 3 <nil>
}
