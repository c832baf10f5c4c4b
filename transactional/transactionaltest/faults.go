package transactionaltest

import (
	"context"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// faulty opens a store whose driver fails on demand.
func (h Harness) faulty(t *testing.T, name string, do func(*env, *Faulty)) {
	t.Run(name, func(t *testing.T) {
		var f *Faulty
		wrapped := h
		wrapped.Source = func(t *testing.T) transactional.Source {
			f = NewFaulty(h.Source(t))
			return f
		}
		e := wrapped.open(t, tables...)
		e.must(writes(thing("warm", 1, 1, newest), person("warm", 1, nil, nil, nil))) // tables are there
		do(e, f)
	})
}

func testFaults(t *testing.T, h Harness) {
	h.faulty(t, "Busy", testFaultsBusy)
	h.faulty(t, "Refused", func(e *env, f *Faulty) {
		f.Next(Refused)
		runs := f.Runs()
		e.fails("a database that cannot be reached is ErrUnavailable", writes(thing("a", 1, 1, insert)), fault.ErrUnavailable)
		e.same("and is not asked again by itself", f.Runs()-runs, 1)
		e.lacks("nothing is applied", "a")
	})
	h.faulty(t, "Unknown", testFaultsUnknown)
	h.faulty(t, "Group", testFaultsGroup)
	h.faulty(t, "Down", testFaultsDown)
}

func testFaultsBusy(e *env, f *Faulty) {
	f.Next(Busy, Busy, Busy)
	runs := f.Runs()
	e.must(writes(thing("a", 1, 1, insert)))
	e.holds("a unit is run again while the database is busy", "a", 1, 1)
	e.same("from the start, each time", f.Runs()-runs, 4)
	f.Next(Busy, Busy)
	calls := 0
	e.nil("tx", e.store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error {
		calls++
		_, err := tx.Apply(ctx, writes(thing("b", 1, int64(calls), insert)))
		return err
	}))
	e.holds("a transaction's function is run again from the start", "b", 1, 3)
	for range 64 {
		f.Next(Busy)
	}
	e.fails("a database that stays busy is ErrBusy in the end", writes(thing("c", 1, 1, insert)), fault.ErrBusy)
	e.lacks("and nothing is applied", "c")
}

func testFaultsUnknown(e *env, f *Faulty) {
	for kind, applied := range map[Fault]bool{Lost: true, Dropped: false} {
		f.Next(kind)
		runs := f.Runs()
		r := e.record("lane", 1)
		id := r.ID.String()
		_, err := e.store.Apply(e.Context(), &transactional.Unit{Writes: []transactional.Write{thing(id, 1, 1, insert)}, Add: []transactional.Record{r}})
		e.class("a COMMIT whose answer is lost is ErrUnknown", err, fault.ErrUnknown)
		e.same("and is never repeated by itself", f.Runs()-runs, 1)
		_, _, err = e.store.Find(e.Context(), r.ID)
		if (err == nil) != applied || (e.row(things, id) != nil) != applied {
			e.Errorf("the record tells whether the unit was applied: %v", err)
		}
		f.Next(kind)
		calls := 0
		err = e.store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error {
			calls++
			_, err := tx.Apply(ctx, writes(thing("tx"+id, 1, 1, insert)))
			return err
		})
		e.class("a transaction whose COMMIT is lost is ErrUnknown", err, fault.ErrUnknown)
		e.same("and is never repeated by itself", calls, 1)
	}
}

func testFaultsGroup(e *env, f *Faulty) {
	for _, kind := range []Fault{Refused, Lost, Dropped} {
		var units []*transactional.Unit
		for range 32 {
			r := e.record("lane", 1)
			units = append(units, &transactional.Unit{Writes: []transactional.Write{thing(r.ID.String(), 1, 1, insert)}, Add: []transactional.Record{r}})
		}
		f.Next(None, kind)
		_, errs := e.together(units)
		for i, err := range errs {
			_, _, found := e.store.Find(e.Context(), units[i].Add[0].ID)
			there := found == nil
			if there != (e.row(things, units[i].Add[0].ID.String()) != nil) {
				e.Error("a unit is applied whole or not at all")
			}
			switch {
			case err == nil && !there:
				e.Error("a unit that was acknowledged is there")
			case err != nil && !fault.Unknown(err) && there:
				e.Errorf("a unit that was refused is not there: %v", err)
			case err != nil && kind == Refused && fault.ClassOf(err) != fault.ErrUnavailable:
				e.Errorf("everybody in a group that fails is told why: %v", err)
			}
		}
	}
}

func testFaultsDown(e *env, f *Faulty) {
	f.Down(true)
	_, err := e.store.Read(e.Context(), things, "warm")
	e.class("reads of a database that is down are ErrUnavailable", err, fault.ErrUnavailable)
	_, err = e.store.Claim(e.Context(), transactional.ClaimRequest{Lanes: []string{"lane"}, Max: 1, Owner: 1, Lease: longLease})
	e.class("so are claims", err, fault.ErrUnavailable)
	if e.store.Check(e.Context()).OK() {
		e.Error("Check says so")
	}
	f.Down(false)
	e.holds("all is well when it is back", "warm", 1, 1)
}
