package persistence_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A sheet is an object whose cache entry is served as its plan says.
type sheet struct {
	ID   string `persistence:"key"`
	Body []byte
}

// inKeeping runs test in a bubble over a cached kind whose record is amorphous.
func inKeeping(t *testing.T, cache persistence.Task[sheet], opts *persistence.Options, test func(t *testing.T, f *persistencetest.Faults, pages *persistence.Handle[sheet])) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		faults := persistencetest.NewFaults()
		layer, err := persistence.Open(t.Context(), faults.Wrap(embedded.Stores(dir)), opts)
		if err != nil {
			t.Fatal(err)
		}
		defer layer.Close()
		cache.Purpose = persistence.Volatile
		test(t, faults, persistence.Declare(layer, "page", persistence.Plan[sheet]{cache, {Purpose: persistence.Amorphous}},
			persistence.KindOptions{Custody: persistence.TransactionalCustody}))
	})
}

// Past its TTL the old entry is served at once while it is read again behind
// the caller's back, and never past its TTL and Stale.
func TestStaleByPlan(t *testing.T) {
	inKeeping(t, persistence.Task[sheet]{TTL: 5 * time.Second, Stale: time.Minute}, nil, func(t *testing.T, faults *persistencetest.Faults, pages *persistence.Handle[sheet]) {
		get := func(least, most time.Duration) {
			t.Helper()
			asked := time.Now()
			_, age, err := pages.GetAged(t.Context(), "p")
			if err != nil || time.Since(asked) > 0 || age < least || age > most {
				t.Errorf("waited %v for an entry %v old, %v; want at once, %v to %v old", time.Since(asked), age, err, least, most)
			}
			if all, err := pages.GetAll(t.Context(), "p"); err != nil || len(all) != 1 {
				t.Errorf("all: %v, %v", all, err)
			}
		}
		if _, err := pages.Put(t.Context(), sheet{ID: "p"}); err != nil {
			t.Fatal(err)
		}
		get(0, 0)
		time.Sleep(6 * time.Second)
		faults.Slow(persistence.Amorphous, 2*time.Second)
		get(6*time.Second, 7*time.Second)
		time.Sleep(3 * time.Second)
		get(0, 3*time.Second)
		faults.Down(persistence.Amorphous)
		time.Sleep(50 * time.Second)
		get(50*time.Second, 60*time.Second)
		time.Sleep(20 * time.Second)
		if _, err := pages.Get(t.Context(), "p"); !fault.Outage(err) {
			t.Errorf("past TTL and Stale, the record away: %v", err)
		}
	})
}

// What is read often is read again ahead of its end: nobody waits.
func TestAheadByPlan(t *testing.T) {
	inKeeping(t, persistence.Task[sheet]{TTL: 10 * time.Second, Ahead: 5 * time.Second}, nil, func(t *testing.T, faults *persistencetest.Faults, pages *persistence.Handle[sheet]) {
		if _, err := pages.Put(t.Context(), sheet{ID: "p"}); err != nil {
			t.Fatal(err)
		}
		faults.Slow(persistence.Amorphous, time.Second)
		for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(50 * time.Millisecond) {
			asked := time.Now()
			if _, age, err := pages.GetAged(t.Context(), "p"); err != nil || time.Since(asked) > 0 || age > 10*time.Second {
				t.Fatalf("after %v: waited %v for an entry %v old, %v", time.Since(start), time.Since(asked), age, err)
			}
		}
	})
}

// An object over the cache's limit lies in parts if the plan says so; else it
// is read from the record each time.
func TestPartsByPlan(t *testing.T) {
	for _, parts := range []bool{true, false} {
		inKeeping(t, persistence.Task[sheet]{Parts: parts}, nil, func(t *testing.T, faults *persistencetest.Faults, pages *persistence.Handle[sheet]) {
			large := sheet{ID: "p", Body: bytes.Repeat([]byte("0123456789"), 120_000)}
			if _, err := pages.Put(t.Context(), large); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				before, _ := faults.Calls(persistence.Amorphous)
				got, err := pages.Get(t.Context(), "p")
				after, _ := faults.Calls(persistence.Amorphous)
				if err != nil || !bytes.Equal(got.Body, large.Body) || (after == before) != parts {
					t.Errorf("parts %v: %d bytes, %v, after %d reads of the record", parts, len(got.Body), err, after-before)
				}
			}
		})
	}
}

// A cold cache does not knock over the store of record: its objects are read
// again at the layer's RebuildRate.
func TestRebuildRate(t *testing.T) {
	inKeeping(t, persistence.Task[sheet]{TTL: time.Second}, &persistence.Options{RebuildRate: 10}, func(t *testing.T, _ *persistencetest.Faults, pages *persistence.Handle[sheet]) {
		keys := make([]string, 40)
		for i := range keys {
			keys[i] = string(rune('a'+i%26)) + string(rune('a'+i/26))
			if _, err := pages.Put(t.Context(), sheet{ID: keys[i]}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		asked := time.Now()
		if all, err := pages.GetAll(t.Context(), keys...); err != nil || len(all) != len(keys) {
			t.Fatalf("%d objects, %v", len(all), err)
		}
		if took := time.Since(asked); took < 2900*time.Millisecond || took > 3100*time.Millisecond {
			t.Errorf("40 objects at 10 a second, after a burst of 10, took %v; want 3 s", took)
		}
	})
}
