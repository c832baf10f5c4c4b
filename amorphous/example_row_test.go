package amorphous_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A row whose table is not Placed is found by all of its address. An address
// makes a cursor, and a cursor of another partition is refused.
func ExampleAddress() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()
	store.Write(ctx, raw, cell("a", 1), cell("b", 1))
	at := amorphous.Address{Partition: "p", Order: []byte("a"), ID: "a"}
	fmt.Println(len(must(store.Read(ctx, raw, at))))
	page := must(store.Scan(ctx, raw, amorphous.Range{Partition: "p", After: at.Cursor()}))
	fmt.Println(page.Rows[0].ID)
	_, err := amorphous.ParseCursor(at.Cursor(), "q")
	fmt.Println(errors.Is(err, fault.ErrInvalid))
	// Output:
	// 1
	// b
	// true
}

// Writers that know other properties write cells of other shapes beside each
// other, and a tombstone removes them all.
func ExampleRow() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()
	at := amorphous.Address{Partition: "p", Order: []byte("a"), ID: "a"}
	other := cell("a", 2)
	other.Shape = 2
	store.Write(ctx, raw, cell("a", 1), other)
	fmt.Println(len(must(store.Read(ctx, raw, at))), "cells")
	gone := amorphous.Row{Partition: "p", Order: []byte("a"), ID: "a", Stamp: amorphous.Stamp{Version: 3}, Deleted: true}
	store.Write(ctx, raw, gone)
	fmt.Println(len(must(store.Read(ctx, raw, at))), "cells")
	// Output:
	// 2 cells
	// 0 cells
}

// A part of a partition, the last row first.
func ExampleRange() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()
	store.Write(ctx, raw, cell("a", 1), cell("b", 1), cell("c", 1), cell("d", 1))
	page, err := store.Scan(ctx, raw, amorphous.Range{Partition: "p", From: []byte("a"), To: []byte("d"), Reverse: true, Limit: 2})
	for _, row := range page.Rows {
		fmt.Println(row.ID)
	}
	fmt.Println(err)
	// Output:
	// c
	// b
	// <nil>
}

// Next is there as long as there is more.
func ExamplePage() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()
	store.Write(ctx, raw, cell("a", 1), cell("b", 1), cell("c", 1))
	for r := (amorphous.Range{Partition: "p", Limit: 2}); ; {
		page := must(store.Scan(ctx, raw, r))
		for _, row := range page.Rows {
			fmt.Print(row.ID, " ")
		}
		if r.After = page.Next; r.After == nil {
			break
		}
	}
	// Output: a b c
}

// By version, then by tie, whoever is late.
func ExampleStamp() {
	older, newer := amorphous.Stamp{Version: 7, Tie: 1}, amorphous.Stamp{Version: 7, Tie: 2}
	fmt.Println(older.Compare(newer), newer.Compare(older), newer.Compare(newer))
	// Output: -1 1 0
}

// In a Placed table a row is at one place, and is found by its ID alone.
func ExampleTable() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()
	placed := amorphous.Table{Name: "placed", Placed: true}
	moved := cell("a", 2)
	moved.Partition = "elsewhere"
	store.Write(ctx, placed, cell("a", 1))
	store.Write(ctx, placed, moved)
	rows := must(store.Read(ctx, placed, amorphous.Address{ID: "a"}))
	fmt.Println(len(rows), rows[0].Partition)
	// Output: 1 elsewhere
}

// The names are those of a store's options.
func ExampleConsistency() {
	fmt.Println(amorphous.LocalOne, amorphous.LocalQuorum, amorphous.EachQuorum)
	// Output: local_one local_quorum each_quorum
}

// poll counts votes by party.
func poll(store *amorphous.Store) (votes *amorphous.Counter, vote func(key, party string) amorphous.Counted) {
	votes = must(amorphous.NewCounter(store, "votes", &amorphous.Counts{By: []string{"party"}}))
	return votes, func(key, party string) amorphous.Counted {
		return amorphous.Counted{Key: key, Stamp: amorphous.Stamp{Version: 1}, Counts: []amorphous.Count{{Of: []string{party}, N: 1}}}
	}
}

// A member is what a store is told of an object that counts.
func ExampleMember() {
	store, done := exampleStore()
	defer done()
	votes, vote := poll(store)
	member, err := votes.Member(vote("ann", "red"))
	fmt.Println(member.ID, member.Stamp.Version, len(member.Counts), err)
	// Output: ann 1 1 <nil>
}

