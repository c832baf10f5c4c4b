package persistence

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A Tx is a transaction of the transactional store in which objects are read
// and put. What is put in it is accepted when it commits. It must not be used
// by two goroutines at a time, nor after the function that got it returned.
type Tx struct {
	layer  *Layer
	tx     *transactional.Tx
	joined bool                   // the caller commits
	absent map[place]bool         // rows that were read and not there
	raced  bool                   // one of them is to be inserted
	again  bool                   // it failed for a reason that another run does not meet
	taken  error                  // that reason, if it is a row or a value that is there
	over   atomic.Bool            // its function has returned
	got    []place                // the first rows that it got
	ahead  ahead                  // what was read for it, and for those that share the transaction
	since  bool                   // it has read something else after that
	repeat transactional.RecordID // what an earlier run of the handler put last
	read   int64                  // the highest version that was read
	puts   []*accepting
	dirty  []transactional.Write // written in memory, flushed before a scan and at the end
}

// Tx runs fn in a transaction, which commits when fn returns nil. The database
// may ask to run fn again from the start (a deadlock), so fn must have no
// effect but through tx. An unknown outcome of the commit is
// fault.ErrUnknown; a transaction that takes longer than
// transactional.DefaultTxTimeout is rolled back, which is fault.ErrRefused.
//
// Inside a handler, a transaction that an earlier run of the handler committed
// is not repeated: what fn does is rolled back, and the error is nil. That is
// known by the envelopes of what it put; one that put none runs again.
func (l *Layer) Tx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	_, err := l.transact(ctx, fn)
	return err
}

// transact is Tx; repeat is the envelope of what an earlier run of a handler
// put last, and zero when this one committed.
func (l *Layer) transact(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) (repeat transactional.RecordID, err error) {
	if err := l.needRows("tx"); err != nil {
		return repeat, err
	}
	if insideTx(ctx, l) {
		return repeat, errInsideTx("tx")
	}
	restore := putsOf(ctx, l) // what runs again puts under the same tokens
	for try := 1; ; try++ {
		t, err := l.tryTx(ctx, fn, restore)
		if err == nil {
			crash.Point("tx.committed")
			return repeat, t.committed(ctx)
		}
		t.refused(err)
		switch {
		case t != nil && errors.Is(err, errRepeat):
			return t.repeat, nil
		case t != nil && t.taken != nil && try == txTries:
			return repeat, t.taken
		case t == nil || !t.again || fault.Unknown(err) || try == txTries:
			return repeat, err
		}
		pause(ctx, time.Duration(try)*time.Millisecond)
	}
}

// txTries bounds how often a transaction runs again that lost a race, or that
// the clock's high-water mark overtook. Deadlocks are the store's own affair.
const txTries = 10

// tryTx runs the function of a transaction and commits. The Tx is as of inTx.
func (l *Layer) tryTx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error, restore func()) (*Tx, error) {
	if err := l.ticks.ready(ctx); err != nil {
		return nil, err
	}
	return l.inTx(ctx, func(ctx context.Context, t *Tx) error {
		restore()
		if err := fn(ctx, t); err != nil {
			return err
		}
		crash.Point("tx.flush")
		return t.flush(ctx, nil)
	})
}

// inTx runs fn in a transaction of the store. The Tx is nil when it never began,
// and when it was cut off: then fn may run still, and nothing of it is read.
func (l *Layer) inTx(ctx context.Context, fn func(ctx context.Context, t *Tx) error) (*Tx, error) {
	var ended atomic.Pointer[Tx]
	err := l.rows.Tx(context.WithValue(ctx, txKey{}, l), func(ctx context.Context, raw *transactional.Tx) error {
		t := &Tx{layer: l, tx: raw}
		defer ended.Store(t)
		defer t.over.Store(true)
		return fn(ctx, t)
	})
	return ended.Load(), err
}

// txKey is the key of contexts that a transaction of a layer hands out.
type txKey struct{}

// insideTx reports whether the context is that of a transaction of the layer
// whose store has one writer: whatever else writes would wait for it, and it
// for that.
func insideTx(ctx context.Context, l *Layer) bool {
	inside, _ := ctx.Value(txKey{}).(*Layer)
	return inside == l && l.rows != nil && !l.rows.Features().SharedLog
}

