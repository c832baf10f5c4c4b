package persistence_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"
)

// A store that the layer has not is an object that explains itself, and no nil.
func TestAMissingStoreSaysSo(t *testing.T) {
	all := embedded.Stores(t.TempDir())
	cached, err := persistence.Open(t.Context(), persistence.Stores{Volatile: all.Volatile}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer cached.Close()
	rows, err := persistence.Open(t.Context(), persistence.Stores{Transactional: all.Transactional}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	ctx := t.Context()
	table := &transactional.Table{Name: "t"}
	_, _, got := rows.Volatile().Get(ctx, "k")
	_, raised := rows.Volatile().Raise(ctx, "k", volatile.Entry{Value: []byte("v"), Stamp: volatile.Stamp{Version: 1}}, 0)
	_, read := cached.Transactional().Read(ctx, table, "k")
	_, unit := cached.Transactional().Apply(ctx, &transactional.Unit{Writes: []transactional.Write{{Table: table, Row: transactional.Row{ID: "k", Stamp: transactional.Stamp{Version: 1}}}}})
	_, reserved := rows.Transitory().Reserve(ctx, []string{"t"}, 1)
	_, scanned := rows.Amorphous().Scan(ctx, amorphous.Table{Name: "t", Placed: true}, amorphous.Range{Partition: "p"})
	for want, errs := range map[string][]error{
		"Stores.Transitory": {reserved, rows.Transitory().Put(ctx, transitory.Job{Tube: "t", Body: []byte("b")})[0]},
		"Stores.Volatile":   {got, raised},
		"Stores.Transactional": {read, unit, cached.Transactional().Tx(ctx, func(context.Context, *transactional.Tx) error { return nil }),
			cached.Tx(ctx, func(context.Context, *persistence.Tx) error { return nil })},
		"Stores.Amorphous": {scanned, rows.Amorphous().Write(ctx, amorphous.Table{Name: "t"}, amorphous.Row{Partition: "k", ID: "k", Shape: 1, Stamp: amorphous.Stamp{Version: 1}})[0]},
	} {
		for _, err := range errs {
			if !errors.Is(err, fault.ErrUnsupported) || !strings.Contains(err.Error(), "the layer has no such store: give Open a "+want) {
				t.Errorf("%s is missing, and the error is %v", want, err)
			}
		}
	}
	for _, r := range []fault.Report{rows.Transitory().Check(ctx), rows.Volatile().Check(ctx), rows.Amorphous().Check(ctx), cached.Transactional().Check(ctx)} {
		if r.OK() || r.Reachable || !strings.Contains(r.String(), "no such store") {
			t.Errorf("a missing store reports %v", r)
		}
	}
}