// Tallies are kept as bytes; those that are damaged are told.
func ExampleTally() {
	buf := amorphous.AppendTallies(nil, []amorphous.Tally{{Partition: "red", N: 2}, {Partition: "blue", N: -1}})
	for _, t := range must(amorphous.ParseTallies(buf)) {
		fmt.Println(t.Partition, t.N)
	}
	_, err := amorphous.ParseTallies(buf[:len(buf)-1])
	fmt.Println(errors.Is(err, fault.ErrCorrupt))
	// Output:
	// red 2
	// blue -1
	// true
}

// What is held of an object says where it counts.
func ExampleHeld() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()
	votes, vote := poll(store)
	if err := votes.Put(ctx, vote("ann", "red")); err != nil {
		panic(err)
	}
	for _, held := range must(votes.Held(ctx, must(votes.Member(vote("ann", "red"))))) {
		fmt.Println(held.ID, held.Stamp.Version, held.N)
	}
	// Output: ann 1 1
}

// Rows end with their origin.
func ExampleOrigin() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()
	inbox := must(amorphous.NewDerived[Message](store, "inbox", &amorphous.Layout{PartitionBy: "To"}, nil))
	gone := amorphous.Origin{Key: "m1", Stamp: amorphous.Stamp{Version: 1}, Expires: time.Now().Add(-time.Hour)}
	stays := amorphous.Origin{Key: "m2", Stamp: amorphous.Stamp{Version: 1}, Expires: time.Now().Add(time.Hour)}
	err := errors.Join(inbox.Put(ctx, gone, copies("m1", "ann")), inbox.Put(ctx, stays, copies("m2", "ann")))
	for _, m := range must(inbox.List(ctx, "ann", 10)) {
		fmt.Println(m.ID, err)
	}
	// Output: m2 <nil>
}

// What several origins imply is written together, each on its own.
func ExampleImplication() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()
	inbox := must(amorphous.NewDerived[Message](store, "inbox", &amorphous.Layout{PartitionBy: "To"}, nil))
	var all []amorphous.Implication
	for _, id := range []string{"m1", "m2"} {
		var rows iter.Seq2[Message, error] = amorphous.Infallible(copies(id, "ann"))
		all = append(all, inbox.Imply(amorphous.Origin{Key: id, Stamp: amorphous.Stamp{Version: 1}}, rows))
	}
	fmt.Println(inbox.Rows().Put(ctx, all...), len(must(inbox.List(ctx, "ann", 10))))
	// Output: [<nil> <nil>] 2
}

// The register knows where an origin has rows.
func ExampleRegistration() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()
	inbox := must(amorphous.NewDerived[Message](store, "inbox", &amorphous.Layout{PartitionBy: "To"}, nil))
	if err := inbox.Put(ctx, amorphous.Origin{Key: "m1", Stamp: amorphous.Stamp{Version: 4}}, copies("m1", "ann", "bob")); err != nil {
		panic(err)
	}
	for _, r := range must(inbox.Rows().Registered(ctx, "m1")) {
		fmt.Println(r.Stamp.Version, len(r.Places))
	}
	// Output: 4 2
}

// A feed that is replayed for a month needs a register that remembers as long.
func ExampleRegisterOptions() {
	store, done := exampleStore()
	defer done()
	layout := &amorphous.Layout{PartitionBy: "To", Newest: "At", Bucket: 24 * time.Hour}
	_, err := amorphous.NewDerived[Message](store, "inbox", layout, &amorphous.RegisterOptions{Horizon: 31 * 24 * time.Hour, SplitAt: 10_000})
	fmt.Println(err)
	_, err = amorphous.NewDerived[Message](store, "inbox", layout, &amorphous.RegisterOptions{Horizon: -time.Hour})
	fmt.Println(errors.Is(err, fault.ErrInvalid))
	// Output:
	// <nil>
	// true
}

// Rows of several tables go together. One that is not valid fails alone.
func ExampleTableRows() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()
	faulty := cell("b", 1)
	faulty.Partition = ""
	errs := store.WriteAll(ctx, []amorphous.TableRows{
		{Table: raw, Rows: []amorphous.Row{cell("a", 1), faulty}},
		{Table: amorphous.Table{Name: "aside"}, Rows: []amorphous.Row{cell("a", 1)}},
	})
	fmt.Println(errs[0][0], errors.Is(errs[0][1], fault.ErrInvalid), errs[1][0])
	// Output: <nil> true <nil>
}
