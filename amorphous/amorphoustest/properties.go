package amorphoustest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A thing is what the tests of collections keep.
type thing struct {
	ID    string `persistence:"key"`
	Group string
	At    time.Time
	Name  string
	Price int64
	Until time.Time
}

// A formerThing is a thing as an earlier program knew it.
type formerThing struct {
	ID    string `persistence:"key"`
	Name  string
	Price string
}

var moment = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// collectionOf makes a collection of a fresh name, or of a given one.
func collectionOf[T any](t *testing.T, store *amorphous.Store, name string, l *amorphous.Layout) *amorphous.Collection[T] {
	t.Helper()
	c, err := amorphous.NewCollection[T](store, name, l)
	if err == nil {
		err = store.CreateSchema(t.Context(), c.Tables()...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func freshName() string { return "c" + strings.ToLower(rand.Text()[:12]) }

// must fails a test whose preparation fails.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func testProperties(t *testing.T, h Harness) {
	store := h.open(t)
	t.Run("Patch", func(t *testing.T) { testPatch(t, store) })
	t.Run("PatchInAnyOrder", func(t *testing.T) { testPatchOrder(t, store) })
	t.Run("PatchAgainst", func(t *testing.T) { testPatchAgainst(t, h) })
	t.Run("PatchedDocument", func(t *testing.T) { testPatchedDocument(t, store) })
	t.Run("ChangedType", func(t *testing.T) { testChangedType(t, store) })
	t.Run("Expires", func(t *testing.T) { testExpires(t, store) })
}

func testPatch(t *testing.T, store *amorphous.Store) {
	ctx := t.Context()
	c := collectionOf[thing](t, store, freshName(), &amorphous.Layout{PartitionBy: "Group", Newest: "At", Expires: "Until"})
	want := thing{ID: "a", Group: "g", At: moment, Name: "old", Price: 7, Until: time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)}
	must(t, c.Put(ctx, want))
	want.Name = "new"
	must(t, c.Patch(ctx, thing{ID: "a", Group: "g", At: moment, Name: "new", Until: want.Until}, "Name"))
	if got, err := c.Get(ctx, "a"); err != nil || got != want {
		t.Errorf("a patch writes the named fields and leaves the others: %+v, %v", got, err)
	}
	if list, err := c.List(ctx, "g", 9); err != nil || len(list) != 1 || list[0] != want {
		t.Errorf("a patch reads in its partition: %+v, %v", list, err)
	}
	class(t, "a patch does not move an object", c.Patch(ctx, want, "Group"), fault.ErrUnsupported)
	class(t, "a patch does not change when an object ends", c.Patch(ctx, want, "Until"), fault.ErrUnsupported)
	class(t, "a patch names fields", c.Patch(ctx, want), fault.ErrInvalid)
	mortal := collectionOf[thing](t, store, freshName(), &amorphous.Layout{TTL: time.Hour})
	class(t, "a patch would outlive its object", mortal.Patch(ctx, want, "Name"), fault.ErrUnsupported)
}

// testPatchOrder writes an object and two patches in every order: the newest
// value of each property wins.
func testPatchOrder(t *testing.T, store *amorphous.Store) {
	ctx := t.Context()
	table := collectionOf[thing](t, store, freshName(), nil)
	name := table.Tables()[0].Name
	names := collectionOf[thing](t, store, name, &amorphous.Layout{Fields: []string{"Name"}})
	prices := collectionOf[thing](t, store, name, &amorphous.Layout{Fields: []string{"Price"}})
	for i, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		key := strconv.Itoa(i)
		for _, step := range order {
			switch step {
			case 0:
				must(t, table.PutAt(ctx, amorphous.Stamp{Version: 20}, thing{ID: key, Group: "g", Name: "whole", Price: 2}))
			case 1:
				must(t, names.PutAt(ctx, amorphous.Stamp{Version: 10}, thing{ID: key, Name: "older"}))
			case 2:
				must(t, prices.PutAt(ctx, amorphous.Stamp{Version: 30}, thing{ID: key, Price: 3}))
			}
		}
		got, err := table.Get(ctx, key)
		if want := (thing{ID: key, Group: "g", Name: "whole", Price: 3}); err != nil || got != want {
			t.Errorf("the newest value of each property wins, order %v: %+v, %v", order, got, err)
		}
	}
}

func testPatchedDocument(t *testing.T, store *amorphous.Store) {
	ctx := t.Context()
	c := collectionOf[amorphous.Document](t, store, freshName(), &amorphous.Layout{PartitionBy: "city"})
	is := func(sentence string, want amorphous.Document) {
		t.Helper()
		if got, err := c.Get(ctx, "a"); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", sentence, got, err)
		}
	}
	must(t, c.Put(ctx, amorphous.Document{"id": "a", "city": "accra", "x": int64(1), "y": "why"}))
	must(t, c.Patch(ctx, amorphous.Document{"id": "a", "city": "accra", "x": int64(2), "z": true, "y": "not named"}, "x", "z"))
	is("a patch of a document", amorphous.Document{"id": "a", "city": "accra", "x": int64(2), "y": "why", "z": true})
	must(t, c.Patch(ctx, amorphous.Document{"id": "a", "city": "accra"}, "z"))
	is("a property that a patch lacks becomes nil", amorphous.Document{"id": "a", "city": "accra", "x": int64(2), "y": "why", "z": nil})
	must(t, c.Put(ctx, amorphous.Document{"id": "a", "city": "accra", "only": int64(1)}))
	is("a whole document covers what was there", amorphous.Document{"id": "a", "city": "accra", "only": int64(1)})
	class(t, "a patch does not move a document", c.Patch(ctx, amorphous.Document{"id": "a", "city": "b"}, "city"), fault.ErrUnsupported)
}

