package persistence

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// put accepts one object.
func (l *Layer) put(ctx context.Context, k *kind, obj any, p putOptions) (*Receipt, error) {
	var began time.Time
	if l.engine.see.put != nil {
		began = time.Now()
	}
	receipt, size, err := l.accept(ctx, k, obj, p)
	l.putDone(ctx, k, receipt, size, began, err)
	return receipt, err
}

// putDone tells the observer how a Put ended.
func (l *Layer) putDone(ctx context.Context, k *kind, receipt *Receipt, size int, began time.Time, err error) {
	see := l.engine.see.put
	if see == nil {
		return
	}
	e := PutEvent{Kind: k.name, Bytes: size, Took: time.Since(began), Err: err}
	if receipt != nil {
		e.Key, e.Version = receipt.Key, receipt.Version
	}
	l.observe(func() { see.PutDone(ctx, e) })
}

func (l *Layer) accept(ctx context.Context, k *kind, obj any, p putOptions) (*Receipt, int, error) {
	a, err := l.acceptable(ctx, k, obj, p)
	if err != nil {
		return nil, 0, err
	}
	crash.Point("accept.before")
	receipt, err := l.engine.accept(ctx, a)
	crash.Point("accept.after")
	if err != nil {
		err = opError(p.op(), k, a.version.key, err)
	}
	size := len(a.version.body)
	a.recycle()
	return receipt, size, err
}

// acceptable makes an object ready to be accepted, and refuses one that cannot be.
func (l *Layer) acceptable(ctx context.Context, k *kind, obj any, p putOptions) (*accepting, error) {
	if err := l.open(p.op()); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if insideTx(ctx, l) {
		return nil, errInsideTx(p.op())
	}
	a, err := l.prepare(ctx, k, obj, p, nil)
	if err != nil {
		return nil, err
	}
	if err := a.rowWrites(p, transactional.Newest); err != nil {
		return nil, opError(p.op(), k, a.version.key, err)
	}
	return a, nil
}

// accept makes an object durable where its kind's custody says, in one commit,
// and then does what is due before Put returns.
func (e *engine) accept(ctx context.Context, a *accepting) (*Receipt, error) {
	switch {
	case e.unites(ctx, a):
		return e.acceptUnit(ctx, a)
	case a.direct != nil:
		return e.acceptDirect(ctx, a)
	}
	return e.acceptQueue(ctx, a)
}

// unites reports whether acceptance is one commit of the transactional store:
// of rows, of an envelope, or of both.
func (e *engine) unites(ctx context.Context, a *accepting) bool {
	if a.direct != nil && e.registers(ctx, a) {
		a.direct = nil
	}
	if a.direct != nil {
		return a.direct.write == writeRow
	}
	return a.rowsOnly() || a.kind.custody != TransitoryCustody
}

// rowsOnly reports whether rows are all that there is: then their commit is the
// custody.
func (a *accepting) rowsOnly() bool { return a.direct != nil || len(a.env.Tasks) == 0 }

// rowsDone notes the rows that acceptance wrote.
func (e *engine) rowsDone(ctx context.Context, a *accepting, res transactional.Result) {
	for i, t := range a.rows {
		state := flow.Done
		if res.Superseded != nil && res.Superseded[i] {
			state = flow.Superseded
		}
		t.counter.ended(state)
		a.receipt.set(t.name, receiptState(state))
	}
	if a.refreshes() {
		// The volatile task itself comes later, and stays in custody until what
		// is old is gone, or is known to be.
		_ = e.refresh(ctx, a.kind, &a.version)
	}
}

// refreshes reports whether the cache may hold what the rows were before.
func (a *accepting) refreshes() bool {
	return len(a.rows) > 0 && a.kind.cache != nil && !a.cachesNext()
}

// cachesNext reports whether the cache's own task is done before Put returns
// too, right after the rows. Custody has it, as it would have what is owed.
func (a *accepting) cachesNext() bool {
	if a.held == nil {
		return false
	}
	return slices.ContainsFunc(a.held.tasks, func(t *task) bool {
		return t == a.kind.cache && t.priority == 0 && t.delay == 0
	})
}

// acceptDirect does the only task of an object, one default write at priority
// 0, without an envelope. One that fails for want of its store gets an
// envelope after all, if custody is elsewhere.
func (e *engine) acceptDirect(ctx context.Context, a *accepting) (*Receipt, error) {
	t := a.direct
	a.receipt.Durability = e.durability(t)
	crash.Point("accept.direct.before")
	stale, err := e.writeObject(ctx, a.kind, t, &a.version)
	crash.Point("accept.direct.after")
	state := flow.Done
	switch {
	case err == nil && stale:
		state = flow.Superseded
	case err == nil:
	case t.write == writeCache:
		state = flow.Skipped
		t.counter.skipped.Add(1)
	case (fault.Outage(err) || fault.Unknown(err)) && e.elsewhere(t):
		return e.acceptAfterAll(ctx, a, err)
	default:
		return nil, err
	}
	t.counter.ended(state)
	a.receipt.set(t.name, receiptState(state))
	return a.receipt, nil
}

