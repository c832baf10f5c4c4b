package persistence_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A layer that is opened on a directory which another layer of this process has
// open leaves alone what that one is at work on. Once it is closed, what it left
// is free at once.
func TestALayerBesideLeavesClaimsAlone(t *testing.T) {
	for name, plan := range map[string]persistence.Task[job]{
		"transactional": {Name: "row", Purpose: persistence.Transactional},
		"transitory":    {Name: "row", Purpose: persistence.Amorphous},
	} {
		dir := t.TempDir()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { besideLayer(t, dir, plan) })
		})
	}
}

func besideLayer(t *testing.T, dir string, row persistence.Task[job]) {
	var runs, ends atomic.Int64
	open := func() (*persistence.Layer, *persistence.Handle[job]) {
		layer, err := persistence.Open(t.Context(), embedded.Stores(dir), &persistence.Options{Grace: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return layer, persistence.Declare(layer, "job", persistence.Plan[job]{row,
			{Priority: 1, Name: "work", Purpose: persistence.Transitory, Timeout: time.Minute, Do: func(ctx context.Context, _ job) error {
				runs.Add(1)
				select {
				case <-time.After(10 * time.Second):
					ends.Add(1)
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}}})
	}
	one, jobs := open()
	stop := persistencetest.Work(t, one)
	if _, err := jobs.Put(t.Context(), job{ID: "1"}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	two, _ := open()
	defer two.Close()
	persistencetest.Work(t, two)
	time.Sleep(20 * time.Second)
	if runs.Load() != 1 || ends.Load() != 1 {
		t.Errorf("one job began %d times and ended %d times beside a second layer", runs.Load(), ends.Load())
	}
	// The first is closed in the middle of its next job, and the third has it at once.
	if _, err := jobs.Put(t.Context(), job{ID: "2"}); err != nil {
		t.Fatal(err)
	}
	two.Close()
	time.Sleep(time.Second)
	stop()
	one.Close()
	three, _ := open()
	defer three.Close()
	persistencetest.Work(t, three)
	time.Sleep(20 * time.Second)
	if ends.Load() != 2 {
		t.Errorf("%d jobs ended, want 2", ends.Load())
	}
}
