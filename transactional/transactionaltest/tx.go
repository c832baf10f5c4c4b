package transactionaltest

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

var errOwn = errors.New("an error of the function's own")

func testTx(t *testing.T, h Harness) {
	h.run(t, "Commit", testTxCommit)
	h.run(t, "Rollback", testTxRollback)
	h.run(t, "Panic", testTxPanic)
	h.run(t, "SQL", testTxSQL)
	h.run(t, "Increment", testIncrement)
	h.run(t, "Repeat", testTxRepeat)
	h.run(t, "ReadAndWritten", testTxReadAndWritten)
	h.run(t, "Holds", testTxHolds)
	h.run(t, "Parts", testTxParts)
}

// testTxParts: functions that share a commit read what those before them wrote,
// keep no Tx, and are rolled back together.
func testTxParts(e *env) {
	var kept *transactional.Tx
	both := func(last error) error {
		return e.store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error {
			err := tx.Part(func(part *transactional.Tx) error {
				kept = part
				_, err := part.Apply(ctx, writes(thing("a", 1, 1, insert)))
				return err
			})
			if err != nil {
				return err
			}
			_, err = kept.Read(ctx, things, "a")
			e.class("a part's Tx is over when its function has returned", err, fault.ErrClosed)
			return tx.Part(func(part *transactional.Tx) error {
				rows, err := part.Read(ctx, things, "a")
				if err != nil || len(rows) != 1 {
					e.Errorf("a part reads what those before it wrote: %v, %v", rows, err)
				}
				if _, err := part.Apply(ctx, writes(thing("a", 2, 2, above), thing("b", 1, 1, insert))); err != nil {
					return err
				}
				if part.Waited() <= 0 {
					e.Error("a part's statements took no time")
				}
				return last
			})
		})
	}
	if err := both(errOwn); err != errOwn {
		e.Errorf("a part's own error comes back untouched: %v", err)
	}
	e.lacks("parts are rolled back together", "a")
	e.nil("parts commit together", both(nil))
	e.holds("the last part's write is there", "a", 2, 2)
	e.holds("and so are the others'", "b", 1, 1)
}

// testTxReadAndWritten: a store may remember what a transaction has read and
// written, but never past the moment at which it changes.
func testTxReadAndWritten(e *env) {
	e.must(writes(thing("a", 5, 1, insert)))
	step := func(what string, class error, do func(ctx context.Context, tx *transactional.Tx) error) {
		e.class(what, e.store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error {
			if _, err := tx.Read(ctx, things, "a", "none"); err != nil {
				return err
			}
			return do(ctx, tx)
		}), class)
	}
	apply := func(ws ...transactional.Write) func(context.Context, *transactional.Tx) error {
		return func(ctx context.Context, tx *transactional.Tx) error {
			for _, w := range ws {
				if _, err := tx.Apply(ctx, writes(w)); err != nil {
					return err
				}
			}
			return nil
		}
	}
	step("a row that was read cannot be inserted", fault.ErrExists, apply(thing("a", 9, 9, insert)))
	step("nor written below its version", fault.ErrConflict, apply(thing("a", 4, 9, above)))
	step("one that was read and is absent is inserted once", fault.ErrExists, apply(thing("none", 1, 1, insert), thing("none", 2, 2, insert)))
	step("what was written counts as read", fault.ErrConflict, apply(thing("a", 7, 7, above), thing("a", 6, 6, above)))
	step("a write that lost to what is there changes nothing", nil, apply(thing("a", 1, 1, newest), thing("a", 6, 6, above)))
	e.holds("what a transaction wrote is there", "a", 6, 6)
	step("SQL of one's own is seen", fault.ErrConflict, func(ctx context.Context, tx *transactional.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE "+e.store.Name(things)+" SET version = 100 WHERE id = ?", "a"); err != nil {
			return err
		}
		return apply(thing("a", 50, 50, above))(ctx, tx)
	})
	step("a row that was deleted can be inserted", nil, apply(gone("a", 8, newest), thing("a", 9, 9, insert)))
	e.holds("and is there", "a", 9, 9)
}

// testTxHolds: what a transaction records of its own record's progress is
// fenced like every settlement.
func testTxHolds(e *env) {
	r := e.record("lane", 1)
	e.must(adds(r))
	mine := e.claim(1, 1, "lane")[0]
	hold := func(what string, owner, seq uint64, class error) {
		e.class(what, e.store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error {
			_, err := tx.Apply(ctx, &transactional.Unit{
				Writes: []transactional.Write{thing("a", int64(seq)+1, 1, newest)},
				Settle: []transactional.Settlement{{ID: mine.ID, Owner: owner, Seq: seq, Hold: true, Progress: []byte("half")}},
			})
			return err
		}), class)
	}
	hold("a transaction of somebody else's record is refused", 2, mine.Seq, fault.ErrConflict)
	hold("and one that was overtaken", 1, mine.Seq+1, fault.ErrConflict)
	e.lacks("with everything in it", "a")
	hold("the owner's is recorded", 1, mine.Seq, nil)
	hold("once", 1, mine.Seq, fault.ErrConflict)
	rec, _, err := e.store.Find(e.Context(), mine.ID)
	e.nil("find", err)
	e.same("with what remains", string(rec.Progress), "half")
	e.same("and counted", rec.Seq, mine.Seq+1)
	e.same("the claim is kept", rec.Owner, uint64(1))
}

