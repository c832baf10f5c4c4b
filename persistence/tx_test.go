package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// "The database may ask to run fn again from the start": the clock that
// versions come from may not, for whoever comes first.
func TestTheFirstTransactionAfterOpenPuts(t *testing.T) {
	layer := openLayer(t, nil)
	accounts := persistence.Declare(layer, "account", persistence.Plan[visit]{{Purpose: persistence.Transactional}})
	err := layer.Tx(t.Context(), func(ctx context.Context, tx *persistence.Tx) error {
		_, err := accounts.In(tx).Put(ctx, visit{ID: "v1"})
		return err
	})
	if err != nil {
		t.Errorf("a transaction as the first thing that a layer does: %v", err)
	}
}

// Where there is one writer a Put beside the transaction would wait for it, and
// it for the Put: "a transaction that hogs the writer is cut off" after seconds
// in which nobody writes. It is refused at once instead.
func TestAPutBesideItsOwnTransactionIsRefusedAtOnce(t *testing.T) {
	layer := openLayer(t, nil)
	rows := persistence.Declare(layer, "row", persistence.Plan[visit]{{Purpose: persistence.Transactional}})
	cells := persistence.Declare(layer, "cell", persistence.Plan[visit]{{Purpose: persistence.Amorphous}})
	jobs := persistence.Declare(layer, "job", persistence.Plan[visit]{{Name: "x", Priority: 1, Purpose: persistence.Transitory, Do: nothing}})
	for name, beside := range map[string]func(ctx context.Context) error{
		"a row":  func(ctx context.Context) error { _, err := rows.Put(ctx, visit{ID: "b"}); return err },
		"a cell": func(ctx context.Context) error { _, err := cells.Put(ctx, visit{ID: "b"}); return err },
		"a job":  func(ctx context.Context) error { _, err := jobs.Put(ctx, visit{ID: "b"}); return err },
		"many":   func(ctx context.Context) error { return rows.PutAll(ctx, []visit{{ID: "b"}})[0].Err },
		"a delete": func(ctx context.Context) error {
			_, err := cells.Delete(ctx, "b")
			return err
		},
		"an update": func(ctx context.Context) error {
			_, err := rows.Update(ctx, "a", func(*visit) error { return nil })
			return err
		},
		"another transaction": func(ctx context.Context) error {
			return layer.Tx(ctx, func(context.Context, *persistence.Tx) error { return nil })
		},
	} {
		began := time.Now()
		err := layer.Tx(t.Context(), func(ctx context.Context, tx *persistence.Tx) error {
			if _, err := rows.In(tx).Put(ctx, visit{ID: "a"}); err != nil {
				return err
			}
			return beside(ctx)
		})
		if !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("%s: %v after %v, want fault.ErrInvalid at once", name, err, time.Since(began))
		}
	}
}

// "A Put inside a handler takes its token from that run, so a handler that runs
// twice puts once": also when its second run computes another content from
// what the first one left, and when it puts in another order.
func TestAHandlerThatRunsTwicePutsOnceWhateverItComputes(t *testing.T) {
	layer := openLayer(t, nil)
	var told atomic.Int64
	tallies := persistence.Declare(layer, "tally", persistence.Plan[tally]{
		{Purpose: persistence.Transactional},
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, Do: func(context.Context, tally) error { told.Add(1); return nil }},
	})
	for _, user := range []string{"ann", "bob"} {
		if _, err := tallies.Put(t.Context(), tally{User: user}); err != nil {
			t.Fatal(err)
		}
	}
	runs := 0
	jobs := persistence.Declare(layer, "job", persistence.Plan[job]{{Priority: 1, Name: "x", Purpose: persistence.Transitory, MaxAttempts: 2,
		Do: func(ctx context.Context, j job) error {
			runs++
			receipt, err := tallies.Update(ctx, "ann", func(n *tally) error { n.N++; return nil })
			if err != nil || receipt == nil {
				return persistence.Permanent(fmt.Errorf("run %d, update: %v, %w", runs, receipt, err))
			}
			err = layer.Tx(ctx, func(ctx context.Context, tx *persistence.Tx) error {
				bob, err := tallies.In(tx).Get(ctx, "bob")
				if err == nil {
					_, err = tallies.In(tx).Put(ctx, tally{User: "bob", N: bob.N + 1})
				}
				return err
			})
			for i := range 20 { // in one order first, in the other then
				if runs == 2 {
					i = 19 - i
				}
				_, perr := tallies.Put(ctx, tally{User: fmt.Sprint("new", i), N: runs})
				err = errors.Join(err, perr)
			}
			if runs == 1 {
				return errors.Join(err, persistence.Snooze(0))
			}
			if err != nil {
				return persistence.Permanent(err)
			}
			return nil
		}}})
	if _, err := jobs.Put(t.Context(), job{ID: "1"}); err != nil {
		t.Fatal(err)
	}
	drain(t, layer)
	dead, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
	if err != nil || len(dead) > 0 || runs != 2 {
		t.Fatalf("%d runs, dead letters %+v, %v", runs, dead, err)
	}
	for _, user := range []string{"ann", "bob", "new0", "new19"} {
		if got, err := tallies.Get(t.Context(), user); err != nil || got.N != 1 {
			t.Errorf("%s is %+v (%v), want N 1: the second run puts nothing more", user, got, err)
		}
	}
	if told.Load() != 2+2+20 {
		t.Errorf("told %d times, want once for each of 24 accepted versions", told.Load())
	}
}

