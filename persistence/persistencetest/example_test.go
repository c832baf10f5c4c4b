package persistencetest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A note is what the examples keep.
type note struct {
	ID   string `persistence:"key"`
	Text string
}

// openNotes is what a test does with persistencetest.Open, for examples, which
// have no testing.TB.
func openNotes(faults *persistencetest.Faults) (notes *persistence.Handle[note], close func()) {
	dir, err := os.MkdirTemp("", "notes")
	if err != nil {
		panic(err)
	}
	layer, err := persistence.Open(context.Background(), faults.Wrap(embedded.Stores(dir)),
		&persistence.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	notes = persistence.Declare(layer, "note", persistence.Plan[note]{{Purpose: persistence.Amorphous}})
	return notes, func() {
		layer.Close()
		os.RemoveAll(dir)
	}
}

// A store goes down and comes back.
func ExampleFaults() {
	ctx := context.Background()
	faults := persistencetest.NewFaults()
	notes, close := openNotes(faults)
	defer close()

	faults.Down(persistence.Amorphous)
	_, err := notes.Get(ctx, "n1")
	fmt.Println("down:", errors.Is(err, fault.ErrUnavailable))

	receipt, err := notes.Put(ctx, note{ID: "n1", Text: "accepted all the same"})
	fmt.Println("accepted:", fault.Accepted(err), "in custody:", receipt.Custody)

	faults.Up(persistence.Amorphous)
	_, err = notes.Get(ctx, "n1")
	fmt.Println("not written yet:", errors.Is(err, fault.ErrNotFound))
	// Output:
	// down: true
	// accepted: true in custody: transactional
	// not written yet: true
}

// A store refuses one object, and takes the others.
func ExampleOp() {
	ctx := context.Background()
	faults := persistencetest.NewFaults()
	notes, close := openNotes(faults)
	defer close()

	faults.Refuse(persistence.Amorphous, func(op persistencetest.Op) error {
		if op.Name == "write" && slices.Contains(op.On, "bad") {
			return errors.New("no room for it")
		}
		return nil
	})
	_, err := notes.Put(ctx, note{ID: "good"})
	fmt.Println("good:", err)
	_, err = notes.Put(ctx, note{ID: "bad"})
	fmt.Println("bad:", errors.Is(err, fault.ErrRefused))
	// Output:
	// good: <nil>
	// bad: true
}

// A test opens a layer, which is closed with it.
func ExampleOpen() {
	TestNotes := func(t *testing.T) {
		layer := persistencetest.Open(t, persistencetest.Options{Layer: &persistence.Options{Workers: 4}})
		notes := persistence.Declare(layer, "note", persistence.Plan[note]{{Priority: 1, Purpose: persistence.Amorphous}})
		if _, err := notes.Put(t.Context(), note{ID: "n1"}); err != nil {
			t.Fatal(err)
		}
		if left := persistencetest.Drain(t, layer); len(left) > 0 {
			t.Error("left:", left)
		}
		if _, err := notes.Get(t.Context(), "n1"); err != nil {
			t.Error(err)
		}
	}
	_ = TestNotes
}

// A test kills the program at every point where a kill could lose something.
func ExampleCrash() {
	TestNotesSurvive := func(t *testing.T) {
		var notes *persistence.Handle[note]
		persistencetest.Crash(t, persistencetest.Scenario{
			Open: func(ctx context.Context, dir string) (*persistence.Layer, error) {
				layer, err := embedded.Open(ctx, dir, nil)
				if err == nil {
					notes = persistence.Declare(layer, "note", persistence.Plan[note]{{Priority: 1, Purpose: persistence.Amorphous}})
				}
				return layer, err
			},
			Load: func(ctx context.Context, _ *persistence.Layer, r *persistencetest.Recorder) error {
				for i := range 20 {
					id := fmt.Sprintf("n%d.%d", r.Round, i)
					err := r.Try(id, func() error { _, err := notes.Put(ctx, note{ID: id}); return err })
					if err != nil {
						return err
					}
				}
				return nil
			},
			Check: func(ctx context.Context, _ *persistence.Layer, h *persistencetest.History) error {
				for _, id := range h.Acked {
					if _, err := notes.Get(ctx, id); err != nil {
						return fmt.Errorf("%s was acknowledged: %w", id, err)
					}
				}
				return nil
			},
		})
	}
	_ = TestNotesSurvive
}
