package amorphous_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// exampleDriver is a driver in a directory that goes away.
func exampleDriver() (driver amorphous.Driver, done func()) {
	dir := must(os.MkdirTemp("", "amorphous"))
	driver = must(embedded.Dir(dir, nil).OpenDriver(context.Background()))
	return driver, func() {
		driver.Close()
		os.RemoveAll(dir)
	}
}

var raw = amorphous.Table{Name: "raw"}

// cell is a version of a row in partition p.
func cell(id string, version int64) amorphous.Row {
	return amorphous.Row{Partition: "p", Order: []byte(id), ID: id, Shape: 1, Stamp: amorphous.Stamp{Version: version}, Body: []byte("{}")}
}

// What a Store is above, a Driver is below: rows go in, the newest wins.
func ExampleDriver() {
	ctx := context.Background()
	driver, done := exampleDriver()
	defer done()
	fmt.Println(driver.Write(ctx, raw, []amorphous.Row{cell("a", 2), cell("b", 1)}))
	errs := driver.Write(ctx, raw, []amorphous.Row{cell("a", 1)})
	fmt.Println(errors.Is(errs[0], amorphous.ErrSuperseded))
	page, err := driver.Scan(ctx, raw, amorphous.Range{Partition: "p"})
	fmt.Println(len(page.Rows), err)
	// Output:
	// [<nil> <nil>]
	// true
	// 2 <nil>
}

// A driver whose server takes rows of several tables in one request is a
// TablesWriter; with another one each table is a request.
func ExampleTablesWriter() {
	ctx := context.Background()
	driver, done := exampleDriver()
	defer done()
	writes := []amorphous.TableRows{{Table: raw, Rows: []amorphous.Row{cell("a", 1)}}}
	if w, ok := driver.(amorphous.TablesWriter); ok {
		fmt.Println(w.WriteTables(ctx, writes)[0])
	} else {
		fmt.Println(driver.Write(ctx, raw, writes[0].Rows))
	}
	// Output: [<nil>]
}

// Whoever opens a driver by hand asks it whether its store is there.
func ExampleChecker() {
	driver, done := exampleDriver()
	defer done()
	if c, ok := driver.(amorphous.Checker); ok {
		fmt.Println(c.Check(context.Background()).Reachable)
	}
	// Output: true
}

// A driver that wraps another one hands its promises on.
func ExampleFeatured() {
	driver, done := exampleDriver()
	defer done()
	if f, ok := driver.(amorphous.Featured); ok {
		fmt.Println(f.Features().Name)
	}
	// Output: embedded
}

// Whether a store tells a late write that it lost.
func ExampleFeatures() {
	store, done := exampleStore()
	defer done()
	f := store.Features()
	fmt.Println(f.Name, f.Durability, f.Superseded)
	// Output: embedded fsynced true
}

// A Purger forgets what was deleted; other servers do so by themselves.
func ExamplePurger() {
	ctx := context.Background()
	driver, done := exampleDriver()
	defer done()
	gone := amorphous.Row{Partition: "p", Order: []byte("a"), ID: "a", Stamp: amorphous.Stamp{Version: 2}, Deleted: true}
	driver.Write(ctx, raw, []amorphous.Row{cell("a", 1), gone})
	if p, ok := driver.(amorphous.Purger); ok {
		fmt.Println(p.Purge(ctx, raw, time.Now().Add(time.Hour)))
	}
	// Output: 1 <nil>
}

// A Lister keeps a list of places beside the rows; this driver knows them by
// itself.
func ExampleLister() {
	driver, done := exampleDriver()
	defer done()
	_, lists := driver.(amorphous.Lister)
	fmt.Println(lists)
	// Output: false
}

// A Tallier keeps sums beside the members that they are of.
func ExampleTallier() {
	ctx := context.Background()
	driver, done := exampleDriver()
	defer done()
	tallier, ok := driver.(amorphous.Tallier)
	if !ok {
		return // Counter keeps the members as rows, and counts those
	}
	table := amorphous.Table{Name: "votes", Tallied: true}
	vote := func(version int64, party string) amorphous.Member {
		return amorphous.Member{ID: "ann", Stamp: amorphous.Stamp{Version: version}, Counts: []amorphous.Tally{{Partition: party, N: 1}}}
	}
	fmt.Println(tallier.Tally(ctx, table, []amorphous.Member{vote(1, "red")}), tallier.Tally(ctx, table, []amorphous.Member{vote(2, "blue")}))
	sums, err := tallier.Tallies(ctx, table, []amorphous.Range{{Partition: "red"}, {Partition: "blue"}})
	for _, sum := range sums {
		fmt.Println(sum.Partition, sum.N)
	}
	fmt.Println(err)
	// Output:
	// [<nil>] [<nil>]
	// blue 1
	// <nil>
}