func errInsideTx(op string) error {
	return fault.New(fault.ErrInvalid, "transactional", op,
		"a transaction of this layer is open in this context, and would wait for itself: use Handle.In(tx), or do it after the transaction")
}

// Join returns a Tx on a transaction of the caller's own pool, which the
// caller commits: their rows and what is put here are one commit. Call Wake
// after the commit; without it the work is found within a second. Writes of
// other purposes at priority 0 are done by a worker. An error that is
// fault.Retryable, such as fault.ErrBusy, leaves the caller to roll back and begin
// again: the layer needs connections of its own, which a pool of the caller's
// should have left.
func (l *Layer) Join(ctx context.Context, tx *sql.Tx) (*Tx, error) {
	if err := l.needRows("join"); err != nil {
		return nil, err
	}
	// A layer that has just been opened has versions when its clock's mark is
	// written, for which there may be no connection.
	soon, cancel := context.WithTimeout(ctx, tick)
	defer cancel()
	if err := l.ticks.ready(soon); err != nil && (soon.Err() == nil || ctx.Err() != nil) {
		return nil, err
	}
	raw, err := l.rows.Join(ctx, tx)
	if err != nil {
		return nil, err
	}
	return &Tx{layer: l, tx: raw, joined: true}, nil
}

func (l *Layer) needRows(op string) error {
	if err := l.open(op); err != nil {
		return err
	}
	if l.rows == nil {
		return fault.New(fault.ErrUnsupported, "transactional", op,
			noStore(Transactional))
	}
	return nil
}

// Exec executes SQL of the caller's own in the transaction and returns the
// number of rows affected. What was put before is written first.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := t.writeDirty(ctx); err != nil {
		return 0, err
	}
	return t.tx.Exec(ctx, query, args...)
}

// Query executes SQL of the caller's own and calls row once per row, with a
// function that scans it.
func (t *Tx) Query(ctx context.Context, query string, args []any, row func(scan func(dest ...any) error) error) error {
	if err := t.writeDirty(ctx); err != nil {
		return err
	}
	return t.tx.Query(ctx, query, args, row)
}

// saw notes a version that the transaction read: what it puts must be newer.
// Versions of the user's own say nothing about the clock.
func (t *Tx) saw(k *kind, stamp transactional.Stamp) {
	if k.typ.Version == nil {
		t.read = max(t.read, stamp.Version)
	}
}

// usable refuses what would be lost, or would land in another store: a
// transaction whose function has returned, and one of another layer.
func (t *Tx) usable(k *kind, op string) error {
	switch {
	case t == nil:
		return &fault.Error{Op: op, Kind: k.name, Class: fault.ErrInvalid, Err: errors.New("In was given no transaction")}
	case t.over.Load():
		return &fault.Error{Op: op, Kind: k.name, Class: fault.ErrClosed, Err: errors.New("the transaction is over: its function has returned")}
	case t.layer.kindOf(k.name) != k:
		return &fault.Error{Op: op, Kind: k.name, Class: fault.ErrInvalid, Err: errors.New("the transaction is of another layer than the handle")}
	}
	return t.layer.open(op)
}

// put records an object.
func (t *Tx) put(ctx context.Context, k *kind, obj any, p putOptions) (*Receipt, error) {
	if err := t.usable(k, p.op()); err != nil {
		return nil, err
	}
	a, err := t.layer.prepare(ctx, k, obj, p, t)
	if err != nil {
		t.again = t.again || errors.Is(err, errMark)
		return nil, err
	}
	if err := a.rowWrites(p, transactional.Above); err != nil {
		return nil, opError(p.op(), k, a.version.key, err)
	}
	t.insertAbsent(a.unit.Writes)
	t.puts = append(t.puts, a)
	t.dirty = append(t.dirty, a.unit.Writes...)
	a.receipt.Durability = t.layer.rows.Features().Durability
	if len(a.env.Tasks) > 0 {
		t.layer.engine.open(a, t.layer.engine.outbox)
	}
	if t.joined {
		return a.receipt, t.putJoined(ctx, a, p.op())
	}
	return a.receipt, nil
}

// putJoined writes at once what is put in a transaction that the caller
// commits: there is no later moment that we are told of.
func (t *Tx) putJoined(ctx context.Context, a *accepting, op string) error {
	err := t.flush(ctx, nil)
	t.puts = nil
	if err != nil {
		return opError(op, a.kind, a.version.key, err)
	}
	return nil
}

