package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A crowd is a program that counts mentions and is killed.
type crowd struct {
	mentions *persistence.Handle[Mention]
	rowsOnly bool // the store does not sum in transactions
}

// rowsDriver hides that a driver sums.
type rowsDriver struct{ amorphous.Driver }

func (d rowsDriver) Features() amorphous.Features { return d.Driver.(amorphous.Featured).Features() }

func (w *crowd) open(ctx context.Context, dir string) (*persistence.Layer, error) {
	stores := embedded.Stores(dir)
	if whole := stores.Amorphous; w.rowsOnly {
		stores.Amorphous = amorphous.SourceFunc(func(ctx context.Context) (amorphous.Driver, error) {
			driver, err := whole.OpenDriver(ctx)
			return rowsDriver{driver}, err
		})
	}
	layer, err := persistence.Open(ctx, stores, nil)
	if err != nil {
		return nil, err
	}
	w.mentions = persistence.Declare(layer, "mention", persistence.Plan[Mention]{
		{Priority: 1, Name: "entities", Purpose: persistence.Amorphous, Count: &persistence.Counts{
			By: []string{"Entity"}, At: "At", Per: []time.Duration{time.Minute, 24 * time.Hour}}},
		{Priority: 1, Purpose: persistence.Amorphous, Name: "object"},
	})
	return layer, nil
}

const crowdKeys = 90

// load puts mentions that are over, so that what readers find large they seal,
// then moves some and deletes others, while it reads.
func (w *crowd) load(ctx context.Context, layer *persistence.Layer, r *persistencetest.Recorder) error {
	at := time.Date(2022, 11, 28, 13, 0, 0, 0, time.UTC)
	for pass := range 3 {
		var all []Mention
		for i := range crowdKeys {
			m := Mention{ID: fmt.Sprint("m", i), Entity: "black stars", At: at}
			if pass > 0 && i%3 == 0 {
				m.Entity, m.At = "kudus", at.Add(time.Duration(i)*time.Minute)
			}
			all = append(all, m)
		}
		err := r.Try(fmt.Sprint(r.Round, ".", pass), func() error {
			for _, result := range w.mentions.PutAll(ctx, all[:crowdKeys-10*pass]) {
				if result.Err != nil && !fault.Accepted(result.Err) {
					return result.Err
				}
			}
			_, err := w.mentions.Delete(ctx, fmt.Sprint("m", 3*pass+1))
			return err
		})
		if err != nil {
			return err
		}
		if _, err := layer.Drain(ctx); err != nil {
			return err
		}
		if _, err := w.mentions.Total(ctx, persistence.CountQuery{}); err != nil {
			return err
		}
	}
	return nil
}

// check compares the counts with the objects, twice: the second time what the
// first one sealed is believed.
func (w *crowd) check(ctx context.Context, _ *persistence.Layer, h *persistencetest.History) error {
	var keys []string
	for i := range crowdKeys {
		keys = append(keys, fmt.Sprint("m", i))
	}
	objects, err := w.mentions.GetAll(ctx, keys...)
	if err != nil {
		return err
	}
	want := map[string]int64{}
	for _, m := range objects {
		want[m.Entity]++
		want[m.At.Format("15:04")]++
	}
	if len(h.Acked) > 0 && len(objects) < crowdKeys-3 {
		return fmt.Errorf("%d objects are left", len(objects))
	}
	for range 2 {
		got := map[string]int64{}
		top, err := w.mentions.Top(ctx, persistence.CountQuery{}, 0)
		series, err2 := w.mentions.Series(ctx, persistence.CountQuery{})
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		for _, c := range top {
			got[c.Of[0]] = c.N
		}
		for _, c := range series {
			got[c.At.Format("15:04")] = c.N
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("counted %v, and the objects are %v", got, want)
		}
	}
	return nil
}

// Counts are those of the objects, wherever the program is killed: in the
// driver that sums in its transactions, and in the rows and seals of one that
// does not.
func TestCrashOfCounts(t *testing.T) {
	for _, rowsOnly := range []bool{false, true} {
		t.Run(fmt.Sprintf("rowsOnly=%v", rowsOnly), func(t *testing.T) {
			w := &crowd{rowsOnly: rowsOnly}
			persistencetest.Crash(t, persistencetest.Scenario{Open: w.open, Load: w.load, Check: w.check, Runs: 4})
		})
	}
}
