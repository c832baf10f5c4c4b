package embedded

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// MaxBody is the largest body of a job, in bytes.
const MaxBody = 16 << 20

// resolution of delays and TTRs: they are rounded up to it.
const resolution = time.Millisecond

// A driver is one opening of a core.
type driver struct {
	core     *core
	owner    *owner
	features transitory.Features
	path     string
	release  func() error // gives the core back; the last one closes it

	closing sync.Once
	closed  chan struct{}
	err     error
}

// Features are the driver's promises.
func (d *driver) Features() transitory.Features { return d.features }

// Put adds jobs: concurrent calls share statements and one fsync.
func (d *driver) Put(ctx context.Context, jobs []transitory.Job) []error {
	if err := d.ready(ctx, "put"); err != nil {
		return repeat(err, len(jobs))
	}
	errs := make([]error, len(jobs))
	ops := make([]*op, 0, len(jobs))
	at := make([]int, 0, len(jobs))
	for i, job := range jobs {
		if errs[i] = refuse(job); errs[i] == nil {
			ops, at = append(ops, &op{kind: opPut, body: bytesOf(job.Body), row: rowOf(job)}), append(at, i)
		}
	}
	d.core.number(ops)
	for i, err := range d.core.doAll(ctx, ops) {
		errs[at[i]] = err
	}
	return errs
}

// number gives new jobs their ids, and their delay its end.
func (c *core) number(ops []*op) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for _, o := range ops {
		c.lastID++
		o.row.id = c.lastID
		if o.row.readyAt > 0 {
			o.row.readyAt += now
		}
	}
}

// doAll is DoAll, with an error for each op.
func (c *core) doAll(ctx context.Context, ops []*op) []error {
	if len(ops) == 1 {
		return []error{c.ops.Do(ctx, ops[0])}
	}
	if errs := c.ops.DoAll(ctx, ops); errs != nil {
		return errs
	}
	return make([]error, len(ops))
}

// Reserve waits for jobs.
func (d *driver) Reserve(ctx context.Context, tubes []string, max int) ([]transitory.Job, error) {
	if err := d.ready(ctx, "reserve"); err != nil {
		return nil, err
	}
	if len(tubes) == 0 || max < 1 {
		return nil, fault.New(fault.ErrInvalid, "transitory", "reserve", "no tube is named, or no job is asked for")
	}
	for {
		taken, err := d.take(ctx, tubes, max)
		if err != nil {
			return nil, err
		}
		jobs, err := d.deliver(ctx, taken)
		if err != nil || len(jobs) > 0 {
			return jobs, err
		}
	}
}

// take reserves what is there, or waits for it.
func (d *driver) take(ctx context.Context, names []string, max int) ([]handed, error) {
	var w *waiter
	var taken []handed
	d.core.do(func(x *index, now int64) {
		tubes := make([]*tube, 0, len(names))
		for _, name := range names {
			if t := x.tube(name); !slices.Contains(tubes, t) {
				tubes = append(tubes, t)
			}
		}
		if taken = d.core.handOut(tubes, max, d.owner, now); len(taken) == 0 {
			w = newWaiter(d.owner, tubes, max)
		}
	})
	if w == nil {
		return taken, nil
	}
	select {
	case a := <-w.done:
		return a.taken, a.err
	case <-ctx.Done():
		return nil, d.abandon(ctx, w)
	}
}

// abandon ends a wait. What was handed to the waiter at the same moment goes
// back, as if it had never been.
func (d *driver) abandon(ctx context.Context, w *waiter) error {
	d.core.do(func(x *index, _ int64) {
		select {
		case a := <-w.done:
			for _, h := range a.taken {
				x.untake(h.entry, h.reserves)
			}
		default:
			tubes := w.tubes
			w.leave()
			for _, t := range tubes {
				x.drop(t)
			}
		}
	})
	return ctx.Err()
}

// Delete removes reserved jobs.
func (d *driver) Delete(ctx context.Context, ids []transitory.ID) []error {
	if err := d.ready(ctx, "delete"); err != nil {
		return repeat(err, len(ids))
	}
	return d.settle(ctx, len(ids), func(i int) (*op, transitory.ID) {
		return &op{kind: opDelete}, ids[i]
	})
}

