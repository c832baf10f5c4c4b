package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A blindDriver does not say which of two writes lost, as Cassandra does not:
// so the places of rows are registered with the acceptance.
type blindDriver struct {
	amorphous.Driver
	lists bool // it has lists of places, from a time when its tables were Placed
}

func (d blindDriver) Features() amorphous.Features {
	f := d.Driver.(amorphous.Featured).Features()
	f.Superseded = false
	return f
}

func (d blindDriver) Check(ctx context.Context) fault.Report {
	return d.Driver.(amorphous.Checker).Check(ctx)
}

func (d blindDriver) Purge(ctx context.Context, t amorphous.Table, before time.Time) (int, error) {
	return d.Driver.(amorphous.Purger).Purge(ctx, t, before)
}

// Listed implements amorphous.Lister.
func (d blindDriver) Listed(context.Context, amorphous.Table) (bool, error) { return d.lists, nil }

func (d blindDriver) Write(ctx context.Context, t amorphous.Table, rows []amorphous.Row) []error {
	errs := d.Driver.Write(ctx, t, rows)
	for i, err := range errs {
		if errors.Is(err, amorphous.ErrSuperseded) {
			errs[i] = nil
		}
	}
	return errs
}

// blindStores are those in process, of which the amorphous one writes blindly.
func blindStores(dir string) persistence.Stores { return blindStoresWith(dir, false) }

func blindStoresWith(dir string, lists bool) persistence.Stores {
	stores := embedded.Stores(dir)
	whole := stores.Amorphous
	stores.Amorphous = amorphous.SourceFunc(func(ctx context.Context) (amorphous.Driver, error) {
		driver, err := whole.OpenDriver(ctx)
		return blindDriver{driver, lists}, err
	})
	return stores
}

// sighted runs a test on both kinds of stores.
func sighted(t *testing.T, test func(t *testing.T, open func(dir string) *persistence.Layer)) {
	for name, stores := range map[string]func(string) persistence.Stores{"sighted": embedded.Stores, "blind": blindStores} {
		t.Run(name, func(t *testing.T) {
			test(t, func(dir string) *persistence.Layer { return openStores(t, stores(dir)) })
		})
	}
}

func openStores(t *testing.T, stores persistence.Stores) *persistence.Layer {
	t.Helper()
	layer, err := persistence.Open(context.Background(), stores, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { layer.Close() })
	return layer
}