// elsewhere reports whether custody does not depend on the store of the task.
func (e *engine) elsewhere(t *task) bool {
	return e.outbox != nil && t.purpose != Transactional || e.queue != nil && t.purpose != Transitory
}

// acceptAfterAll puts an object into custody whose only write failed.
func (e *engine) acceptAfterAll(ctx context.Context, a *accepting, cause error) (*Receipt, error) {
	e.health.failed(e.storeOf(a.direct, cause), cause)
	a.direct = nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.layer.opts.Lease)
	defer cancel()
	crash.Point("accept.late.before")
	receipt, err := e.accept(ctx, a)
	crash.Point("accept.late.after")
	if err != nil && !fault.Accepted(err) {
		return nil, errors.Join(cause, err)
	}
	return receipt, acceptedError(cause)
}

// durability is what a direct write of the task survives.
func (e *engine) durability(t *task) fault.Durability {
	switch t.write {
	case writeCell, writeCount:
		return e.layer.cells.Features().Durability
	case writeJob:
		return e.layer.queue.Features().Durability
	}
	return fault.Memory
}

// acceptUnit records rows and envelope in one commit.
func (e *engine) acceptUnit(ctx context.Context, a *accepting) (*Receipt, error) {
	e.gather(a)
	crash.Point("accept.unit.before")
	began := e.yieldTo(a.kind)
	res, err := e.layer.rows.Apply(ctx, &a.unit)
	e.yielded(began, ofOutbox, err)
	crash.Point("accept.unit.after")
	return e.applied(ctx, a, res, err)
}

// gather puts the envelope into a unit that has its rows.
func (e *engine) gather(a *accepting) {
	a.receipt.Durability = e.layer.rows.Features().Durability
	if a.rowsOnly() {
		return
	}
	e.open(a, e.outbox)
	a.unit.Add = a.records(e.outbox)
	if a.mine = e.mine(a); a.mine {
		a.unit.Add[0].Owner, a.unit.Add[0].Lease = e.layer.owner, e.layer.lease()
	}
	a.register(e.health.down())
}

// applied goes on with an object when its unit was applied, or was not.
func (e *engine) applied(ctx context.Context, a *accepting, res transactional.Result, err error) (*Receipt, error) {
	switch {
	case err != nil:
		if a.mine && fault.Unknown(err) {
			e.adopt(a.held)
		}
		return nil, err
	case res.Repeats != nil && res.Repeats[0] != (transactional.RecordID{}):
		return e.layer.Receipt(ctx, res.Repeats[0].String())
	case a.held == nil:
		e.rowsDone(ctx, a, res)
		return a.receipt, nil
	}
	a.learn(res.Placed)
	e.rowsDone(ctx, a, res)
	return e.accepted(ctx, a)
}

// open makes the held envelope of an accepted object.
func (e *engine) open(a *accepting, c custodian) *held {
	if a.held == nil {
		a.held = &a.own
		e.layer.holdIn(a.held, a.kind, &a.env)
	} else { // another custody did not take it
		a.held = e.layer.hold(a.kind, &a.env)
	}
	a.held.custody, a.held.receipt = c, a.receipt
	a.receipt.ID, a.receipt.Custody = a.env.ID.String(), c.name()
	if c == custodian(e.outbox) {
		e.separate(a)
	}
	return a.held
}

// urgent reports whether something is left to do before Put returns.
func (a *accepting) urgent() bool {
	for _, t := range a.held.tasks {
		if t.priority == 0 {
			return true
		}
	}
	return false
}

// mine reports whether this process takes the envelope in hand at once: to do
// what is due before Put returns, or because its workers have room.
func (e *engine) mine(a *accepting) bool {
	if a.urgent() {
		return true
	}
	s := a.settlement()
	if e.working.Load() == 0 || s.Due != 0 || s.Lane > flow.RealTime || a.held.ordered() {
		return false
	}
	a.held.waits(s.Priority, s.Lane == flow.RealTime, nowMicro())
	return e.laneFor(a.held).accepts(a.held) && !(a.held.realTime && e.overfull())
}

// accepted goes on with an accepted envelope: what is due before Put returns,
// and the hand-over of the rest.
func (e *engine) accepted(ctx context.Context, a *accepting) (*Receipt, error) {
	e.moves.Add(1)
	if !a.mine {
		e.follow(a.held.id(), a.receipt)
		e.offer()
		return a.receipt, nil
	}
	a.handOver(e)
	if !a.urgent() {
		if !a.together {
			e.place(ctx, a.held, nowMicro())
		}
		return a.receipt, nil
	}
	if err := e.firstAmong(ctx, a.held); err != nil {
		return a.receipt, acceptedError(err)
	}
	return a.receipt, nil
}

// handOver makes the envelope one that this process holds. That is for longer than
// what acceptance wrote is needed, which lies in the same memory.
func (a *accepting) handOver(e *engine) {
	a.unit, a.version.obj = transactional.Unit{}, nil
	e.keep(a.held)
}

// acceptedError is the error of a Put that custody has, and of which something
// at priority 0 is not done.
func acceptedError(err error) error {
	class := fault.ClassOf(err)
	if class == nil {
		class = fault.ErrUnknown // the caller left in the middle of it
	}
	return &fault.Error{Op: "put", Class: class, Err: err, Accepted: true}
}
