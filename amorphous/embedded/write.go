package embedded

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
)

// A group is bounded to ten or twenty milliseconds of work, so that no other
// purpose that shares the file waits longer for the writer.
const (
	groupCalls   = 256
	groupBytes   = 1 << 20
	rowCost      = 512 // what a row costs beside its bytes
	callRows     = 512 // a larger call travels in parts
	groupTimeout = 30 * time.Second
)

// A call is the rows of one Write, or a part of them, on its way through a
// group. It owns its rows: the caller may be gone before they are written.
type call struct {
	table *table
	rows  []amorphous.Row
	errs  []error
	bytes int
}

func (c *call) cost() int { return c.bytes + rowCost*len(c.rows) }

// An item is one row of a call.
type item struct {
	row *amorphous.Row
	err *error
}

// Write implements amorphous.Driver.
func (d *driver) Write(ctx context.Context, t amorphous.Table, rows []amorphous.Row) []error {
	table, err := d.table(ctx, t)
	if err != nil {
		return repeat(err, len(rows))
	}
	if len(rows) <= callRows {
		c := newCall(table, rows)
		if err := d.writes.Do(ctx, c); err != nil {
			return repeat(err, len(rows))
		}
		return c.errs
	}
	var calls []*call
	for part := range slices.Chunk(rows, callRows) {
		calls = append(calls, newCall(table, part))
	}
	errs := make([]error, 0, len(rows))
	groupErrs := d.writes.DoAll(ctx, calls)
	for i, c := range calls {
		if groupErrs != nil && groupErrs[i] != nil {
			errs = append(errs, repeat(groupErrs[i], len(c.rows))...)
			continue
		}
		errs = append(errs, c.errs...)
	}
	return errs
}

func repeat(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func newCall(t *table, rows []amorphous.Row) *call {
	c := &call{table: t, rows: amorphous.CloneRows(rows), errs: make([]error, len(rows))}
	for i := range rows {
		c.bytes += len(rows[i].Body) + len(rows[i].Order)
	}
	return c
}

// runGroup writes the calls of one group in one unit. A row that the file
// refuses fails alone, so the answer to the group itself is always nil.
func (d *driver) runGroup(ctx context.Context, calls []*call) []error {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	byTable := make(map[*table][]item, 1)
	for _, c := range calls {
		items := byTable[c.table]
		for i := range c.rows {
			items = append(items, item{row: &c.rows[i], err: &c.errs[i]})
		}
		byTable[c.table] = items
	}
	batches := make([]batch, 0, len(byTable))
	for t, items := range byTable {
		batches = append(batches, newBatch(t, items))
	}
	// Tables in one order, always, so that a replayed history is the same.
	slices.SortFunc(batches, func(a, b batch) int { return strings.Compare(a.table.Name, b.table.Name) })
	u := unit[batch]{
		file: d.file, halves: bisect,
		write: func(conn sqlitefile.Conn, batches []batch) error {
			now := time.Now()
			for _, b := range batches {
				if err := b.write(ctx, conn, now); err != nil {
					return err
				}
			}
			return nil
		},
		failed: func(b batch, err error) {
			for _, it := range b.items {
				*it.err = err
			}
		},
	}
	u.run(ctx, batches)
	return nil
}

// bisect splits batches into two halves by items; second is nil when there is
// only one item.
func bisect(batches []batch) (first, second []batch) {
	total := 0
	for _, b := range batches {
		total += len(b.items)
	}
	half := total / 2
	if half == 0 {
		return batches, nil
	}
	for _, b := range batches {
		n := min(half, len(b.items))
		half -= n
		if n > 0 {
			first = append(first, batch{b.table, b.items[:n:n]})
		}
		if n < len(b.items) {
			second = append(second, batch{b.table, b.items[n:]})
		}
	}
	return first, second
}

// Explain implements amorphous.Explainer: what is written where nothing is yet.
func (d *driver) Explain(t amorphous.Table, _ amorphous.Row) []string {
	table := newTable(t)
	if t.Placed {
		return []string{table.fresh[0], table.upsert[0]}
	}
	return []string{table.gone[0], table.upsert[0]}
}
