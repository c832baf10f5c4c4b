package persistence_test

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/volatile"
)

// A sheet is an object whose cache entry is served as its plan says.
type sheet struct {
	ID      string `persistence:"key"`
	Edition int64
	Body    []byte
}

// A keeping is a kind of sheets whose entries in the cache are read: those of its
// default write, or the values of a view that a handler keeps.
type keeping struct {
	t      *testing.T
	layer  *persistence.Layer
	faults *persistencetest.Faults
	pages  *persistence.Handle[sheet]
	view   *volatile.View[sheet] // nil: the default write's
}

func (k *keeping) put(one sheet) {
	k.t.Helper()
	if _, err := k.pages.Put(k.t.Context(), one); err != nil {
		k.t.Fatal(err)
	}
	if k.view != nil {
		drain(k.t, k.layer)
	}
}

func (k *keeping) get() (sheet, time.Duration, error) {
	if k.view != nil {
		return k.view.GetAged(k.t.Context(), "p")
	}
	return k.pages.GetAged(k.t.Context(), "p")
}

// inKeeping runs test in bubbles over a kind whose record is amorphous and whose
// cache task has the words of cache: as a default write, and as a handler with a
// rebuild.
func inKeeping(t *testing.T, cache persistence.Task[sheet], opts *persistence.Options, test func(t *testing.T, k *keeping)) {
	t.Helper()
	for _, views := range []bool{false, true} {
		dir := t.TempDir()
		t.Run(map[bool]string{false: "entry", true: "view"}[views], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &keeping{t: t, faults: persistencetest.NewFaults()}
				var err error
				if k.layer, err = persistence.Open(t.Context(), k.faults.Wrap(embedded.Stores(dir)), opts); err != nil {
					t.Fatal(err)
				}
				defer k.layer.Close()
				task := cache
				task.Purpose = persistence.Volatile
				if views {
					task.Name, task.Priority = "shown", 1
					task.Do = func(ctx context.Context, one sheet) error { return k.view.Put(ctx, one.ID, one) }
					task.Rebuild = persistence.Rebuild(
						func(ctx context.Context, key string) (sheet, error) { return k.pages.Get(ctx, key) },
						func(one sheet) int64 { return one.Edition })
				}
				k.pages = persistence.Declare(k.layer, "page", persistence.Plan[sheet]{task, {Purpose: persistence.Amorphous}},
					persistence.KindOptions{Custody: persistence.TransactionalCustody})
				if views {
					k.view = persistence.ViewOf[sheet](k.pages, "shown")
				}
				test(t, k)
			})
		})
	}
}

// Past its TTL the old entry is served at once while it is read again behind
// the caller's back, and never past its TTL and Stale.
func TestStaleByPlan(t *testing.T) {
	inKeeping(t, persistence.Task[sheet]{TTL: 5 * time.Second, Stale: time.Minute}, nil, func(t *testing.T, k *keeping) {
		get := func(least, most time.Duration, edition int64) {
			t.Helper()
			asked := time.Now()
			one, age, err := k.get()
			if err != nil || time.Since(asked) > 0 || age < least || age > most || one.Edition != edition {
				t.Errorf("waited %v for edition %d, %v old, %v; want %d at once, %v to %v old", time.Since(asked), one.Edition, age, err, edition, least, most)
			}
			if k.view != nil {
				return
			}
			if all, err := k.pages.GetAll(t.Context(), "p"); err != nil || len(all) != 1 {
				t.Errorf("all: %v, %v", all, err)
			}
		}
		k.put(sheet{ID: "p", Edition: 1})
		if _, _, err := k.get(); err != nil { // a view has what was read, not what was put
			t.Error(err)
		}
		k.put(sheet{ID: "p", Edition: 2}) // written over it: nothing is read again
		k.faults.Slow(persistence.Amorphous, 2*time.Second)
		get(0, time.Second, 2)
		time.Sleep(6 * time.Second)
		get(6*time.Second, 7*time.Second, 2)
		time.Sleep(3 * time.Second)
		get(0, 3*time.Second, 2)
		k.faults.Down(persistence.Amorphous)
		time.Sleep(50 * time.Second)
		get(50*time.Second, 60*time.Second, 2)
		time.Sleep(20 * time.Second)
		if _, _, err := k.get(); !fault.Outage(err) {
			t.Errorf("past TTL and Stale, the record away: %v", err)
		}
	})
}

// What is read often is read again ahead of its end: nobody waits.
func TestAheadByPlan(t *testing.T) {
	inKeeping(t, persistence.Task[sheet]{TTL: 10 * time.Second, Ahead: 5 * time.Second}, nil, func(t *testing.T, k *keeping) {
		k.put(sheet{ID: "p"})
		if _, _, err := k.get(); err != nil {
			t.Error(err)
		}
		k.faults.Slow(persistence.Amorphous, time.Second)
		for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(50 * time.Millisecond) {
			asked := time.Now()
			if _, age, err := k.get(); err != nil || time.Since(asked) > 0 || age > 10*time.Second {
				t.Fatalf("after %v: waited %v for an entry %v old, %v", time.Since(start), time.Since(asked), age, err)
			}
		}
	})
}

// An object over the cache's limit lies in parts if the plan says so; else it
// is read from the record each time.
func TestPartsByPlan(t *testing.T) {
	for _, parts := range []bool{true, false} {
		inKeeping(t, persistence.Task[sheet]{Parts: parts}, nil, func(t *testing.T, k *keeping) {
			if k.view != nil && !parts {
				return
			}
			large := sheet{ID: "p", Body: bytes.Repeat([]byte("0123456789"), 120_000)}
			k.put(large)
			if k.view != nil {
				_, _, _ = k.get() // only what is read is kept there
			}
			for range 2 {
				before, _ := k.faults.Calls(persistence.Amorphous)
				got, _, err := k.get()
				after, _ := k.faults.Calls(persistence.Amorphous)
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
	inKeeping(t, persistence.Task[sheet]{TTL: time.Second}, &persistence.Options{RebuildRate: 10}, func(t *testing.T, k *keeping) {
		if k.view != nil {
			return // its values are rebuilt within the same budget
		}
		pages := k.pages
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
