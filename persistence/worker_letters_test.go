package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func TestDeadLettersAreReplayedEditedAndDiscarded(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		layer := openLayer(t, nil)
		var healed atomic.Bool
		var saw atomic.Value
		jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
			{Priority: 1, Name: "run", Purpose: persistence.Transitory, MaxAttempts: 1, Do: func(_ context.Context, j job) error {
				if !healed.Load() {
					return errors.New("broken")
				}
				saw.Store(j.Group)
				return nil
			}},
		}, opts)
		for i := range 3 {
			if _, err := jobs.Put(t.Context(), job{ID: fmt.Sprint(i), Group: "before"}); err != nil {
				t.Fatal(err)
			}
		}
		drain(t, layer)
		dead := layer.DeadLetters()
		letters, err := dead.List(t.Context(), persistence.DeadFilter{Task: "run"})
		if err != nil || len(letters) != 3 {
			t.Fatalf("dead letters %v, %v; want three", letters, err)
		}
		healed.Store(true)
		if n, err := dead.Replay(t.Context(), 1000, letters[0].ID); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		edit := func(j *job) error { j.Group = "after"; return nil }
		if err := persistence.EditDeadLetter(t.Context(), layer, letters[1].ID, edit); err != nil {
			t.Fatal(err)
		}
		drain(t, layer)
		if saw.Load() == nil {
			t.Error("no replayed letter ran")
		}
		if n, err := dead.Discard(t.Context(), "a test", letters[2].ID); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if letters, err = dead.List(t.Context(), persistence.DeadFilter{}); err != nil || len(letters) != 0 {
			t.Errorf("dead letters %v, %v; want none", letters, err)
		}
		if _, err := dead.Replay(t.Context(), 0, "nosuchletter"); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("replaying what is not there: %v, want ErrNotFound", err)
		}
	})
}

func TestWithinAndWhen(t *testing.T) { synctest.Test(t, withinAndWhen) }

func withinAndWhen(t *testing.T) {
	layer := openLayer(t, nil)
	var mu sync.Mutex
	var ran []string
	note := func(name string) func(context.Context, job) error {
		return func(_ context.Context, j job) error {
			mu.Lock()
			defer mu.Unlock()
			ran = append(ran, name+j.ID)
			return nil
		}
	}
	jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
		{Priority: 1, Name: "soon", Purpose: persistence.Transitory, Within: time.Millisecond, Late: persistence.Expire, Do: note("soon")},
		{Priority: 2, Name: "wanted", Purpose: persistence.Transitory, When: func(j job) bool { return j.Group == "yes" }, Do: note("wanted")},
	})
	for _, j := range []job{{ID: "1", Group: "yes"}, {ID: "2", Group: "no"}} {
		if _, err := jobs.Put(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second) // the slice of time of the first task ends
	drain(t, layer)
	if !slices.Equal(ran, []string{"wanted1"}) {
		t.Errorf("ran %v, want only the wanted task of the first object", ran)
	}
	letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{Task: "soon"})
	if err != nil || len(letters) != 2 || letters[0].Reason != "expired" {
		t.Errorf("dead letters %v, %v; want two that expired", letters, err)
	}
}

func TestAHandlersPutsHappenOnce_F7(t *testing.T) {
	g := newGame(t, nil)
	var runs atomic.Int64
	jobs := persistence.Declare(g.layer, "job", persistence.Plan[job]{
		{Priority: 1, Name: "spread", Purpose: persistence.Transitory, Do: func(ctx context.Context, j job) error {
			if _, err := g.visits.Put(ctx, visit{ID: "v" + j.ID, User: "ann"}); err != nil {
				return err
			}
			if runs.Add(1) == 1 {
				return errors.New("after the put")
			}
			return nil
		}},
	})
	serve(t, g.layer)
	r, err := jobs.Put(t.Context(), job{ID: "1"})
	wait(t, r, err)
	drain(t, g.layer)
	if n, err := g.tallies.Get(t.Context(), "ann"); runs.Load() != 2 || err != nil || n.N != 1 {
		t.Errorf("%d runs, counted %d (%v); want 2 runs and one effect", runs.Load(), n.N, err)
	}
}

