package transactionaltest

import (
	"fmt"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

const (
	newest    = transactional.Newest
	insert    = transactional.Insert
	ifVersion = transactional.IfVersion
	above     = transactional.Above
)

func testModes(t *testing.T, h Harness) {
	h.run(t, "Newest", testNewest)
	h.run(t, "Insert", testInsert)
	h.run(t, "IfVersion", testIfVersion)
	h.run(t, "Above", testAbove)
}

func testNewest(e *env) {
	e.same("the first write is not superseded", e.must(writes(thing("a", 5, 1, newest))).Superseded, []bool(nil))
	e.holds("Newest writes when the row is absent", "a", 5, 1)
	e.must(writes(thing("a", 6, 2, newest)))
	e.holds("Newest writes when the row is older", "a", 6, 2)
	res := e.must(writes(thing("a", 5, 3, newest), thing("b", 1, 9, newest)))
	e.same("who loses is told so, aligned with the unit's writes", res.Superseded, []bool{true, false})
	e.holds("an older write changes nothing", "a", 6, 2)
	e.holds("a superseded write does not keep the others of its unit from being written", "b", 1, 9)
	res = e.must(writes(thing("a", 6, 2, newest)))
	e.same("the repeat of a write is not superseded", res.Superseded, []bool(nil))
	e.holds("the repeat of a write changes nothing", "a", 6, 2)

	tied := func(tie uint64, n int64) transactional.Unit {
		w := thing("tie", 1, n, newest)
		w.Row.Stamp.Tie = tie
		return *writes(w)
	}
	for i, tie := range []uint64{3, 1 << 62, 1<<63 + 1, 1<<64 - 1} {
		u := tied(tie, int64(i))
		e.must(&u)
		e.holds("at equal versions the larger tie wins, as an unsigned number", "tie", 1, int64(i))
		e.same("the tie is kept with all of its bits", e.row(things, "tie").Stamp.Tie, tie)
	}
	u := tied(1<<63, 99)
	e.same("a smaller tie is superseded", e.must(&u).Superseded, []bool{true})
	e.must(writes(thing("neg", -5, 1, newest)))
	e.must(writes(thing("neg", -4, 2, newest)))
	e.holds("versions may be negative", "neg", -4, 2)
}

func testInsert(e *env) {
	e.must(writes(thing("a", 5, 1, insert)))
	e.holds("Insert writes when the row is absent", "a", 5, 1)
	e.fails("Insert is ErrExists when a row is there, however old", writes(thing("a", 9, 2, insert)), fault.ErrExists)
	e.holds("a refused Insert changes nothing", "a", 5, 1)
	e.must(writes(gone("a", 6, newest)))
	e.fails("Insert needs a tombstone that is older", writes(thing("a", 6, 3, insert)), fault.ErrExists)
	e.must(writes(thing("a", 7, 3, insert)))
	e.holds("Insert writes over an older tombstone", "a", 7, 3)
}

func testIfVersion(e *env) {
	e.fails("IfVersion needs the row", writes(expecting(thing("a", 5, 1, ifVersion), 4)), fault.ErrConflict)
	e.must(writes(expecting(thing("a", 5, 1, ifVersion), 0)))
	e.holds("IfVersion zero writes when the row is absent", "a", 5, 1)
	e.fails("IfVersion zero needs the row to be absent", writes(expecting(thing("a", 6, 2, ifVersion), 0)), fault.ErrConflict)
	e.fails("IfVersion needs the version expected", writes(expecting(thing("a", 6, 2, ifVersion), 4)), fault.ErrConflict)
	e.must(writes(expecting(thing("a", 6, 2, ifVersion), 5)))
	e.holds("IfVersion writes when the version is the one expected", "a", 6, 2)
	e.fails("a version never goes back", writes(expecting(thing("a", 6, 3, ifVersion), 6)), fault.ErrConflict)
	e.must(writes(expecting(gone("a", 7, ifVersion), 6)))
	e.must(writes(expecting(thing("a", 8, 4, ifVersion), 0)))
	e.holds("IfVersion zero writes over a tombstone", "a", 8, 4)
}

func testAbove(e *env) {
	e.must(writes(thing("a", 5, 1, above)))
	e.holds("Above writes when the row is absent", "a", 5, 1)
	e.fails("Above is ErrConflict when the row is as new", writes(thing("a", 5, 2, above)), fault.ErrConflict)
	e.fails("Above is ErrConflict when the row is newer", writes(thing("a", 4, 2, above)), fault.ErrConflict)
	e.must(writes(thing("a", 6, 2, above)))
	e.holds("Above writes when the row is older", "a", 6, 2)
	e.must(writes(gone("a", 7, above)))
	e.fails("a tombstone is a version too", writes(thing("a", 7, 3, above)), fault.ErrConflict)
}

func testTombstones(t *testing.T, h Harness) {
	h.run(t, "Delete", func(e *env) {
		e.must(writes(thing("a", 5, 1, newest)))
		e.must(writes(gone("a", 6, newest)))
		row := e.row(things, "a")
		if row == nil || !row.Deleted || row.Stamp.Version != 6 || len(row.Values) != 0 {
			e.Fatalf("a delete leaves a tombstone without values: %+v", row)
		}
		res := e.must(writes(thing("a", 5, 2, newest)))
		e.same("a late older write does not bring an object back", res.Superseded, []bool{true})
		e.same("an older delete is superseded", e.must(writes(gone("a", 4, newest))).Superseded, []bool{true})
		e.same("a repeated delete is not", e.must(writes(gone("a", 6, newest))).Superseded, []bool(nil))
		e.must(writes(gone("never", 3, newest)))
		res = e.must(writes(thing("never", 2, 1, newest)))
		e.same("what was deleted before it was written stays deleted", res.Superseded, []bool{true})
		e.must(writes(thing("a", 7, 3, newest)))
		e.holds("a newer write comes back", "a", 7, 3)
		e.same("an older delete does not touch a newer row", e.must(writes(gone("a", 6, newest))).Superseded, []bool{true})
		e.holds("an older delete does not touch a newer row", "a", 7, 3)
	})
	h.run(t, "Purge", func(e *env) {
		var u transactional.Unit
		for i := range int64(300) {
			u.Writes = append(u.Writes, gone(fmt.Sprint("old", i), 1+i%3, newest))
		}
		u.Writes = append(u.Writes, gone("young", 10, newest), thing("live", 1, 1, newest))
		e.must(&u)
		n, err := e.store.PurgeTombstones(e.Context(), things, 10)
		e.nil("purge", err)
		e.same("PurgeTombstones tells how many it removed", n, 300)
		e.lacks("tombstones whose version is older are removed", "old7")
		e.holds("live rows stay, however old", "live", 1, 1)
		if row := e.row(things, "young"); row == nil || !row.Deleted {
			e.Error("tombstones that are not older stay")
		}
		n, err = e.store.PurgeTombstones(e.Context(), things, 10)
		e.nil("purge", err)
		e.same("there is nothing left to purge", n, 0)
	})
}

// person makes a row of people; nil values are NULL.
func person(id string, version int64, email, team, seat any) transactional.Write {
	return transactional.Write{Table: people, Row: transactional.Row{
		ID: id, Stamp: transactional.Stamp{Version: version}, Values: []any{email, team, seat},
	}}
}

func testUnique(t *testing.T, h Harness) {
	for _, mode := range []transactional.Mode{newest, insert, above} {
		h.run(t, fmt.Sprint("Mode", mode), func(e *env) { testUniqueIn(e, mode) })
	}
	h.run(t, "Empty", func(e *env) {
		e.must(writes(person("a", 1, nil, "x", nil), person("b", 1, nil, "x", nil), person("c", 1, nil, nil, nil)))
		if e.row(people, "b") == nil || e.row(people, "c") == nil {
			e.Error("NULLs never collide, also in an index of several columns")
		}
	})
}

func testUniqueIn(e *env, mode transactional.Mode) {
	in := func(w transactional.Write) transactional.Write { w.Mode = mode; return w }
	e.must(writes(in(person("a", 5, "ann", "red", int64(1))), in(person("b", 5, "bob", "red", int64(2)))))
	const collides = "a unique value that another row has is ErrExists"
	e.fails(collides, writes(in(person("c", 9, "ann", nil, nil))), fault.ErrExists)
	e.fails(collides, writes(in(person("c", 9, nil, "red", int64(2)))), fault.ErrExists)
	if row := e.row(people, "c"); row != nil {
		e.Errorf("a refused row is not written: %+v", row)
	}
	e.same("the row that has the value is left alone", e.row(people, "a"), &transactional.Row{
		ID: "a", Stamp: transactional.Stamp{Version: 5}, Values: []any{"ann", "red", int64(1)},
	})
	if mode != insert {
		e.fails(collides, writes(in(person("b", 6, "ann", "red", int64(2)))), fault.ErrExists)
		e.same("a refused change changes nothing", e.row(people, "b").Values, []any{"bob", "red", int64(2)})
	}
	e.must(writes(transactional.Write{Table: people, Row: transactional.Row{ID: "a", Stamp: transactional.Stamp{Version: 6}, Deleted: true}}))
	e.must(writes(in(person("c", 9, "ann", "red", int64(1)))))
	if row := e.row(people, "c"); row == nil || row.Values[0] != "ann" {
		e.Errorf("a tombstone collides with nobody: %+v", row)
	}
	e.must(writes(in(person("d", 1, "Ann", "Red", int64(1))), in(person("e", 1, "ann ", "red ", int64(1)))))
	e.same("unique values are compared bytewise", e.row(people, "e").Values[0], any("ann "))
}

func testColumns(t *testing.T, h Harness) {
	wide := func(version, a int64, b string) transactional.Write {
		return transactional.Write{Table: wider, Row: transactional.Row{ID: "x", Stamp: transactional.Stamp{Version: version}, Values: []any{a, b}}}
	}
	narrow := func(version, a int64) transactional.Write {
		return transactional.Write{Table: narrower, Row: transactional.Row{ID: "x", Stamp: transactional.Stamp{Version: version}, Values: []any{a}}}
	}
	h.run(t, "Survive", func(e *env) {
		e.must(writes(wide(1, 1, "kept")))
		e.must(writes(narrow(2, 2)))
		e.same("columns that a program does not list keep what another program wrote", e.row(wider, "x").Values, []any{int64(2), "kept"})
		e.same("a program reads the columns that it lists", e.row(narrower, "x").Values, []any{int64(2)})
		w := narrow(3, 3)
		w.Mode = above
		e.must(writes(w))
		e.same("so it is in every mode", e.row(wider, "x").Values, []any{int64(3), "kept"})
	})
	h.run(t, "Deleted", func(e *env) {
		e.must(writes(wide(1, 1, "secret")))
		w := narrow(2, 0)
		w.Row.Deleted, w.Row.Values = true, nil
		e.must(writes(w))
		e.must(writes(narrow(3, 3)))
		e.same("a delete removes also what another program wrote", e.row(wider, "x").Values, []any{int64(3), nil})
	})
	h.run(t, "Ours", func(e *env) {
		ours := &transactional.Table{Name: "orders", Columns: []transactional.Column{
			{Name: "id", Type: transactional.Text}, {Name: "version", Type: transactional.Int}, {Name: "Deleted", Type: transactional.Bool},
		}, Index: [][]string{{"version"}}}
		e.nil("create", e.store.CreateSchema(e.Context(), ours))
		values := []any{"mine", int64(7), true}
		e.must(writes(transactional.Write{Table: ours, Row: transactional.Row{ID: "x", Stamp: transactional.Stamp{Version: 1}, Values: values}}))
		e.same("a table or column that bears a name of ours is kept apart from it", e.row(ours, "x").Values, values)
	})
}
