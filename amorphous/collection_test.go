package amorphous_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type Note struct {
	ID   string `persistence:"key"`
	To   string
	At   time.Time
	Text string
}

func openStore(t testing.TB) *amorphous.Store {
	t.Helper()
	store, err := amorphous.Open(context.Background(), embedded.Dir(t.TempDir(), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func collect[T any](t testing.TB, store *amorphous.Store, name string, l *amorphous.Layout) *amorphous.Collection[T] {
	t.Helper()
	c, err := amorphous.NewCollection[T](store, name, l)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var day = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

func note(i int, to string, at time.Time) Note {
	return Note{ID: fmt.Sprintf("n%03d", i), To: to, At: at, Text: fmt.Sprintf("text %d", i)}
}

func ids(notes []Note) string {
	var out []string
	for _, n := range notes {
		out = append(out, strings.TrimLeft(n.ID, "n0"))
	}
	return strings.Join(out, " ")
}

func TestCollectionByKey(t *testing.T) {
	ctx := t.Context()
	c := collect[Note](t, openStore(t), "notes", nil)
	want := note(1, "ann", day)
	if err := c.Put(ctx, want, note(2, "bob", day)); err != nil {
		t.Fatal(err)
	}
	got, err := c.Get(ctx, "n001")
	if err != nil || got != want {
		t.Fatalf("Get returns what Put was given: %+v, %v", got, err)
	}
	many, err := c.GetAll(ctx, "n001", "n002", "n003")
	if err != nil || len(many) != 2 || many["n002"].To != "bob" {
		t.Errorf("GetAll leaves out what is not there: %v, %v", many, err)
	}
	if err := c.Delete(ctx, "n001", "n003"); err != nil {
		t.Fatal(err)
	}
	if _, err = c.Get(ctx, "n001"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a deleted object is not found: %v", err)
	}
	if err := c.Put(ctx, want); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(ctx, "n001"); err != nil {
		t.Errorf("versions of one process grow: a Put after a Delete is newer: %v", err)
	}
}

func TestCollectionStamps(t *testing.T) {
	ctx := t.Context()
	c := collect[Note](t, openStore(t), "notes", nil)
	newer, older := note(1, "new", day), note(1, "old", day)
	for _, err := range []error{
		c.PutAt(ctx, amorphous.Stamp{Version: 7}, newer),
		c.PutAt(ctx, amorphous.Stamp{Version: 6}, older),
		c.DeleteAt(ctx, amorphous.Stamp{Version: 6}, "n001"),
	} {
		if err != nil {
			t.Fatalf("being forestalled is not an error: %v", err)
		}
	}
	if got, err := c.Get(ctx, "n001"); err != nil || got != newer {
		t.Errorf("newest wins: %+v, %v", got, err)
	}
	if err := c.PutAt(ctx, amorphous.Stamp{}, newer); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("a version is greater than zero: %v", err)
	}
}

func TestCollectionMoves(t *testing.T) {
	ctx := t.Context()
	for _, bucket := range []time.Duration{0, time.Hour} {
		c := collect[Note](t, openStore(t), "notes", &amorphous.Layout{PartitionBy: "To", Newest: "At", Bucket: bucket})
		first, moved := note(1, "ann", day), note(1, "bob", day.Add(48*time.Hour))
		if err := errors.Join(c.Put(ctx, first), c.Put(ctx, moved)); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Get(ctx, "n001"); err != nil || got != moved {
			t.Errorf("a key is unique in the collection: %+v, %v", got, err)
		}
		if list, err := c.List(ctx, "ann", 0); err != nil || len(list) != 0 {
			t.Errorf("an object whose partition changed moves: %v, %v", list, err)
		}
		if err := c.Delete(ctx, "n001"); err != nil {
			t.Fatal(err)
		}
		if list, err := c.List(ctx, "bob", 0); err != nil || len(list) != 0 {
			t.Errorf("Delete finds the object wherever it lies: %v, %v", list, err)
		}
	}
}

func TestCollectionCopies(t *testing.T) {
	ctx := t.Context()
	c := collect[Note](t, openStore(t), "inbox", &amorphous.Layout{PartitionBy: "To", Newest: "At", Copies: true})
	a, b := note(1, "ann", day), note(1, "bob", day)
	if err := c.PutAt(ctx, amorphous.Stamp{Version: 5}, a, b); err != nil {
		t.Fatal(err)
	}
	if err := c.RemoveAt(ctx, amorphous.Stamp{Version: 6}, a); err != nil {
		t.Fatal(err)
	}
	ann, err1 := c.List(ctx, "ann", 0)
	bob, err2 := c.List(ctx, "bob", 0)
	if err := errors.Join(err1, err2); err != nil || len(ann) != 0 || len(bob) != 1 {
		t.Errorf("copies stand alone: %v, %v, %v", ann, bob, err)
	}
	if err := c.Delete(ctx, "n001"); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("Delete with Copies: %v", err)
	}
	if _, err := c.Get(ctx, "n001"); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("Get with Copies: %v", err)
	}
}

func TestCollectionRefusesWhole(t *testing.T) {
	ctx := t.Context()
	c := collect[Note](t, openStore(t), "notes", nil)
	good := note(1, "ann", day)
	for _, bad := range []Note{{}, {ID: strings.Repeat("k", 256)}, {ID: "a\x00"}, {ID: "x", Text: "\xff"}, {ID: "x", Text: strings.Repeat("x", embedded.MaxBody)}} {
		if err := c.Put(ctx, good, bad); !fault.Permanent(err) {
			t.Errorf("a faulty object is refused: %v", err)
		}
	}
	if _, err := c.Get(ctx, good.ID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a faulty object refuses the whole call before anything is written: %v", err)
	}
}

func TestCollectionPatch(t *testing.T) {
	ctx := t.Context()
	c := collect[Note](t, openStore(t), "notes", nil)
	want := note(1, "ann", day)
	if err := c.Put(ctx, want); err != nil {
		t.Fatal(err)
	}
	want.Text = "patched"
	if err := c.Patch(ctx, Note{ID: want.ID, Text: want.Text}, "Text"); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(ctx, want.ID); err != nil || got != want {
		t.Errorf("a patch leaves the other properties: %+v, %v", got, err)
	}
	want.Text, want.To = "whole", "bob"
	if err := c.Put(ctx, want); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(ctx, want.ID); err != nil || got != want {
		t.Errorf("a newer whole object replaces a patch: %+v, %v", got, err)
	}
	if err := c.Patch(ctx, want, "Nothing"); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("a patch of what is no field: %v", err)
	}
}

