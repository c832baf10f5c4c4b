package embedded

import (
	"context"

	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// refill brings the window of a tube (nil: of the delayed jobs) up to its
// size. Only run calls it, so no change of the table is under way.
func (c *core) refill(ctx context.Context, t *tube) error {
	if t == nil {
		return c.refillDelayed(ctx)
	}
	c.mu.Lock()
	t.asked = false
	after, limit := t.horizon, c.index.window-len(t.ready)
	needed := c.index.shallow(t)
	t.reading = needed
	c.mu.Unlock()
	if !needed {
		return nil
	}
	var rows []row
	err := c.file.Read(ctx, func(conn sqlitefile.Conn) (err error) {
		rows, err = readyRows(ctx, conn, t.name, after, limit)
		return err
	})
	if err != nil {
		return c.refillFailed(t, err)
	}
	c.do(func(x *index, _ int64) {
		x.refill(t, rows, len(rows) < limit)
		x.drop(t)
	})
	return nil
}

// refillFailed gives the error to those who wait for the tube: what they wait
// for cannot be read. The next Reserve asks again.
func (c *core) refillFailed(t *tube, err error) error {
	err = fault.Wrap(fault.ErrUnavailable, "transitory", "refill", err)
	c.mu.Lock()
	defer c.mu.Unlock()
	t.reading = false
	for w := t.firstWaiter(); w != nil; w = t.firstWaiter() {
		w.settle(nil, err)
	}
	return err
}

func (c *core) refillDelayed(ctx context.Context) error {
	c.mu.Lock()
	c.index.delayedAsked = false
	after, limit := c.index.delayedHorizon, c.index.window-c.index.delayed.Len()
	needed := c.index.delayedLow()
	c.index.delayedReading = needed
	c.mu.Unlock()
	if !needed {
		return nil
	}
	var rows []row
	err := c.file.Read(ctx, func(conn sqlitefile.Conn) (err error) {
		rows, err = delayedRows(ctx, conn, after, limit)
		return err
	})
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.index.delayedReading = false
		return fault.Wrap(fault.ErrUnavailable, "transitory", "refill", err)
	}
	c.do(func(x *index, now int64) {
		x.refillDelayed(rows, len(rows) < limit)
		x.advance(now)
	})
	return nil
}

// A load reads the body of one job.
type load struct {
	id    int64
	body  []byte
	found bool
}

// runLoads reads the bodies of a group of jobs.
func (c *core) runLoads(ctx context.Context, loads []*load) []error {
	byID := make(map[int64]*load, len(loads))
	ids := make([]any, len(loads))
	for i, l := range loads {
		byID[l.id], ids[i] = l, l.id
	}
	err := c.file.Read(ctx, func(conn sqlitefile.Conn) error {
		return chunks(len(ids), func(from, to int) error {
			return conn.Query(ctx, selectRows[to-from], ids[from:to], func(scan func(...any) error) error {
				var id int64
				var body []byte
				if err := scan(&id, &body); err != nil {
					return err
				}
				l := byID[id]
				l.body, l.found = body, true
				return nil
			})
		})
	})
	if err == nil {
		return nil
	}
	err = fault.Wrap(fault.ErrUnavailable, "transitory", "read", err)
	errs := make([]error, len(loads))
	for i := range errs {
		errs[i] = err
	}
	return errs
}
