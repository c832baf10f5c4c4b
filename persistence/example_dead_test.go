package persistence_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/fourfold-dev/fourfold/persistence"
)

// graveyard is a layer with one dead letter: a visit without a venue.
func graveyard() (layer *persistence.Layer, closeLayer func()) {
	layer, closeLayer = quietLayer(nil)
	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, Do: func(ctx context.Context, v visit) error {
			if v.Venue == "" {
				return persistence.Permanent(errors.New("no venue"))
			}
			fmt.Println(v.User, "is at the", v.Venue)
			return nil
		}},
	})
	ctx := context.Background()
	visits.Put(ctx, visit{ID: "v1", User: "ann"})
	layer.Drain(ctx)
	return layer, closeLayer
}

// A dead letter has everything that a person needs to decide about it.
func ExampleDeadLetter() {
	layer, closeLayer := graveyard()
	defer closeLayer()

	letters, err := layer.DeadLetters().List(context.Background(), persistence.DeadFilter{})
	for _, d := range letters {
		fmt.Printf("%s %s, task %s: %s, after %d attempt\n", d.Kind, d.Key, d.Task, d.Reason, d.Attempts)
	}
	fmt.Println(err)
	// Output:
	// visit v1, task tell: no venue, after 1 attempt
	// <nil>
}

// Empty fields match all.
func ExampleDeadFilter() {
	layer, closeLayer := graveyard()
	defer closeLayer()

	for _, task := range []string{"", "tell", "count"} {
		letters, err := layer.DeadLetters().List(context.Background(), persistence.DeadFilter{Kind: "visit", Task: task})
		fmt.Println(len(letters), err)
	}
	// Output:
	// 1 <nil>
	// 1 <nil>
	// 0 <nil>
}

// Replay gives letters another chance, Discard ends them with a reason for the
// log.
func ExampleDeadLetters() {
	layer, closeLayer := graveyard()
	defer closeLayer()
	ctx := context.Background()

	dead := layer.DeadLetters()
	letters, _ := dead.List(ctx, persistence.DeadFilter{})
	n, err := dead.Replay(ctx, 10, letters[0].ID)
	fmt.Println("replayed", n, err)
	layer.Drain(ctx) // and it dies again
	n, err = dead.Discard(ctx, "the venue was never known", letters[0].ID)
	fmt.Println("discarded", n, err)
	// Output:
	// replayed 1 <nil>
	// discarded 1 <nil>
}

// EditDeadLetter mends what this task sees of the object, and replays it.
func ExampleEditDeadLetter() {
	layer, closeLayer := graveyard()
	defer closeLayer()
	ctx := context.Background()

	letters, _ := layer.DeadLetters().List(ctx, persistence.DeadFilter{})
	err := persistence.EditDeadLetter(ctx, layer, letters[0].ID, func(v *visit) error {
		v.Venue = "pier"
		return nil
	})
	fmt.Println(err)
	layer.Drain(ctx)
	// Output:
	// <nil>
	// ann is at the pier
}
