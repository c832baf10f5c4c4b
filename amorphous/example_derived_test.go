package amorphous_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// copies is what a message implies: a copy for every reader.
func copies(id string, readers ...string) iter.Seq[Message] {
	return func(yield func(Message) bool) {
		for _, reader := range readers {
			if !yield(Message{ID: id, To: reader, At: noon, Text: "hello"}) {
				return
			}
		}
	}
}

// One message becomes a row in the inbox of every reader. Its next version goes
// to other readers, and a late repeat of the first changes nothing.
func ExampleDerived() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	inbox := must(amorphous.NewDerived[Message](store, "inbox", &amorphous.Layout{PartitionBy: "To", Newest: "At", Bucket: 24 * time.Hour}, nil))
	first := amorphous.Origin{Key: "m1", Stamp: amorphous.Stamp{Version: 1}}
	second := amorphous.Origin{Key: "m1", Stamp: amorphous.Stamp{Version: 2}}
	err := errors.Join(
		inbox.Put(ctx, first, copies("m1", "ann", "bob")),
		inbox.Put(ctx, second, copies("m1", "bob", "cat")))
	if err != nil {
		panic(err)
	}
	late := inbox.Put(ctx, first, copies("m1", "ann", "bob"))
	fmt.Println(errors.Is(late, amorphous.ErrSuperseded))
	for _, reader := range []string{"ann", "bob", "cat"} {
		fmt.Println(reader, len(must(inbox.List(ctx, reader, 10))))
	}
	// Output:
	// true
	// ann 0
	// bob 1
	// cat 1
}

// wordsOf implies a row in the partition of each word.
func wordsOf(version int64, id string, words ...string) amorphous.Implication {
	return amorphous.Implication{
		Origin: amorphous.Origin{Key: id, Stamp: amorphous.Stamp{Version: version}},
		Rows: func(yield func(amorphous.Row, error) bool) {
			for _, word := range words {
				if !yield(amorphous.Row{Partition: word, ID: id, Shape: 1, Body: []byte("{}")}, nil) {
					return
				}
			}
		},
	}
}

// Rows below any type: the partition of every word of a text.
func ExampleDerivedRows() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	words := must(amorphous.NewDerivedRows(store, "words", nil))
	errs := words.Put(ctx, wordsOf(1, "a", "red", "green"), wordsOf(1, "b", "green"))
	errs = append(errs, words.Put(ctx, wordsOf(2, "a", "blue"))...)
	if err := errors.Join(errs...); err != nil {
		panic(err)
	}
	for _, word := range []string{"red", "green", "blue"} {
		for _, row := range must(store.Scan(ctx, words.Tables()[0], amorphous.Range{Partition: word})).Rows {
			fmt.Println(word, row.ID)
		}
	}
	// Output:
	// green b
	// blue a
}
