package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// "Close stops Work, waits for what is under way, and closes the stores": a
// whole life leaves no goroutine behind.
func TestALayerLeavesNoGoroutineBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	layer, err := embedded.Open(t.Context(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	runs := make(chan struct{}, 64)
	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Purpose: persistence.Transactional},
		{Purpose: persistence.Volatile},
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, RealTime: true, PerKey: 1, Do: nothing},
		{Priority: 2, Name: "late", Purpose: persistence.Transitory, Do: func(ctx context.Context, _ visit) error {
			runs <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}, Timeout: 50 * time.Millisecond, MaxAttempts: 1},
		{Priority: 3, Name: "recent", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
	})
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- layer.Work(ctx) }()
	for range 2 {
		r, err := visits.Put(t.Context(), visit{ID: "v1", User: "ann"})
		if err != nil {
			t.Fatal(err)
		}
		<-runs
		if err := r.Wait(t.Context(), "tell", "recent"); err != nil {
			t.Error(err)
		}
		brief, cancel := context.WithTimeout(t.Context(), time.Microsecond)
		if _, err := visits.Put(brief, visit{ID: "v2"}); err == nil {
			t.Log("a Put within a microsecond")
		}
		for range visits.Find(t.Context(), persistence.Query{}) {
			break // an iterator that is left early
		}
		cancel()
	}
	err = layer.Tx(t.Context(), func(context.Context, *persistence.Tx) error { return errors.New("rolled back") })
	if err == nil {
		t.Error("the error of a transaction was lost")
	}
	stop()
	if err := errors.Join(<-stopped, layer.Close(), layer.Close()); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}

// Who stops working in the middle of a claim gives back what it claimed: it does
// not wait for the end of a lease that nobody has.
func TestStoppedWhileItClaims_A25(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		layer := openLayer(t, &persistence.Options{MaxHeld: 16, Workers: 2, RealTimeWorkers: 1})
		ran := make(chan struct{}, 2000)
		pings := persistence.Declare(layer, "ping", persistence.Plan[ping]{
			{Priority: 1, Name: "answer", Purpose: persistence.Transitory, Do: func(context.Context, ping) error {
				ran <- struct{}{}
				return nil
			}},
		}, opts)
		objs := make([]ping, cap(ran))
		for i := range objs {
			objs[i] = ping{ID: fmt.Sprint(i)}
		}
		for _, r := range pings.PutAll(t.Context(), objs) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		for i := range 32 {
			stop := persistencetest.Work(t, layer)
			for range 1 + i%8*4 {
				<-ran
			}
			stop()
		}
		if left := persistencetest.Drain(t, layer); len(left) > 0 {
			t.Errorf("left %+v", left)
		}
	})
}
