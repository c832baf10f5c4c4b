package persistencetest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// setFlag sets a flag until the test ends.
func setFlag(t *testing.T, name, value string) {
	t.Helper()
	was := flag.Lookup(name).Value.String()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := flag.Set(name, was); err != nil {
			t.Error(err)
		}
	})
}

// A run that is ordered with -crash.at proves something only if each of its
// kills struck, and what is random in it is what it was in the run that failed,
// as long as -crash.seed is the same.
func TestCrashAtReplays(t *testing.T) {
	setFlag(t, "crash.seed", "7")
	random := fmt.Sprint(rand.New(rand.NewPCG(7, 0)).Uint64())
	for at, want := range map[string]string{
		"no.such.point:1":                "unknown: 0 of 1 kills struck",
		"accept.after:1,no.such.point:1": "unknown: 1 of 2 kills struck",
		"accept.after:1":                 "",
	} {
		t.Run(at, func(t *testing.T) {
			setFlag(t, "crash.at", at)
			d := &diary{do: fine}
			s := d.scenario(func(_ context.Context, h *persistencetest.History) error {
				if !h.Tried(random) {
					return fmt.Errorf("seed 7 begins with %s: acknowledged %v, open %v", random, h.Acked, h.Open)
				}
				return nil
			})
			s.Load = func(ctx context.Context, _ *persistence.Layer, r *persistencetest.Recorder) error {
				put := func(id string) error {
					return r.Try(id, func() error { _, err := d.notes.Put(ctx, note{ID: id}); return err })
				}
				_ = r.Try("before", func() error { return nil }) // there is something to be lost
				return put(fmt.Sprint(r.Rand.Uint64()))
			}
			got := (&recorder{TB: t}).run(func(tb testing.TB) { persistencetest.Crash(tb, s) })
			if want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("the harness reports %q, want %q", got, want)
			}
		})
	}
}

// What a program notes survives its kills, and the checks look at it: here a
// read that goes back behind a write, and a Put that was cut off.
func TestCrashHistoryIsJudged(t *testing.T) {
	setFlag(t, "crash.at", "accept.after:2")
	d := &diary{do: fine}
	s := d.scenario(func(_ context.Context, h *persistencetest.History) error {
		var told []string
		for _, e := range h.Events {
			told = append(told, e.String())
		}
		effect := persistencetest.Event{Verb: persistencetest.Effect, ID: "first", Task: "do"}
		return fmt.Errorf("%s\n%w", strings.Join(told, ", "),
			h.Judge([]persistencetest.Event{effect}, persistencetest.CheckTotal, persistencetest.CheckRegister, persistencetest.CheckSilence))
	})
	s.Load = func(ctx context.Context, _ *persistence.Layer, r *persistencetest.Recorder) error {
		put := func(id string) error {
			return r.Do(persistencetest.Event{Verb: persistencetest.Put, ID: id, Tasks: []string{"do"}},
				func() error { _, err := d.notes.Put(ctx, note{ID: id}); return err })
		}
		register := persistencetest.Event{Verb: persistencetest.Wrote, Store: "s", Key: "k", N: 1}
		err := errors.Join(put("first"), r.Do(register, func() error { return nil }))
		r.Note(persistencetest.Event{Verb: persistencetest.Saw, Store: "s", Key: "k", N: 0})
		return errors.Join(err, put("cut off"))
	}
	got := (&recorder{TB: t}).run(func(tb testing.TB) { persistencetest.Crash(tb, s) })
	want := "put first (applied), wrote s k (applied) 1, saw s k 0, put cut off (unknown), fault accept.after:2, heal\n" +
		"register: violated: saw s k 0, and it could be 1 only (1 registers, 2 operations)\n"
	if !strings.Contains(got, want) {
		t.Errorf("the harness reports %q, want %q", got, want)
	}
}

// What a program prints is looked at for the secrets of its configuration, which
// the report does not repeat.
func TestCrashFindsASecret(t *testing.T) {
	setFlag(t, "crash.at", "accept.after:1")
	d := &diary{do: fine}
	s := d.scenario(func(context.Context, *persistencetest.History) error { return nil })
	load := s.Load
	s.Load = func(ctx context.Context, layer *persistence.Layer, r *persistencetest.Recorder) error {
		fmt.Println("opened with hush-hush")
		return load(ctx, layer, r)
	}
	s.Secrets = []string{"another", "hush-hush"}
	got := (&recorder{TB: t}).run(func(tb testing.TB) { persistencetest.Crash(tb, s) })
	if !strings.Contains(got, "shows secret 2") || strings.Contains(got, "hush-hush") {
		t.Errorf("the harness reports %q, want that secret 2 is shown, and not the secret", got)
	}
}
