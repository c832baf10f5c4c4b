package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

type visit struct {
	ID    string `persistence:"key"`
	User  string
	Venue string
	At    time.Time
}

// tally is a transactional kind that Tx handlers count in.
type tally struct {
	User string `persistence:"key"`
	N    int
}

func openLayer(t *testing.T, opts *persistence.Options) *persistence.Layer {
	t.Helper()
	layer, err := embedded.Open(t.Context(), t.TempDir(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := layer.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return layer
}

func drain(t *testing.T, layer *persistence.Layer) []persistence.Left {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	left, err := layer.Drain(ctx)
	if err != nil {
		t.Fatal("drain:", err)
	}
	return left
}

// eventually asks until something holds: a real server, a process or a disk takes
// part.
func eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// game is the check-in fan-out in small: a handler, a handler in a
// transaction, a derived row and the object itself.
type game struct {
	layer   *persistence.Layer
	tallies *persistence.Handle[tally]
	visits  *persistence.Handle[visit]
	told    atomic.Int64
}

func newGame(t *testing.T, opts *persistence.Options) *game {
	return declareGame(openLayer(t, opts))
}

func declareGame(layer *persistence.Layer) *game {
	g := &game{layer: layer}
	g.tallies = persistence.Declare(g.layer, "tally", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	g.visits = persistence.Declare(g.layer, "visit", persistence.Plan[visit]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, RealTime: true, Do: func(ctx context.Context, v visit) error {
			g.told.Add(1)
			return nil
		}},
		{Priority: 2, Name: "count", Purpose: persistence.Transactional, Tx: g.count},
		{Priority: 3, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		{Priority: 4, Name: "object", Purpose: persistence.Amorphous},
	})
	return g
}

func (g *game) count(ctx context.Context, tx *persistence.Tx, v visit) error {
	n, err := g.tallies.In(tx).Get(ctx, v.User)
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return err
	}
	n.User = v.User
	n.N++
	_, err = g.tallies.In(tx).Put(ctx, n)
	return err
}

func TestFanOutRunsEveryTaskOnce(t *testing.T) {
	g := newGame(t, nil)
	const objects = 200
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range objects {
		receipt, err := g.visits.Put(t.Context(), visit{
			ID: fmt.Sprintf("v%04d", i), User: fmt.Sprintf("u%d", i%7), Venue: "pier", At: start.Add(time.Duration(i) * time.Second),
		})
		if err != nil {
			t.Fatal(err)
		}
		if receipt.Custody != persistence.TransactionalCustody || receipt.Durability != fault.Fsynced {
			t.Fatalf("receipt %v: want transactional custody, fsynced", receipt)
		}
	}
	if left := drain(t, g.layer); len(left) != 0 {
		t.Fatalf("drain left %v", left)
	}
	if n := g.told.Load(); n != objects {
		t.Errorf("the handler ran %d times for %d objects", n, objects)
	}
	total := 0
	for i := range 7 {
		n, err := g.tallies.Get(t.Context(), fmt.Sprintf("u%d", i))
		if err != nil {
			t.Fatal(err)
		}
		total += n.N
	}
	if total != objects {
		t.Errorf("transactions counted %d of %d", total, objects)
	}
	seen := 0
	var last time.Time
	for v, err := range g.visits.Find(t.Context(), persistence.Query{Task: "activity", Where: map[string]any{"User": "u3"}}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen > 1 && !v.At.Before(last) {
			t.Errorf("activity is not newest first: %v after %v", v.At, last)
		}
		last = v.At
	}
	if want := (objects + 3) / 7; seen != want {
		t.Errorf("user u3 has %d activities, want %d", seen, want)
	}
	v, err := g.visits.Get(t.Context(), "v0042")
	if err != nil || v.User != "u0" || !v.At.Equal(start.Add(42*time.Second)) {
		t.Errorf("got %+v, %v", v, err)
	}
}