// TestCollectionUnknownProperties lets a newer program and an older one write
// the same object.
func TestCollectionUnknownProperties(t *testing.T) {
	type Older struct {
		ID   string `persistence:"key"`
		Text string
	}
	ctx, store := t.Context(), openStore(t)
	older, newer := collect[Older](t, store, "notes", nil), collect[Note](t, store, "notes", nil)
	want := note(1, "ann", day)
	if err := newer.Put(ctx, want); err != nil {
		t.Fatal(err)
	}
	seen, err := older.Get(ctx, want.ID)
	if err != nil {
		t.Fatal(err)
	}
	seen.Text = "edited"
	if err := older.Put(ctx, seen); err != nil {
		t.Fatal(err)
	}
	want.Text = "edited"
	if got, err := newer.Get(ctx, want.ID); err != nil || got != want {
		t.Errorf("properties that a program does not know survive its Get and Put: %+v, %v", got, err)
	}
}

func TestCollectionTags(t *testing.T) {
	type User struct {
		ID     string `persistence:"key"`
		Name   string
		Secret string `transactional:""`
	}
	type Split struct {
		ID    string `persistence:"key"`
		Bio   string `amorphous:"biography"`
		Other string `transactional:""`
	}
	ctx, store := t.Context(), openStore(t)
	users, splits := collect[User](t, store, "users", nil), collect[Split](t, store, "splits", nil)
	if err := errors.Join(users.Put(ctx, User{"a", "Ann", "secret"}), splits.Put(ctx, Split{"a", "bio", "other"})); err != nil {
		t.Fatal(err)
	}
	if got, err := users.Get(ctx, "a"); err != nil || got != (User{ID: "a", Name: "Ann"}) {
		t.Errorf("a field tagged only for other purposes is not kept: %+v, %v", got, err)
	}
	if got, err := splits.Get(ctx, "a"); err != nil || got != (Split{ID: "a", Bio: "bio"}) {
		t.Errorf("fields tagged for this purpose are what is kept: %+v, %v", got, err)
	}
}

func TestCollectionVersions(t *testing.T) {
	type Doc struct {
		ID   string `persistence:"key"`
		Rev  int64  `persistence:"version"`
		Text string
	}
	ctx := t.Context()
	c := collect[Doc](t, openStore(t), "docs", nil)
	if err := errors.Join(c.Put(ctx, Doc{"a", 3, "three"}), c.Put(ctx, Doc{"a", 2, "two"})); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(ctx, "a"); err != nil || got.Text != "three" {
		t.Errorf("the object's own version orders its writes: %+v, %v", got, err)
	}
	if err := c.Put(ctx, Doc{"a", 0, ""}); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("an own version is greater than zero: %v", err)
	}
	if err := c.Delete(ctx, "a"); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("the delete of such a type is given its version: %v", err)
	}
}

