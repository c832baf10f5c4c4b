package persistence_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A killed program continues from its file: nothing that was acknowledged is
// lost, nothing is half there, no transaction has its effect twice, nothing is
// there that nobody put, and the stores agree (P1, P2, P4, P5).
func TestCrash_A1_A3_A4_A5_A7_F7(t *testing.T) {
	w := &town{}
	persistencetest.Crash(t, persistencetest.Scenario{Open: w.open, Load: w.load, Check: w.check})
}

// loadOutage does everything twice: while the queue and the amorphous store are
// down, and when they are back.
func (w *town) loadOutage(ctx context.Context, layer *persistence.Layer, r *persistencetest.Recorder) error {
	w.faults.Down(persistence.Transitory, persistence.Amorphous)
	for i := range 4 {
		for _, what := range []string{"ping", "page", "arrival"} {
			id := fmt.Sprintf("r%d.%s.%d", r.Round, what, 100+i)
			err := r.Do(townPut(id), func() (err error) {
				switch what {
				case "ping":
					_, err = w.pings.Put(ctx, ping{ID: id})
				case "page":
					_, err = w.pages.Put(ctx, page{id, "a page"})
				default:
					_, err = w.arrivals.Put(ctx, arrival{ID: id, User: user(100 + i)})
				}
				return err
			})
			if err != nil && !fault.Accepted(err) {
				return err
			}
		}
	}
	w.faults.Up()
	return w.load(ctx, layer, r)
}

// What was accepted while stores were down survives a kill as well: in the
// outbox, where it spilled to or was put after all.
func TestCrashDuringAnOutage_F12(t *testing.T) {
	w := &town{faults: persistencetest.NewFaults()}
	persistencetest.Crash(t, persistencetest.Scenario{Open: w.open, Load: w.loadOutage, Check: w.check, Runs: 12})
}

// poisonDir names the directory for the child of TestCrashOfAPoisonTask_B24, and
// poisonCustody the custody of its kind.
const (
	poisonDir     = "FOURFOLD_POISON_DIR"
	poisonCustody = "FOURFOLD_POISON_CUSTODY"
)

const poisonAttempts = 3

// poisoned is a program that one of its tasks ends each time that it runs.
func poisoned(t *testing.T, dir string, custody persistence.Custody) {
	layer, err := embedded.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	pings := persistence.Declare(layer, "ping", persistence.Plan[ping]{
		{Priority: 1, Name: "answer", Purpose: persistence.Transitory, MaxAttempts: poisonAttempts, Do: func(_ context.Context, p ping) error {
			if p.ID == "poison" {
				os.Exit(3)
			}
			return nil
		}},
		{Priority: 2, Name: "object", Purpose: persistence.Amorphous},
	}, persistence.KindOptions{Custody: custody})
	if _, err := os.Stat(filepath.Join(dir, "put")); err != nil {
		for _, id := range []string{"before", "poison", "after"} {
			if _, err := pings.Put(t.Context(), ping{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "put"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if left := persistencetest.Drain(t, layer); len(left) > 0 {
		t.Fatalf("left %+v", left)
	}
	letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
	if err != nil || len(letters) != 1 || letters[0].Key != "poison" || letters[0].Task != "answer" || letters[0].Attempts != poisonAttempts {
		t.Errorf("dead letters %+v, %v; want the poison task alone, after %d attempts", letters, err, poisonAttempts)
	}
	for _, id := range []string{"before", "poison", "after"} {
		if _, err := pings.Get(t.Context(), id); err != nil {
			t.Errorf("the other task of %s: %v", id, err)
		}
	}
}

// "A poison task cannot loop the worker": one that takes the process down each
// time becomes a dead letter, and holds up neither its siblings nor others.
func TestCrashOfAPoisonTask_B24(t *testing.T) {
	if dir := os.Getenv(poisonDir); dir != "" {
		custody, _ := strconv.Atoi(os.Getenv(poisonCustody))
		poisoned(t, dir, persistence.Custody(custody))
		return
	}
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		dir := t.TempDir()
		for start := 1; ; start++ {
			cmd := exec.Command(os.Args[0], "-test.run=^TestCrashOfAPoisonTask_B24$")
			cmd.Env = append(os.Environ(), poisonDir+"="+dir, poisonCustody+"="+strconv.Itoa(int(opts.Custody)))
			out, err := cmd.CombinedOutput()
			switch {
			case err == nil && start > 1:
				// Two may have been anybody's crash; each of the others is an attempt.
				if died := start - 1; died < poisonAttempts || died > 2+poisonAttempts {
					t.Errorf("the poison task ended %d processes, with MaxAttempts %d", died, poisonAttempts)
				}
				return
			case err == nil:
				t.Fatalf("the poison did not end the process: nothing is proved\n%s", out)
			case cmd.ProcessState.ExitCode() != 3:
				t.Fatalf("start %d: %v\n%s", start, err, out)
			case start == 10:
				t.Fatalf("the poison task ended %d processes, with MaxAttempts %d\n%s", start, poisonAttempts, out)
			}
		}
	})
}
