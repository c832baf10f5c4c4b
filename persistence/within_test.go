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
