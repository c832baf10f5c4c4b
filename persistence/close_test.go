package persistence_test

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// spot is a row derived from a visit.
type spot struct {
	ID    string `persistence:"key"`
	Venue string
}

// afterClose are the methods that say that the layer is closed, by receiver.
func afterClose(t *testing.T, ctx context.Context, layer *persistence.Layer) map[string]func() error {
	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Purpose: persistence.Amorphous},
		{Purpose: persistence.Amorphous, Priority: 1, Name: "places", Derive: persistence.Rows(func(v visit) iter.Seq[spot] {
			return slices.Values([]spot{{v.ID, v.Venue}})
		}), PartitionBy: "Venue"},
		{Purpose: persistence.Amorphous, Priority: 1, Name: "counts", Count: &persistence.Counts{By: []string{"Venue"}}},
	})
	notes := persistence.Declare(layer, "note", persistence.Plan[visit]{{Purpose: persistence.Amorphous}})
	tallies := persistence.Declare(layer, "tally", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	places := persistence.Derived[spot](visits, "places")
	var over *persistence.Tx
	if err := layer.Tx(ctx, func(_ context.Context, tx *persistence.Tx) error { over = tx; return nil }); err != nil {
		t.Fatal(err)
	}
	pending, err := visits.Put(ctx, visit{ID: "v"})
	if err != nil {
		t.Fatal(err)
	}
	v, q, letters := visit{ID: "v"}, persistence.CountQuery{Task: "counts"}, layer.DeadLetters()
	return map[string]func() error{
		"Handle.Put":      func() error { return second(visits.Put(ctx, v)) },
		"Handle.PutAll":   func() error { return visits.PutAll(ctx, []visit{v})[0].Err },
		"Handle.Create":   func() error { return second(tallies.Create(ctx, tally{User: "ann"})) },
		"Handle.Update":   func() error { return second(tallies.Update(ctx, "ann", func(*tally) error { return nil })) },
		"Handle.Patch":    func() error { return second(notes.Patch(ctx, v, "Venue")) },
		"Handle.Delete":   func() error { return second(visits.Delete(ctx, "v")) },
		"Handle.Get":      func() error { return second(visits.Get(ctx, "v")) },
		"Handle.GetAged":  func() error { _, _, err := visits.GetAged(ctx, "v"); return err },
		"Handle.GetAll":   func() error { return second(visits.GetAll(ctx, "v")) },
		"Handle.Find":     func() error { return last(tallies.Find(ctx, persistence.Query{})) },
		"Handle.FindPage": func() error { return second(tallies.FindPage(ctx, persistence.Query{})) },
		"Handle.Explain":  func() error { return second(visits.Explain(v)) },
		"Handle.Backfill": func() error { return second(visits.Backfill(ctx, "places", nil)) },
		"Handle.Series":   func() error { return second(visits.Series(ctx, q)) },
		"Handle.Total":    func() error { return second(visits.Total(ctx, q)) },
		"Handle.Top":      func() error { return second(visits.Top(ctx, q, 3)) },
		"Handle.Erase":    func() error { return second(visits.Erase(ctx, "v", nil)) },
		"Handle.Scan":     func() error { return last(visits.Scan("").Objects(ctx)) },
		"Handle.Verify":   func() error { return last(visits.Verify(nil).Differences(ctx)) },
		"Handle.Repair":   func() error { return visits.Repair(ctx, persistence.Difference{Key: "v", Task: "places"}) },

		"DerivedHandle.Find": func() error { return last(places.Find(ctx, persistence.Query{Where: map[string]any{"Venue": "pier"}})) },
		"DerivedHandle.FindPage": func() error {
			return second(places.FindPage(ctx, persistence.Query{Where: map[string]any{"Venue": "pier"}}))
		},
		"DerivedHandle.Get": func() error { return second(places.Get(ctx, spot{"v", "pier"})) },
		"DerivedHandle.Of":  func() error { return second(places.Of(ctx, "v")) },

		"Layer.Work":         func() error { return layer.Work(ctx) },
		"Layer.Drain":        func() error { return second(layer.Drain(ctx)) },
		"Layer.Stats":        func() error { return second(layer.Stats(ctx)) },
		"Layer.Receipt":      func() error { return second(layer.Receipt(ctx, strings.Repeat("0", 32))) },
		"Layer.Tx":           func() error { return layer.Tx(ctx, func(context.Context, *persistence.Tx) error { return nil }) },
		"Layer.Join":         func() error { return second(layer.Join(ctx, nil)) },
		"Layer.CreateSchema": func() error { return layer.CreateSchema(ctx) },

		"DeadLetters.List":    func() error { return second(letters.List(ctx, persistence.DeadFilter{})) },
		"DeadLetters.Replay":  func() error { return second(letters.Replay(ctx, 0, strings.Repeat("0", 32))) },
		"DeadLetters.Discard": func() error { return second(letters.Discard(ctx, "old", strings.Repeat("0", 32))) },
		"EditDeadLetter": func() error {
			return persistence.EditDeadLetter(ctx, layer, strings.Repeat("0", 32), func(*visit) error { return nil })
		},

		"Receipt.Wait":    func() error { return pending.Wait(ctx) },
		"TxHandle.Put":    func() error { return second(tallies.In(over).Put(ctx, tally{User: "ann"})) },
		"TxHandle.Create": func() error { return second(tallies.In(over).Create(ctx, tally{User: "ann"})) },
		"TxHandle.Get":    func() error { return second(tallies.In(over).Get(ctx, "ann")) },
		"TxHandle.Delete": func() error { return second(tallies.In(over).Delete(ctx, "ann")) },
		"TxHandle.Find":   func() error { return second(tallies.In(over).Find(ctx, persistence.Query{})) },
		"Tx.Exec":         func() error { return second(over.Exec(ctx, "SELECT 1")) },
		"Tx.Query":        func() error { return over.Query(ctx, "SELECT 1", nil, nil) },
	}
}

