package embedded

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/group"
	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A core is the queue of one directory, which all openings of it in this
// process share: the index, the table below it, and the clock.
//
// Whatever changes the table goes through one group at a time: so a refill
// never reads the table in the middle of a change, and what it read is merged
// before the next change begins. Reservations, TTRs and wake-ups are memory
// only and need nothing but the mutex.
type core struct {
	dir     string
	file    *sqlitefile.File
	tally   *tally
	ops     *group.Group[*op]
	loads   *group.Group[*load]
	started time.Time
	ctx     context.Context // ends when the core stops
	stop    context.CancelFunc
	errands sync.WaitGroup // refills that nobody waits for

	mu      sync.Mutex
	index   *index
	lastID  int64
	timer   *time.Timer
	timerAt int64 // when the timer fires; 0 when it is not set
}

// An op is one change of the table, or one refill.
type op struct {
	kind  opKind
	row   row    // what the row says after the change
	body  []byte // of a put
	entry *entry // of a delete, release or rewrite
	tube  *tube  // of a refill; nil for the delayed jobs
	owner *owner // of a grab, which finds the entry
	busy  bool   // the job to be grabbed is reserved

	settled bool // the index knows how it ended; guarded by core.mu
}

type opKind uint8

const (
	opPut opKind = iota
	opDelete
	opRelease
	opRefill
	opGrab
)

func newCore(dir string, file *sqlitefile.File, opts Options) *core {
	c := &core{dir: dir, file: file, started: time.Now(), index: newIndex(opts.Window, opts.BodyBytes)}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.ops = group.New(group.Options{MaxSize: 8 << 20}, func(o *op) int { return len(o.body) }, c.run)
	c.loads = group.New(group.Options{MaxItems: mostRows, Parallel: 2}, nil, c.runLoads)
	c.timer = time.AfterFunc(time.Hour, c.tick)
	c.timer.Stop()
	return c
}

// now is the wall clock at start plus what a steady clock measured since, in
// microseconds: a step of the wall clock moves no delay and no TTR.
func (c *core) now() int64 {
	return c.started.Add(time.Since(c.started)).UnixMicro()
}

// load brings the index up to what the table says. Reservations of an earlier
// process are gone: each of its jobs is ready or delayed, as its row says.
func (c *core) load(ctx context.Context) error {
	err := c.file.Write(ctx, func(conn sqlitefile.Conn) error { return createTable(ctx, conn) })
	if err != nil {
		return err
	}
	crash.Point("queue.load.between")
	if err := c.loadTally(ctx); err != nil {
		return err
	}
	now := c.now()
	for promoted := int64(1); promoted > 0; {
		err := c.file.Write(ctx, func(conn sqlitefile.Conn) (err error) {
			promoted, err = promote(ctx, conn, now)
			return err
		})
		if err != nil {
			return err
		}
	}
	err = c.file.Read(ctx, func(conn sqlitefile.Conn) error { return c.loadCounts(ctx, conn) })
	if err != nil {
		return err
	}
	crash.Point("queue.load.after")
	return c.refillDelayed(ctx)
}

// loadTally writes into the table how often an earlier process had handed jobs
// out, and only then begins a tally of its own.
func (c *core) loadTally(ctx context.Context) error {
	counts, err := readTally(c.dir)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(slices.Collect(maps.Keys(counts)), 10000) {
		err := c.file.Write(ctx, func(conn sqlitefile.Conn) error { return raiseReserves(ctx, conn, part, counts) })
		if err != nil {
			return err
		}
	}
	c.tally, err = newTally(c.dir)
	return err
}

// loadCounts fills the index with tubes that have rows and empty windows.
func (c *core) loadCounts(ctx context.Context, conn sqlitefile.Conn) (err error) {
	if c.lastID, err = lastID(ctx, conn); err != nil {
		return err
	}
	return counts(ctx, conn, func(name string, ready, delayed int) {
		t := c.index.tube(name)
		t.countReady += ready
		t.countDelayed += delayed
		if ready > 0 {
			t.complete = false
		}
		if delayed > 0 {
			c.index.delayedComplete = false
		}
	})
}

// close ends everything: what was begun is finished, nothing new begins.
func (c *core) close() error {
	c.mu.Lock()
	c.timer.Stop()
	c.timerAt = -1
	c.mu.Unlock()
	c.stop()
	c.ops.Close()
	c.loads.Close()
	c.errands.Wait()
	if c.tally != nil {
		_ = c.tally.close() // it was written without a buffer
	}
	return c.file.Close()
}

// do lets f change the index at this moment, and then acts upon what has
// changed: waiters are served, windows refilled, the timer set.
func (c *core) do(f func(x *index, now int64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.index.advance(now)
	f(c.index, now)
	c.settle(now)
}

// settle serves whoever waits for a tube that was woken, and asks for refills.
func (c *core) settle(now int64) {
	for len(c.index.woken) > 0 {
		woken := c.index.woken
		c.index.woken = nil
		for _, t := range woken {
			c.serve(t, now)
			if c.index.low(t) {
				c.ask(t)
			}
		}
	}
	if c.index.delayedLow() && !c.index.delayedAsked {
		c.index.delayedAsked = true
		c.errand(&op{kind: opRefill})
	}
	c.schedule()
}

// ask has a tube's window refilled by somebody who does not wait for it.
func (c *core) ask(t *tube) {
	if !t.asked && !t.reading {
		t.asked = true
		c.errand(&op{kind: opRefill, tube: t})
	}
}

func (c *core) errand(o *op) {
	if c.ctx.Err() != nil {
		return
	}
	c.errands.Add(1)
	go func() {
		defer c.errands.Done()
		// The error was given to those who wait for the tube.
		_ = c.ops.Do(c.ctx, o)
	}()
}

// schedule sets the timer to the next moment at which time alone changes
// something.
func (c *core) schedule() {
	at, ok := c.index.next()
	if !ok || c.timerAt < 0 || (c.timerAt > 0 && c.timerAt <= at) {
		return
	}
	c.timerAt = at
	// Rounded up: a timer that fires a microsecond early would fire twice.
	c.timer.Reset(time.Duration(at-c.now()+1) * time.Microsecond)
}

func (c *core) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timerAt < 0 {
		return
	}
	c.timerAt = 0
	now := c.now()
	c.index.advance(now)
	c.settle(now)
}

// run does one group of operations: first the changes, in one unit, then what
// reads the table.
func (c *core) run(ctx context.Context, ops []*op) []error {
	errs := make([]error, len(ops))
	changes := c.sort(ops)
	if changes.some() {
		crash.Point("queue.write.before")
		err := c.file.Write(ctx, func(conn sqlitefile.Conn) error { return changes.write(ctx, conn) })
		crash.Point("queue.write.after")
		err = fault.Wrap(fault.ErrUnavailable, "transitory", "write", err)
		c.do(func(x *index, now int64) { changes.apply(x, err, now) })
		for i, o := range ops {
			if o.kind < opRefill {
				errs[i] = err
			}
		}
	}
	done := map[*tube]error{}
	for i, o := range ops {
		if o.kind == opGrab {
			errs[i] = c.grab(ctx, o)
		}
		if o.kind != opRefill {
			continue
		}
		err, ok := done[o.tube]
		if !ok {
			err = c.refill(ctx, o.tube)
			done[o.tube] = err
		}
		errs[i] = err
	}
	return errs
}
