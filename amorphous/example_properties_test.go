package amorphous_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// A price was once a text, and is a number of cents now.
func ExampleLayout_convert() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	type Offer struct {
		ID    string `persistence:"key"`
		Cents int64
	}
	former := must(amorphous.NewCollection[amorphous.Document](store, "offers", nil))
	offers := must(amorphous.NewCollection[Offer](store, "offers", &amorphous.Layout{
		Convert: map[string]func(old any) (any, error){"Cents": func(old any) (any, error) {
			return strconv.ParseInt(strings.ReplaceAll(fmt.Sprint(old), ".", ""), 10, 64)
		}},
	}))
	if err := former.Put(ctx, amorphous.Document{"id": "tea", "cents": "2.50"}); err != nil {
		panic(err)
	}
	fmt.Println(must(offers.Get(ctx, "tea")).Cents)
	// Output: 250
}

// Each row says itself when it ends.
func ExampleLayout_expires() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	type Ticket struct {
		ID    string `persistence:"key"`
		Until time.Time
	}
	tickets := must(amorphous.NewCollection[Ticket](store, "tickets", &amorphous.Layout{Expires: "Until"}))
	if err := tickets.Put(ctx, Ticket{ID: "day", Until: time.Now().Add(-time.Hour)}, Ticket{ID: "ever"}); err != nil {
		panic(err)
	}
	fmt.Println(len(must(tickets.GetAll(ctx, "day", "ever"))))
	// Output: 1
}

// A scan goes on where another one, perhaps of another process, has stopped.
func ExampleScan() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	notes := must(amorphous.NewCollection[Message](store, "notes", nil))
	if err := errors.Join(notes.Put(ctx, Message{ID: "a"}), notes.Put(ctx, Message{ID: "b"}, Message{ID: "c"})); err != nil {
		panic(err)
	}
	var cursor []byte // a program keeps it in a file
	for range 2 {
		scan := notes.Scan(cursor)
		for n, err := range scan.Objects(ctx) {
			if fmt.Println(n.ID, err); scan.Seen() == 2 {
				break
			}
		}
		cursor = scan.Cursor()
	}
	// Output:
	// a <nil>
	// b <nil>
	// c <nil>
}

// A reader that is in a hurry asks one replica, and may miss what is new.
func ExampleWithConsistency() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	notes := must(amorphous.NewCollection[Message](store, "notes", nil))
	if err := notes.Put(ctx, Message{ID: "n", Text: "hello"}); err != nil {
		panic(err)
	}
	hurried := amorphous.WithConsistency(ctx, amorphous.LocalOne)
	fmt.Println(must(notes.Get(hurried, "n")).Text, amorphous.ConsistencyOf(hurried))
	// Output: hello local_one
}
