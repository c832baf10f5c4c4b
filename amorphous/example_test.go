package amorphous_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

type Message struct {
	ID   string `persistence:"key"`
	To   string
	At   time.Time
	Text string
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// must keeps the examples short; programs look at their errors.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// exampleStore is a store in a directory that goes away.
func exampleStore() (store *amorphous.Store, done func()) {
	dir := must(os.MkdirTemp("", "amorphous"))
	store = must(amorphous.Open(context.Background(), embedded.Dir(dir, nil), nil))
	return store, func() {
		store.Close()
		os.RemoveAll(dir)
	}
}

func Example() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	inbox := must(amorphous.NewCollection[Message](store, "inbox", &amorphous.Layout{PartitionBy: "To", Newest: "At"}))
	err := inbox.Put(ctx,
		Message{ID: "m1", To: "ann", At: noon, Text: "first"},
		Message{ID: "m2", To: "ann", At: noon.Add(time.Minute), Text: "second"},
		Message{ID: "m3", To: "bob", At: noon, Text: "not for ann"})
	if err != nil {
		panic(err)
	}
	for _, m := range must(inbox.List(ctx, "ann", 10)) {
		fmt.Println(m.At.Format("15:04"), m.Text)
	}
	// Output:
	// 12:01 second
	// 12:00 first
}

// A stamp makes a repeat harmless and a late write lose.
func ExampleCollection_PutAt() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	notes := must(amorphous.NewCollection[Message](store, "notes", nil))
	for _, write := range []struct {
		version int64
		text    string
	}{{2, "newer"}, {1, "late"}, {2, "newer"}} {
		if err := notes.PutAt(ctx, amorphous.Stamp{Version: write.version}, Message{ID: "n", Text: write.text}); err != nil {
			panic(err)
		}
	}
	fmt.Println(must(notes.Get(ctx, "n")).Text)
	// Output: newer
}

func ExampleCollection_Delete() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	notes := must(amorphous.NewCollection[Message](store, "notes", nil))
	if err := errors.Join(notes.Put(ctx, Message{ID: "n"}), notes.Delete(ctx, "n")); err != nil {
		panic(err)
	}
	_, err := notes.Get(ctx, "n")
	fmt.Println(errors.Is(err, fault.ErrNotFound))
	// Output: true
}

// A patch writes some properties and leaves the others to whoever wrote them.
func ExampleCollection_Patch() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	notes := must(amorphous.NewCollection[Message](store, "notes", nil))
	err := errors.Join(
		notes.Put(ctx, Message{ID: "n", To: "ann", Text: "helo"}),
		notes.Patch(ctx, Message{ID: "n", Text: "hello"}, "Text"))
	if err != nil {
		panic(err)
	}
	n := must(notes.Get(ctx, "n"))
	fmt.Println(n.To, n.Text)
	// Output: ann hello
}

// One message lies in the inbox of every reader.
func ExampleLayout_copies() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	inbox := must(amorphous.NewCollection[Message](store, "inbox", &amorphous.Layout{PartitionBy: "To", Newest: "At", Copies: true}))
	var copies []Message
	for _, reader := range []string{"ann", "bob", "cat"} {
		copies = append(copies, Message{ID: "m1", To: reader, At: noon, Text: "hello"})
	}
	if err := inbox.Put(ctx, copies...); err != nil {
		panic(err)
	}
	if err := inbox.Remove(ctx, copies[1]); err != nil {
		panic(err)
	}
	fmt.Println(len(must(inbox.List(ctx, "ann", 1))), len(must(inbox.List(ctx, "bob", 1))), len(must(inbox.List(ctx, "cat", 1))))
	// Output: 1 0 1
}

