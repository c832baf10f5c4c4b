package cql

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// Read implements amorphous.Driver: statements side by side, each of one address,
// or of as many as lie alike in partitions of their own.
func (d *Driver) Read(ctx context.Context, t amorphous.Table, at []amorphous.Address) ([]amorphous.Row, error) {
	table := d.table(t)
	found := make([][]amorphous.Row, len(at))
	var errs []error
	one := func(some []int) (err error) {
		if t.Placed {
			found[some[0]], err = d.readPlaced(ctx, table, at[some[0]].ID)
			return err
		}
		return d.readRows(ctx, table, at, some, found)
	}
	if groups := alike(t, at, table.together()); len(groups) == 1 {
		errs = append(errs, one(groups[0]))
	} else {
		errs = sideBySide(groups, one)
	}
	var out []amorphous.Row
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	for i := range at {
		out = append(out, found[i]...)
	}
	return out, nil
}

// sideBySide does one for all groups, some of them at the same time.
func sideBySide(groups [][]int, one func([]int) error) []error {
	errs := make([]error, len(groups))
	var wg sync.WaitGroup
	next := make(chan int, len(groups))
	for i := range groups {
		next <- i
	}
	close(next)
	for range min(len(groups), 32) {
		wg.Go(func() {
			for i := range next {
				errs[i] = one(groups[i])
			}
		})
	}
	wg.Wait()
	return errs
}

// readPartitions is of how many partitions one statement reads rows that are known to
// be small: of 30 a row costs Cassandra 5.0 half of what it costs of ten.
const readPartitions = 32

// together is of how many partitions one statement reads.
func (t *table) together() int {
	if largest := t.largest.Load(); largest > 0 && largest <= fetchBytes/readPartitions {
		return readPartitions
	}
	return mixedRows
}

// alike groups addresses, by their indices, for one statement each: what differs
// in nothing but the partition, as the entries of a register do, in at most so
// many partitions. What is asked for twice is read once.
func alike(t amorphous.Table, at []amorphous.Address, most int) (groups [][]int) {
	type row struct{ ord, id string }
	open := map[row]int{}
	seen := make(map[place]bool, len(at))
	for i, a := range at {
		key := row{string(a.Order), a.ID}
		p := place{a.Partition, key.ord, key.id}
		if t.Placed {
			p = place{id: a.ID}
		}
		if seen[p] {
			continue
		}
		if seen[p] = true; t.Placed {
			groups = append(groups, []int{i})
			continue
		}
		group, ok := open[key]
		if !ok || len(groups[group]) == most {
			group = len(groups)
			open[key], groups = group, append(groups, nil)
		}
		groups[group] = append(groups[group], i)
	}
	return groups
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
	return d.readCells(ctx, t, 1, Statement{t.row, []any{at.part, []byte(at.ord), at.id}})
}

// readRows reads the live cells of rows that are alike.
func (d *Driver) readRows(ctx context.Context, t *table, at []amorphous.Address, some []int, found [][]amorphous.Row) (err error) {
	first := at[some[0]]
	if len(some) == 1 {
		found[some[0]], err = d.readRow(ctx, t, place{first.Partition, string(first.Order), first.ID})
		return err
	}
	of := make(map[string]int, len(some))
	partitions := make([]string, len(some))
	for i, index := range some {
		partitions[i] = at[index].Partition
		of[partitions[i]] = index
	}
	cells, err := d.readCells(ctx, t, len(some), Statement{t.rows, []any{partitions, notNil(first.Order), first.ID}})
	for _, cell := range cells {
		found[of[cell.Partition]] = append(found[of[cell.Partition]], cell)
	}
	return err
}

// readCells reads the live cells of at most so many rows.
func (d *Driver) readCells(ctx context.Context, t *table, limit int, s Statement) ([]amorphous.Row, error) {
	var rows collector
	err := d.query(ctx, func(ctx context.Context, session Session) error {
		rows = collector{now: time.Now(), limit: limit}
		return session.Each(ctx, d.reading(ctx), s, 100, rows.add)
	})
	if err != nil {
		return nil, t.explain(err)
	}
	rows.flush()
	t.learn(rows.largest)
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
