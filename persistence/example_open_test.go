package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A patch puts some fields, and reads nothing.
func ExampleHandle_Patch() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	profiles := persistence.Declare(layer, "profile", persistence.Plan[profile]{
		{Purpose: persistence.Amorphous},
		{Name: "by-team", Purpose: persistence.Amorphous, PartitionBy: "Team", Newest: "Score"},
	}, persistence.KindOptions{Patched: true})
	profiles.Put(ctx, profile{ID: "ann", Team: "red", Name: "Ann", Score: 7})
	_, err := profiles.Patch(ctx, profile{ID: "ann", Team: "blue"}, "Team")
	fmt.Println(err)
	for p := range profiles.Find(ctx, persistence.Query{Task: "by-team", Where: map[string]any{"Team": "blue"}}) {
		fmt.Println(p.Name, p.Score)
	}
	// Output:
	// <nil>
	// Ann 7
}

// A new task is filled from the objects that exist, once: a program may ask at
// each start.
func ExampleHandle_Backfill() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	stays := persistence.Declare(layer, "stay", persistence.Plan[stay]{
		{Name: "object", Purpose: persistence.Amorphous},
		{Name: "activity", Purpose: persistence.Amorphous, Priority: 1, PartitionBy: "User", Newest: "At"},
	})
	stays.Put(ctx, stay{ID: "s1", User: "ann", At: dawn}) // its activity waits for Work
	done, err := stays.Backfill(ctx, "activity", &persistence.BackfillOptions{
		Rate:     5000,
		Progress: func(b persistence.Backfilled) { fmt.Println(b.Task, b.Written, "of", b.Seen) },
	})
	fmt.Println(done.Done, err)
	page, _ := stays.FindPage(ctx, persistence.Query{Task: "activity", Where: map[string]any{"User": "ann"}})
	fmt.Println(page.Objects[0].ID)
	layer.Drain(ctx)
	// Output:
	// activity 1 of 1
	// true <nil>
	// s1
}

// A scan goes on where another one has stopped, which may have been another
// process.
func ExampleScan() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	guests := persistence.Declare(layer, "guest", guestPlan)
	for _, id := range []string{"ann", "bob", "cat"} {
		guests.Put(ctx, guest{ID: id})
	}
	cursor := "" // a program keeps it in a file
	for range 2 {
		scan := guests.Scan(cursor)
		for g, err := range scan.Objects(ctx) {
			if fmt.Println(g.ID, err); scan.Seen() == 2 {
				break
			}
		}
		cursor = scan.Cursor()
	}
	// Output:
	// ann <nil>
	// bob <nil>
	// cat <nil>
}

// A reader that is in a hurry asks one replica of the record.
func ExampleHandle_Get_consistency() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	stays := persistence.Declare(layer, "stay", persistence.Plan[stay]{{Purpose: persistence.Amorphous, Expires: "At"}})
	stays.Put(ctx, stay{ID: "s1", User: "ann", At: time.Now().Add(time.Hour)})
	s, err := stays.Get(amorphous.WithConsistency(ctx, amorphous.LocalOne), "s1")
	fmt.Println(s.User, err)
	// Output: ann <nil>
}

// Verify finds what was damaged, and Repair mends it from the record.
func ExampleVerification() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	stays := persistence.Declare(layer, "stay", persistence.Plan[stay]{
		{Name: "object", Purpose: persistence.Transactional},
		{Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
	})
	stays.Put(ctx, stay{ID: "s1", User: "ann", At: dawn})
	layer.Tx(ctx, func(ctx context.Context, tx *persistence.Tx) error { // somebody, by hand
		_, err := tx.Exec(ctx, "DELETE FROM amorphous$ff_stay__activity")
		return err
	})
	for range 2 {
		verification := stays.Verify(&persistence.VerifyOptions{Young: -1})
		for d, err := range verification.Differences(ctx) {
			fmt.Println(d.Key, d.Task, d.What, err, stays.Repair(ctx, d))
		}
		fmt.Println(verification.Found(), "found")
	}
	// Output:
	// s1 activity missing <nil> <nil>
	// 1 found
	// 0 found
}

// Erase removes a key from everywhere, and proves it.
func ExampleErasure() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	stays := persistence.Declare(layer, "stay", persistence.Plan[stay]{
		{Name: "object", Purpose: persistence.Transactional},
		{Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User"},
	})
	stays.Put(ctx, stay{ID: "s1", User: "ann"})
	erasure, err := stays.Erase(ctx, "s1", nil)
	fmt.Println(len(erasure.Found), "found,", len(erasure.Left), "left,", err)
	_, err = stays.Get(ctx, "s1")
	fmt.Println(errors.Is(err, fault.ErrNotFound))
	// Output:
	// 2 found, 0 left, <nil>
	// true
}