// A page at a time, with a cursor that may wait for days in between.
func ExampleQuery() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	log := must(amorphous.NewCollection[Message](store, "log", &amorphous.Layout{PartitionBy: "To", Oldest: "At", Bucket: time.Hour}))
	for i := range 5 {
		if err := log.Put(ctx, Message{ID: fmt.Sprint("m", i), To: "ann", At: noon.Add(time.Duration(i) * 40 * time.Minute)}); err != nil {
			panic(err)
		}
	}
	query := &amorphous.Query{From: noon.Add(time.Hour), Limit: 2}
	for {
		page, next, err := log.Page(ctx, "ann", query)
		if err != nil {
			panic(err)
		}
		for _, m := range page {
			fmt.Println(m.At.Format("15:04"), m.ID)
		}
		if next == nil {
			break
		}
		query.After = next
	}
	// Output:
	// 13:20 m2
	// 14:00 m3
	// 14:40 m4
}

func ExampleCollection_All() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	inbox := must(amorphous.NewCollection[Message](store, "inbox", &amorphous.Layout{PartitionBy: "To", Newest: "At"}))
	for i := range 3 {
		if err := inbox.Put(ctx, Message{ID: fmt.Sprint("m", i), To: "ann", At: noon.Add(time.Duration(i) * time.Second)}); err != nil {
			panic(err)
		}
	}
	for m, err := range inbox.All(ctx, "ann", &amorphous.Query{Reverse: true}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(m.ID)
	}
	// Output:
	// m0
	// m1
	// m2
}

// Objects without a struct.
func ExampleDocument() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	things := must(amorphous.NewCollection[amorphous.Document](store, "things", &amorphous.Layout{PartitionBy: "kind"}))
	err := things.Put(ctx,
		amorphous.Document{"id": "1", "kind": "bird", "wings": 2},
		amorphous.Document{"id": "2", "kind": "bird", "song": "low"})
	if err != nil {
		panic(err)
	}
	for _, d := range must(things.List(ctx, "bird", 10)) {
		fmt.Println(d["id"], d["wings"], d["song"])
	}
	// Output:
	// 1 2 <nil>
	// 2 <nil> low
}

// Below the typed face: rows, cells and stamps.
func ExampleStore() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	table := amorphous.Table{Name: "raw"}
	row := amorphous.Row{Partition: "p", Order: []byte("1"), ID: "a", Shape: 1, Stamp: amorphous.Stamp{Version: 2}, Body: []byte(`{"x":1}`)}
	fmt.Println(store.Write(ctx, table, row)[0])
	row.Stamp.Version = 1
	fmt.Println(errors.Is(store.Write(ctx, table, row)[0], amorphous.ErrSuperseded))
	page := must(store.Scan(ctx, table, amorphous.Range{Partition: "p"}))
	fmt.Println(len(page.Rows), page.Rows[0].Stamp.Version)
	// Output:
	// <nil>
	// true
	// 1 2
}

// Two programs that know other properties of one object.
func ExampleMerge() {
	cells := []amorphous.Row{
		{Shape: 1, Stamp: amorphous.Stamp{Version: 1}, Body: []byte(`{"name":"ann","age":41}`)},
		{Shape: 2, Stamp: amorphous.Stamp{Version: 2}, Body: []byte(`{"age":42}`)},
	}
	body, stamp, ok, err := amorphous.Merge(cells)
	fmt.Println(string(body), stamp.Version, ok, err)
	// Output: {"age":42,"name":"ann"} 2 true <nil>
}

// Mentions per minute and day; one that is counted twice counts once, and one
// that was edited counts where it belongs now.
func ExampleCounter() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	mentions := must(amorphous.NewCounter(store, "mentions", &amorphous.Counts{
		By: []string{"team"}, Per: []time.Duration{time.Minute, 24 * time.Hour}, Zone: "Africa/Accra",
	}))
	mention := func(key, team string, at time.Time) amorphous.Counted {
		return amorphous.Counted{Key: key, Counts: []amorphous.Count{{Of: []string{team}, At: at, N: 1}}}
	}
	err := errors.Join(
		mentions.Put(ctx, mention("t1", "black stars", noon), mention("t2", "black stars", noon.Add(90*time.Second)), mention("t3", "uruguay", noon)),
		mentions.Put(ctx, mention("t1", "black stars", noon)),
		mentions.Put(ctx, mention("t3", "portugal", noon)))
	if err != nil {
		panic(err)
	}
	for _, minute := range must(mentions.Series(ctx, amorphous.CountQuery{Of: []string{"black stars"}})) {
		fmt.Println(minute.At.Format("15:04"), minute.N)
	}
	for _, team := range must(mentions.Top(ctx, amorphous.CountQuery{From: noon}, 10)) {
		fmt.Println(team.Of[0], team.N)
	}
	fmt.Println(must(mentions.Total(ctx, amorphous.CountQuery{})))
	// Output:
	// 12:00 1
	// 12:01 1
	// black stars 2
	// portugal 1
	// 3
}

