package persistence_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// inMorgue runs test in a bubble over a layer with dead letters of one task, one
// that died each minute. Their cause is mended.
func inMorgue(t *testing.T, letters int, opts persistence.KindOptions, test func(t *testing.T, layer *persistence.Layer, log *bytes.Buffer)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		mended := false
		layer := persistencetest.Open(t, persistencetest.Options{Dir: dir, Unfinished: true,
			Layer: &persistence.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}})
		jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
			{Priority: 1, Name: "run", Purpose: persistence.Transitory, MaxAttempts: 1, Do: func(context.Context, job) error {
				if mended {
					return nil
				}
				return errors.New("broken")
			}},
		}, opts)
		for i := range letters {
			if _, err := jobs.Put(t.Context(), job{ID: fmt.Sprintf("%02d", i), Group: "g"}); err != nil {
				t.Fatal(err)
			}
			persistencetest.Drain(t, layer)
			if i < letters-1 {
				time.Sleep(time.Minute)
			}
		}
		mended = true
		test(t, layer, &log)
	})
}

// dead returns the ids of all letters.
func dead(t *testing.T, layer *persistence.Layer, want int) (ids []string) {
	t.Helper()
	letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
	if err != nil || len(letters) != want {
		t.Fatalf("%d dead letters, %v; want %d", len(letters), err, want)
	}
	for _, l := range letters {
		ids = append(ids, l.ID)
	}
	return ids
}

// "Replay one or many at a bounded rate": many are spread over the time that
// perSecond says, 100 a second by default, and the end of the context ends it.
func TestReplayKeepsItsRate(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		inMorgue(t, 30, opts, func(t *testing.T, layer *persistence.Layer, _ *bytes.Buffer) {
			ids := dead(t, layer, 30)
			replay := func(ctx context.Context, perSecond int, ids []string, want int, takes time.Duration) {
				t.Helper()
				began := time.Now()
				n, err := layer.DeadLetters().Replay(ctx, perSecond, ids...)
				if took := time.Since(began); n != want || took < takes || took > takes+takes/10 || (err != nil) != (want < len(ids)) {
					t.Errorf("%d letters at %d a second: %d in %v, %v; want %d in %v", len(ids), perSecond, n, took, err, want, takes)
				}
			}
			replay(t.Context(), 5, ids[:11], 11, 2*time.Second)
			replay(t.Context(), 0, ids[11:22], 11, 100*time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), 1100*time.Millisecond)
			defer cancel()
			replay(ctx, 2, ids[22:], 3, 1100*time.Millisecond)
			persistencetest.Drain(t, layer)
			dead(t, layer, 5)
		})
	})
}

// A letter says when its object was accepted and when its task died, and shows
// the object as it was; Stats says since when letters wait for a person; and why
// one was discarded stands in the log.
func TestDeadLettersTellWhatAPersonNeeds(t *testing.T) {
	inMorgue(t, 3, persistence.KindOptions{}, func(t *testing.T, layer *persistence.Layer, log *bytes.Buffer) {
		began := time.Now().Add(-2 * time.Minute)
		letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{Key: "01"})
		if err != nil || len(letters) != 1 {
			t.Fatalf("dead letters %+v, %v", letters, err)
		}
		l := letters[0]
		near := func(at time.Time) bool { return at.Sub(began.Add(time.Minute)).Abs() < time.Second }
		if !near(l.Accepted) || !near(l.Died) || l.Died.Before(l.Accepted) {
			t.Errorf("accepted %v, died %v; want both a minute after %v", l.Accepted, l.Died, began)
		}
		if string(l.Object) != `{"id":"01","group":"g"}` || l.Attempts != 1 || l.Reason != "broken" || l.Detail == "" || l.Version == 0 {
			t.Errorf("the letter is %+v, of the object %s", l, l.Object)
		}
		time.Sleep(time.Hour)
		oldest := func(want time.Duration) {
			t.Helper()
			stats, err := layer.Stats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := stats.Tasks[0].OldestDead; got < want || got > want+time.Second {
				t.Errorf("the oldest dead letter died %v ago, want %v", got, want)
			}
			if text := stats.String(); !strings.Contains(text, want.String()) {
				t.Errorf("the table does not say %v:\n%s", want, text)
			}
		}
		oldest(time.Hour + 2*time.Minute)
		first, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{Key: "00"})
		if err != nil || len(first) != 1 {
			t.Fatalf("dead letters %+v, %v", first, err)
		}
		if _, err := layer.DeadLetters().Discard(t.Context(), "the venue has closed", first[0].ID); err != nil {
			t.Fatal(err)
		}
		oldest(time.Hour + time.Minute)
		if want := `msg="dead letter discarded" why="the venue has closed" id=` + first[0].ID + ` kind=job key=00 task=run`; !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	})
}
