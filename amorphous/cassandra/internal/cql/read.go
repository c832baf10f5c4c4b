package cql

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// Read implements amorphous.Driver: one statement per address, side by side.
func (d *Driver) Read(ctx context.Context, t amorphous.Table, at []amorphous.Address) ([]amorphous.Row, error) {
	table := d.table(t)
	found := make([][]amorphous.Row, len(at))
	errs := make([]error, len(at))
	one := func(i int) {
		if t.Placed {
			found[i], errs[i] = d.readPlaced(ctx, table, at[i].ID)
		} else {
			found[i], errs[i] = d.readRow(ctx, table, place{at[i].Partition, string(at[i].Order), at[i].ID})
		}
	}
	if len(at) == 1 {
		one(0)
		return found[0], errs[0]
	}
	var wg sync.WaitGroup
	next := make(chan int, len(at))
	for i := range at {
		next <- i
	}
	close(next)
	for range min(len(at), 32) {
		wg.Go(func() {
			for i := range next {
				one(i)
			}
		})
	}
	wg.Wait()
	var out []amorphous.Row
	for i := range at {
		if errs[i] != nil {
			return nil, errs[i]
		}
		out = append(out, found[i]...)
	}
	return out, nil
}

// readPlaced reads an ID where it lies. The newest listed place may not have
// its row yet, while its writer is between the two: the next older one then
// still holds what the newest will replace.
func (d *Driver) readPlaced(ctx context.Context, t *table, id string) ([]amorphous.Row, error) {
	found, err := d.listings(ctx, d.reading(ctx), t, []string{id})
	if err != nil {
		return nil, err
	}
	l := found[id]
	places := make([]place, 0, len(l.places))
	for at := range l.places {
		places = append(places, at)
	}
	slices.SortFunc(places, func(a, b place) int {
		if c := l.places[b].Compare(l.places[a]); c != 0 {
			return c
		}
		if larger(a, b) {
			return -1
		}
		return 1
	})
	for _, at := range places {
		cells, err := d.readRow(ctx, t, at)
		cells = slices.DeleteFunc(cells, func(r amorphous.Row) bool { return r.Stamp.Compare(l.gone) <= 0 })
		if err != nil || len(cells) > 0 {
			return cells, err
		}
	}
	return nil, nil
}

// readRow reads the live cells of one row.
func (d *Driver) readRow(ctx context.Context, t *table, at place) ([]amorphous.Row, error) {
	var rows collector
	err := d.query(ctx, func(ctx context.Context, s Session) error {
		rows = collector{now: time.Now(), limit: 1}
		return s.Each(ctx, d.reading(ctx), Statement{t.row, []any{at.part, []byte(at.ord), at.id}}, 100, rows.add)
	})
	if err != nil {
		return nil, t.explain(err)
	}
	rows.flush()
	return rows.out, nil
}

// errFull ends a query whose page is full.
var errFull = errors.New("page is full")

// A collector gathers the live cells of whole rows until it has enough.
type collector struct {
	now   time.Time
	limit int // rows
	bytes int // of bodies; zero: no bound

	out     []amorphous.Row
	rows    int
	size    int
	largest int             // body
	row     []amorphous.Row // cells of the row that is being read, markers too
	skip    func(partition string) bool
}

// add takes one stored cell. Cells of one row come together.
func (c *collector) add(scan func(dest ...any) error) error {
	var r amorphous.Row
	var shape, version int64
	var value []byte
	if err := scan(&r.Partition, &r.Order, &r.ID, &shape, &value, &version); err != nil {
		return err
	}
	if c.skip != nil && c.skip(r.Partition) {
		return nil
	}
	if value == nil {
		return nil // the cell is gone and its row is not yet
	}
	if err := decodeCell(&r, shape, value, version); err != nil {
		return err
	}
	c.largest = max(c.largest, len(value))
	if len(c.row) > 0 && !r.SameRow(&c.row[0]) {
		c.flush()
		if c.full() {
			return errFull
		}
	}
	c.row = append(c.row, r)
	return nil
}

func (c *collector) full() bool {
	return c.rows >= c.limit || c.bytes > 0 && c.size >= c.bytes
}

// flush ends a row: what its marker covers and what has expired is left out.
func (c *collector) flush() {
	var gone amorphous.Stamp
	for i := range c.row {
		if c.row[i].Deleted {
			gone = c.row[i].Stamp
		}
	}
	before := len(c.out)
	for _, r := range c.row {
		if r.Deleted || r.Stamp.Compare(gone) <= 0 || !r.Expires.IsZero() && !r.Expires.After(c.now) {
			continue
		}
		c.out = append(c.out, r)
		c.size += len(r.Body)
	}
	if len(c.out) > before {
		c.rows++
	}
	c.row = c.row[:0]
}
