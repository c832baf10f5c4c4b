package transactional

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Tx is an open transaction. It must not be used by two goroutines at a
// time, nor after its function returned (fault.ErrClosed).
type Tx struct {
	store *Store
	conn  Conn
	seen  *seen
	whole *Tx // of which it is a part; nil: of none

	mu     sync.Mutex // held while a statement runs, so that cutting off waits for it; of a part, the whole's is
	err    error      // why the transaction can only be rolled back
	closed bool

	waited, since atomic.Int64 // what statements took, and when the one under way began, in nanoseconds; 0: none is
}

// Tx runs fn in an interactive transaction, and again from the start when the
// database says fault.ErrBusy, so fn must not keep anything from a run that
// failed. The Tx is valid until fn returns; the context that fn gets ends
// after Options.TxTimeout, and fn's transaction with it, also when fn does not
// look at its context: that is fault.ErrRefused. fn's own error rolls back and is
// returned untouched. It is rolled back as well when a statement failed and fn
// returned nil.
//
// Everything else that writes waits for the transaction where there is one
// writer, and starting a unit of the same store inside fn, with the context
// that fn got, is fault.ErrInvalid there.
func (s *Store) Tx(ctx context.Context, fn func(context.Context, *Tx) error) error {
	if err := s.open(ctx); err != nil {
		return s.locate(err, "tx", nil, "")
	}
	if err := s.nested(ctx); err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		again, err := s.turn(ctx, fn)
		if !again || !backoff(ctx, attempt) {
			return err
		}
	}
}

// turn makes one attempt when it is its turn: were every connection one of a Tx,
// none would be left for what custody has to write, and the store would look
// as if it were down.
func (s *Store) turn(ctx context.Context, fn func(context.Context, *Tx) error) (again bool, err error) {
	if s.turns == nil || s.inside(ctx) {
		return s.tx(ctx, fn) // inside another's turn, waiting for one might be for ever
	}
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
		return s.tx(ctx, fn)
	case <-ctx.Done():
		return false, s.locate(ctx.Err(), "tx", nil, "")
	}
}

// tx makes one attempt. again says that the database was busy.
func (s *Store) tx(ctx context.Context, fn func(context.Context, *Tx) error) (again bool, err error) {
	end, cut := context.WithCancelCause(context.WithValue(ctx, insideTx{s}, true))
	defer cut(nil)
	var over atomic.Pointer[txRun] // set when fn has returned in time
	err = s.beginWith(ctx, s.until(end), func(_ context.Context, c Conn) error {
		// Time runs from here: waiting for those before is not fn's fault.
		defer time.AfterFunc(s.opts.TxTimeout, func() { cut(errCutOff) }).Stop()
		run := &txRun{tx: &Tx{store: s, conn: c, seen: &seen{}}, done: make(chan struct{}), over: &over}
		if _, cuts := s.driver.(Cutter); cuts {
			defer run.end(end) // fn may end its goroutine, which is the driver's
			run.call(end, fn)
			return run.end(end)
		}
		go run.call(end, fn)
		select {
		case <-run.done:
		case <-end.Done():
		}
		return run.end(end)
	})
	run := over.Load()
	switch {
	case run == nil:
	case run.panicked != nil:
		panic(run.panicked)
	case run.exited:
		runtime.Goexit()
	}
	again = errors.Is(err, fault.ErrBusy) && !fault.Unknown(err)
	if again && run != nil {
		// fn may return such an error of its own, from another store.
		again = run.err == nil || errors.Is(run.tx.err, fault.ErrBusy)
	}
	if fault.Cancelled(err) && fault.ClassOf(err) == nil && context.Cause(end) == errCutOff {
		err = &fault.Error{Op: "tx", Store: purpose, Class: fault.ErrRefused,
			Err: fmt.Errorf("the transaction was cut off after %v (Options.TxTimeout): %w", s.opts.TxTimeout, context.DeadlineExceeded)}
	}
	return again, err
}

// until runs a transaction that must not outlast a context: in the driver,
// where it can cut one off, else like any other.
func (s *Store) until(end context.Context) runner {
	cutter, ok := s.driver.(Cutter)
	if !ok {
		return s.driver.Run
	}
	return func(ctx context.Context, unit func(Conn) error) error {
		return cutter.RunUntil(ctx, end, unit)
	}
}

// A txRun is one call of a transaction's function. Where the driver cannot take
// the database's locks from a function that never returns, it runs in a
// goroutine of its own.
type txRun struct {
	tx   *Tx
	done chan struct{}
	// What follows is set before done is closed.
	err      error
	panicked any
	exited   bool // runtime.Goexit, such as by testing.T.FailNow

	over *atomic.Pointer[txRun] // end puts the run there if fn returned in time
}

// errCutOff is why a transaction's context ends when its time is over.
var errCutOff = errors.New("cut off")

// errUnwound rolls back the transaction of a function that did not return.
var errUnwound = errors.New("the function did not return")

func (r *txRun) call(ctx context.Context, fn func(context.Context, *Tx) error) {
	r.exited = true
	defer close(r.done)
	defer func() {
		if p := recover(); p != nil {
			r.panicked, r.exited = p, false
		}
	}()
	r.err = fn(ctx, r.tx)
	r.exited = false
}

// end closes the Tx, waits for a statement that is under way, and says whether
// to commit.
func (r *txRun) end(ctx context.Context) error {
	r.tx.mu.Lock()
	defer r.tx.mu.Unlock()
	r.tx.closed = true
	select {
	case <-r.done:
		r.over.Store(r)
	default:
		return ctx.Err()
	}
	switch {
	case r.panicked != nil || r.exited:
		return errUnwound
	case r.err != nil:
		return r.err
	case r.tx.err != nil:
		return r.tx.err
	}
	return ctx.Err()
}

