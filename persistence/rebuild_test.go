package persistence_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/volatile"
)

// A ride is counted per line in a view.
type ride struct {
	ID   string `persistence:"key"`
	Line string `transactional:",index"`
}

type rides struct {
	layer  *persistence.Layer
	handle *persistence.Handle[ride]
	made   *volatile.View[int]
	counts atomic.Int64 // how often something was counted anew
}

func (r *rides) open(t *testing.T, stores persistence.Stores) {
	t.Helper()
	layer, err := persistence.Open(t.Context(), stores, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.layer = layer
	r.handle = persistence.Declare(layer, "ride", persistence.Plan[ride]{
		{Purpose: persistence.Transactional},
		{Priority: 1, Name: "made", Purpose: persistence.Volatile, TTL: time.Hour, Rebuild: persistence.Rebuild(r.count),
			Do: func(ctx context.Context, one ride) error { return r.made.Drop(ctx, one.Line) }},
	})
	r.made = persistence.ViewOf[int](r.handle, "made")
}

func (r *rides) count(ctx context.Context, line string) (n int, err error) {
	r.counts.Add(1)
	for _, err := range r.handle.Find(ctx, persistence.Query{Where: map[string]any{"Line": line}}) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// TestRebuildAfterLoss: flushing the cache, losing it and restarting it in
// mid-run change no answer.
func TestRebuildAfterLoss(t *testing.T) {
	const lines, perLine = 3, 12
	ctx, dir := t.Context(), t.TempDir()
	faults := persistencetest.NewFaults()
	r := &rides{}
	r.open(t, faults.Wrap(embedded.Stores(dir)))
	var put [lines]atomic.Int64
	exact := func(when string) {
		t.Helper()
		for line := range lines {
			if n, err := r.made.Get(ctx, fmt.Sprint(line)); err != nil || n != int(put[line].Load()) {
				t.Errorf("%s: line %d has made %d rides (%v), want %d", when, line, n, err, put[line].Load())
			}
		}
	}
	for i := range perLine {
		var reading sync.WaitGroup
		for line := range lines {
			put[line].Add(1)
			if _, err := r.handle.Put(ctx, ride{ID: fmt.Sprintf("%d-%d", line, i), Line: fmt.Sprint(line)}); err != nil {
				t.Fatal(err)
			}
			reading.Go(func() { // beside the handlers and the flush
				n, err := r.made.Get(ctx, fmt.Sprint(line))
				if err != nil || n > int(put[line].Load()) || n < i {
					t.Errorf("ride %d of line %d: a reader got %d, %v", i, line, n, err)
				}
			})
		}
		if left, err := r.layer.Drain(ctx); err != nil || len(left) > 0 {
			t.Fatalf("left %v, %v", left, err)
		}
		reading.Wait()
		exact("after the handlers")
		switch i % 4 {
		case 0:
			for line := range lines {
				if err := r.made.Drop(ctx, fmt.Sprint(line)); err != nil {
					t.Fatal(err)
				}
			}
			exact("after a flush")
		case 1:
			faults.Down(persistence.Volatile)
			exact("while the cache is down")
			faults.Up()
			exact("when the cache is back")
		case 2:
			if err := r.layer.Close(); err != nil {
				t.Fatal(err)
			}
			r.open(t, faults.Wrap(embedded.Stores(dir)))
			exact("after a restart")
		}
	}
	if r.counts.Load() == 0 {
		t.Error("nothing was ever counted anew: nothing is proved")
	}
	if err := r.layer.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRebuildWords: a Rebuild that would do nothing is refused.
func TestRebuildWords(t *testing.T) {
	do := func(context.Context, ride) error { return nil }
	count := persistence.Rebuild(func(context.Context, string) (int, error) { return 0, nil })
	for want, task := range map[string]persistence.Task[ride]{
		"rebuild of a default write is the record": {Purpose: persistence.Volatile, Rebuild: count},
		"Purpose is transitory":                    {Name: "t", Priority: 1, Purpose: persistence.Transitory, Do: do, Rebuild: count},
		"has no function":                          {Name: "t", Priority: 1, Purpose: persistence.Volatile, Do: do, Rebuild: persistence.Rebuild[int](nil)},
		"2 functions for the version": {Name: "t", Priority: 1, Purpose: persistence.Volatile, Do: do,
			Rebuild: persistence.Rebuild(func(context.Context, string) (int, error) { return 0, nil }, func(int) int64 { return 0 }, func(int) int64 { return 1 })},
		"TTL, and it has none": {Name: "t", Priority: 1, Purpose: persistence.Volatile, Do: do, Rebuild: count, Stale: time.Minute},
		"PartitionBy lays out": {Name: "t", Priority: 1, Purpose: persistence.Volatile, Do: do, Rebuild: count, PartitionBy: "Line"},
	} {
		if err := (persistence.Plan[ride]{task}).Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want a fault with %q, got %v", want, err)
		}
	}
	plan := persistence.Plan[ride]{{Purpose: persistence.Transactional}, {Name: "made", Priority: 1, Purpose: persistence.Volatile, Do: do, Rebuild: count, TTL: time.Hour}}
	if err := plan.Validate(); err != nil {
		t.Error(err)
	}
	if got := plan.Outline(); !strings.Contains(got, "runs Do; for 1h0m0s; what it keeps is rebuilt") {
		t.Errorf("outline: %q", got)
	}
}
