package persistencetest

import (
	"context"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"
)

// Wrap returns stores that open what the given ones open, and fail when f says
// so. A missing store stays missing.
func (f *Faults) Wrap(s persistence.Stores) persistence.Stores {
	out := s
	if s.Transitory != nil {
		out.Transitory = transitory.SourceFunc(func(ctx context.Context) (transitory.Driver, error) {
			d, err := s.Transitory.OpenDriver(ctx)
			if err != nil {
				return nil, err
			}
			return newQueue(d, &f.stores[persistence.Transitory]), nil
		})
	}
	if s.Volatile != nil {
		out.Volatile = volatile.SourceFunc(func(ctx context.Context) (volatile.Driver, error) {
			d, err := s.Volatile.OpenDriver(ctx)
			if err != nil {
				return nil, err
			}
			return newCache(d, &f.stores[persistence.Volatile]), nil
		})
	}
	if s.Transactional != nil {
		out.Transactional = transactional.SourceFunc(func(ctx context.Context) (transactional.Driver, error) {
			d, err := s.Transactional.OpenDriver(ctx)
			if err != nil {
				return nil, err
			}
			return newRows(d, &f.stores[persistence.Transactional]), nil
		})
	}
	if s.Amorphous != nil {
		out.Amorphous = amorphous.SourceFunc(func(ctx context.Context) (amorphous.Driver, error) {
			d, err := s.Amorphous.OpenDriver(ctx)
			if err != nil {
				return nil, err
			}
			return newCells(d, &f.stores[persistence.Amorphous]), nil
		})
	}
	return out
}

// A queue is a transitory driver with faults.
type queue struct {
	transitory.Driver
	faults *faulty

	mu       sync.Mutex
	reserved map[transitory.ID]uint32 // priority, for jobs that go back when a connection breaks
}

func newQueue(d transitory.Driver, s *faulty) *queue {
	q := &queue{Driver: d, faults: s, reserved: map[transitory.ID]uint32{}}
	s.mu.Lock()
	s.onUp = append(s.onUp, q.reconnect)
	s.mu.Unlock()
	return q
}

// reconnect gives back what was reserved when the store went down.
func (q *queue) reconnect() {
	q.mu.Lock()
	var back []transitory.Release
	for id, priority := range q.reserved {
		back = append(back, transitory.Release{ID: id, Priority: priority})
	}
	clear(q.reserved)
	q.mu.Unlock()
	if len(back) > 0 {
		// A job whose time was over is ready already; nothing else can fail.
		_ = q.Driver.Release(context.Background(), back)
	}
}

func (q *queue) forget(ids ...transitory.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		delete(q.reserved, id)
	}
}

func (q *queue) Put(ctx context.Context, jobs []transitory.Job) []error {
	op := func(j transitory.Job) Op { return Op{Name: "put", On: []string{j.Tube}} }
	return each(ctx, q.faults, jobs, op, func(jobs []transitory.Job) []error { return q.Driver.Put(ctx, jobs) })
}

func (q *queue) Reserve(ctx context.Context, tubes []string, most int) ([]transitory.Job, error) {
	if _, err := q.faults.before(ctx, Op{Name: "reserve", On: tubes}); err != nil {
		return nil, err
	}
	up, cancel := q.faults.while(ctx)
	defer cancel()
	jobs, err := q.Driver.Reserve(up, tubes, most)
	if err != nil && ctx.Err() == nil && up.Err() != nil {
		return nil, q.faults.error(fault.ErrUnavailable, "reserve", "the store went down")
	}
	q.mu.Lock()
	for _, j := range jobs {
		q.reserved[j.ID] = j.Priority
	}
	q.mu.Unlock()
	return jobs, err
}

func (q *queue) Delete(ctx context.Context, ids []transitory.ID) []error {
	op := func(transitory.ID) Op { return Op{Name: "delete"} }
	return each(ctx, q.faults, ids, op, func(ids []transitory.ID) []error {
		q.forget(ids...)
		return q.Driver.Delete(ctx, ids)
	})
}