// pending returns the write of this transaction that a read of the row must
// see, or nil.
func (t *Tx) pending(table *transactional.Table, id string) *transactional.Write {
	for i := len(t.dirty) - 1; i >= 0; i-- {
		if w := &t.dirty[i]; w.Table == table && w.Row.ID == id {
			return w
		}
	}
	return nil
}

// writeDirty writes what was put, so that SQL sees it. What was read ahead is
// forgotten: it may be written over by either.
func (t *Tx) writeDirty(ctx context.Context) error {
	t.since = true
	clear(t.ahead)
	if len(t.dirty) == 0 {
		return nil
	}
	writes := t.dirty
	t.dirty = nil
	_, err := t.tx.Apply(ctx, &transactional.Unit{Writes: writes})
	return t.raceLost(err)
}

// flush writes everything that is left, with the envelopes, and settles the
// run that the transaction belongs to, if any.
func (t *Tx) flush(ctx context.Context, settle []transactional.Settlement) error {
	unit := &transactional.Unit{Writes: t.dirty, Settle: settle}
	var external []transactional.Record
	for _, a := range t.puts {
		if a.held != nil {
			recs := a.records(t.layer.engine.outbox)
			if a.urgent() && !t.joined {
				recs[0].Owner, recs[0].Lease = t.layer.owner, t.layer.lease()
			}
			unit.Add, external = append(unit.Add, recs[0]), append(external, recs[1:]...)
		}
	}
	named := len(unit.Add) // those that may have a token
	unit.Add = append(unit.Add, external...)
	t.dirty = nil
	if len(unit.Writes)+len(unit.Add)+len(unit.Settle) == 0 {
		return nil
	}
	res, err := t.tx.Apply(ctx, unit)
	if err != nil {
		return t.raceLost(err)
	}
	return t.repeated(res.Repeats[:min(named, len(res.Repeats))])
}

// repeated is the error of a transaction whose tokens were accepted before. It
// is errRepeat when all of them are those of a handler's run: an earlier run of
// the handler committed it.
func (t *Tx) repeated(ids []transactional.RecordID) error {
	i := slices.IndexFunc(ids, func(id transactional.RecordID) bool { return id != (transactional.RecordID{}) })
	if i < 0 {
		return nil
	}
	e := fault.Error{Op: "put", Store: "transactional", Class: fault.ErrConflict}
	if !slices.Contains(ids, transactional.RecordID{}) && !slices.ContainsFunc(t.puts, func(a *accepting) bool { return a.held != nil && !a.byRun }) {
		t.repeat, e.Err = ids[len(ids)-1], errRepeat
		return &e
	}
	e.Err = errors.New("the token was accepted before, by envelope " + ids[i].String())
	return &e
}

var errRepeat = errors.New("an earlier run of the handler put this")

// refused looks for what may have been committed as this process's own all the
// same.
func (t *Tx) refused(err error) {
	if t == nil {
		return
	}
	for _, a := range t.puts {
		if fault.Unknown(err) && a.held != nil && a.urgent() && !t.joined {
			t.layer.engine.adopt(a.held)
		}
	}
}

// committed goes on with what the transaction accepted: the rows are written,
// the envelopes are in the outbox. Those with writes at priority 0 are done
// here.
func (t *Tx) committed(ctx context.Context) error {
	e := t.layer.engine
	var urgent []*accepting
	woke := false
	for _, a := range t.puts {
		e.rowsDone(ctx, a, transactional.Result{})
		if a.held == nil {
			continue
		}
		e.moves.Add(1)
		e.follow(a.held.id(), a.receipt)
		if a.urgent() {
			urgent = append(urgent, a)
			continue
		}
		woke = true
	}
	if woke {
		e.offer()
	}
	return e.urgentAfter(ctx, urgent)
}

// urgentAfter does the writes at priority 0 of committed envelopes, which this
// process holds from the start.
func (e *engine) urgentAfter(ctx context.Context, urgent []*accepting) error {
	var errs []error
	for _, a := range urgent {
		a.handOver(e)
		errs = append(errs, e.first(ctx, a.held))
		e.afterFirst(ctx, a.held)
	}
	if err := errors.Join(errs...); err != nil {
		return acceptedError(err)
	}
	return nil
}
