package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// holdsSecret looks for a text in all that a file holds of SQL tables, but for
// the lists of buckets, which name partitions.
func (v *vandal) holdsSecret(secret string) (where []string) {
	v.t.Helper()
	err := v.layer.Tx(v.t.Context(), func(ctx context.Context, tx *persistence.Tx) error {
		where = nil
		var tables []string
		err := tx.Query(ctx, "SELECT name FROM sqlite_schema WHERE type='table'", nil, func(scan func(...any) error) error {
			var name string
			err := scan(&name)
			tables = append(tables, name)
			return err
		})
		for _, name := range tables {
			var columns []string
			err = errors.Join(err, tx.Query(ctx, "SELECT name FROM pragma_table_info(?)", []any{name}, func(scan func(...any) error) error {
				var c string
				err := scan(&c)
				columns = append(columns, `instr(CAST("`+c+`" AS BLOB), CAST(? AS BLOB)) > 0`)
				return err
			}))
			args := make([]any, len(columns))
			for i := range args {
				args[i] = secret
			}
			err = errors.Join(err, tx.Query(ctx, `SELECT count(*) FROM "`+name+`" WHERE `+strings.Join(columns, " OR "), args, func(scan func(...any) error) error {
				var n int
				err := scan(&n)
				if n > 0 && !strings.HasSuffix(name, "__buckets") {
					where = append(where, fmt.Sprint(n, " of ", name))
				}
				return err
			}))
		}
		return err
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return where
}

// TestErase: an object lies in every store, waits in the outbox in an older
// version, is a dead letter, and was copied by hand. Afterwards no table of the
// file has a byte of it, and what comes late changes nothing.
func TestErase(t *testing.T) {
	t.Run("sighted", func(t *testing.T) { testErase(t, openLayer(t, nil), "") })
	// There a tombstone names the place at which it lies.
	t.Run("blind", func(t *testing.T) { testErase(t, openStores(t, blindStores(t.TempDir())), "$gone") })
}

func testErase(t *testing.T, layer *persistence.Layer, except string) {
	ctx := t.Context()
	v := &vandal{t: t, layer: layer, ns: "ff"}
	fails := true
	plan := append(verifyPlan(persistence.Transactional),
		persistence.Task[stay]{Name: "later", Purpose: persistence.Amorphous, Priority: 2, Delay: time.Hour, PartitionBy: "User"},
		persistence.Task[stay]{Name: "check", Purpose: persistence.Transitory, Priority: 1, MaxAttempts: 1, Do: func(_ context.Context, s stay) error {
			if fails && s.User == "topsecret" {
				return persistence.Permanent(errors.New("no"))
			}
			return nil
		}})
	h := persistence.Declare(layer, "erased", plan)
	putEach(t, h, stay{ID: "e1", User: "topsecret", At: dawn}, stay{ID: "e2", User: "ann", At: dawn})
	drain(t, layer)
	v.copy("erased__activity", "e1", "elsewhere\x1f3", "e1")
	if where := v.holdsSecret("topsecret"); len(where) < 5 {
		t.Fatalf("nothing is proved: the secret is only in %v", where)
	}
	report, err := h.Erase(ctx, "e1", &persistence.EraseOptions{Everywhere: true})
	if err != nil {
		t.Fatalf("%v\n%v", err, report)
	}
	for _, word := range []string{"the record", "activity", "elsewhere", "names", "hot", "outbox", "dead letters: check", "not searched: task \"check\""} {
		if !strings.Contains(report.String(), word) {
			t.Errorf("the report does not name %q:\n%v", word, report)
		}
	}
	where := slices.DeleteFunc(v.holdsSecret("topsecret"), func(table string) bool {
		return except != "" && strings.HasSuffix(table, except)
	})
	if len(where) > 0 {
		t.Errorf("the secret is still in %v\n%v", where, report)
	}
	if _, err := h.Get(ctx, "e1"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("an erased object is gone: %v", err)
	}
	if s, err := h.Get(ctx, "e2"); err != nil || s.User != "ann" {
		t.Errorf("others stay: %+v, %v", s, err)
	}
	again, err := h.Erase(ctx, "e1", &persistence.EraseOptions{Everywhere: true})
	if err != nil || len(again.Found) > 0 || len(again.Left) > 0 || !report.Proved || !again.Proved {
		t.Errorf("erasing again finds nothing: %v, %v", again, err)
	}
	putEach(t, h, stay{ID: "e1", User: "born again", At: dawn})
	if s, err := h.Get(ctx, "e1"); err != nil || s.User != "born again" {
		t.Errorf("a key may be put anew: %+v, %v", s, err)
	}
}

// A remnant is a kind in transitory custody, and the names that its handler saw.
type remnant struct {
	layer  *persistence.Layer
	handle *persistence.Handle[stay]
	seen   []string
}

// openRemnant opens a layer in a directory. A wrapped queue does not let its jobs
// be looked into, as that of a server does not.
func openRemnant(t *testing.T, dir string, wrapped, transactional bool) *remnant {
	t.Helper()
	stores := embedded.Stores(dir)
	if wrapped {
		stores = persistencetest.NewFaults().Wrap(stores)
	}
	if !transactional {
		stores.Transactional = nil
	}
	r := &remnant{layer: openStores(t, stores)}
	r.handle = persistence.Declare(r.layer, "late", persistence.Plan[stay]{
		{Name: "object", Purpose: persistence.Amorphous, Priority: 1},
		{Name: "activity", Purpose: persistence.Amorphous, Priority: 2, PartitionBy: "User", Newest: "At", Bucket: time.Hour},
		{Name: "notify", Purpose: persistence.Transitory, Priority: 3, Do: func(_ context.Context, s stay) error {
			r.seen = append(r.seen, s.User)
			return nil
		}},
	}, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	return r
}

// TestEraseOutlivesLateRetries: what a queue still holds of an erased object is
// removed where the queue can be searched, and where it cannot it is dropped by
// whoever takes it, also after a restart. The handler never runs, and the report
// is no proof as long as jobs are there that nobody can look into.
func TestEraseOutlivesLateRetries(t *testing.T) {
	for _, wrapped := range []bool{false, true} {
		for _, transactional := range []bool{false, true} {
			t.Run(fmt.Sprintf("wrapped=%v,transactional=%v", wrapped, transactional), func(t *testing.T) {
				testLateRetries(t, wrapped, transactional)
			})
		}
	}
}

func testLateRetries(t *testing.T, wrapped, transactional bool) {
	ctx, dir := t.Context(), t.TempDir()
	r := openRemnant(t, dir, wrapped, transactional)
	putEach(t, r.handle, stay{ID: "e1", User: "topsecret", At: dawn}, stay{ID: "e2", User: "ann", At: dawn})
	report, err := r.handle.Erase(ctx, "e1", nil)
	if err != nil || report.Proved == wrapped {
		t.Fatalf("%v, %v", report, err)
	}
	if said := fmt.Sprint(report); wrapped != (strings.Contains(said, "NOT PROVED") && strings.Contains(said, "2 jobs")) ||
		wrapped == strings.Contains(said, "removed: the queue: 1 jobs") {
		t.Errorf("%v", report)
	}
	if err := r.layer.Close(); err != nil {
		t.Fatal(err)
	}
	r = openRemnant(t, dir, wrapped, transactional)
	drain(t, r.layer)
	if !slices.Equal(r.seen, []string{"ann"}) {
		t.Errorf("the handler ran for %q", r.seen)
	}
	if _, err := r.handle.Get(ctx, "e1"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a late retry brings nothing back: %v", err)
	}
	if transactional {
		v := &vandal{t: t, layer: r.layer, ns: "ff"}
		for _, where := range v.holdsSecret("topsecret") {
			t.Errorf("the secret is still in %v", where)
		}
	}
	if again, err := r.handle.Erase(ctx, "e1", nil); err != nil || !again.Proved {
		t.Errorf("now nothing waits in the queue, and that is a proof: %v, %v", again, err)
	}
	putEach(t, r.handle, stay{ID: "e1", User: "born again", At: dawn})
	drain(t, r.layer)
	if !slices.Equal(r.seen, []string{"ann", "born again"}) {
		t.Errorf("a key may be put anew; the handler ran for %q", r.seen)
	}
}

// TestEraseOfOwnVersions: a kind with versions of its own is told one.
func TestEraseOfOwnVersions(t *testing.T) {
	layer := openLayer(t, nil)
	own := persistence.Declare(layer, "own", persistence.Plan[owned]{{Purpose: persistence.Transactional}})
	if _, err := own.Put(t.Context(), owned{ID: "a", Rev: 7}); err != nil {
		t.Fatal(err)
	}
	if _, err := own.Erase(t.Context(), "a", nil); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("a kind with versions of its own needs one: %v", err)
	}
	if _, err := own.Erase(t.Context(), "a", &persistence.EraseOptions{Version: 8}); err != nil {
		t.Error(err)
	}
}

type owned struct {
	ID  string `persistence:"key"`
	Rev int64  `persistence:"version"`
}

// TestEraseElsewhere: a process that has the jobs of a queue learns within a
// second of what another one erased.
func TestEraseElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		here, there := openRemnant(t, dir, true, true), openRemnant(t, dir, true, true)
		putEach(t, here.handle, stay{ID: "e1", User: "topsecret", At: dawn}, stay{ID: "e2", User: "ann", At: dawn})
		if _, err := here.handle.Erase(t.Context(), "e1", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // in the bubble
		drain(t, there.layer)
		if !slices.Equal(there.seen, []string{"ann"}) {
			t.Errorf("the handler of another process ran for %q", there.seen)
		}
	})
}