func (q *queue) Release(ctx context.Context, releases []transitory.Release) []error {
	op := func(transitory.Release) Op { return Op{Name: "release"} }
	return each(ctx, q.faults, releases, op, func(releases []transitory.Release) []error {
		for _, r := range releases {
			q.forget(r.ID)
		}
		return q.Driver.Release(ctx, releases)
	})
}

func (q *queue) Touch(ctx context.Context, ids []transitory.ID) []error {
	op := func(transitory.ID) Op { return Op{Name: "touch"} }
	return each(ctx, q.faults, ids, op, func(ids []transitory.ID) []error { return q.Driver.Touch(ctx, ids) })
}

func (q *queue) Stats(ctx context.Context, tubes []string) ([]transitory.TubeStats, error) {
	if _, err := q.faults.before(ctx, Op{Name: "stats", On: tubes}); err != nil {
		return nil, err
	}
	return q.Driver.Stats(ctx, tubes)
}

func (q *queue) Features() transitory.Features { return q.Driver.(transitory.Featured).Features() }

func (q *queue) Check(ctx context.Context) fault.Report {
	return q.faults.report(ctx, q.Driver.(transitory.Checker).Check)
}

// A cache is a volatile driver with faults.
type cache struct {
	volatile.Driver
	faults *faulty
}

// newCache keeps the driver's ability to swap many at once, or its lack of it.
func newCache(d volatile.Driver, s *faulty) volatile.Driver {
	c := &cache{d, s}
	if many, ok := d.(volatile.ManySwapper); ok {
		return &swappingCache{c, many}
	}
	return c
}

type swappingCache struct {
	*cache
	many volatile.ManySwapper
}

// SwapAll implements volatile.ManySwapper.
func (c *swappingCache) SwapAll(ctx context.Context, items []volatile.Item) []error {
	return each(ctx, c.faults, items, swapOf, func(items []volatile.Item) []error { return c.many.SwapAll(ctx, items) })
}

func swapOf(i volatile.Item) Op { return Op{Name: "swap", On: []string{i.Key}} }

func (c *cache) Get(ctx context.Context, keys []string) ([]volatile.Item, error) {
	if _, err := c.faults.before(ctx, Op{Name: "get", On: keys}); err != nil {
		return nil, err
	}
	return c.Driver.Get(ctx, keys)
}

func (c *cache) Set(ctx context.Context, items []volatile.Item) []error {
	op := func(i volatile.Item) Op { return Op{Name: "set", On: []string{i.Key}} }
	return each(ctx, c.faults, items, op, func(items []volatile.Item) []error { return c.Driver.Set(ctx, items) })
}

func (c *cache) Swap(ctx context.Context, item volatile.Item) error {
	return each(ctx, c.faults, []volatile.Item{item}, swapOf, func(items []volatile.Item) []error {
		return []error{c.Driver.Swap(ctx, items[0])}
	})[0]
}

func (c *cache) Delete(ctx context.Context, keys []string) []error {
	op := func(key string) Op { return Op{Name: "delete", On: []string{key}} }
	return each(ctx, c.faults, keys, op, func(keys []string) []error { return c.Driver.Delete(ctx, keys) })
}

func (c *cache) Add(ctx context.Context, key string, delta int64, ttl time.Duration) (uint64, error) {
	lost, err := c.faults.before(ctx, Op{Name: "add", On: []string{key}})
	if err != nil {
		return 0, err
	}
	sum, err := c.Driver.Add(ctx, key, delta, ttl)
	if err == nil && lost {
		return 0, c.faults.lost("add")
	}
	return sum, err
}

func (c *cache) Features() volatile.Features { return c.Driver.(volatile.Featured).Features() }

func (c *cache) Check(ctx context.Context) fault.Report {
	return c.faults.report(ctx, c.Driver.(volatile.Checker).Check)
}

// A cells is an amorphous driver with faults.
type cells struct {
	amorphous.Driver
	faults *faulty
}

