package persistence_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

type (
	// pamphlet has the layer's versions.
	pamphlet struct {
		ID   string `persistence:"key"`
		Text string
	}
	// revision has versions of its own.
	revision struct {
		ID   string `persistence:"key"`
		Rev  int64  `persistence:"version"`
		Text string
	}
)

// horizon is that of these layers; a bubble's days take seconds.
const horizon = time.Hour

// deadAndDeleted puts an object of which a write dies, deletes it, and returns
// the dead letter.
func deadAndDeleted[T any](t *testing.T, layer *persistence.Layer, faults *persistencetest.Faults,
	kind *persistence.Handle[T], object T, opts ...persistence.PutOption) persistence.DeadLetter {
	t.Helper()
	faults.Refuse(persistence.Amorphous, func(op persistencetest.Op) error {
		if op.Name == "write" {
			return errors.New("no")
		}
		return nil
	})
	if _, err := kind.Put(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	persistencetest.Drain(t, layer)
	letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
	if err != nil || len(letters) != 1 || letters[0].Task != "object" {
		t.Fatalf("dead letters %+v, %v; want one", letters, err)
	}
	faults.Heal()
	if _, err := kind.Delete(t.Context(), "x", opts...); err != nil {
		t.Fatal(err)
	}
	persistencetest.Drain(t, layer)
	return letters[0]
}

// resurrected is the life of a letter whose object was deleted: it is replayed
// after a while, runs later still, when the tombstone is gone, and must not
// bring the object back.
func resurrected[T any](t *testing.T, opts persistence.KindOptions, object T, deletes ...persistence.PutOption) {
	t.Helper()
	for name, wait := range map[string]struct{ replay, run time.Duration }{
		"replayed after the horizon":    {horizon + time.Minute, 0},
		"replayed before, and run then": {horizon - time.Minute, 2 * time.Minute},
		"replayed and run before":       {horizon - time.Minute, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				faults := persistencetest.NewFaults()
				layer := persistencetest.Open(t, persistencetest.Options{Dir: dir, Faults: faults, Unfinished: true,
					Layer: &persistence.Options{Horizon: horizon}})
				kind := persistence.Declare(layer, "paper", persistence.Plan[T]{
					{Priority: 1, Name: "object", Purpose: persistence.Amorphous, MaxAttempts: 1}}, opts)
				letter := deadAndDeleted(t, layer, faults, kind, object, deletes...)
				time.Sleep(wait.replay)
				n, err := layer.DeadLetters().Replay(t.Context(), 0, letter.ID)
				if expired := wait.replay > horizon; expired != errors.Is(err, fault.ErrExpired) || !expired && (n != 1 || err != nil) {
					t.Fatalf("replayed %d after %v: %v", n, wait.replay, err)
				}
				time.Sleep(wait.run) // nobody works, as if the store were down
				gone := wait.replay+wait.run > horizon
				purged, err := layer.Amorphous().Purge(t.Context(), amorphous.Table{Name: "paper__object"}, time.Now().Add(-horizon))
				if err != nil || (purged > 0) != gone {
					t.Fatalf("purged %d, %v; is the tombstone to be gone: %v", purged, err, gone)
				}
				persistencetest.Drain(t, layer)
				if got, err := kind.Get(t.Context(), "x"); !errors.Is(err, fault.ErrNotFound) {
					t.Errorf("what was deleted is there: %+v, %v", got, err)
				}
				after, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
				if err != nil || (len(after) == 1) != gone {
					t.Fatalf("dead letters %+v, %v; is there to be one: %v", after, err, gone)
				}
				if gone && !after[0].Accepted.Equal(letter.Accepted) {
					t.Errorf("first accepted %v, and after the replay %v", letter.Accepted, after[0].Accepted)
				}
				if wait.run > 0 && !strings.Contains(after[0].Reason, "older than the horizon") {
					t.Errorf("it died of %q", after[0].Reason)
				}
			})
		})
	}
}

// "A replay after the horizon cannot resurrect what was deleted": not what is
// replayed when its tombstone is gone, and not what is replayed before and waits
// for its store until then.
func TestAReplayResurrectsNothing(t *testing.T) {
	t.Run("the layer's versions", func(t *testing.T) { resurrected(t, queued, pamphlet{ID: "x", Text: "old"}) })
	t.Run("its own versions", func(t *testing.T) {
		resurrected(t, persistence.KindOptions{Custody: persistence.TransactionalCustody},
			revision{ID: "x", Rev: 1, Text: "old"}, persistence.AtVersion(2))
	})
}

// A letter that keeps its ordering key is replayed where it lies, by whoever
// decided that it still matters: its handler runs, though the object is older than
// the horizon by now, or its slice of time is past.
func TestALetterThatBlocksIsReplayedAtAnyAge(t *testing.T) {
	for name, task := range map[string]persistence.Task[pamphlet]{
		"horizon": {},
		"expired": {Within: time.Minute, Late: persistence.Expire},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				layer := persistencetest.Open(t, persistencetest.Options{Dir: dir, Layer: &persistence.Options{Horizon: horizon}})
				ran, broken := 0, errors.New("broken")
				task.Priority, task.Name, task.Purpose, task.MaxAttempts = 1, "tell", persistence.Transitory, 1
				task.OrderingKey, task.Blocks = "Text", true
				task.Do = func(context.Context, pamphlet) error { ran++; return broken }
				kind := persistence.Declare(layer, "paper", persistence.Plan[pamphlet]{task},
					persistence.KindOptions{Custody: persistence.TransactionalCustody})
				if _, err := kind.Put(t.Context(), pamphlet{ID: "x", Text: "key"}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(task.Within * 2) // nobody works
				for range 2 {
					persistencetest.Drain(t, layer)
					letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
					if err != nil || len(letters) != 1 {
						t.Fatalf("dead letters %+v, %v; want one", letters, err)
					}
					died := ran
					time.Sleep(2 * horizon)
					if _, err := layer.DeadLetters().Replay(t.Context(), 0, letters[0].ID); err != nil {
						t.Fatal(err)
					}
					persistencetest.Drain(t, layer)
					if ran != died+1 {
						t.Errorf("a replay ran its handler %d times, want once", ran-died)
					}
				}
				letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
				if err != nil || len(letters) != 1 || letters[0].Reason != "broken" {
					t.Fatalf("dead letters %+v, %v; want that of the last run", letters, err)
				}
				broken = nil
				if _, err := layer.DeadLetters().Replay(t.Context(), 0, letters[0].ID); err != nil {
					t.Fatal(err)
				}
				persistencetest.Drain(t, layer)
				if letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{}); err != nil || len(letters) > 0 {
					t.Errorf("dead letters %+v, %v; want none", letters, err)
				}
			})
		})
	}
}
