package persistence_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A tellingDriver counts the calls that touch the tables of a counter, and
// refuses the member of one object for good.
type tellingDriver struct {
	rowsDriver
	bad   string
	calls *atomic.Int64
}

func (d tellingDriver) Write(ctx context.Context, t amorphous.Table, rows []amorphous.Row) []error {
	if !strings.Contains(t.Name, "__entities") {
		return d.rowsDriver.Write(ctx, t, rows)
	}
	d.calls.Add(1)
	errs := d.rowsDriver.Write(ctx, t, rows)
	for i := range rows {
		if rows[i].ID == d.bad || rows[i].Partition == d.bad {
			errs[i] = fault.New(fault.ErrRefused, "amorphous", "write", "not this one")
		}
	}
	return errs
}

func (d tellingDriver) Read(ctx context.Context, t amorphous.Table, at []amorphous.Address) ([]amorphous.Row, error) {
	if strings.Contains(t.Name, "__entities") {
		d.calls.Add(1)
	}
	return d.rowsDriver.Read(ctx, t, at)
}

// Objects that wait together are counted together, each step in one call of the
// store, and one that cannot be counted fails alone.
func TestCountsAreWrittenTogether(t *testing.T) {
	const objects = 64
	var calls atomic.Int64
	stores := embedded.Stores(t.TempDir())
	whole := stores.Amorphous
	stores.Amorphous = amorphous.SourceFunc(func(ctx context.Context) (amorphous.Driver, error) {
		driver, err := whole.OpenDriver(ctx)
		return tellingDriver{rowsDriver{driver}, "bad", &calls}, err
	})
	layer, ctx := openStores(t, stores), t.Context()
	mentions := persistence.Declare(layer, "mention", persistence.Plan[Mention]{
		{Priority: 1, Name: "entities", Purpose: persistence.Amorphous, Count: &persistence.Counts{
			By: []string{"Entity"}, At: "At", Per: []time.Duration{time.Minute}}},
		{Priority: 2, Purpose: persistence.Amorphous, Name: "object"},
	})
	all := []Mention{{ID: "bad", Entity: "Kudus", At: kickoff}}
	for i := 1; i < objects; i++ {
		all = append(all, Mention{ID: "m" + string(rune('0'+i)), Entity: "Ghana", At: kickoff})
	}
	putEach(t, mentions, all...)
	drain(t, layer)
	// Six steps, in a few groups: one by one they are six times as many as objects.
	if n := calls.Load(); n == 0 || n > 2*objects {
		t.Errorf("%d objects were counted in %d calls of the store", objects, n)
	}
	if n, err := mentions.Total(ctx, persistence.CountQuery{Of: []any{"Ghana"}}); err != nil || n != objects-1 {
		t.Errorf("%d are counted, %v; want %d", n, err, objects-1)
	}
	letters, err := layer.DeadLetters().List(ctx, persistence.DeadFilter{})
	if err != nil || len(letters) != 1 || letters[0].Key != "bad" || letters[0].Task != "entities" {
		t.Errorf("dead letters: %+v, %v; want that of the bad one", letters, err)
	}
}
