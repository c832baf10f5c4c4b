package persistence_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A backlog whose slice of time is past no longer delays what still has one,
// although it was accepted first and at a higher priority; it runs after that.
func TestWhatIsLateDelaysNobody(t *testing.T) {
	for _, realTime := range []bool{false, true} {
		t.Run(fmt.Sprint("real time ", realTime), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) { lateDelaysNobody(t, dir, realTime) })
		})
	}
}

func lateDelaysNobody(t *testing.T, dir string, realTime bool) {
	layer, err := persistence.Open(t.Context(), embedded.Stores(dir), &persistence.Options{Workers: 1, RealTimeWorkers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	var mu sync.Mutex
	var ran []string
	run := func(_ context.Context, j job) error {
		time.Sleep(100 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		ran = append(ran, j.ID)
		return nil
	}
	alerts := persistence.Declare(layer, "alert", persistence.Plan[job]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, RealTime: realTime, Within: time.Second, Do: run}})
	orders := persistence.Declare(layer, "order", persistence.Plan[job]{
		{Priority: 5, Name: "ship", Purpose: persistence.Transitory, Within: time.Hour, Do: run}})
	put := func(h *persistence.Handle[job], id string) {
		if _, err := h.Put(t.Context(), job{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	const late, fresh = 30, 5
	for n := range late {
		put(alerts, fmt.Sprint("late ", n))
	}
	time.Sleep(2 * time.Second)
	for n := range fresh {
		put(orders, fmt.Sprint("fresh ", n))
	}
	persistencetest.Work(t, layer)
	time.Sleep(time.Minute)
	mu.Lock()
	defer mu.Unlock()
	if len(ran) != late+fresh {
		t.Fatalf("%d of %d ran", len(ran), late+fresh)
	}
	last := 0
	for n := range fresh {
		last = max(last, slices.Index(ran, fmt.Sprint("fresh ", n)))
	}
	// One may be under way when the fresh ones are heard of.
	if last > fresh {
		t.Errorf("the last of %d fresh ones was number %d to run: %v", fresh, last+1, ran)
	}
}

// What came to its end past its slice of time is counted, whether it ran late or
// expired; what ran in time is not.
func TestWhatIsLateIsCounted(t *testing.T) {
	for _, custody := range []persistence.Custody{persistence.TransitoryCustody, persistence.TransactionalCustody} {
		t.Run(custody.String(), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) { lateIsCounted(t, dir, custody) })
		})
	}
}

func lateIsCounted(t *testing.T, dir string, custody persistence.Custody) {
	layer, err := persistence.Open(t.Context(), embedded.Stores(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	run := func(context.Context, job) error { return nil }
	tells := persistence.Declare(layer, "tell", persistence.Plan[job]{
		{Priority: 1, Name: "late", Purpose: persistence.Transitory, Within: time.Second, Do: run},
		{Priority: 1, Name: "expires", Purpose: persistence.Transitory, Within: time.Second, Late: persistence.Expire, Do: run},
		{Priority: 1, Name: "object", Purpose: persistence.Amorphous, Within: time.Second},
		{Priority: 1, Name: "patient", Purpose: persistence.Transitory, Within: time.Hour, Do: run},
	}, persistence.KindOptions{Custody: custody})
	put := func(ids ...string) {
		for _, id := range ids {
			if _, err := tells.Put(t.Context(), job{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
	}
	put("1", "2")
	time.Sleep(2 * time.Second)
	put("3")
	persistencetest.Drain(t, layer)
	stats, err := layer.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stats.Tasks {
		want := map[string][3]int64{"late": {3, 0, 2}, "expires": {1, 2, 2}, "object": {3, 0, 2}, "patient": {3, 0, 0}}[s.Task]
		if got := [3]int64{s.Done, s.Dead, s.Late}; got != want {
			t.Errorf("%s: done, dead and late are %v, want %v", s.Task, got, want)
		}
	}
}
