package persistence

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/internal/group"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// Bounds of Tx tasks that share a transaction. A transaction costs a server that
// others reach too as much for one as for many, and tasks that touch the same row,
// which come together, would wait for each other's commit.
const (
	txTogether   = 32                    // tasks
	txWork       = 10 * time.Millisecond // that they take, after which none begins
	txOwn        = txWork / 2            // that a function takes beside its statements; one that takes more shares none
	txPatience   = 10 * txOwn            // of one function, after which they are rolled back and go on without it
	txParallel   = 4                     // transactions, past those that stand
	txSmall      = 4                     // tasks; fewer of them keep no other transaction from beginning
	txSeparately = 3                     // runs of a transaction that fail, before the rest of the tasks run alone
)

func newTxGroup(e *engine) *group.Group[*txTask] {
	return group.New(group.Options{
		MaxItems: txTogether, Parallel: txParallel, Eager: 1, Small: txSmall, Patience: 5 * txWork,
	}, nil, func(_ context.Context, tasks []*txTask) []error {
		e.runTogether(tasks)
		return nil
	})
}

// txManners say whether a Tx task may share a transaction.
type txManners struct {
	own   atomic.Int64 // ns that the function takes beside its statements, on the whole; 0: it never ran
	alone atomic.Int64 // runs that it is to do alone, since it failed those beside it
	next  atomic.Int64 // how many after the next time
}

// took remembers how long a function took by itself.
func (m *txManners) took(d time.Duration) {
	own := m.own.Load()
	if own == 0 {
		own = int64(d)
	}
	m.own.Store(max(own+(int64(d)-own)/4, 1))
}

// shares reports whether the next run may share a transaction. How long a
// statement takes says nothing: most often it waits for another's commit, and
// together they would not.
func (m *txManners) shares() bool {
	if m.own.Load() > int64(txOwn) {
		return false
	}
	return m.alone.Load() <= 0 || m.alone.Add(-1) < 0
}

// failed is for a run that took those beside it along, behaved for one that did
// not: a task that often fails runs alone most of the time.
func (m *txManners) failed() {
	n := min(max(2*m.next.Load(), 8), 1024)
	m.next.Store(n)
	m.alone.Store(n)
}

func (m *txManners) behaved() { m.next.Store(m.next.Load() / 2) }

// share runs the task in a transaction with others that wait, where the database
// is not in this process: there the driver commits transactions together. A lone
// one does not wait. It returns what is to be run alone when nothing is decided:
// then the task has had no effect, or one that its settlement finds out about.
func (x *txTask) share() (*txTask, error) {
	if x.engine.txs == nil || x.held.suspect || !x.task.manners.shares() {
		return x, nil
	}
	// Whoever is in a transaction cannot leave it, and all of this is soon over:
	// so the handler's end is looked at when its turn comes.
	_ = x.engine.txs.Do(context.WithoutCancel(x.ctx), x)
	if x.decided {
		return x, nil
	}
	// A function that was cut off may run still, with its object.
	obj, err := x.held.own()
	if err != nil {
		return nil, Permanent(err)
	}
	return &txTask{engine: x.engine, ctx: x.ctx, held: x.held, task: x.task, index: x.index, obj: obj, restore: x.restore, settled: x.settled}, nil
}

// runTogether runs tasks, as many in one transaction as are worth a commit. One
// that fails the others is taken out and left to be run alone.
func (e *engine) runTogether(tasks []*txTask) {
	tasks = slices.DeleteFunc(slices.Clone(tasks), func(x *txTask) bool { return x.ctx.Err() != nil })
	for failed := 0; len(tasks) > 0 && failed < txSeparately; {
		s := &sharing{engine: e, tasks: tasks}
		s.at.Store(none)
		err := s.commit()
		if n := s.decide(err); n > 0 {
			tasks = tasks[n:]
			continue
		}
		failed++
		i := int(s.at.Load())
		switch {
		case i < 0 && errors.Is(err, fault.ErrBusy):
			continue // another was first, and has committed
		case i < 0 || fault.Outage(err):
			return
		}
		tasks[i].task.manners.failed()
		if call := s.runs.Load(); call != nil && !s.finished.Load() {
			tasks[i].task.manners.took(call.own()) // it was cut off
		}
		tasks = slices.Delete(slices.Clone(tasks), i, i+1)
	}
}

// none is where no function runs.
const none = -1

// A sharing is tasks in one transaction. A function that was cut off may run
// still: what stands behind finished is read when that is set.
type sharing struct {
	engine *engine
	tasks  []*txTask
	at     atomic.Int32             // the task whose function runs, or failed
	runs   atomic.Pointer[callOfTx] // its function

	mu     sync.Mutex
	end    context.CancelFunc // rolls back
	timer  *time.Timer        // looks whether to
	ended  bool               // it was
	sealed bool               // it is too late for that: it commits, or is over

	finished atomic.Bool
	tries    int
	done     []*Tx // of the tasks that ran
	all      *Tx   // what they put
}

// A callOfTx is a function that runs.
type callOfTx struct {
	began time.Time
	tx    *transactional.Tx
}

// own is how long it runs, without its statements.
func (c *callOfTx) own() time.Duration { return time.Since(c.began) - c.tx.Waited() }