// newCells keeps the driver's abilities to purge and to sum, or its lack of
// them.
func newCells(d amorphous.Driver, s *faulty) amorphous.Driver {
	c := &cells{d, s}
	p, purges := d.(amorphous.Purger)
	t, tallies := d.(amorphous.Tallier)
	switch {
	case purges && tallies:
		return &struct {
			*purgingCells
			tallying
		}{&purgingCells{c, p}, tallying{t, s}}
	case purges:
		return &purgingCells{c, p}
	case tallies:
		return &struct {
			*cells
			tallying
		}{c, tallying{t, s}}
	}
	return c
}

func (c *cells) Write(ctx context.Context, table amorphous.Table, rows []amorphous.Row) []error {
	op := func(r amorphous.Row) Op { return Op{Name: "write", On: []string{table.Name, r.ID}} }
	return each(ctx, c.faults, rows, op, func(rows []amorphous.Row) []error { return c.Driver.Write(ctx, table, rows) })
}

func (c *cells) Read(ctx context.Context, table amorphous.Table, at []amorphous.Address) ([]amorphous.Row, error) {
	on := []string{table.Name}
	for _, a := range at {
		on = append(on, a.ID)
	}
	if _, err := c.faults.before(ctx, Op{Name: "read", On: on}); err != nil {
		return nil, err
	}
	return c.Driver.Read(ctx, table, at)
}

func (c *cells) Scan(ctx context.Context, table amorphous.Table, r amorphous.Range) (amorphous.Page, error) {
	if _, err := c.faults.before(ctx, Op{Name: "scan", On: []string{table.Name, r.Partition}}); err != nil {
		return amorphous.Page{}, err
	}
	return c.Driver.Scan(ctx, table, r)
}

func (c *cells) Prepare(ctx context.Context, tables []amorphous.Table) error {
	if err := c.faults.enter(ctx, "prepare"); err != nil {
		return err
	}
	return c.Driver.Prepare(ctx, tables)
}

func (c *cells) CreateSchema(ctx context.Context, tables []amorphous.Table) error {
	if err := c.faults.enter(ctx, "create schema"); err != nil {
		return err
	}
	return c.Driver.CreateSchema(ctx, tables)
}

// Listed is true, which is nobody's answer, for a driver that keeps no lists.
func (c *cells) Listed(ctx context.Context, table amorphous.Table) (bool, error) {
	lister, ok := c.Driver.(amorphous.Lister)
	if !ok {
		return true, nil
	}
	if _, err := c.faults.before(ctx, Op{Name: "listed", On: []string{table.Name}}); err != nil {
		return false, err
	}
	return lister.Listed(ctx, table)
}

func (c *cells) Features() amorphous.Features { return c.Driver.(amorphous.Featured).Features() }

func (c *cells) Check(ctx context.Context) fault.Report {
	return c.faults.report(ctx, c.Driver.(amorphous.Checker).Check)
}

// A tallying is a driver's ability to sum, with faults.
type tallying struct {
	tallier amorphous.Tallier
	faults  *faulty
}

func (c tallying) Tally(ctx context.Context, table amorphous.Table, members []amorphous.Member) []error {
	op := func(m amorphous.Member) Op { return Op{Name: "tally", On: []string{table.Name, m.ID}} }
	return each(ctx, c.faults, members, op, func(members []amorphous.Member) []error { return c.tallier.Tally(ctx, table, members) })
}

func (c tallying) Tallies(ctx context.Context, table amorphous.Table, ranges []amorphous.Range) ([]amorphous.Tally, error) {
	if _, err := c.faults.before(ctx, Op{Name: "tallies", On: []string{table.Name}}); err != nil {
		return nil, err
	}
	return c.tallier.Tallies(ctx, table, ranges)
}

type purgingCells struct {
	*cells
	purger amorphous.Purger
}

func (c *purgingCells) Purge(ctx context.Context, table amorphous.Table, before time.Time) (int, error) {
	if _, err := c.faults.before(ctx, Op{Name: "purge", On: []string{table.Name}}); err != nil {
		return 0, err
	}
	return c.purger.Purge(ctx, table, before)
}
