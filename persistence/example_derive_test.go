package persistence_test

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
)

// A Memo is read by everybody whom it is for.
type Memo struct {
	ID   string `persistence:"key"`
	For  []string
	Text string
	At   time.Time
}

// A Copy is what one of them reads.
type Copy struct {
	Memo string `persistence:"key"`
	Who  string
	Text string
	At   time.Time
}

func memoCopies(p Memo) iter.Seq[Copy] {
	return func(yield func(Copy) bool) {
		for _, who := range p.For {
			if !yield(Copy{Memo: p.ID, Who: who, Text: p.Text, At: p.At}) {
				return
			}
		}
	}
}

// One memo becomes a row for each of its readers, and the rows follow it: its
// next version has other readers.
func ExampleRows() {
	ctx := context.Background()
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

	memos := persistence.Declare(layer, "memo", persistence.Plan[Memo]{
		{Name: "copies", Purpose: persistence.Amorphous, Derive: persistence.Rows(memoCopies), PartitionBy: "Who", Newest: "At"},
		{Name: "object", Purpose: persistence.Amorphous},
	})
	inbox := persistence.Derived[Copy](memos, "copies")
	for _, p := range []Memo{
		{ID: "p1", For: []string{"ann", "bob"}, Text: "hello", At: noon},
		{ID: "p2", For: []string{"bob"}, Text: "bob!", At: noon.Add(time.Minute)},
		{ID: "p1", For: []string{"bob", "cat"}, Text: "edited", At: noon},
	} {
		if _, err := memos.Put(ctx, p); err != nil {
			panic(err)
		}
	}
	for _, who := range []string{"ann", "bob", "cat"} {
		for m, err := range inbox.Find(ctx, persistence.Query{Where: map[string]any{"Who": who}}) {
			fmt.Println(who, m.Memo, m.Text, err)
		}
	}
	// Output:
	// bob p2 bob! <nil>
	// bob p1 edited <nil>
	// cat p1 edited <nil>
}