// moversPlan lays objects out where they are found, at once and later.
var moversPlan = persistence.Plan[stay]{
	{Name: "object", Purpose: persistence.Transactional},
	{Name: "now", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
	{Name: "activity", Purpose: persistence.Amorphous, Priority: 1, PartitionBy: "User", Newest: "At", Bucket: time.Hour},
}

// lies lists which users' layouts hold a key.
func lies(t *testing.T, h *persistence.Handle[stay], task, key string) (out string) {
	t.Helper()
	for _, user := range []string{"ann", "bob", "cat", "dan"} {
		for v, err := range h.Find(t.Context(), persistence.Query{Task: task, Where: map[string]any{"User": user}}) {
			if err != nil {
				t.Fatal(err)
			}
			if v.ID == key {
				out += fmt.Sprint(user, v.At.Sub(dawn), " ")
			}
		}
	}
	return out
}

// An object that moves, is deleted and comes back lies at one place, whether
// its tasks are done at once, later all together, or not at all for a while.
func TestRowsMoveWithTheirObject(t *testing.T) {
	sighted(t, func(t *testing.T, open func(dir string) *persistence.Layer) {
		ctx, layer := t.Context(), open(t.TempDir())
		h := persistence.Declare(layer, "mover", moversPlan)
		put := func(user string, hours int) {
			t.Helper()
			putEach(t, h, stay{ID: "m", User: user, At: dawn.Add(time.Duration(hours) * time.Hour)})
		}
		check := func(what, now, activity string) {
			t.Helper()
			if got := lies(t, h, "now", "m"); got != now {
				t.Errorf("%s: at once it lies at %q, want %q", what, got, now)
			}
			if got := lies(t, h, "activity", "m"); got != activity {
				t.Errorf("%s: later it lies at %q, want %q", what, got, activity)
			}
		}
		put("ann", 0)
		check("first", "ann0s ", "")
		put("bob", 1)
		put("bob", 2)
		check("moved before its tasks ran", "bob2h0m0s ", "")
		drain(t, layer)
		check("drained", "bob2h0m0s ", "bob2h0m0s ")
		put("cat", 2)
		drain(t, layer)
		check("moved", "cat2h0m0s ", "cat2h0m0s ")
		if _, err := h.Delete(ctx, "m"); err != nil {
			t.Fatal(err)
		}
		check("deleted, and its tasks did not run", "", "cat2h0m0s ")
		put("cat", 2)
		drain(t, layer)
		check("came back", "cat2h0m0s ", "cat2h0m0s ")
		err := layer.Tx(ctx, func(ctx context.Context, tx *persistence.Tx) error {
			for i, user := range []string{"dan", "ann"} {
				if _, err := h.In(tx).Put(ctx, stay{ID: "m", User: user, At: dawn.Add(time.Duration(i) * time.Hour)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		drain(t, layer)
		check("moved twice in one transaction", "ann1h0m0s ", "ann1h0m0s ")
		if _, err := h.Delete(ctx, "m"); err != nil {
			t.Fatal(err)
		}
		drain(t, layer)
		check("gone", "", "")
		if _, lines := verify(t, h); len(lines) > 0 {
			t.Errorf("differences: %v", lines)
		}
	})
}

// A layout keeps the book that it began with, however its plan changes, for one
// book does not know what the other holds.
func TestALayoutKeepsItsBook(t *testing.T) {
	one := persistence.Plan[stay]{moversPlan[1]}
	two := persistence.Plan[stay]{moversPlan[0], moversPlan[1]}
	for name, plans := range map[string][2]persistence.Plan[stay]{"listed": {one, two}, "registered": {two, one}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for i, user := range []string{"ann", "bob", "cat"} {
				layer := openStores(t, blindStoresWith(dir, name == "listed"))
				h := persistence.Declare(layer, "mover", plans[min(i, 1)])
				putEach(t, h, stay{ID: "m", User: user, At: dawn})
				drain(t, layer)
				if got, want := lies(t, h, "now", "m"), user+"0s "; got != want {
					t.Errorf("it lies at %q, want %q", got, want)
				}
				layer.Close()
			}
		})
	}
}

// A letter that is edited keeps its version and may lie elsewhere: the row is
// found again when it moves on.
func TestAnEditedLetterMovesItsRow(t *testing.T) {
	sighted(t, func(t *testing.T, open func(dir string) *persistence.Layer) {
		ctx, layer := t.Context(), open(t.TempDir())
		sick := true
		plan := append(persistence.Plan[stay]{}, moversPlan...)
		h := persistence.Declare(layer, "mover", append(plan, persistence.Task[stay]{
			Name: "check", Purpose: persistence.Transitory, Priority: 2, MaxAttempts: 1, Do: func(context.Context, stay) error {
				if sick {
					return persistence.Permanent(errors.New("no"))
				}
				return nil
			}}))
		putEach(t, h, stay{ID: "m", User: "ann", At: dawn})
		drain(t, layer)
		sick = false
		letters, err := layer.DeadLetters().List(ctx, persistence.DeadFilter{})
		if err != nil || len(letters) != 1 {
			t.Fatalf("%d letters, %v", len(letters), err)
		}
		if err := persistence.EditDeadLetter(ctx, layer, letters[0].ID, func(s *stay) error { s.User = "bob"; return nil }); err != nil {
			t.Fatal(err)
		}
		drain(t, layer)
		putEach(t, h, stay{ID: "m", User: "cat", At: dawn})
		drain(t, layer)
		if got := lies(t, h, "now", "m") + lies(t, h, "activity", "m"); got != "cat0s cat0s " {
			t.Errorf("it lies at %q", got)
		}
	})
}

// A version that is not accepted is not registered: an older one, which is
// accepted, would make way for nothing.
func TestNobodyMakesWayForWhatIsNotAccepted(t *testing.T) {
	ctx, faults := t.Context(), persistencetest.NewFaults()
	layer := openStores(t, faults.Wrap(blindStores(t.TempDir())))
	h := persistence.Declare(layer, "mover", persistence.Plan[stay]{
		moversPlan[1],
		{Name: "tell", Purpose: persistence.Transitory, Priority: 1, Do: func(context.Context, stay) error { return nil }},
	}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
	writes := func(op persistencetest.Op) bool { return op.Name == "write" }
	putEach(t, h, stay{ID: "m", User: "ann", At: dawn})
	drain(t, layer)
	faults.Busy(persistence.Amorphous, 1, writes)
	if _, err := h.Put(ctx, stay{ID: "m", User: "bob", At: dawn}); !fault.Accepted(err) {
		t.Fatalf("a Put whose row is to be written later: %v", err)
	}
	faults.Busy(persistence.Amorphous, 1, writes)
	_, err := h.Delete(ctx, "m") // nothing but the row
	want := "bob0s "
	if err == nil || fault.Accepted(err) {
		want = ""
	}
	drain(t, layer)
	if got := lies(t, h, "now", "m"); got != want {
		t.Errorf("after a Delete that was answered with %v it lies at %q, want %q", err, got, want)
	}
}

// A nomad is a program that moves its objects and is killed.
type nomad struct {
	stays *persistence.Handle[stay]
}

func (w *nomad) open(ctx context.Context, dir string) (*persistence.Layer, error) {
	layer, err := persistence.Open(ctx, blindStores(dir), nil)
	if err != nil {
		return nil, err
	}
	w.stays = persistence.Declare(layer, "stay", moversPlan)
	return layer, nil
}

const nomads = 20

func (w *nomad) load(ctx context.Context, layer *persistence.Layer, r *persistencetest.Recorder) error {
	for pass := range 4 {
		err := r.Try(fmt.Sprint(r.Round, ".", pass), func() error {
			var all []stay
			for i := range nomads {
				s := stayOf(i, []string{"ann", "bob", "cat", "dan"}[(i*r.Round+i+pass)%4])
				s.At = dawn.Add(time.Duration(pass*i) * time.Minute)
				all = append(all, s)
			}
			for _, result := range w.stays.PutAll(ctx, all) {
				if result.Err != nil && !fault.Accepted(result.Err) {
					return result.Err
				}
			}
			_, err := w.stays.Delete(ctx, all[pass].ID)
			return err
		})
		if err != nil {
			return err
		}
		if pass%2 == 1 {
			if _, err := layer.Drain(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// check compares the layouts with the record.
func (w *nomad) check(ctx context.Context, _ *persistence.Layer, h *persistencetest.History) error {
	for d, err := range w.stays.Verify(&persistence.VerifyOptions{Young: -1}).Differences(ctx) {
		if err != nil {
			return err
		}
		return fmt.Errorf("differs: %+v", d)
	}
	n := 0
	for _, err := range w.stays.Scan("").Objects(ctx) {
		if err != nil {
			return err
		}
		n++
	}
	if len(h.Acked) > 0 && n < nomads-5 {
		return fmt.Errorf("%d objects are left", n)
	}
	return nil
}

// Layouts are those of the objects, wherever the program is killed, also where
// places are registered with the acceptance.
func TestCrashOfMovers(t *testing.T) {
	w := &nomad{}
	persistencetest.Crash(t, persistencetest.Scenario{Open: w.open, Load: w.load, Check: w.check, Runs: 8})
}
