package cql

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A lone caller's write is a group of its own. When groupsEager of them are under
// way, what arrives forms the next, and others, up to groupsAtOnce, begin only
// past small ones and those that take longer than groupPatience. More of them
// would be smaller ones, and cost both sides more: a row in a batch of ten costs
// Cassandra 5.0 half of what it costs alone, in a batch of five four fifths.
const (
	groupCalls   = 256
	groupBytes   = 1 << 20
	groupsAtOnce = 8
	groupsEager  = 4
	groupSmall   = 4 // calls
	rowCost      = 256
	callRows     = 512

	groupPatience = 10 * time.Millisecond
)

// Bounds of one batch. Batches of one partition are one mutation and may be
// large. Batches across partitions halve the client's work while they are
// small; Cassandra warns at 5 KiB and at ten partitions.
const (
	partitionBytes = 64 << 10
	partitionRows  = 100
	mixedBytes     = 4608
	mixedRows      = 10
	statementCost  = 64 // of a statement's bytes, beside its values
)

// A call is the rows of one Write, or a part of them. It owns its rows: the
// caller may be gone before they are written.
type call struct {
	table *table
	rows  []amorphous.Row
	errs  []error
	bytes int
}

func (c *call) cost() int { return c.bytes + rowCost*len(c.rows) }

// Write implements amorphous.Driver.
func (d *Driver) Write(ctx context.Context, t amorphous.Table, rows []amorphous.Row) []error {
	return d.WriteTables(ctx, []amorphous.TableRows{{Table: t, Rows: rows}})[0]
}

// WriteTables implements amorphous.TablesWriter: what comes together is a part of
// one group, whose batches are of several tables. A batch of two rows costs
// Cassandra 5.0 three tenths less than two statements.
func (d *Driver) WriteTables(ctx context.Context, writes []amorphous.TableRows) [][]error {
	calls := make([]*call, 0, len(writes))
	of := make([]int, 0, len(writes))
	for i, w := range writes {
		table := d.table(w.Table)
		for part := range slices.Chunk(w.Rows, callRows) {
			c := &call{table: table, rows: amorphous.CloneRows(part), errs: make([]error, len(part))}
			for i := range part {
				c.bytes += len(part[i].Body)
			}
			calls, of = append(calls, c), append(of, i)
		}
	}
	do := d.writes.DoAllHere
	if slices.ContainsFunc(calls, func(c *call) bool { return c.table.Placed }) {
		do = d.writes.DoAll // several steps, which are not cut off in between
	}
	groupErrs := do(ctx, calls)
	out := make([][]error, len(writes))
	for n, c := range calls {
		errs := c.errs // which a group that is left behind may still write to
		if groupErrs != nil && groupErrs[n] != nil {
			errs = make([]error, len(c.rows))
			for i := range errs {
				errs[i] = groupErrs[n]
			}
		}
		out[of[n]] = append(out[of[n]], errs...)
	}
	return out
}

// An item is one row of a call.
type item struct {
	table *table
	row   *amorphous.Row
	err   *error
}

// fail keeps the first error of an item.
func (it item) fail(err error) {
	if *it.err == nil && err != nil {
		*it.err = it.table.explain(err)
	}
}

func (d *Driver) runGroup(ctx context.Context, calls []*call) []error {
	var plain, placed []item
	for _, c := range calls {
		for i := range c.rows {
			it := item{c.table, &c.rows[i], &c.errs[i]}
			if c.table.Placed {
				placed = append(placed, it)
			} else {
				plain = append(plain, it)
			}
		}
	}
	var wg sync.WaitGroup
	if len(plain) > 0 && len(placed) > 0 {
		wg.Go(func() { d.mutate(ctx, cellsOf(plain)) })
	} else {
		d.mutate(ctx, cellsOf(plain))
	}
	d.writePlaced(ctx, placed)
	wg.Wait()
	return nil
}

// A mutation is the statements of one item for one partition.
type mutation struct {
	partition  string // with its table: what lies together on the servers
	statements []Statement
	bytes      int
	item       item
}

// cellsOf are the mutations of rows where they lie.
func cellsOf(items []item) []mutation {
	now := time.Now()
	out := make([]mutation, 0, len(items))
	for _, it := range items {
		m := mutation{partition: it.table.cells + it.row.Partition, item: it, bytes: bytesOf(it.row) + len(it.row.Body)}
		if it.row.Deleted {
			m.statements = it.table.bury(placeOf(it.row), it.row.Stamp, now)
		} else {
			m.statements = []Statement{it.table.putRow(it.row, now)}
		}
		out = append(out, m)
	}
	return out
}

// bytesOf is what a row's statement takes in a batch, without its body.
func bytesOf(r *amorphous.Row) int {
	return statementCost + cellHead + len(r.Partition) + len(r.Order) + len(r.ID)
}

// mutate executes mutations in batches side by side and gives every item its
// answer.
func (d *Driver) mutate(ctx context.Context, mutations []mutation) {
	batches := pack(mutations)
	if len(batches) == 0 {
		return
	}
	var wg sync.WaitGroup
	for _, b := range batches[1:] {
		wg.Go(func() { d.batch(ctx, b) })
	}
	d.batch(ctx, batches[0])
	wg.Wait()
}

// batch executes one batch. One that is refused for good, or for a table that is
// missing, is taken apart, so that only the bad one fails.
func (d *Driver) batch(ctx context.Context, b []mutation) {
	var statements []Statement
	for _, m := range b {
		statements = append(statements, m.statements...)
	}
	err := d.exec(ctx, func(ctx context.Context, s Session) error {
		if len(statements) == 1 {
			return s.Exec(ctx, d.opts.Write, statements[0])
		}
		return s.Batch(ctx, d.opts.Write, statements)
	})
	if (fault.Permanent(err) || isMissing(err)) && len(b) > 1 {
		for _, m := range b {
			d.batch(ctx, []mutation{m})
		}
		return
	}
	for _, m := range b {
		m.item.fail(err)
	}
}

// pack puts mutations into batches: those of one partition together, and the
// small rest in small batches across partitions.
func pack(mutations []mutation) (batches [][]mutation) {
	slices.SortStableFunc(mutations, func(a, b mutation) int { return strings.Compare(a.partition, b.partition) })
	var mixed []mutation
	size := 0
	flush := func() {
		if len(mixed) > 0 {
			batches = append(batches, mixed)
		}
		mixed, size = nil, 0
	}
	for start := 0; start < len(mutations); {
		end, bytes := start+1, mutations[start].bytes
		for end < len(mutations) && mutations[end].partition == mutations[start].partition &&
			end-start < partitionRows && bytes+mutations[end].bytes <= partitionBytes {
			bytes += mutations[end].bytes
			end++
		}
		switch {
		case bytes > mixedBytes || end-start > mixedRows:
			batches = append(batches, mutations[start:end:end])
		case size+bytes > mixedBytes || len(mixed)+end-start > mixedRows:
			flush()
			fallthrough
		default:
			mixed = append(mixed, mutations[start:end]...)
			size += bytes
		}
		start = end
	}
	flush()
	return batches
}

// Explain implements amorphous.Explainer. A row of a Placed table is registered,
// written, and looked for elsewhere.
func (d *Driver) Explain(t amorphous.Table, row amorphous.Row) []string {
	table := d.table(t)
	write := table.putRow(&row, time.Now()).Text
	if !t.Placed {
		return []string{write}
	}
	return []string{table.register, write, table.listed}
}