func testTxCommit(e *env) {
	r := e.record("lane", 1)
	e.nil("tx", e.store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error {
		if _, err := tx.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{thing("a", 1, 1, insert)}, Add: []transactional.Record{r}}); err != nil {
			return err
		}
		rows, err := tx.Read(ctx, things, "a")
		if err == nil && (len(rows) != 1 || rows[0].Values[0] != int64(1)) {
			e.Errorf("a transaction reads what it wrote: %+v", rows)
		}
		rows, _, scanErr := tx.Scan(ctx, things, transactional.Filter{})
		if len(rows) != 1 {
			e.Errorf("a transaction scans what it wrote: %+v", rows)
		}
		if row := e.row(things, "a"); row != nil {
			e.Errorf("nobody else sees rows before they are committed: %+v", row)
		}
		return errors.Join(err, scanErr)
	}))
	e.holds("a transaction whose function returns nil is committed", "a", 1, 1)
	e.same("with its records", ids(e.claim(1, 1, "lane")), []transactional.RecordID{r.ID})
}

func testTxRollback(e *env) {
	err := e.store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error {
		_, err := tx.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{thing("a", 1, 1, insert)}, Add: []transactional.Record{e.record("lane", 1)}})
		return errors.Join(err, errOwn)
	})
	if !errors.Is(err, errOwn) || fault.ClassOf(err) != nil {
		e.Errorf("the function's own error is returned untouched: %v", err)
	}
	e.lacks("and the transaction is rolled back", "a")
	e.same("with its records", len(e.claim(1, 1, "lane")), 0)
}

func testTxPanic(e *env) {
	func() {
		defer func() { e.same("a panic is the caller's", recover(), any("boom")) }()
		_ = e.store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error {
			_, _ = tx.Apply(ctx, writes(thing("a", 1, 1, insert)))
			panic("boom")
		})
	}()
	e.lacks("and rolls back", "a")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = e.store.Tx(background(), func(ctx context.Context, tx *transactional.Tx) error {
			_, _ = tx.Apply(ctx, writes(thing("a", 1, 1, insert)))
			runtime.Goexit()
			return nil
		})
		e.Error("ending the goroutine in a transaction ends the caller's")
	}()
	<-done
	e.lacks("ending the goroutine rolls back", "a")
	e.must(writes(thing("a", 1, 2, insert)))
}

func testTxRepeat(e *env) {
	r := e.record("lane", 1)
	r.Token, r.Remember = "t", time.Hour
	e.must(adds(r))
	e.nil("tx", e.store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error {
		again := e.record("lane", 1)
		again.Token, again.Remember = "t", time.Hour
		res, err := tx.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{thing("a", 1, 1, insert)}, Add: []transactional.Record{again}})
		e.same("a token repeats inside a transaction as well", res.Repeats, []transactional.RecordID{r.ID})
		return err
	}))
	e.lacks("of the unit that repeats nothing is applied", "a")
}

func testTxSQL(e *env) {
	e.must(writes(thing("a", 1, 1, insert), thing("b", 1, 2, insert)))
	name := e.store.Name(things)
	e.nil("tx", e.store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE "+name+" SET n = n + ? WHERE id = ?", int64(10), "a")
		e.same("Exec returns the number of rows affected", n, int64(1))
		var sum int64
		query := func() error {
			return tx.Query(ctx, "SELECT n FROM "+name+" WHERE n > ? ORDER BY id", []any{int64(0)}, func(scan func(...any) error) error {
				var n int64
				err := scan(&n)
				sum += n
				return err
			})
		}
		err = errors.Join(err, query())
		e.same("Query calls row once per row", sum, int64(13))
		stop := tx.Query(ctx, "SELECT n FROM "+name, nil, func(func(...any) error) error { return errOwn })
		if stop != errOwn {
			e.Errorf("row's error ends the query and is returned untouched: %v", stop)
		}
		sum = 0
		err = errors.Join(err, query())
		e.same("and leaves the transaction as it is", sum, int64(13))
		return err
	}))
	e.holds("the user's own SQL is part of the transaction", "a", 1, 11)
}

// testIncrement has many transactions read a row and write it back.
func testIncrement(e *env) {
	const workers, each = 8, 5
	e.must(writes(thing("a", 1, 0, insert)))
	stores := []*transactional.Store{e.store, e.again(nil)}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range each {
				err := stores[w%2].Tx(background(), func(ctx context.Context, tx *transactional.Tx) error {
					rows, err := tx.Read(ctx, things, "a")
					if err != nil {
						return err
					}
					at := rows[0]
					_, err = tx.Apply(ctx, writes(thing("a", at.Stamp.Version+1, at.Values[0].(int64)+1, above)))
					return err
				})
				if err != nil {
					e.Error(err)
				}
			}
		})
	}
	wg.Wait()
	e.holds("a row that a transaction has read is locked until its end: no update is lost", "a", 1+workers*each, workers*each)
}

