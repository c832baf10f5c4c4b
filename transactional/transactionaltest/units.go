package transactionaltest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

func testUnits(t *testing.T, h Harness) {
	h.run(t, "AllOrNothing", testUnitsAllOrNothing)
	h.run(t, "SameRow", func(e *env) {
		res := e.must(writes(thing("a", 1, 1, insert), thing("b", 1, 1, newest), thing("a", 3, 3, newest), thing("a", 2, 2, newest), expecting(thing("a", 4, 4, ifVersion), 3)))
		e.holds("the writes of one row in one unit apply in their order", "a", 4, 4)
		e.same("and each has its own answer", res.Superseded, []bool{false, false, false, true, false})
	})
	h.run(t, "Exactly", testUnitsExactly)
	h.run(t, "Many", testUnitsMany)
	h.run(t, "Empty", func(e *env) {
		e.same("a unit may be empty", e.must(&transactional.Unit{}), transactional.Result{})
	})
}

func testUnitsAllOrNothing(e *env) {
	taken := e.record("lane", 1)
	e.must(&transactional.Unit{
		Writes: []transactional.Write{thing("there", 5, 1, insert), person("p", 1, "ann", nil, nil)},
		Add:    []transactional.Record{taken},
	})
	stranger := transactional.Settlement{ID: taken.ID, Owner: 9, Done: true}
	for what, bad := range map[string]*transactional.Unit{
		"a duplicate":          writes(thing("there", 9, 2, insert)),
		"another version":      writes(expecting(thing("there", 9, 2, ifVersion), 4)),
		"a unique value":       writes(person("q", 1, "ann", nil, nil)),
		"a record's id":        adds(taken),
		"a lost claim":         settles(stranger),
		"a letter not there":   {Unbury: []string{"nobody"}},
		"a row's second write": writes(thing("twice", 1, 1, insert), thing("twice", 2, 2, insert)),
	} {
		r := e.record("lane", 1)
		u := *bad
		u.Writes = append([]transactional.Write{thing("new", 1, 1, newest), thing("a", 1, 1, insert)}, bad.Writes...)
		u.Writes = append(u.Writes, thing("z", 1, 1, above))
		u.Add = append([]transactional.Record{r}, bad.Add...)
		u.Bury = []transactional.DeadLetter{{ID: "letter"}}
		if _, err := e.store.Apply(e.Context(), &u); err == nil || fault.OutcomeOf(err) != fault.NotApplied {
			e.Errorf("%s: got %v, want an error that says not applied", what, err)
		}
		for _, id := range []string{"new", "a", "z", "twice"} {
			e.lacks("of a unit that fails ("+what+") nothing is applied", id)
		}
		_, _, err := e.store.Find(e.Context(), r.ID)
		e.class("of a unit that fails ("+what+") no record is there", err, fault.ErrNotFound)
		letters, err := e.store.DeadLetters(e.Context(), transactional.DeadFilter{})
		e.nil("dead letters", err)
		e.same("of a unit that fails ("+what+") no letter is there", len(letters), 0)
	}
}

func testUnitsExactly(e *env) {
	e.must(adds(e.record("lane", 1)))
	r := e.claim(1, 1, "lane")[0]
	effect := func(n int64) *transactional.Unit {
		return &transactional.Unit{
			Writes: []transactional.Write{thing(fmt.Sprint("effect", n), 1, n, insert)},
			Settle: []transactional.Settlement{held(r)},
		}
	}
	e.must(effect(1))
	e.fails("an effect that commits with its settlement happens once", effect(2), fault.ErrConflict)
	e.lacks("the loser leaves no trace", "effect2")
}

func testUnitsMany(e *env) {
	var u transactional.Unit
	for i := range 777 {
		u.Writes = append(u.Writes, thing(fmt.Sprint("row", i), 1, int64(i), transactional.Mode(i%2)))
		u.Add = append(u.Add, e.record("lane", uint32(i%5)))
	}
	e.must(&u)
	for _, i := range []int64{0, 1, 63, 64, 500, 776} {
		e.holds("a unit may be large", fmt.Sprint("row", i), 1, i)
	}
	e.same("a unit may be large", len(e.claim(1, 1000, "lane")), 777)
}

// together applies units from as many goroutines and returns what became of
// them.
func (e *env) together(units []*transactional.Unit) ([]transactional.Result, []error) {
	results, errs := make([]transactional.Result, len(units)), make([]error, len(units))
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range units {
		wg.Go(func() {
			<-start
			results[i], errs[i] = e.store.Apply(background(), units[i])
		})
	}
	close(start)
	wg.Wait()
	return results, errs
}

