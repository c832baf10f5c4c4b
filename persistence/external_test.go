package persistence_test

import (
	"context"
	"errors"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
)

// A task that another program serves, and one that fails here, do not wait for
// each other: a program that only prints opens the same directory between two
// attempts of a program that only mails.
func TestAnExternalTaskAndItsSiblingsDoNotWaitForEachOther(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		dir := t.TempDir()
		fails, printed := func(context.Context, job) error { return errors.New("no mail today") }, 0
		prints := func(context.Context, job) error { printed++; return nil }
		plan := func(mail, print func(context.Context, job) error) persistence.Plan[job] {
			return persistence.Plan[job]{
				{Priority: 1, Name: "mail", Purpose: persistence.Transitory, Do: mail, External: mail == nil},
				{Priority: 2, Name: "print", Purpose: persistence.Transitory, Do: print, External: print == nil},
			}
		}
		run := func(p persistence.Plan[job], then func(layer *persistence.Layer, jobs *persistence.Handle[job])) {
			layer, err := embedded.Open(t.Context(), dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer layer.Close()
			then(layer, persistence.Declare(layer, "job", p, opts))
		}
		states := func(layer *persistence.Layer, id string) (mail, print persistence.TaskState) {
			r, err := layer.Receipt(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			mail, _ = r.State("mail")
			print, _ = r.State("print")
			return mail, print
		}
		var id string
		run(plan(fails, nil), func(layer *persistence.Layer, jobs *persistence.Handle[job]) {
			r, err := jobs.Put(t.Context(), job{ID: "a"})
			if err != nil {
				t.Fatal(err)
			}
			id = r.ID
			left, err := layer.Drain(t.Context())
			if err != nil || len(left) != 2 {
				t.Errorf("the first attempt leaves %+v, %v; want mail that is tried again and print for another program", left, err)
			}
		})
		run(plan(nil, prints), func(layer *persistence.Layer, _ *persistence.Handle[job]) {
			if _, err := layer.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if printed != 1 {
				t.Errorf("it was printed %d times while the mail waits for its next attempt, want once", printed)
			}
			if opts.Custody != persistence.TransactionalCustody {
				return // whose queue tells no receipts of other processes
			}
			if mail, print := states(layer, id); mail != persistence.TaskPending || print != persistence.TaskDone {
				t.Errorf("mail %v, print %v; want pending and done", mail, print)
			}
		})
	})
}

// The receipt of the whole knows of what went alone, also when the rest is done.
func TestAReceiptKnowsWhatAnotherProgramHasNotDone(t *testing.T) {
	layer := openLayer(t, nil)
	nothing := func(context.Context, job) error { return nil }
	jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
		{Priority: 1, Name: "mail", Purpose: persistence.Transitory, Do: nothing},
		{Priority: 1, Name: "print", Purpose: persistence.Transitory, External: true},
		{Priority: 1, Name: "fax", Purpose: persistence.Transitory, External: true},
	}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
	put, err := jobs.Put(t.Context(), job{ID: "a"}, persistence.Token("once"))
	if err != nil {
		t.Fatal(err)
	}
	drain(t, layer)
	again, err := jobs.Put(t.Context(), job{ID: "a"}, persistence.Token("once"))
	if err != nil || again.ID != put.ID {
		t.Fatalf("a repeat has the receipt of the first time: %v, %v", again, err)
	}
	for name, want := range map[string]persistence.TaskState{
		"mail": persistence.TaskDone, "print": persistence.TaskPending, "fax": persistence.TaskPending,
	} {
		if s, _ := again.State(name); s != want {
			t.Errorf("%s is %v, want %v", name, s, want)
		}
	}
}
