package persistence_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A handler that runs when Work is told to stop has Options.Grace to finish;
// then its context ends, and its task waits in custody.
func TestHandlersHaveTheirGrace(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		layer := persistencetest.Open(t, persistencetest.Options{Dir: dir, Unfinished: true, Layer: &persistence.Options{Grace: 5 * time.Second}})
		var stopped, cut time.Time
		began := make(chan struct{}, 2)
		jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
			{Priority: 1, Name: "run", Purpose: persistence.Transitory, Do: func(ctx context.Context, j job) error {
				began <- struct{}{}
				if j.ID == "quick" {
					time.Sleep(3 * time.Second)
					return ctx.Err()
				}
				<-ctx.Done()
				cut = time.Now()
				return ctx.Err()
			}},
		})
		quick, err := jobs.Put(t.Context(), job{ID: "quick"})
		slow, err2 := jobs.Put(t.Context(), job{ID: "slow"})
		if err = errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		stop := persistencetest.Work(t, layer)
		<-began
		<-began
		stopped = time.Now()
		stop()
		if state, _ := quick.State("run"); state != persistence.TaskDone {
			t.Errorf("a handler that needed less than its grace is %s", state)
		}
		if state, _ := slow.State("run"); state != persistence.TaskPending || cut.Sub(stopped).Round(time.Second) != 5*time.Second {
			t.Errorf("a handler that needs longer is %s, and was cancelled after %v, want 5s", state, cut.Sub(stopped))
		}
	})
}

// An envelope that waited for longer than Options.Horizon is not run by itself.
func TestWhatIsPastTheHorizonIsADeadLetter(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		layer := persistencetest.Open(t, persistencetest.Options{Dir: dir, Unfinished: true, Layer: &persistence.Options{Horizon: time.Hour}})
		var r ran
		pings := persistence.Declare(layer, "ping", pingPlan(r.do))
		for _, id := range []string{"old", "young"} {
			if _, err := pings.Put(t.Context(), ping{ID: id}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(40 * time.Minute)
		}
		if _, err := layer.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
		if err != nil || len(letters) != 1 || letters[0].Key != "old" || !strings.Contains(letters[0].Reason, "horizon") || r.String() != "map[young:1]" {
			t.Errorf("ran %s, and the dead letters are %+v, %v; want the old one alone", &r, letters, err)
		}
	})
}

// A handler can ask whether a newer version exists.
func TestAHandlerAsksForANewerVersion(t *testing.T) {
	layer := openLayer(t, nil)
	newer := map[string]bool{}
	jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
		{Purpose: persistence.Amorphous},
		{Priority: 1, Name: "run", Purpose: persistence.Transitory, Concurrency: 1, Do: func(ctx context.Context, j job) (err error) {
			newer[j.Group], err = persistence.Current(ctx).Newer(ctx)
			return err
		}},
	}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
	for _, version := range []string{"first", "second"} {
		if _, err := jobs.Put(t.Context(), job{ID: "j", Group: version}); err != nil {
			t.Fatal(err)
		}
	}
	drain(t, layer)
	if len(newer) != 2 || !newer["first"] || newer["second"] {
		t.Errorf("a newer version exists: %v, want that of the first alone", newer)
	}
}

// A kind whose versions are the user's own is deleted at a version, which wins
// and loses like any other; a handler's OnDelete is called with the key.
func TestADeleteOfAKindWithVersionsNamesOne(t *testing.T) {
	type rev struct {
		ID  string `persistence:"key"`
		Rev int64  `persistence:"version"`
	}
	layer := openLayer(t, nil)
	var deleted, done atomic.Int64
	revs := persistence.Declare(layer, "rev", persistence.Plan[rev]{
		{Purpose: persistence.Amorphous},
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, Do: func(context.Context, rev) error { done.Add(1); return nil },
			OnDelete: func(_ context.Context, key string) error {
				if key == "a" {
					deleted.Add(1)
				}
				return nil
			}},
	})
	tallies := persistence.Declare(layer, "tally", persistence.Plan[tally]{{Purpose: persistence.Amorphous}})
	ctx := t.Context()
	_, first := revs.Put(ctx, rev{ID: "a", Rev: 7})
	_, older := revs.Delete(ctx, "a", persistence.AtVersion(5))
	got, err := revs.Get(ctx, "a")
	if err = errors.Join(first, older, err); err != nil || got.Rev != 7 {
		t.Fatalf("after a delete at an older version: %+v, %v", got, err)
	}
	_, newer := revs.Delete(ctx, "a", persistence.AtVersion(9))
	_, late := revs.Put(ctx, rev{ID: "a", Rev: 8})
	if _, err := revs.Get(ctx, "a"); errors.Join(newer, late) != nil || !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("after a delete at 9 and a put at 8: %v, %v, %v; want ErrNotFound", newer, late, err)
	}
	_, none := revs.Delete(ctx, "a")
	_, clock := tallies.Delete(ctx, "ann", persistence.AtVersion(1))
	for what, err := range map[string]error{"no version": none, "AtVersion for a kind with a clock's": clock} {
		if !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
	drain(t, layer)
	if deleted.Load() != 2 || done.Load() != 2 {
		t.Errorf("OnDelete was called %d times and Do %d times, want 2 and 2: once for every version", deleted.Load(), done.Load())
	}
}