func testGroups(t *testing.T, h Harness) {
	h.run(t, "OneFails", testOneFails)
	h.run(t, "OneRow", testOneRow)
	h.run(t, "Newest", testNewestTogether)
	h.run(t, "Insert", func(e *env) {
		var units []*transactional.Unit
		for i := range 64 {
			units = append(units, writes(thing("a", int64(i+1), int64(i), insert), thing(fmt.Sprint("beside", i), 1, 1, newest)))
		}
		_, errs := e.together(units)
		won := 0
		for i, err := range errs {
			if err == nil {
				won++
				e.holds("the one Insert that succeeds is there", "a", int64(i+1), int64(i))
				continue
			}
			e.class("of concurrent Inserts one succeeds, the others are ErrExists", err, fault.ErrExists)
			e.lacks("of a unit that fails nothing is applied", fmt.Sprint("beside", i))
		}
		e.same("of concurrent Inserts one succeeds", won, 1)
	})
	h.run(t, "Token", testTokenTogether)
}

// testOneFails lets units fail in every way beside units that do not.
func testOneFails(e *env) {
	e.must(writes(thing("there", 5, 1, insert), person("p", 1, "ann", nil, nil)))
	for round := range 4 {
		units := make([]*transactional.Unit, 96)
		wants := make([]error, len(units))
		for i := range units {
			units[i] = &transactional.Unit{
				Writes: []transactional.Write{thing(fmt.Sprintf("row%d.%d", round, i), 1, int64(i), newest)},
				Add:    []transactional.Record{e.record("lane", 1)},
			}
			bad, want := transactional.Write{}, error(nil)
			switch i % 12 {
			case 3:
				bad, want = person(fmt.Sprint("q", round, i), 1, "ann", nil, nil), fault.ErrExists
			case 6:
				bad, want = thing("there", 9, 2, insert), fault.ErrExists
			case 9:
				bad, want = expecting(thing("there", 9, 2, ifVersion), 4), fault.ErrConflict
			}
			if wants[i] = want; want != nil {
				units[i].Writes = append(units[i].Writes, bad)
			}
		}
		_, errs := e.together(units)
		for i, err := range errs {
			if !errors.Is(err, wants[i]) || (wants[i] == nil) != (err == nil) {
				e.Errorf("a unit that fails fails alone: unit %d got %v, want %v", i, err, wants[i])
			}
			row := e.row(things, fmt.Sprintf("row%d.%d", round, i))
			_, _, found := e.store.Find(e.Context(), units[i].Add[0].ID)
			if applied := wants[i] == nil; applied != (row != nil) || applied != (found == nil) {
				e.Errorf("unit %d is applied whole or not at all: row %v, record %v", i, row, found)
			}
		}
	}
}

// testOneRow has every unit of a group change the same row.
func testOneRow(e *env) {
	const each = 8
	e.must(writes(thing("counter", 1, 0, insert)))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for done := 0; done < each; {
				rows, err := e.store.Read(background(), things, "counter")
				if err != nil {
					e.Error(err)
					return
				}
				at := rows[0]
				w := expecting(thing("counter", at.Stamp.Version+1, at.Values[0].(int64)+1, ifVersion), at.Stamp.Version)
				switch _, err := e.store.Apply(background(), writes(w)); {
				case err == nil:
					done++
				case !errors.Is(err, fault.ErrConflict):
					e.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	e.holds("units that touch one row behave as if executed one after another", "counter", 1+16*each, 16*each)
}

func testNewestTogether(e *env) {
	units := make([]*transactional.Unit, 64)
	for i := range units {
		version := int64((i*37)%64 + 1)
		units[i] = writes(thing("a", version, version, newest), thing(fmt.Sprint("own", i), 1, 1, newest))
	}
	results, errs := e.together(units)
	for i, err := range errs {
		e.nil("a Newest write never fails for being old", err)
		if s := results[i].Superseded; s != nil && s[1] {
			e.Error("a row of one's own is not superseded")
		}
		e.holds("each unit's other rows are written", fmt.Sprint("own", i), 1, 1)
	}
	e.holds("the newest wins, whatever the order", "a", 64, 64)
}

func testTokenTogether(e *env) {
	units := make([]*transactional.Unit, 64)
	for i := range units {
		r := e.record("lane", 1)
		r.Token, r.Remember = "token", time.Hour
		units[i] = &transactional.Unit{Writes: []transactional.Write{thing(fmt.Sprint("row", i), 1, 1, newest)}, Add: []transactional.Record{r}}
	}
	results, errs := e.together(units)
	first := -1
	for i, err := range errs {
		e.nil("a repeated token is no error", err)
		if results[i].Repeats == nil {
			if first >= 0 {
				e.Fatal("a token was accepted twice")
			}
			first = i
		}
	}
	if first < 0 {
		e.Fatal("a token was never accepted")
	}
	for i := range units {
		if i != first {
			e.same("a repeat names the record that was accepted", results[i].Repeats, []transactional.RecordID{units[first].Add[0].ID})
			e.lacks("of a unit that repeats nothing is applied", fmt.Sprint("row", i))
		}
	}
}
