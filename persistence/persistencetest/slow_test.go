package persistencetest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/volatile"
)

func TestSlowStores_A13(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := persistencetest.NewFaults()
		layer := persistencetest.Open(t, persistencetest.Options{Dir: dir, Faults: f})
		notes := persistence.Declare(layer, "note", persistence.Plan[note]{{Purpose: persistence.Amorphous}})
		f.Slow(persistence.Amorphous, 3*time.Second)
		began := time.Now()
		if _, err := notes.Put(t.Context(), note{ID: "n"}); err != nil || time.Since(began) < 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := notes.Get(ctx, "n"); !errors.Is(err, context.DeadlineExceeded) || fault.Unknown(err) {
			t.Errorf("a call that ends before it is sent: %v", err)
		}
	})
}

// A swapper is a cache that swaps many at once.
type swapper struct{ volatile.Driver }

func (d swapper) SwapAll(ctx context.Context, items []volatile.Item) (errs []error) {
	for _, item := range items {
		errs = append(errs, d.Swap(ctx, item))
	}
	return errs
}

// What reaches a slow store in one call waits once.
func TestSlowOncePerCall(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f, stores := persistencetest.NewFaults(), embedded.Stores(dir)
		inner := stores.Volatile
		stores.Volatile = volatile.SourceFunc(func(ctx context.Context) (volatile.Driver, error) {
			d, err := inner.OpenDriver(ctx)
			return swapper{d}, err
		})
		stores = f.Wrap(stores)
		cells, err1 := stores.Amorphous.OpenDriver(t.Context())
		cache, err2 := stores.Volatile.OpenDriver(t.Context())
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		defer cells.Close()
		defer cache.Close()
		f.Slow(persistence.Amorphous, 3*time.Second)
		f.Slow(persistence.Volatile, 3*time.Second)
		began, stamp := time.Now(), amorphous.Stamp{Version: 1}
		rows := []amorphous.Row{{Partition: "p", ID: "a", Shape: 1, Stamp: stamp}, {Partition: "p", ID: "b", Shape: 1, Stamp: stamp}}
		if err := errors.Join(cells.Write(t.Context(), table, rows)...); err != nil || time.Since(began) > 4*time.Second {
			t.Errorf("rows: %v after %v", err, time.Since(began))
		}
		began = time.Now()
		many, ok := cache.(volatile.ManySwapper)
		if !ok {
			t.Fatal("a cache that can swap many at once cannot, behind Faults")
		}
		errs := many.SwapAll(t.Context(), []volatile.Item{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte("2")}})
		if err := errors.Join(errs...); err != nil || time.Since(began) > 4*time.Second {
			t.Errorf("swaps: %v after %v", err, time.Since(began))
		}
	})
}