func TestStatsAccountForEverything(t *testing.T) {
	g := newGame(t, nil)
	for i := range 5 {
		if _, err := g.visits.Put(t.Context(), visit{ID: fmt.Sprint(i), User: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(pending, done int64) {
		t.Helper()
		stats, err := g.layer.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stats.Tasks {
			if s.Kind == "visit" && (s.Accepted != 5 || s.Pending != pending || s.Done != done) {
				t.Errorf("%+v: want 5 accepted, %d pending, %d done", s, pending, done)
			}
		}
		if out := stats.String(); pending > 0 && !strings.Contains(out, "nobody works") {
			t.Errorf("Stats does not say that tasks wait:\n%s", out)
		}
	}
	check(5, 0)
	drain(t, g.layer)
	check(0, 5)
}

// The envelope of a Put whose tasks are all done lies in custody until that has
// been told so, which is after Put returned.
func TestStatsCountAPutOnce(t *testing.T) {
	layer := openLayer(t, nil)
	type place struct {
		ID   string `persistence:"key"`
		Name string `transactional:"name"`
		Text string `amorphous:"text"`
	}
	places := persistence.Declare[place](layer, "place", nil)
	const puts = 20
	for i := range puts {
		if _, err := places.Put(t.Context(), place{ID: fmt.Sprint(i), Name: "pier", Text: "long"}); err != nil {
			t.Fatal(err)
		}
		stats, err := layer.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stats.Tasks {
			if n := int64(i + 1); s.Accepted != n || s.Done != n || s.Pending != 0 {
				t.Fatalf("after %d puts: %+v; their receipts say that all is done", n, s)
			}
		}
	}
}

func TestADeadLetterThatBlocksKeepsItsOrderingKey(t *testing.T) {
	for _, decide := range []string{"replay", "discard"} {
		t.Run(decide, func(t *testing.T) {
			layer := openLayer(t, nil)
			var mu sync.Mutex
			var ran []string
			var healed atomic.Bool
			jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
				{Priority: 1, Name: "apply", Purpose: persistence.Transitory, OrderingKey: "Group", Blocks: true, MaxAttempts: 1, Do: func(_ context.Context, j job) error {
					if j.ID == "1" && !healed.Load() {
						return errors.New("broken")
					}
					mu.Lock()
					defer mu.Unlock()
					ran = append(ran, j.ID)
					return nil
				}},
				{Priority: 2, Name: "other", Purpose: persistence.Transitory, Do: func(context.Context, job) error { return nil }},
			}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
			for i := range 3 {
				if _, err := jobs.Put(t.Context(), job{ID: fmt.Sprint(i), Group: "g"}); err != nil {
					t.Fatal(err)
				}
			}
			drain(t, layer)
			if !slices.Equal(ran, []string{"0"}) {
				t.Fatalf("ran %v behind a dead letter that blocks", ran)
			}
			letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
			if err != nil || len(letters) != 1 {
				t.Fatalf("dead letters %v, %v", letters, err)
			}
			healed.Store(true)
			want := []string{"0", "1", "2"}
			if decide == "replay" {
				_, err = layer.DeadLetters().Replay(t.Context(), 0, letters[0].ID)
			} else {
				want = []string{"0", "2"}
				_, err = layer.DeadLetters().Discard(t.Context(), "a test", letters[0].ID)
			}
			if err != nil {
				t.Fatal(err)
			}
			if left := drain(t, layer); len(left) != 0 || !slices.Equal(ran, want) {
				t.Errorf("after %s: ran %v, left %v; want %v", decide, ran, left, want)
			}
		})
	}
}
