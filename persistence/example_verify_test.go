package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// exampleStays keeps stays in a record, and by user beside it.
func exampleStays(layer *persistence.Layer) *persistence.Handle[stay] {
	return persistence.Declare(layer, "stay", persistence.Plan[stay]{
		{Name: "object", Purpose: persistence.Transactional},
		{Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
	})
}

// A backfill that is over is over, unless somebody wants it again.
func ExampleBackfillOptions() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	stays := exampleStays(layer)
	stays.Put(ctx, stay{ID: "s1", User: "ann", At: dawn})
	for _, again := range []bool{false, false, true} {
		told := 0
		_, err := stays.Backfill(ctx, "activity", &persistence.BackfillOptions{
			Again:    again,
			Progress: func(b persistence.Backfilled) { told++ },
		})
		fmt.Println(told > 0, err)
	}
	_, err := stays.Backfill(ctx, "no such task", nil)
	fmt.Println(errors.Is(err, fault.ErrInvalid))
	// Output:
	// true <nil>
	// false <nil>
	// true <nil>
	// true
}

// What a backfill found and wrote.
func ExampleBackfilled() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	stays := exampleStays(layer)
	for _, id := range []string{"s1", "s2"} {
		stays.Put(ctx, stay{ID: id, User: "ann", At: dawn})
	}
	b, err := stays.Backfill(ctx, "activity", nil)
	fmt.Println(b.Kind, b.Task, b.Seen, b.Failed, b.Done, err)
	// Output: stay activity 2 0 true <nil>
}

// A derivation is a function from an object to its rows, and may be kept for
// several plans.
func ExampleDerivation() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	var forReaders persistence.Derivation[Memo] = persistence.Rows(memoCopies)
	memos := persistence.Declare(layer, "memo", persistence.Plan[Memo]{
		{Name: "object", Purpose: persistence.Amorphous},
		{Name: "copies", Purpose: persistence.Amorphous, Derive: forReaders, PartitionBy: "Who", Newest: "At"},
	})
	_, err := memos.Put(ctx, Memo{ID: "p1", For: []string{"ann", "bob"}, Text: "hello", At: dawn})
	fmt.Println(err)
	page, err := persistence.Derived[Copy](memos, "copies").FindPage(ctx, persistence.Query{Where: map[string]any{"Who": "bob"}})
	fmt.Println(len(page.Objects), page.Objects[0].Text, err)
	// Output:
	// <nil>
	// 1 hello <nil>
}

// Derived rows are read by their partition, or by the object that implies them.
func ExampleDerivedHandle() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	memos := persistence.Declare(layer, "memo", persistence.Plan[Memo]{
		{Name: "object", Purpose: persistence.Amorphous},
		{Name: "copies", Purpose: persistence.Amorphous, Derive: persistence.Rows(memoCopies), PartitionBy: "Who"},
	})
	inbox := persistence.Derived[Copy](memos, "copies")
	memos.Put(ctx, Memo{ID: "p1", For: []string{"ann", "bob"}, Text: "hello", At: dawn})
	all, err := inbox.Of(ctx, "p1")
	fmt.Println(len(all), err)
	one, err := inbox.Get(ctx, Copy{Memo: "p1", Who: "ann"})
	fmt.Println(one.Text, err)
	// Output:
	// 2 <nil>
	// hello <nil>
}

// Everywhere finds rows of the key that no index knows, too.
func ExampleEraseOptions() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	stays := exampleStays(layer)
	stays.Put(ctx, stay{ID: "s1", User: "ann", At: dawn})
	erasure, err := stays.Erase(ctx, "s1", &persistence.EraseOptions{Everywhere: true})
	fmt.Println(erasure.Key, len(erasure.Left), err)
	// Output: s1 0 <nil>
}

// A Rebuilding says how a view comes back when its cache has lost it.
func ExampleRebuilding() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	var greeting persistence.Rebuilding = persistence.Rebuild(func(_ context.Context, user string) (string, error) {
		return "hello, " + user, nil
	})
	stays := persistence.Declare(layer, "stay", persistence.Plan[stay]{
		{Name: "object", Purpose: persistence.Transactional},
		{Name: "greeting", Purpose: persistence.Volatile, Priority: 1, Rebuild: greeting,
			Do: func(context.Context, stay) error { return nil }},
	})
	fmt.Println(persistence.ViewOf[string](stays, "greeting").Get(ctx, "ann"))
	// Output: hello, ann <nil>
}

// A difference says what is wrong, and where; Repair takes it as it is.
func ExampleDifference() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	stays := exampleStays(layer)
	stays.Put(ctx, stay{ID: "s1", User: "ann", At: dawn})
	layer.Tx(ctx, func(ctx context.Context, tx *persistence.Tx) error { // somebody, by hand
		_, err := tx.Exec(ctx, "DELETE FROM amorphous$ff_stay__activity")
		return err
	})
	for d, err := range stays.Verify(&persistence.VerifyOptions{Young: -1}).Differences(ctx) {
		fmt.Println(d.Kind, d.Key, d.Task, d.Purpose, d.What, d.Stored, d.Record > 0, err)
	}
	// Output: stay s1 activity amorphous missing 0 true <nil>
}

// A verification leaves out what is young, since its tasks may be under way,
// and takes its time.
func ExampleVerifyOptions() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	stays := exampleStays(layer)
	stays.Put(ctx, stay{ID: "s1", User: "ann", At: dawn})
	for _, opts := range []*persistence.VerifyOptions{{Rate: 1000}, {Young: -1}, {Young: time.Hour}} {
		v := stays.Verify(opts)
		for _, err := range v.Differences(ctx) {
			fmt.Println(err)
		}
		fmt.Println(v.Found(), "found")
	}
	// Output:
	// 0 found
	// 0 found
	// 0 found
}