func TestCollectionDocuments(t *testing.T) {
	ctx := t.Context()
	c := collect[amorphous.Document](t, openStore(t), "docs", &amorphous.Layout{PartitionBy: "city", Newest: "size"})
	if err := c.Put(ctx, amorphous.Document{"id": "a", "city": "accra", "size": int64(3), "x": true},
		amorphous.Document{"id": "b", "city": "accra", "size": int64(4)}); err != nil {
		t.Fatal(err)
	}
	list, err := c.List(ctx, "accra", 0)
	if err != nil || len(list) != 2 || list[0]["id"] != "b" || list[1]["x"] != true {
		t.Errorf("documents need no struct: %v, %v", list, err)
	}
	if err := c.Put(ctx, amorphous.Document{"id": "c", "size": int64(1)}); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("a document without the property that places it: %v", err)
	}
}

func TestCollectionFaults(t *testing.T) {
	store := openStore(t)
	type NoKey struct{ Name string }
	for want, l := range map[string]amorphous.Layout{
		"no kept field":     {PartitionBy: "Nope"},
		"exclude each":      {PartitionBy: "To", Newest: "At", Oldest: "At"},
		"need PartitionBy":  {Newest: "At"},
		"divides time":      {PartitionBy: "To", Newest: "Text", Bucket: time.Hour},
		"a minute or more":  {PartitionBy: "To", Newest: "At", Bucket: time.Second},
		"TTL is negative":   {TTL: -1},
		`Fields names "no"`: {Fields: []string{"no"}},
	} {
		_, err := amorphous.NewCollection[Note](store, "notes", &l)
		if !errors.Is(err, fault.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", l, err, want)
		}
	}
	if _, err := amorphous.NewCollection[NoKey](store, "notes", nil); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("a type without a key: %v", err)
	}
	if _, err := amorphous.NewCollection[Note](store, "Notes", nil); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("a name that is not valid: %v", err)
	}
	c := collect[Note](t, store, "notes", &amorphous.Layout{PartitionBy: "To", Newest: "At"})
	if _, _, err := c.Page(t.Context(), "ann", &amorphous.Query{From: 3}); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("a bound of another type: %v", err)
	}
}

func TestCollectionTTL(t *testing.T) {
	ctx, store := t.Context(), openStore(t)
	c := collect[Note](t, store, "notes", &amorphous.Layout{PartitionBy: "To", Newest: "At", TTL: time.Hour})
	if err := c.Put(ctx, note(1, "ann", day)); err != nil {
		t.Fatal(err)
	}
	page, err := store.Scan(ctx, amorphous.Table{Name: "notes", Placed: true}, amorphous.Range{Partition: "ann"})
	if err != nil || len(page.Rows) != 1 {
		t.Fatal(err)
	}
	if left := time.Until(page.Rows[0].Expires); left < 59*time.Minute || left > time.Hour {
		t.Errorf("an object expires after its TTL: %v are left", left)
	}
}

// FuzzParseCursor: whatever comes in, the answer is an error of one class or
// an address whose cursor is what came in.
func FuzzParseCursor(f *testing.F) {
	f.Add(amorphous.Address{Partition: "p", Order: []byte{0, 1}, ID: "i"}.Cursor(), "p")
	f.Add([]byte{}, "")
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0}, "")
	f.Fuzz(func(t *testing.T, cursor []byte, partition string) {
		at, err := amorphous.ParseCursor(cursor, partition)
		if err != nil {
			if !errors.Is(err, fault.ErrInvalid) {
				t.Errorf("class of %v", err)
			}
			return
		}
		if partition != "" && at.Partition != partition {
			t.Error("a cursor of another partition was taken")
		}
		if again, err := amorphous.ParseCursor(at.Cursor(), partition); err != nil || again.ID != at.ID || string(again.Order) != string(at.Order) {
			t.Errorf("an address does not survive its cursor: %v", err)
		}
	})
}

// TestMergeAnyOrder: cells merge the same in whatever order they come.
func TestMergeAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cells := make([]amorphous.Row, rapid.IntRange(1, 5).Draw(t, "cells"))
		for i := range cells {
			cells[i].Shape = uint64(i + 1)
			cells[i].Stamp.Version = rapid.Int64Range(1, 3).Draw(t, "version")
			cells[i].Body = fmt.Appendf(nil, `{"a":%d,"p%d":1}`, i, i)
		}
		body, stamp, ok, err := amorphous.Merge(cells)
		if err != nil || !ok {
			t.Fatal(err)
		}
		shuffled := rapid.Permutation(cells).Draw(t, "order")
		again, stamp2, _, err := amorphous.Merge(shuffled)
		if err != nil || string(again) != string(body) || stamp != stamp2 {
			t.Fatalf("%s and %s, %v", body, again, err)
		}
	})
}
