package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// account is kept by its tags alone, in three stores.
type account struct {
	ID     string    `persistence:"key"`
	Email  string    `transactional:"email,unique"`
	Owed   int64     `transactional:"owed"`
	Bio    string    `amorphous:"bio"`
	Online time.Time `volatile:"online,ttl=15m"`
}

func TestTagsAloneKeepEachFieldWhereItSays(t *testing.T) {
	layer := openLayer(t, nil)
	accounts := persistence.Declare[account](layer, "account", nil)
	ann := account{ID: "ann", Email: "ann@example.org", Owed: 1<<60 + 1, Bio: "likes piers", Online: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	receipt, err := accounts.Put(t.Context(), ann)
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range receipt.Tasks() {
		if task.State != persistence.TaskDone {
			t.Errorf("task %s is %s after Put returned, want done: everything is at priority 0", task.Name, task.State)
		}
	}
	got, err := accounts.Get(t.Context(), "ann")
	if err != nil || got != ann {
		t.Fatalf("got %+v, %v; want what was put", got, err)
	}
	if left := drain(t, layer); len(left) != 0 {
		t.Errorf("drain left %v", left)
	}
}

func TestARefusedRowRefusesThePut(t *testing.T) {
	layer := openLayer(t, nil)
	accounts := persistence.Declare[account](layer, "account", nil)
	if _, err := accounts.Put(t.Context(), account{ID: "ann", Email: "a@example.org"}); err != nil {
		t.Fatal(err)
	}
	_, err := accounts.Put(t.Context(), account{ID: "bob", Email: "a@example.org", Bio: "a double"})
	if !errors.Is(err, fault.ErrExists) || fault.Accepted(err) {
		t.Fatalf("a taken unique value: %v, want ErrExists and not accepted", err)
	}
	if _, err := accounts.Get(t.Context(), "bob"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a refused Put left something behind: %v", err)
	}
}

func TestConditions(t *testing.T) {
	layer := openLayer(t, nil)
	tallies := persistence.Declare(layer, "tally", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	ctx := t.Context()
	first, err := tallies.Create(ctx, tally{User: "ann", N: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tallies.Create(ctx, tally{User: "ann", N: 9}); !errors.Is(err, fault.ErrExists) {
		t.Errorf("Create of what is there: %v, want ErrExists", err)
	}
	second, err := tallies.Put(ctx, tally{User: "ann", N: 2}, persistence.IfVersion(first.Version))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tallies.Put(ctx, tally{User: "ann", N: 9}, persistence.IfVersion(first.Version)); !errors.Is(err, fault.ErrConflict) {
		t.Errorf("IfVersion of an old version: %v, want ErrConflict", err)
	}
	if second.Version <= first.Version {
		t.Errorf("version %d after %d", second.Version, first.Version)
	}
	if _, err := tallies.Update(ctx, "ann", func(n *tally) error { n.N += 40; return nil }); err != nil {
		t.Fatal(err)
	}
	if got, err := tallies.Get(ctx, "ann"); err != nil || got.N != 42 {
		t.Errorf("got %+v, %v; want 42", got, err)
	}
	if _, err := tallies.Update(ctx, "nobody", func(*tally) error { return nil }); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("Update of what is not there: %v, want ErrNotFound", err)
	}
	if _, err := tallies.Delete(ctx, "ann"); err != nil {
		t.Fatal(err)
	}
	if _, err := tallies.Get(ctx, "ann"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("Get after Delete: %v, want ErrNotFound", err)
	}
	if _, err := tallies.Create(ctx, tally{User: "ann", N: 1}); err != nil {
		t.Errorf("Create after Delete: %v", err)
	}
}

func TestUpdatesAreNotLost(t *testing.T) {
	layer := openLayer(t, nil)
	tallies := persistence.Declare(layer, "tally", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	if _, err := tallies.Put(t.Context(), tally{User: "ann"}); err != nil {
		t.Fatal(err)
	}
	const writers, each = 8, 25
	errs := make(chan error, writers)
	for range writers {
		go func() {
			var err error
			for range each {
				if _, e := tallies.Update(t.Context(), "ann", func(n *tally) error { n.N++; return nil }); e != nil {
					err = e
				}
			}
			errs <- err
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got, err := tallies.Get(t.Context(), "ann"); err != nil || got.N != writers*each {
		t.Errorf("got %+v, %v; want %d: no update is lost", got, err, writers*each)
	}
}

func TestATokenIsAcceptedOnce_A28(t *testing.T) {
	g := newGame(t, nil)
	v := visit{ID: "v1", User: "ann", Venue: "pier"}
	first, err := g.visits.Put(t.Context(), v, persistence.Token("req-1"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := g.visits.Put(t.Context(), v, persistence.Token("req-1"))
	if err != nil || again.ID != first.ID {
		t.Fatalf("a repeat: %v, %v; want the receipt of the first", again, err)
	}
	drain(t, g.layer)
	again, err = g.visits.Put(t.Context(), v, persistence.Token("req-1"))
	if err != nil || again.ID != first.ID {
		t.Fatalf("a repeat after the drain: %v, %v; want the receipt of the first", again, err)
	}
	v.Venue = "castle"
	if _, err = g.visits.Put(t.Context(), v, persistence.Token("req-1")); !errors.Is(err, fault.ErrConflict) {
		t.Errorf("the same token with other content: %v, want ErrConflict", err)
	}
	drain(t, g.layer)
	if n, err := g.tallies.Get(t.Context(), "ann"); err != nil || n.N != 1 {
		t.Errorf("counted %d times (%v), want once", n.N, err)
	}
}

func TestFaultyObjectsAreRefusedBeforeAnyStore_A29(t *testing.T) {
	g := newGame(t, nil)
	for name, v := range map[string]visit{
		"an empty key":         {User: "ann"},
		"a key that is long":   {ID: strings.Repeat("k", 256)},
		"a NUL in the key":     {ID: "a\x00b"},
		"invalid UTF-8 in it":  {ID: "a\xffb"},
		"invalid UTF-8 inside": {ID: "ok", User: "a\xff"},
		"a time out of range":  {ID: "ok", At: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		receipt, err := g.visits.Put(t.Context(), v)
		if !errors.Is(err, fault.ErrInvalid) || receipt != nil {
			t.Errorf("%s: %v, %v; want ErrInvalid and no receipt", name, receipt, err)
		}
	}
	if _, err := g.visits.Put(t.Context(), visit{ID: "big", User: strings.Repeat("x", 40<<20)}); !errors.Is(err, fault.ErrTooLarge) {
		t.Errorf("40 MB: %v, want ErrTooLarge", err)
	}
	largerThanTheCache(t, g.layer)
	stats, err := g.layer.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stats.Tasks {
		if s.Accepted != 0 {
			t.Errorf("%s/%s: accepted %d of nothing but faulty objects", s.Kind, s.Task, s.Accepted)
		}
	}
}

// largerThanTheCache puts what only the cache would keep, and cannot.
func largerThanTheCache(t *testing.T, layer *persistence.Layer) {
	t.Helper()
	type page struct {
		ID   string `persistence:"key"`
		Text string
	}
	type guest struct {
		ID    string `persistence:"key"`
		Name  string `transactional:"name"`
		Photo string `volatile:"photo"`
	}
	pages := persistence.Declare(layer, "page", persistence.Plan[page]{{Purpose: persistence.Volatile}})
	kept := persistence.Declare(layer, "kept", persistence.Plan[page]{{Purpose: persistence.Volatile}, {Purpose: persistence.Amorphous}})
	guests := persistence.Declare[guest](layer, "guest", nil)
	most, size := layer.Volatile().Features().MaxValue, 2<<20
	big := page{ID: "big", Text: strings.Repeat("x", size)}
	_, alone := pages.Put(t.Context(), big)
	_, part := guests.Put(t.Context(), guest{ID: "big", Photo: big.Text})
	for what, err := range map[string]error{"the object": alone, "its fields of the object": part} {
		says := err != nil && strings.Contains(err.Error(), fmt.Sprintf("alone keeps %s, 2097", what)) &&
			strings.Contains(err.Error(), fmt.Sprintf("takes %d", most))
		if !errors.Is(err, fault.ErrTooLarge) || !says {
			t.Errorf("%s in the cache alone: %v, want ErrTooLarge with the bytes and the limit, %d", what, err, most)
		}
	}
	refused, err := pages.Explain(big)
	left, err2 := kept.Explain(big)
	if err != nil || err2 != nil || !strings.Contains(refused.String(), "Put would refuse it") || !strings.Contains(left.String(), "the entry is left out") {
		t.Errorf("Explain: %v, %v:\n%s%s", err, err2, refused, left)
	}
}

func TestTxIsAllOrNothing(t *testing.T) {
	g := newGame(t, nil)
	ctx := t.Context()
	stop := errors.New("stop")
	put := func(ctx context.Context, tx *persistence.Tx) error {
		if _, err := g.tallies.In(tx).Put(ctx, tally{User: "ann", N: 1}); err != nil {
			return err
		}
		if n, err := g.tallies.In(tx).Get(ctx, "ann"); err != nil || n.N != 1 {
			t.Errorf("a transaction does not read its own write: %+v, %v", n, err)
		}
		_, err := g.visits.In(tx).Put(ctx, visit{ID: "v1", User: "bob", Venue: "pier"})
		return err
	}
	err := g.layer.Tx(ctx, func(ctx context.Context, tx *persistence.Tx) error { return errors.Join(put(ctx, tx), stop) })
	if !errors.Is(err, stop) {
		t.Fatalf("the function's error came back as %v", err)
	}
	drain(t, g.layer)
	if _, err := g.tallies.Get(ctx, "ann"); !errors.Is(err, fault.ErrNotFound) || g.told.Load() != 0 {
		t.Errorf("a rolled back transaction left something: %v, %d handler runs", err, g.told.Load())
	}
	if err := g.layer.Tx(ctx, put); err != nil {
		t.Fatal(err)
	}
	drain(t, g.layer)
	if n, err := g.tallies.Get(ctx, "ann"); err != nil || n.N != 1 || g.told.Load() != 1 {
		t.Errorf("after the commit: %+v, %v, %d handler runs", n, err, g.told.Load())
	}
	if v, err := g.visits.Get(ctx, "v1"); err != nil || v.User != "bob" {
		t.Errorf("after the commit: %+v, %v", v, err)
	}
}

func TestADeleteRemovesEverythingThatThePlanWrote(t *testing.T) {
	g := newGame(t, nil)
	ctx := t.Context()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	activity := func(user string) (n int) {
		for _, err := range g.visits.Find(ctx, persistence.Query{Task: "activity", Where: map[string]any{"User": user}}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	if _, err := g.visits.Put(ctx, visit{ID: "v1", User: "ann", At: at}); err != nil {
		t.Fatal(err)
	}
	drain(t, g.layer)
	if _, err := g.visits.Put(ctx, visit{ID: "v1", User: "bob", At: at.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	drain(t, g.layer)
	if activity("ann") != 0 || activity("bob") != 1 {
		t.Errorf("after a move: ann has %d, bob %d; want 0 and 1", activity("ann"), activity("bob"))
	}
	if _, err := g.visits.Delete(ctx, "v1"); err != nil {
		t.Fatal(err)
	}
	drain(t, g.layer)
	if _, err := g.visits.Get(ctx, "v1"); !errors.Is(err, fault.ErrNotFound) || activity("bob") != 0 {
		t.Errorf("after a delete: %v, bob has %d activities", err, activity("bob"))
	}
	if g.told.Load() != 2 {
		t.Errorf("the handler ran %d times: a delete runs no Do", g.told.Load())
	}
}

// A row and a cache entry that are both due before Put returns write the cache
// once: the entry need not be refreshed first.
func TestARowAndItsCacheEntryWriteTheCacheOnce(t *testing.T) {
	faults := persistencetest.NewFaults()
	layer, err := persistence.Open(t.Context(), faults.Wrap(embedded.Stores(t.TempDir())), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	both := persistence.Declare(layer, "both", persistence.Plan[tally]{
		{Purpose: persistence.Transactional}, {Purpose: persistence.Volatile},
	})
	later := persistence.Declare(layer, "later", persistence.Plan[tally]{
		{Purpose: persistence.Transactional}, {Purpose: persistence.Volatile, Priority: 1},
	})
	calls := func(h *persistence.Handle[tally], n tally) int {
		t.Helper()
		before, _ := faults.Calls(persistence.Volatile)
		if _, err := h.Put(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		after, _ := faults.Calls(persistence.Volatile)
		if got, err := h.Get(t.Context(), n.User); err != nil || got != n {
			t.Errorf("got %+v, %v; want %+v", got, err, n)
		}
		return after - before
	}
	const write = 2 // calls of the cache at most: a look, and a swap
	// What is new is not looked for, and the first that is not new after it is
	// looked for when the swap has met it.
	for n, write := range []int{1, 3, write, write} {
		if got := calls(both, tally{User: "ann", N: n}); got > write {
			t.Errorf("both at priority 0: %d calls of the cache, want %d at most", got, write)
		}
		if got := calls(later, tally{User: "ann", N: n}); got > write {
			t.Errorf("the entry later: %d calls of the cache, want %d at most, which make the old entry give way", got, write)
		}
	}
}