func second[T any](_ T, err error) error { return err }

func last[T any](seq iter.Seq2[T, error]) (err error) {
	for _, err = range seq {
	}
	return err
}

func TestEveryMethodAfterCloseSaysSo(t *testing.T) {
	layer, ctx := openLayer(t, nil), t.Context()
	methods := afterClose(t, ctx, layer)
	if err := errors.Join(layer.Close(), layer.Close()); err != nil {
		t.Fatal("closing twice:", err)
	}
	for name, call := range methods {
		if err := call(); !errors.Is(err, fault.ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", name, err)
		}
	}
	for of, typ := range map[string]reflect.Type{
		"Handle": reflect.TypeFor[*persistence.Handle[visit]](), "TxHandle": reflect.TypeFor[*persistence.TxHandle[visit]](),
		"DerivedHandle": reflect.TypeFor[*persistence.DerivedHandle[spot]](), "Layer": reflect.TypeFor[*persistence.Layer](),
		"DeadLetters": reflect.TypeFor[*persistence.DeadLetters](), "Receipt": reflect.TypeFor[*persistence.Receipt](),
		"Tx": reflect.TypeFor[*persistence.Tx](),
	} {
		for i := range typ.NumMethod() {
			if m := typ.Method(i); methods[of+"."+m.Name] == nil && needsOpen(m) {
				t.Errorf("%s.%s takes a context, and nothing says what it does after Close", of, m.Name)
			}
		}
	}
	reports := layer.Check(ctx)
	if len(reports) != 4 {
		t.Errorf("Check after Close: %d reports, want 4", len(reports))
	}
	for _, r := range reports {
		if !errors.Is(r.Class, fault.ErrClosed) || r.Reachable || r.OK() || !strings.Contains(r.String(), "closed: the layer is closed") {
			t.Errorf("Check after Close: %v, want the class ErrClosed", r)
		}
	}
}

// needsOpen reports whether a method may ask a store.
func needsOpen(m reflect.Method) bool {
	return m.Type.NumIn() > 1 && m.Type.In(1) == reflect.TypeFor[context.Context]() && m.Name != "Check"
}