// errApart ends a transaction that met a busy database again and again.
var errApart = fault.New(fault.ErrBusy, "transactional", "tx", "its tasks are better run alone")

// commit runs the tasks and commits.
func (s *sharing) commit() error {
	l := s.engine.layer
	ctx, end := context.WithCancel(context.WithValue(context.Background(), txKey{}, l))
	defer end()
	s.mu.Lock()
	s.end, s.timer = end, time.AfterFunc(txPatience, s.look)
	s.mu.Unlock()
	defer s.seal()
	return l.rows.Tx(ctx, s.run)
}

// look rolls the transaction back when a function keeps it. That a statement
// takes long is the database's affair: it waits for no longer than any other.
func (s *sharing) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	call := s.runs.Load()
	switch {
	case s.sealed:
	case call != nil && call.own() >= txPatience:
		s.ended = true
		s.end()
	default:
		s.timer.Reset(txPatience)
	}
}

// seal ends the looking, and reports whether a look rolled it back.
func (s *sharing) seal() (ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = true
	s.timer.Stop()
	return s.ended
}

// run is the function of the transaction.
func (s *sharing) run(ctx context.Context, raw *transactional.Tx) error {
	if s.tries++; s.tries > txSeparately {
		return errApart
	}
	s.finished.Store(false)
	s.at.Store(none)
	s.done, s.all = nil, &Tx{layer: s.engine.layer, tx: raw}
	err := s.readAhead(ctx, raw)
	if err == nil {
		err = s.callAll(ctx, raw)
	}
	if err == nil {
		err = s.flush(ctx)
	}
	if err == nil && s.seal() {
		err = ctx.Err() // which must not come while it commits
	}
	s.finished.Store(true)
	return err
}

func (s *sharing) callAll(ctx context.Context, raw *transactional.Tx) error {
	began := time.Now()
	for i, x := range s.tasks {
		if i > 0 && time.Since(began) >= txWork {
			break
		}
		if err := ctx.Err(); err != nil {
			return err // cut off: whoever waits for the tasks runs them
		}
		s.at.Store(int32(i))
		if err := raw.Part(func(part *transactional.Tx) error { return s.call(ctx, x, part) }); err != nil {
			return err
		}
	}
	s.at.Store(none)
	return nil
}

// call runs one task's function on what those before it left.
func (s *sharing) call(ctx context.Context, x *txTask, part *transactional.Tx) error {
	own, cancel := context.WithCancel(x.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	done := &Tx{layer: s.all.layer, tx: part, dirty: s.all.dirty, raced: s.all.raced, ahead: s.all.ahead}
	s.done = append(s.done, done)
	s.runs.Store(&callOfTx{time.Now(), part})
	defer s.runs.Store(nil)
	if err := x.call(sharedContext{own, ctx}, done); err != nil {
		return err
	}
	s.all.dirty, s.all.raced = done.dirty, done.raced
	s.all.puts = append(s.all.puts, done.puts...)
	return nil
}

// A sharedContext is a handler's, and knows the transaction too.
type sharedContext struct {
	context.Context
	tx context.Context
}

// Value implements context.Context.
func (c sharedContext) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.tx.Value(key)
}

// flush writes what the tasks put, and settles all of them.
func (s *sharing) flush(ctx context.Context) error {
	settle := make([]transactional.Settlement, len(s.done))
	for i := range settle {
		settle[i] = s.tasks[i].settled
	}
	s.all.dirty = lastWrites(s.all.dirty)
	return s.all.flush(ctx, settle)
}

// decide tells the tasks what became of them, and returns of how many that is
// known.
func (s *sharing) decide(err error) int {
	if !s.finished.Load() {
		return 0
	}
	n, at := len(s.done), s.at.Load()
	switch {
	case err == nil, at == none && fault.Unknown(err):
	case at == 0 && !s.seal() && !errors.Is(err, fault.ErrBusy) && !fault.Cancelled(err):
		n = 1 // nothing came before the first one: this is its answer
		s.tasks[0].task.manners.failed()
	default:
		return 0
	}
	for i, x := range s.tasks[:n] {
		x.decided, x.done, x.err = true, s.done[i], err
		if err == nil {
			x.task.manners.behaved()
		}
	}
	return n
}

// lastWrites leaves out writes of rows that are written again: those who wrote in
// between have seen each other, and nobody else sees what they left. Where a
// unique value may be taken each write is one that can fail.
func lastWrites(writes []transactional.Write) []transactional.Write {
	last := make(map[place]int, len(writes))
	out := writes[:0:0]
	for _, w := range writes {
		i, again := last[place{w.Table, w.Row.ID}]
		if again && overwrites(&w, &out[i]) {
			out[i].Row = w.Row
			continue
		}
		last[place{w.Table, w.Row.ID}] = len(out)
		out = append(out, w)
	}
	return out
}

func overwrites(w, older *transactional.Write) bool {
	return w.Mode == transactional.Above && (older.Mode == transactional.Above || older.Mode == transactional.Insert) &&
		!w.Row.Deleted && !older.Row.Deleted && len(w.Table.Unique) == 0 && w.Row.Stamp.Newer(older.Row.Stamp)
}
