package persistencetest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// diary is the program of the crash tests of this package.
type diary struct {
	dir   string
	notes *persistence.Handle[note]
	do    func(ctx context.Context, n note) error
	lies  bool
}

func (d *diary) scenario(check func(ctx context.Context, h *persistencetest.History) error) persistencetest.Scenario {
	return persistencetest.Scenario{
		Runs: 6,
		Open: func(ctx context.Context, dir string) (*persistence.Layer, error) {
			d.dir = dir
			layer, err := embedded.Open(ctx, dir, nil)
			if err != nil {
				return nil, err
			}
			d.notes = persistence.Declare(layer, "note", persistence.Plan[note]{
				{Priority: 1, Name: "object", Purpose: persistence.Amorphous},
				{Priority: 2, Name: "do", Purpose: persistence.Transactional, Do: d.do},
			})
			return layer, nil
		},
		Load: func(ctx context.Context, _ *persistence.Layer, r *persistencetest.Recorder) error {
			for i := range 15 {
				id := fmt.Sprintf("r%d.%d", r.Round, i)
				err := r.Try(id, func() error {
					if d.lies && i == 1 {
						return nil
					}
					_, err := d.notes.Put(ctx, note{ID: id})
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		},
		Check: func(ctx context.Context, _ *persistence.Layer, h *persistencetest.History) error {
			return check(ctx, h)
		},
	}
}

func (d *diary) kept(ctx context.Context, h *persistencetest.History) error {
	for _, id := range h.Acked {
		if _, err := d.notes.Get(ctx, id); err != nil {
			return fmt.Errorf("%s was acknowledged: %w", id, err)
		}
	}
	return nil
}

func TestCrashPassesWhatIsRight(t *testing.T) {
	d := &diary{do: fine}
	persistencetest.Crash(t, d.scenario(d.kept))
}

// What Disturb breaks is broken beside the starts that are killed, one at a time,
// and mended before the start that is checked.
func TestCrashDisturbsAndMends(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken")
	if shared := os.Getenv("FOURFOLD_DISTURBED"); shared != "" {
		broken = shared // this is the program
	}
	t.Setenv("FOURFOLD_DISTURBED", broken)
	var disturbed, beside atomic.Int32
	d := &diary{do: fine}
	s := d.scenario(func(ctx context.Context, h *persistencetest.History) error {
		if _, err := os.Stat(broken); err == nil {
			return errors.New("it is broken while it is checked")
		}
		return d.kept(ctx, h)
	})
	s.Runs = 2
	s.Disturb = func(ctx context.Context, rng *rand.Rand) {
		if beside.Add(1) > 1 {
			t.Error("two runs are disturbed at once")
		}
		if err := os.WriteFile(broken, nil, 0o600); err != nil {
			t.Error(err)
		}
		<-ctx.Done()
		if err := os.Remove(broken); err != nil {
			t.Error(err)
		}
		beside.Add(-1)
		disturbed.Add(1)
	}
	persistencetest.Crash(t, s)
	if disturbed.Load() < 2 {
		t.Errorf("%d starts were disturbed: nothing is proved", disturbed.Load())
	}
}

// A program that acknowledges what it did not put is found out, with the object
// and the way to see it again.
func TestCrashFindsALoss(t *testing.T) {
	d := &diary{do: fine, lies: true}
	r := &recorder{TB: t}
	got := r.run(func(tb testing.TB) { persistencetest.Crash(tb, d.scenario(d.kept)) })
	if !strings.Contains(got, ".1 was acknowledged") || !strings.Contains(got, "seed ") || !strings.Contains(got, "-crash.at=") {
		t.Errorf("the harness reports %q", got)
	}
}

// A handler whose effect is doubled by a repeat is found out: it appends to a
// file outside of every transaction.
func TestCrashFindsADoubledEffect(t *testing.T) {
	d := &diary{}
	name := func() string { return filepath.Join(d.dir, "effects") }
	d.do = func(_ context.Context, n note) error {
		f, err := os.OpenFile(name(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = fmt.Fprintln(f, n.ID)
		return err
	}
	s := d.scenario(func(ctx context.Context, h *persistencetest.History) error {
		text, err := os.ReadFile(name())
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		seen := map[string]bool{}
		for _, id := range strings.Fields(string(text)) {
			if seen[id] {
				return fmt.Errorf("%s had its effect twice", id)
			}
			seen[id] = true
		}
		return nil
	})
	s.Runs = 40
	if testing.Short() {
		t.Skip("skipped by -short: that the harness finds a doubled effect")
	}
	got := (&recorder{TB: t}).run(func(tb testing.TB) { persistencetest.Crash(tb, s) })
	if !strings.Contains(got, "had its effect twice") {
		t.Errorf("the harness reports %q", got)
	}
}

// A run in which nothing is acknowledged is unknown, never a pass.
func TestCrashWithoutAnAcknowledgementProvesNothing(t *testing.T) {
	d := &diary{do: fine}
	s := d.scenario(d.kept)
	s.Load = func(context.Context, *persistence.Layer, *persistencetest.Recorder) error { return nil }
	got := (&recorder{TB: t}).run(func(tb testing.TB) { persistencetest.Crash(tb, s) })
	if got == "" {
		t.Error("a scenario that acknowledges nothing passed")
	}
}