func testTxFaults(t *testing.T, h Harness) {
	h.run(t, "Poisoned", testPoisoned)
	h.run(t, "Over", testTxFaultsOver)
	h.run(t, "CutOff", testCutOff)
	h.run(t, "Cancelled", testTxFaultsCancelled)
	h.run(t, "Nested", testTxFaultsNested)
}

func testTxFaultsOver(e *env) {
	var kept *transactional.Tx
	e.nil("tx", e.store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error { kept = tx; return nil }))
	const over = "a Tx is ErrClosed after its function has returned"
	_, err := kept.Read(e.Context(), things, "a")
	e.class(over, err, fault.ErrClosed)
	_, err = kept.Apply(e.Context(), writes(thing("a", 1, 1, insert)))
	e.class(over, err, fault.ErrClosed)
	_, err = kept.Exec(e.Context(), "SELECT 1")
	e.class(over, err, fault.ErrClosed)
	e.class(over, kept.Query(e.Context(), "SELECT 1", nil, nil), fault.ErrClosed)
	e.lacks("nothing is written", "a")
}

func testTxFaultsCancelled(e *env) {
	ctx, cancel := context.WithCancel(e.Context())
	err := e.store.Tx(ctx, func(ctx context.Context, tx *transactional.Tx) error {
		_, err := tx.Apply(ctx, writes(thing("a", 1, 1, insert)))
		cancel()
		return err
	})
	if !errors.Is(err, context.Canceled) {
		e.Errorf("a caller that leaves gets its context's error: %v", err)
	}
	if !fault.Unknown(err) {
		e.lacks("a transaction whose context ended is rolled back, or its outcome is unknown", "a")
	}
}

func testTxFaultsNested(e *env) {
	if e.store.Features().SharedLog {
		e.Skip("lacks: one writer (no Features.SharedLog), for which a transaction inside another would wait for ever")
	}
	e.nil("tx", e.store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error {
		const nested = "a unit of the same store inside a transaction is refused, not a deadlock"
		_, err := e.store.Apply(ctx, writes(thing("a", 1, 1, insert)))
		e.class(nested, err, fault.ErrInvalid)
		e.class(nested, e.store.Tx(ctx, func(context.Context, *transactional.Tx) error { return nil }), fault.ErrInvalid)
		return nil
	}))
}

func testPoisoned(e *env) {
	e.must(writes(thing("there", 5, 1, insert), person("p", 1, "ann", nil, nil)))
	name := e.store.Name(people)
	for what, bad := range map[string]struct {
		do    func(context.Context, *transactional.Tx) error
		class error
	}{
		"a unit that fails": {func(ctx context.Context, tx *transactional.Tx) error {
			_, err := tx.Apply(ctx, writes(thing("there", 9, 1, insert)))
			return err
		}, fault.ErrExists},
		"a unit that is faulty": {func(ctx context.Context, tx *transactional.Tx) error {
			_, err := tx.Apply(ctx, writes(thing("", 9, 1, insert)))
			return err
		}, fault.ErrInvalid},
		"a unique violation": {func(ctx context.Context, tx *transactional.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO "+name+" (id, version, tie, deleted, email) VALUES ('q', 1, 0, 0, 'ann')")
			return err
		}, fault.ErrExists},
	} {
		var later error
		err := e.store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error {
			if _, err := tx.Apply(ctx, writes(thing("a", 1, 1, newest))); err != nil {
				return err
			}
			e.class(what, bad.do(ctx, tx), bad.class)
			_, later = tx.Apply(ctx, writes(thing("b", 1, 1, newest)))
			return nil // the error is swallowed
		})
		e.class("after an error ("+what+") the transaction can only be rolled back", err, bad.class)
		e.class("after an error ("+what+") no statement runs", later, bad.class)
		e.lacks("nothing of it is there ("+what+")", "a")
		e.lacks("nothing of it is there ("+what+")", "b")
	}
}

func testCutOff(e *env) {
	store := e.again(&transactional.Options{TxTimeout: 100 * time.Millisecond})
	hang, returned := make(chan struct{}), make(chan error, 1)
	err := store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error {
		_, err := tx.Apply(ctx, writes(thing("a", 1, 1, insert)))
		e.nil("apply", err)
		<-hang // it does not look at its context
		_, err = tx.Apply(background(), writes(thing("b", 1, 1, insert)))
		returned <- err
		return nil
	})
	if !errors.Is(err, context.DeadlineExceeded) || fault.OutcomeOf(err) != fault.NotApplied {
		e.Errorf("a transaction that takes too long is cut off: %v", err)
	}
	e.class("a transaction that takes too long is cut off", err, fault.ErrRefused)
	e.must(writes(thing("a", 1, 2, insert)))
	e.holds("it is rolled back, and keeps no locks", "a", 1, 2)
	close(hang)
	e.class("its function cannot write any more", <-returned, fault.ErrClosed)
	e.lacks("its function cannot write any more", "b")
}
