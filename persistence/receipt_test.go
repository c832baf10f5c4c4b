package persistence_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// "layer.Receipt(ctx, id) tells what became of a Put": a dead letter is not
// done, whether its siblings wait or not, and also for the next process.
func TestAReceiptKnowsDeadLettersFromDoneTasks(t *testing.T) {
	dir := t.TempDir()
	var id string
	var runs int
	open := func(look func(layer *persistence.Layer, jobs *persistence.Handle[job])) {
		t.Helper()
		layer, err := embedded.Open(t.Context(), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer layer.Close()
		look(layer, persistence.Declare(layer, "job", persistence.Plan[job]{
			{Priority: 1, Name: "dies", Purpose: persistence.Transitory, Do: func(context.Context, job) error { return persistence.Permanent(errors.New("no")) }},
			{Priority: 2, Name: "waits", Purpose: persistence.Transitory, Do: func(context.Context, job) error {
				if runs++; runs == 1 {
					return persistence.Snooze(time.Hour)
				}
				return nil
			}},
		}, persistence.KindOptions{Custody: persistence.TransactionalCustody}))
	}
	check := func(layer *persistence.Layer, waits persistence.TaskState) {
		t.Helper()
		r, err := layer.Receipt(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for task, want := range map[string]persistence.TaskState{"dies": persistence.TaskDead, "waits": waits} {
			if got, _ := r.State(task); got != want {
				t.Errorf("task %s is %s, want %s", task, got, want)
			}
		}
		if err := r.Wait(t.Context(), "dies"); !errors.Is(err, fault.ErrRefused) {
			t.Errorf("Wait for a dead letter: %v, want fault.ErrRefused", err)
		}
	}
	open(func(layer *persistence.Layer, jobs *persistence.Handle[job]) {
		r, err := jobs.Put(t.Context(), job{ID: "1"})
		if err != nil {
			t.Fatal(err)
		}
		id = r.ID
		drain(t, layer)
		check(layer, persistence.TaskPending)
	})
	open(func(layer *persistence.Layer, _ *persistence.Handle[job]) { check(layer, persistence.TaskPending) })
}

// "After Close: a typed error from every method", also from those that wait.
func TestWaitEndsWhenTheLayerCloses(t *testing.T) {
	layer, err := embedded.Open(t.Context(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
		{Priority: 1, Name: "x", Purpose: persistence.Transitory, Do: func(context.Context, job) error { return nil }},
	})
	r, err := jobs.Put(t.Context(), job{ID: "1"})
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() { waited <- r.Wait(t.Context()) }()
	if err := layer.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waited; !errors.Is(err, fault.ErrClosed) {
		t.Errorf("Wait for what nobody will do: %v, want fault.ErrClosed", err)
	}
}