// do runs a statement of the transaction unless it is over. An error poisons
// the transaction: after a deadlock a server may take the next statement as
// one of its own and commit it.
func (t *Tx) do(ctx context.Context, op string, statement func() error) error {
	part := t
	if t.whole != nil {
		t = t.whole
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed || part.closed:
		return fault.New(fault.ErrClosed, purpose, op, "the transaction is over")
	case t.err != nil:
		return t.err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	prover, shared := t.conn.(Prover)
	if shared {
		if t.err = t.store.locate(prover.Prove(ctx), op, nil, ""); t.err != nil {
			return t.err
		}
	}
	began := time.Now()
	part.since.Store(began.UnixNano())
	err := statement()
	part.waited.Add(int64(time.Since(began)))
	part.since.Store(0)
	var own rowError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own.err
	}
	t.err = err
	if shared {
		// When it fails the server has rolled back all of it, or will.
		_ = prover.Undo(context.WithoutCancel(ctx))
	}
	return err
}

// Part calls fn with a Tx of its own in the same transaction, which is valid
// until fn returns, so that functions that know nothing of each other share a
// commit: each reads what those before it wrote. There is no way back to before
// a part: when one fails, the transaction is to be rolled back.
func (t *Tx) Part(fn func(*Tx) error) error {
	whole := t
	if t.whole != nil {
		whole = t.whole
	}
	part := &Tx{store: t.store, conn: t.conn, seen: t.seen, whole: whole}
	defer func() {
		whole.mu.Lock()
		defer whole.mu.Unlock()
		part.closed = true
	}()
	return fn(part)
}

// Waited is how long the statements that this Tx executed took, the one under way
// among them: the rest of its function's time is the function's own.
func (t *Tx) Waited() time.Duration {
	waited := time.Duration(t.waited.Load())
	if since := t.since.Load(); since != 0 {
		waited += time.Since(time.Unix(0, since))
	}
	return waited
}

// plan returns the plan of a table. One that is not there yet and is ours to
// create is created in this transaction, and may vanish with it: nothing is
// noted down.
func (t *Tx) plan(ctx context.Context, table *Table) (*plan, error) {
	p, err := t.store.compiled(table)
	if err != nil || !t.store.features.OwnsSchema || p.prepared.Load() {
		return p, err
	}
	if err := t.store.addWith(ctx, t.conn, []definition{p.definition(t.store)}); err != nil {
		return nil, err
	}
	return p, nil
}

// A rowError is what the caller's own row function returned; it says nothing
// about the transaction.
type rowError struct{ err error }

func (e rowError) Error() string { return e.err.Error() }
func (e rowError) Unwrap() error { return e.err }

// Read returns rows, tombstones included, and locks them until the end.
func (t *Tx) Read(ctx context.Context, table *Table, ids ...string) (rows []Row, err error) {
	err = t.do(ctx, "read", func() error {
		p, err := t.plan(ctx, table)
		if err == nil {
			rows, err = t.store.readRows(ctx, t.conn, p, &p.lockRead, ids)
		}
		if err == nil {
			t.seen.read(p, ids, rows, !t.store.features.SharedLog)
		}
		return t.store.locate(err, "read", table, "")
	})
	return rows, err
}

// Scan is Store.Scan inside the transaction. It sees what the transaction
// wrote, and locks nothing.
func (t *Tx) Scan(ctx context.Context, table *Table, f Filter) (rows []Row, next []byte, err error) {
	err = t.do(ctx, "scan", func() error {
		p, err := t.plan(ctx, table)
		if err == nil {
			rows, next, err = t.store.scan(ctx, t.conn, p, &f)
		}
		return t.store.locate(err, "scan", table, "")
	})
	return rows, next, err
}

// Apply executes a unit inside the transaction. After an error the
// transaction can only be rolled back.
func (t *Tx) Apply(ctx context.Context, unit *Unit) (Result, error) {
	var try attempt
	err := t.do(ctx, "apply", func() error {
		j, err := t.store.prepare(unit, func(table *Table) (*plan, error) { return t.plan(ctx, table) })
		if err != nil {
			return err
		}
		j.try, j.seen = &try, t.seen
		if err = t.store.execute(ctx, t.conn, []*job{j}); err == nil {
			err = try.err
		}
		return t.store.locate(err, "apply", nil, "")
	})
	if err != nil {
		return Result{}, err
	}
	return try.result, nil
}

// Exec executes the user's own SQL and returns the number of rows affected,
// as the server counts.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = t.do(ctx, "exec", func() error {
		t.seen.forget()
		n, err = t.conn.Exec(ctx, query, args...)
		return t.store.locate(err, "exec", nil, "")
	})
	return n, err
}

// Query executes the user's own SQL and calls row once per row. row must not
// use the Tx; its error ends the query, is returned untouched, and leaves the
// transaction as it is.
func (t *Tx) Query(ctx context.Context, query string, args []any, row func(scan func(dest ...any) error) error) error {
	return t.do(ctx, "query", func() error {
		t.seen.forget()
		var own error
		err := t.conn.Query(ctx, query, args, func(scan func(dest ...any) error) error {
			own = row(scan)
			return own
		})
		if own != nil && (err == nil || errors.Is(err, own)) {
			return rowError{own}
		}
		return t.store.locate(err, "query", nil, "")
	})
}
