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

// What reaches a slow store in one call waits once.
func TestSlowOncePerCall(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := persistencetest.NewFaults()
		cells, err := f.Wrap(embedded.Stores(dir)).Amorphous.OpenDriver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer cells.Close()
		f.Slow(persistence.Amorphous, 3*time.Second)
		began, stamp := time.Now(), amorphous.Stamp{Version: 1}
		rows := []amorphous.Row{{Partition: "p", ID: "a", Shape: 1, Stamp: stamp}, {Partition: "p", ID: "b", Shape: 1, Stamp: stamp}}
		if err := errors.Join(cells.Write(t.Context(), table, rows)...); err != nil || time.Since(began) > 4*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
