package transactional_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

var pages = &transactional.Table{
	Name:    "pages",
	Columns: []transactional.Column{{Name: "views", Type: transactional.Int}},
	Index:   [][]string{{"views"}},
}

// view is a version of the home page.
func view(version, views int64) transactional.Write {
	stamp := transactional.Stamp{Version: version}
	return transactional.Write{Table: pages, Row: transactional.Row{ID: "home", Stamp: stamp, Values: []any{views}}}
}

// A row, a record of the outbox and a dead letter are one change.
func ExampleUnit() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	_, err := store.Apply(ctx, &transactional.Unit{
		Writes: []transactional.Write{view(1, 41)},
		Add:    []transactional.Record{{ID: transactional.RecordID{1}, Kind: "viewed", Lane: "count"}},
		Unbury: []string{"no such letter"},
	})
	fmt.Println(errors.Is(err, fault.ErrNotFound), len(must(store.Read(ctx, pages, "home"))))
	// Output: true 0
}

// A write that comes late is no error: the result says so.
func ExampleResult() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	for _, version := range []int64{2, 1} {
		result, err := store.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{view(version, 1)}})
		fmt.Println(result.Superseded, err)
	}
	// Output:
	// [] <nil>
	// [true] <nil>
}

// A write is a row of a table, and when it applies.
func ExampleWrite() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	must(store.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{view(1, 41)}}))
	next := view(2, 42)
	next.Mode, next.Expect = transactional.IfVersion, 1
	fmt.Println(store.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{next}}))
	_, err := store.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{next}})
	fmt.Println(errors.Is(err, fault.ErrConflict))
	// Output:
	// {[] [] []} <nil>
	// true
}

// What becomes of version 2 where version 3 is, in each of the modes.
func ExampleMode() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	must(store.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{view(3, 1)}}))
	for _, mode := range []transactional.Mode{transactional.Newest, transactional.Insert, transactional.IfVersion, transactional.Above} {
		w := view(2, 1)
		w.Mode = mode
		_, err := store.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{w}})
		fmt.Println(err == nil, errors.Is(err, fault.ErrExists), errors.Is(err, fault.ErrConflict))
	}
	// Output:
	// true false false
	// false true false
	// false false true
	// false false true
}

// A deleted row stays as a tombstone, which keeps older writes away.
func ExampleRow() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	tombstone := transactional.Write{Table: pages, Row: transactional.Row{ID: "home", Stamp: transactional.Stamp{Version: 2}, Deleted: true}}
	for _, w := range []transactional.Write{view(1, 41), tombstone, view(1, 41)} {
		must(store.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{w}}))
	}
	row := must(store.Read(ctx, pages, "home"))[0]
	fmt.Println(row.ID, row.Stamp.Version, row.Deleted)
	// Output: home 2 true
}

// Of two writes of one version the higher Tie wins, in whatever order they come.
func ExampleStamp() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	low, high := view(7, 1), view(7, 2)
	low.Row.Stamp.Tie, high.Row.Stamp.Tie = 1, 2
	for _, w := range []transactional.Write{high, low} {
		must(store.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{w}}))
	}
	fmt.Println(must(store.Read(ctx, pages, "home"))[0].Values[0])
	// Output: 2
}

// A table is data: it may be made at run time, and is checked before use.
func ExampleTable() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	fmt.Println(store.Prepare(ctx, pages))
	err := store.Prepare(ctx, &transactional.Table{Name: "drop table", Index: [][]string{{"views"}}})
	fmt.Println(errors.Is(err, fault.ErrInvalid))
	// Output:
	// <nil>
	// true
}

// A column that is added later is NULL in the rows that are there.
func ExampleColumn() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	must(store.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{view(1, 41)}}))
	titled := &transactional.Table{Name: pages.Name, Columns: append([]transactional.Column{
		{Name: "title", Type: transactional.Text}}, pages.Columns...)}
	if err := store.CreateSchema(ctx, titled); err != nil {
		panic(err)
	}
	fmt.Println(must(store.Read(ctx, titled, "home"))[0].Values...)
	// Output: <nil> 41
}

// A Filter is data, too: what holds, in which order, and how much of it.
func ExampleFilter() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	for i, id := range []string{"home", "help", "news"} {
		w := view(1, int64(10*i))
		w.Row.ID = id
		must(store.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{w}}))
	}
	rows, _, err := store.Scan(ctx, pages, transactional.Filter{By: "views", From: int64(5), Reverse: true})
	for _, row := range rows {
		fmt.Println(row.ID, row.Values[0])
	}
	fmt.Println(err)
	// Output:
	// news 20
	// help 10
	// <nil>
}

// A statement and a unit of one transaction see each other.
func ExampleTx() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	fmt.Println(store.Tx(ctx, func(ctx context.Context, tx *transactional.Tx) error {
		if _, err := tx.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{view(1, 41)}}); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, "UPDATE "+store.Name(pages)+" SET views = views + 1")
		rows, _, _ := tx.Scan(ctx, pages, transactional.Filter{})
		fmt.Println(n, rows[0].Values[0])
		return err
	}))
	// Output:
	// 1 42
	// <nil>
}

// An object that moves: who writes its newest version elsewhere finds where
// older ones may lie.
func ExamplePlacement() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	for version, place := range []string{"/inbox/", "/archive/"} {
		result := must(store.Apply(ctx, &transactional.Unit{Place: []transactional.Placement{{
			Space: "letters", ID: "l1", Stamp: transactional.Stamp{Version: int64(version + 1)}, Place: []byte(place)}}}))
		fmt.Printf("at %s, before at %q\n", result.Placed[0].Place, result.Placed[0].Former)
	}
	// Output:
	// at /inbox/, before at ""
	// at /archive/, before at "/inbox/"
}

// What is removed from where it was is taken out of the register.
func ExamplePlaced() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	for version, place := range []string{"/inbox/", "/archive/"} {
		must(store.Apply(ctx, &transactional.Unit{Place: []transactional.Placement{{
			Space: "letters", ID: "l1", Stamp: transactional.Stamp{Version: int64(version + 1)}, Place: []byte(place)}}}))
	}
	known := must(store.Placed(ctx, "letters", "l1"))
	fmt.Println(store.LeavePlaces(ctx, "letters", known...))
	for _, p := range must(store.Placed(ctx, "letters", "l1")) {
		fmt.Printf("at %s, version %d, before at %q\n", p.Place, p.Stamp.Version, p.Former)
	}
	// Output:
	// <nil>
	// at /archive/, version 2, before at ""
}
