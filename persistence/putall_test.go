package persistence_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// What comes together is accepted together: rows and envelopes of 256 objects are
// one transaction.
func TestPutAllIsOneCommit(t *testing.T) {
	faults := persistencetest.NewFaults()
	layer, err := persistence.Open(t.Context(), faults.Wrap(embedded.Stores(t.TempDir())), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	h := persistence.Declare(layer, "stored", storedPlan)
	if err := layer.CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Put(t.Context(), storedAt(0)); err != nil {
		t.Fatal(err)
	}
	objs := make([]stored, 256)
	for i := range objs {
		objs[i] = storedAt(1 + i)
	}
	before, _ := faults.Calls(persistence.Transactional)
	for _, r := range h.PutAll(t.Context(), objs) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	after, _ := faults.Calls(persistence.Transactional)
	if n := after - before; n != 1 {
		t.Errorf("%d transactions, want 1", n)
	}
	if left := drain(t, layer); len(left) != 0 {
		t.Errorf("drain left %v", left)
	}
}

// More objects than go together, of every way of being accepted, have each its own
// answer in its own place.
func TestPutAllAnswersEach(t *testing.T) {
	layer := openLayer(t, nil)
	answers := func(t *testing.T, results []persistence.PutResult, key func(int) string, refused map[int]error) {
		t.Helper()
		if left := drain(t, layer); len(left) != 0 {
			t.Errorf("drain left %v", left)
		}
		for i, r := range results {
			if want := refused[i]; want != nil {
				if !errors.Is(r.Err, want) || r.Receipt != nil {
					t.Errorf("object %d: %+v, want %v", i, r, want)
				}
			} else if r.Err != nil || r.Receipt.Key != key(i) {
				t.Fatalf("object %d: %+v", i, r)
			}
		}
	}
	t.Run("rows, cells and cache entries", func(t *testing.T) {
		h := persistence.Declare[account](layer, "account", nil)
		objs := make([]account, 270)
		for i := range objs {
			objs[i] = account{ID: storedAt(i).ID, Email: storedAt(i).ID}
		}
		objs[200].ID, objs[250].Email = "", objs[5].Email
		answers(t, h.PutAll(t.Context(), objs), func(i int) string { return objs[i].ID },
			map[int]error{200: fault.ErrInvalid, 250: fault.ErrExists})
	})
	for name, plan := range map[string]persistence.Plan[stored]{"in the outbox": storedPlan, "in the queue": storedPlan[1:]} {
		t.Run(name, func(t *testing.T) {
			h := persistence.Declare(layer, strings.ReplaceAll(name, " ", "_"), plan)
			objs := make([]stored, 270)
			for i := range objs {
				objs[i] = storedAt(i)
			}
			objs[200].ID = ""
			answers(t, h.PutAll(t.Context(), objs), func(i int) string { return objs[i].ID }, map[int]error{200: fault.ErrInvalid})
			for _, i := range []int{0, 255, 256, 269} {
				if got, err := h.Get(t.Context(), objs[i].ID); err != nil || got != objs[i] {
					t.Errorf("object %d: got %+v, %v", i, got, err)
				}
			}
		})
	}
}

// A panic of the program's own function reaches whoever called PutAll, and the
// other objects are accepted.
func TestPutAllPanicsInItsCaller(t *testing.T) {
	layer := openLayer(t, nil)
	h := persistence.Declare(layer, "tally", persistence.Plan[tally]{
		{Purpose: persistence.Transactional},
		{Name: "odd", Purpose: persistence.Amorphous, Priority: 1, When: func(n tally) bool { return 1/n.N == 1 }},
	})
	defer func() {
		if recover() == nil {
			t.Error("nothing panicked")
		}
		if got, err := h.Get(t.Context(), "bob"); err != nil || got.N != 1 {
			t.Errorf("got %+v, %v", got, err)
		}
	}()
	h.PutAll(t.Context(), []tally{{User: "ann"}, {User: "bob", N: 1}})
}