// "It must not be used … after the function that got it returned": what is put
// then would be lost, and what is put in another layer's transaction would land
// in another layer's store.
func TestATransactionIsForItsFunctionAndItsLayer(t *testing.T) {
	one, other := openLayer(t, nil), openLayer(t, nil)
	plan := persistence.Plan[visit]{{Purpose: persistence.Transactional}}
	visits, foreign := persistence.Declare(one, "visit", plan), persistence.Declare(other, "visit", plan)
	try := func(name string, class error, tx *persistence.Tx, h *persistence.Handle[visit]) {
		t.Helper()
		_, put := h.In(tx).Put(t.Context(), visit{ID: "v1"})
		_, remove := h.In(tx).Delete(t.Context(), "v1")
		_, get := h.In(tx).Get(t.Context(), "v1")
		_, find := h.In(tx).Find(t.Context(), persistence.Query{})
		for op, err := range map[string]error{"put": put, "delete": remove, "get": get, "find": find} {
			if !errors.Is(err, class) {
				t.Errorf("%s: %s: %v, want %v", name, op, err, class)
			}
		}
	}
	var kept *persistence.Tx
	err := one.Tx(t.Context(), func(ctx context.Context, tx *persistence.Tx) error {
		kept = tx
		try("a handle of another layer", fault.ErrInvalid, tx, foreign)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	try("after its function", fault.ErrClosed, kept, visits)
	try("none at all", fault.ErrInvalid, nil, visits)
	for name, h := range map[string]*persistence.Handle[visit]{"its own": visits, "the other": foreign} {
		if _, err := h.Get(t.Context(), "v1"); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("%s layer has what was refused: %v", name, err)
		}
	}
}

// A subscriber has an address that nobody else has.
type subscriber struct {
	ID      string `persistence:"key"`
	Address string `transactional:",unique"`
}

// A row that was read as absent may be inserted by somebody else meanwhile, and
// then the function runs again. A value that another row has is refused in the
// same words, and running again does not help: in the end that is what is said.
func TestAUniqueValueThatIsTakenIsNoRace(t *testing.T) {
	layer := openLayer(t, nil)
	all := persistence.Declare[subscriber](layer, "subscriber", nil)
	if _, err := all.Put(t.Context(), subscriber{"a", "x@example.org"}); err != nil {
		t.Fatal(err)
	}
	err := layer.Tx(t.Context(), func(ctx context.Context, tx *persistence.Tx) error {
		if _, err := all.In(tx).Get(ctx, "b"); !errors.Is(err, fault.ErrNotFound) {
			return err
		}
		_, err := all.In(tx).Create(ctx, subscriber{"b", "x@example.org"})
		return err
	})
	if fault.ClassOf(err) != fault.ErrExists || fault.Retryable(err) {
		t.Errorf("%v, want an error of the class ErrExists", err)
	}
}

// A Tx task whose function outlives its Timeout, and does not look at its
// context, is no longer read by anybody: it has no effect, and its task is
// repeated.
func TestATxFunctionThatOutlivesItsTask(t *testing.T) {
	layer := openLayer(t, nil)
	notes := persistence.Declare(layer, "note", persistence.Plan[visit]{{Purpose: persistence.Transactional}})
	var runs sync.Map
	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Priority: 1, Name: "book", Purpose: persistence.Transactional, Timeout: 200 * time.Millisecond,
			Tx: func(_ context.Context, tx *persistence.Tx, v visit) error {
				_, again := runs.LoadOrStore(v.ID, true)
				for n := 0; n == 0 || !again; n++ {
					if _, err := notes.In(tx).Put(context.Background(), visit{ID: v.ID, User: fmt.Sprint(n)}); err != nil {
						return nil // it takes its end for success
					}
				}
				return nil
			}},
	}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
	serve(t, layer)
	receipts := make([]*persistence.Receipt, 3)
	for i := range receipts {
		r, err := visits.Put(t.Context(), visit{ID: fmt.Sprint("v", i)})
		if receipts[i] = r; err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range receipts {
		wait(t, r, nil, "book")
		if got, err := notes.Get(t.Context(), fmt.Sprint("v", i)); err != nil || got.User != "0" {
			t.Errorf("v%d: the note is %+v, %v; want that of the run that ended in time", i, got, err)
		}
	}
}

// Nor is the function of an Update read that outlives its context.
func TestAnUpdateThatOutlivesItsContext(t *testing.T) {
	layer := openLayer(t, nil)
	notes := persistence.Declare(layer, "note", persistence.Plan[visit]{{Purpose: persistence.Transactional}})
	if _, err := notes.Put(t.Context(), visit{ID: "v"}); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		_, err := notes.Update(ctx, "v", func(v *visit) error {
			<-ctx.Done()
			v.User = "late"
			return nil
		})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an update that took too long: %v, want the end of its context", err)
		}
	}
	if v, err := notes.Get(t.Context(), "v"); err != nil || v.User != "" {
		t.Errorf("got %+v, %v", v, err)
	}
}