// A day that begins summer time has 23 hours.
func ExampleCounts() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	visits := must(amorphous.NewCounter(store, "visits", &amorphous.Counts{Per: []time.Duration{time.Hour, 24 * time.Hour}, Zone: "Europe/Berlin"}))
	for i := range 48 {
		at := time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Hour)
		if err := visits.Put(ctx, amorphous.Counted{Key: fmt.Sprint(i), Counts: []amorphous.Count{{At: at, N: 1}}}); err != nil {
			panic(err)
		}
	}
	for _, day := range must(visits.Series(ctx, amorphous.CountQuery{Per: 24 * time.Hour})) {
		fmt.Println(day.At.Format("Jan 2 15:04 MST"), day.N)
	}
	// Output:
	// Mar 29 00:00 CET 23
	// Mar 30 00:00 CEST 24
	// Mar 31 00:00 CEST 1
}

// An object counts for each of its values, and adds what it says.
func ExampleCounted() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	stock := must(amorphous.NewCounter(store, "stock", &amorphous.Counts{By: []string{"colour", "shop"}}))
	err := errors.Join(
		stock.Put(ctx, amorphous.Counted{Key: "box 1", Counts: []amorphous.Count{{Of: []string{"red", "a"}, N: 10}, {Of: []string{"blue", "a"}, N: 5}}}),
		stock.Put(ctx, amorphous.Counted{Key: "box 2", Counts: []amorphous.Count{{Of: []string{"red", "b"}, N: 3}}}),
		stock.Delete(ctx, "box 2"))
	fmt.Println(err)
	for _, c := range must(stock.Top(ctx, amorphous.CountQuery{}, 0)) {
		fmt.Println(c.Of, c.N)
	}
	// Output:
	// <nil>
	// [red a] 10
	// [blue a] 5
}

// Fewer values select whatever begins with them.
func ExampleCountQuery() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	rides := must(amorphous.NewCounter(store, "rides", &amorphous.Counts{By: []string{"city", "line"}, Per: []time.Duration{time.Minute}}))
	for i, line := range []string{"1", "2", "1"} {
		count := amorphous.Count{Of: []string{"ghent", line}, At: noon.Add(time.Duration(i) * time.Minute), N: 1}
		if err := rides.Put(ctx, amorphous.Counted{Key: fmt.Sprint(i), Counts: []amorphous.Count{count}}); err != nil {
			panic(err)
		}
	}
	fmt.Println(must(rides.Total(ctx, amorphous.CountQuery{Of: []string{"ghent"}, From: noon.Add(time.Minute)})))
	fmt.Println(must(rides.Total(ctx, amorphous.CountQuery{Of: []string{"ghent", "1"}})))
	// Output:
	// 2
	// 2
}

// A Count is what an object adds where, and what a bucket of a series holds.
func ExampleCount() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	bytes := must(amorphous.NewCounter(store, "bytes", &amorphous.Counts{By: []string{"host"}, Per: []time.Duration{time.Hour}}))
	for i, n := range []int64{700, 20, 1300} {
		count := amorphous.Count{Of: []string{"a"}, At: noon.Add(time.Duration(i) * 40 * time.Minute), N: n}
		if err := bytes.Put(ctx, amorphous.Counted{Key: fmt.Sprint(i), Counts: []amorphous.Count{count}}); err != nil {
			panic(err)
		}
	}
	for _, hour := range must(bytes.Series(ctx, amorphous.CountQuery{Of: []string{"a"}})) {
		fmt.Println(hour.At.Format("15:04"), hour.N)
	}
	// Output:
	// 12:00 720
	// 13:00 1300
}