func testChangedType(t *testing.T, store *amorphous.Store) {
	ctx, name := t.Context(), freshName()
	must(t, collectionOf[formerThing](t, store, name, nil).Put(ctx, formerThing{ID: "a", Name: "n", Price: "EUR 7"}, formerThing{ID: "b", Price: "?"}))
	plain := collectionOf[thing](t, store, name, nil)
	_, err := plain.Get(ctx, "a")
	class(t, "a property that changed its type is no garbage", err, fault.ErrCorrupt)
	if err == nil || !strings.Contains(err.Error(), "price") {
		t.Errorf("the error names the property: %v", err)
	}
	converting := collectionOf[thing](t, store, name, &amorphous.Layout{Convert: map[string]func(any) (any, error){
		"Price": func(old any) (any, error) {
			return strconv.ParseInt(strings.TrimPrefix(fmt.Sprint(old), "EUR "), 10, 64)
		},
	}})
	if got, err := converting.Get(ctx, "a"); err != nil || got.Price != 7 || got.Name != "n" {
		t.Errorf("a declared conversion reads the old value: %+v, %v", got, err)
	}
	_, err = converting.Get(ctx, "b")
	class(t, "a conversion that fails is an error", err, fault.ErrCorrupt)
	must(t, converting.Put(ctx, thing{ID: "a", Price: 8}))
	if got, err := plain.Get(ctx, "a"); err != nil || got.Price != 8 {
		t.Errorf("what is written has the new type: %+v, %v", got, err)
	}
}

func testExpires(t *testing.T, store *amorphous.Store) {
	ctx := t.Context()
	c := collectionOf[thing](t, store, freshName(), &amorphous.Layout{PartitionBy: "Group", Newest: "At", Bucket: time.Hour, Expires: "Until"})
	soon := time.Now().Add(time.Hour)
	must(t, c.Put(ctx, thing{ID: "past", Group: "g", At: moment, Until: time.Now().Add(-time.Second)},
		thing{ID: "future", Group: "g", At: moment, Until: soon}, thing{ID: "ever", Group: "g", At: moment}))
	found, err := c.GetAll(ctx, "past", "future", "ever")
	if _, gone := found["past"]; err != nil || gone || len(found) != 2 {
		t.Errorf("each row has an end of its own: %v, %v", found, err)
	}
	page, err := store.Scan(ctx, c.Tables()[0], amorphous.Range{})
	must(t, err)
	for _, r := range page.Rows {
		if want := map[string]int64{"future": soon.UnixMicro(), "ever": time.Time{}.UnixMicro()}[r.ID]; r.Expires.UnixMicro() != want {
			t.Errorf("the row of %q ends at %v", r.ID, r.Expires)
		}
	}
	must(t, c.Put(ctx, thing{ID: "future", Group: "g", At: moment, Until: time.Now().Add(-time.Second)}))
	if list, err := c.List(ctx, "g", 9); err != nil || len(list) != 1 || list[0].ID != "ever" {
		t.Errorf("a newer version may end sooner: %v, %v", list, err)
	}
}

// testEverything stops a scan at every object, and goes on in another opening
// while somebody writes.
func testEverything(t *testing.T, h Harness) {
	ctx, name := t.Context(), freshName()
	const n = 40
	c := collectionOf[thing](t, h.open(t), name, &amorphous.Layout{PartitionBy: "Group", Newest: "At"})
	for i := range n {
		must(t, c.Put(ctx, thing{ID: fmt.Sprintf("t%02d", i), Group: fmt.Sprint(i % 3), At: moment.Add(time.Duration(i) * time.Second)}))
	}
	seen := map[string]int{}
	var cursor []byte
	for round := 0; ; round++ {
		again := collectionOf[thing](t, h.open(t), name, &amorphous.Layout{PartitionBy: "Group", Newest: "At"})
		scan, more := again.Scan(cursor), false
		for obj, err := range scan.Objects(ctx) {
			must(t, err)
			seen[obj.ID]++
			if more = true; scan.Seen() == 7 {
				break
			}
		}
		if cursor = scan.Cursor(); !more {
			break
		}
		must(t, again.Delete(ctx, fmt.Sprintf("t%02d", round)), again.Put(ctx, thing{ID: "new", Group: "7", At: moment}))
	}
	for i := range n {
		if id := fmt.Sprintf("t%02d", i); seen[id] > 1 || seen[id] == 0 && i > n/7 {
			t.Errorf("a scan that is continued sees everything once: %s %d times", id, seen[id])
		}
	}
}

func testConsistency(t *testing.T, h Harness) {
	tb := h.table(t, true)
	want := row("p", "1", "a", 1)
	tb.must(want)
	for c := amorphous.LocalOne; c <= amorphous.All; c++ {
		ctx := amorphous.WithConsistency(t.Context(), c)
		rows, err := tb.store.Read(ctx, tb.table, want.Address())
		if (c == amorphous.Two || c == amorphous.Three) && errors.Is(err, fault.ErrUnavailable) {
			continue // there are fewer replicas, and the store says so
		}
		must(t, err)
		same(t, "reads at "+c.String(), rows, []amorphous.Row{want})
		page, err := tb.store.Scan(ctx, tb.table, amorphous.Range{Partition: "p"})
		must(t, err)
		same(t, "scans at "+c.String(), page.Rows, []amorphous.Row{want})
	}
	_, err := tb.store.Read(context.WithoutCancel(amorphous.WithConsistency(t.Context(), 99)), tb.table, want.Address())
	class(t, "a consistency that nobody knows", err, fault.ErrInvalid)
}
