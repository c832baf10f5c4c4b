package amorphoustest

import (
	"fmt"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// testRegistrar checks a driver that registers rows in the transaction that
// writes them.
func testRegistrar(t *testing.T, h Harness) {
	driver, err := h.Source.OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { driver.Close() })
	registrar, ok := driver.(amorphous.Registrar)
	if !ok {
		t.Skip("the driver is no Registrar: DerivedRows goes step by step")
	}
	register, rows := h.table(t, false), h.table(t, false)
	// A Store puts its namespace in front of the names that its driver sees.
	r := registering{t, registrar, register, rows, [2]amorphous.Table{register.table, rows.table}}
	for i := range r.names {
		r.names[i].Name = "ff_" + r.names[i].Name
	}
	first, second, third := introduction("a", 1, "x"), introduction("a", 2, "y", "z"), introduction("a", 3)
	r.put("an entry that is alone is known, and its rows are written", first, first.Entry)
	r.rows.holds("the rows of a first entry are written", first.Rows...)
	r.put("a repeat changes nothing", first, first.Entry)
	r.put("an entry learns of the older ones, and its rows are written", third, first.Entry, third.Entry)
	r.put("an entry learns of a newer one", second, first.Entry, second.Entry, third.Entry)
	r.rows.lacks("the rows of an entry that a newer one is known beside are not written", second.Rows[0])
	r.register.must(tombstone(first.Entry, 3, 9))
	r.put("an entry that was struck off is not known, and what it implies is written all the same", second)
	r.rows.holds("rows are written unless a newer entry is there", second.Rows...)
	r.rows.must(tombstone(first.Rows[0], 5, 1))
	r.put("what a newer cell of its own forestalls is no error", introduction("b", 4, "x"), introduction("b", 4, "x").Entry)
	r.rows.lacks("a tombstone forbids the row of an entry, too", first.Rows[0])
	r.together()
}

// A registering is a Registrar under test, with its two tables.
type registering struct {
	*testing.T
	amorphous.Registrar
	register, rows *table
	names          [2]amorphous.Table
}

// introduction is a version of an origin with rows at places of their own.
func introduction(key string, version int64, places ...string) amorphous.Introduction {
	out := amorphous.Introduction{Entry: row(key, "chunk", "entry", version)}
	out.Entry.Shape = uint64(version)
	out.Entry.Body = bodyOf(out.Entry)
	for _, at := range places {
		out.Rows = append(out.Rows, row("at "+at, "o", "i", version))
	}
	return out
}

func (r *registering) put(sentence string, one amorphous.Introduction, want ...amorphous.Row) {
	r.Helper()
	known, errs := r.Register(r.Context(), r.names[0], r.names[1], []amorphous.Introduction{one})
	if errs[0] != nil {
		r.Errorf("%s: %v", sentence, errs[0])
	}
	same(r.register, sentence, known[0], want)
}

// together registers many at once: the half of them newer ones of the others'
// origins, and a hundred that are alone.
func (r *registering) together() {
	var all []amorphous.Introduction
	for i := range 100 {
		all = append(all, introduction(fmt.Sprint("alone", i), 1, fmt.Sprint("alone", i)))
	}
	for i := range 50 {
		all = append(all, introduction(fmt.Sprint("two", i), 1, fmt.Sprint("old", i)), introduction(fmt.Sprint("two", i), 2, fmt.Sprint("new", i)))
	}
	known, errs := r.Register(r.Context(), r.names[0], r.names[1], all)
	for i, one := range all {
		want := []amorphous.Row{one.Entry}
		if i >= 100 {
			pair := 100 + (i-100)/2*2
			want = []amorphous.Row{all[pair].Entry, all[pair+1].Entry}
		}
		if errs[i] != nil {
			r.Errorf("each introduction has its own answer: %d got %v", i, errs[i])
		}
		same(r.register, "what is registered together knows of each other", known[i], want)
		if older := i >= 100 && i%2 == 0; older {
			r.rows.lacks("of two that are registered together the newer one's rows are written", one.Rows[0])
		} else {
			r.rows.holds("rows are written where their introduction says", one.Rows...)
		}
	}
}