// Release gives reserved jobs back.
func (d *driver) Release(ctx context.Context, releases []transitory.Release) []error {
	if err := d.ready(ctx, "release"); err != nil {
		return repeat(err, len(releases))
	}
	return d.settle(ctx, len(releases), func(i int) (*op, transitory.ID) {
		r := releases[i]
		return &op{kind: opRelease, row: row{priority: r.Priority, readyAt: micros(r.Delay)}}, r.ID
	})
}

// settle ends n reservations, each by the op that next returns for it.
func (d *driver) settle(ctx context.Context, n int, next func(i int) (*op, transitory.ID)) []error {
	errs := make([]error, n)
	ops := make([]*op, 0, n)
	at := make([]int, 0, n)
	d.core.do(func(x *index, now int64) {
		for i := range n {
			o, id := next(i)
			claim, ok := d.parse(id)
			if !ok {
				errs[i] = errForeign
				continue
			}
			if o.entry, errs[i] = x.begin(claim, d.owner); errs[i] != nil {
				continue
			}
			if o.row.reserves = o.entry.reserves; o.row.readyAt > 0 {
				o.row.readyAt += now
			}
			ops, at = append(ops, o), append(at, i)
		}
	})
	for i, err := range d.core.doAll(ctx, ops) {
		errs[at[i]] = err
		if err != nil && !fault.Unknown(err) {
			d.core.do(func(x *index, _ int64) {
				if !ops[i].settled { // no group took it
					x.cancel(ops[i].entry)
				}
			})
		}
	}
	return errs
}

// Touch restarts the TTR of reserved jobs, in memory.
func (d *driver) Touch(ctx context.Context, ids []transitory.ID) []error {
	if err := d.ready(ctx, "touch"); err != nil {
		return repeat(err, len(ids))
	}
	errs := make([]error, len(ids))
	d.core.do(func(x *index, now int64) {
		for i, id := range ids {
			if claim, ok := d.parse(id); ok {
				errs[i] = x.touch(claim, d.owner, now)
			} else {
				errs[i] = errForeign
			}
		}
	})
	return errs
}

// Stats counts jobs.
func (d *driver) Stats(ctx context.Context, tubes []string) ([]transitory.TubeStats, error) {
	if err := d.ready(ctx, "stats"); err != nil {
		return nil, err
	}
	stats := make([]transitory.TubeStats, len(tubes))
	for i, name := range tubes {
		var err error
		if stats[i], err = d.core.stats(ctx, name); err != nil {
			return nil, err
		}
	}
	return stats, nil
}

// stats counts the jobs of one tube. The most urgent one is known once the
// window has something in it.
func (c *core) stats(ctx context.Context, name string) (transitory.TubeStats, error) {
	s := transitory.TubeStats{Tube: name}
	for {
		var refill *op
		c.do(func(x *index, _ int64) {
			t := x.tubes[name]
			if t == nil {
				return
			}
			s.Ready, s.Delayed, s.Reserved = t.countReady, t.countDelayed, t.countReserved
			switch {
			case len(t.ready) > 0:
				s.Urgent = t.ready[0].priority
			case t.countReady > 0 && !t.complete:
				refill = &op{kind: opRefill, tube: t}
			}
		})
		if refill == nil {
			return s, nil
		}
		if err := c.ops.Do(ctx, refill); err != nil {
			return s, err
		}
	}
}

// ready refuses calls on a closed driver and calls whose context has ended.
func (d *driver) ready(ctx context.Context, op string) error {
	select {
	case <-d.closed:
		return fault.New(fault.ErrClosed, "transitory", op, "the queue was closed")
	default:
		return ctx.Err()
	}
}

// Close gives back what this opening has reserved; the last opening of a
// directory closes the file.
func (d *driver) Close() error {
	d.closing.Do(func() {
		close(d.closed)
		d.core.do(func(x *index, _ int64) {
			x.leave(d.owner)
			d.core.dismiss(d.owner)
		})
		d.err = d.release()
	})
	return d.err
}

func repeat(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
