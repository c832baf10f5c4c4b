package persistence_test

import (
	"context"
	"fmt"

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