// A Registrar writes what is derived from an object together with the note of
// where it lies, and says what else was noted.
func ExampleRegistrar() {
	ctx := context.Background()
	driver, done := exampleDriver()
	defer done()
	registrar, ok := driver.(amorphous.Registrar)
	if !ok {
		return // DerivedRows registers, reads and writes, one after another
	}
	notes := amorphous.Table{Name: "notes"}
	for version := range int64(2) {
		note := cell("where", version+1)
		note.Shape = uint64(version + 1) // a cell for each version
		known, errs := registrar.Register(ctx, notes, raw, []amorphous.Introduction{{Entry: note, Rows: []amorphous.Row{cell("a", version+1)}}})
		fmt.Println(len(known[0]), errs[0])
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
}

// An Introduction names what is derived from an object beside the note of it.
func ExampleIntroduction() {
	note := cell("where", 1)
	note.Body = []byte(`{"at":["p"]}`)
	one := amorphous.Introduction{Entry: note, Rows: []amorphous.Row{cell("a", 1), cell("b", 1)}}
	for _, row := range one.Rows {
		fmt.Println(row.ID, "of version", row.Stamp.Version, "is noted as", string(one.Entry.Body))
	}
	// Output:
	// a of version 1 is noted as {"at":["p"]}
	// b of version 1 is noted as {"at":["p"]}
}

// An Auditor shows what its sums are made of.
func ExampleAuditor() {
	ctx := context.Background()
	driver, done := exampleDriver()
	defer done()
	table := amorphous.Table{Name: "votes", Tallied: true}
	if a, ok := driver.(amorphous.Auditor); ok {
		vote := amorphous.Member{ID: "ann", Stamp: amorphous.Stamp{Version: 1}, Counts: []amorphous.Tally{{Partition: "red", N: 1}}}
		driver.(amorphous.Tallier).Tally(ctx, table, []amorphous.Member{vote})
		members, err := a.WalkMembers(ctx, table, "", 10)
		fmt.Println(members[0].ID, members[0].Counts[0].Partition, err)
		wrong, _, err := a.Audit(ctx, table, nil)
		fmt.Println(len(wrong), err)
	}
	// Output:
	// ann red <nil>
	// 0 <nil>
}

// A Source is what a program passes around before anything is open.
func ExampleSource() {
	ctx := context.Background()
	dir := must(os.MkdirTemp("", "amorphous"))
	defer os.RemoveAll(dir)
	for _, source := range []amorphous.Source{embedded.Dir(dir, nil), amorphous.URL("embeded://" + dir)} {
		store, err := amorphous.Open(ctx, source, nil)
		if err != nil {
			fmt.Println(errors.Is(err, fault.ErrInvalid))
			continue
		}
		fmt.Println(store.Features().Name, store.Close())
	}
	// Output:
	// embedded <nil>
	// true
}

// A function that opens a driver, such as one of your own, is a Source.
func ExampleSourceFunc() {
	dir := must(os.MkdirTemp("", "amorphous"))
	defer os.RemoveAll(dir)
	source := amorphous.SourceFunc(func(ctx context.Context) (amorphous.Driver, error) {
		return embedded.Dir(dir, nil).OpenDriver(ctx)
	})
	store := must(amorphous.Open(context.Background(), source, nil))
	fmt.Println(store.Features().Name, store.Close())
	// Output: embedded <nil>
}

// Two programs share a store, each in a namespace of its own.
func ExampleOptions() {
	ctx := context.Background()
	dir := must(os.MkdirTemp("", "amorphous"))
	defer os.RemoveAll(dir)
	for _, namespace := range []string{"shop", "blog"} {
		store := must(amorphous.Open(ctx, embedded.Dir(dir, nil), &amorphous.Options{Namespace: namespace}))
		notes := must(amorphous.NewCollection[Message](store, "notes", nil))
		_, err := notes.Get(ctx, "n")
		fmt.Println(errors.Is(err, fault.ErrNotFound), notes.Put(ctx, Message{ID: "n"}), store.Close())
	}
	// Output:
	// true <nil> <nil>
	// true <nil> <nil>
}

// An Explainer says what it sends for a row, and sends nothing.
func ExampleExplainer() {
	driver, done := exampleDriver()
	defer done()
	if e, ok := driver.(amorphous.Explainer); ok {
		for _, statement := range e.Explain(raw, cell("a", 1)) {
			verb, _, _ := strings.Cut(statement, " ")
			fmt.Println(verb, strings.Contains(statement, raw.Name))
		}
	}
	// Output:
	// SELECT true
	// INSERT true
}
