package embedded

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
)

// An entryCall is the introductions of one Register, or a part of them, on its
// way through a group. It owns them.
type entryCall struct {
	register, table *table
	all             []amorphous.Introduction
	known           [][]amorphous.Row
	errs            []error
	size            int
}

func (c *entryCall) cost() int { return c.size }

// Register implements amorphous.Registrar.
func (d *driver) Register(ctx context.Context, register, table amorphous.Table, all []amorphous.Introduction) (known [][]amorphous.Row, errs []error) {
	r, err := d.table(ctx, register)
	if err != nil {
		return make([][]amorphous.Row, len(all)), repeat(err, len(all))
	}
	t, err := d.table(ctx, table)
	if err != nil {
		return make([][]amorphous.Row, len(all)), repeat(err, len(all))
	}
	var calls []*entryCall
	for some := range slices.Chunk(all, callRows) {
		calls = append(calls, newEntryCall(r, t, some))
	}
	groupErrs := d.entries.DoAll(ctx, calls)
	for i, c := range calls {
		if groupErrs != nil && groupErrs[i] != nil {
			known = append(known, make([][]amorphous.Row, len(c.all))...)
			errs = append(errs, repeat(groupErrs[i], len(c.all))...)
			continue
		}
		known, errs = append(known, c.known...), append(errs, c.errs...)
	}
	return known, errs
}

func newEntryCall(register, table *table, all []amorphous.Introduction) *entryCall {
	c := &entryCall{register: register, table: table, known: make([][]amorphous.Row, len(all)), errs: make([]error, len(all))}
	rows := make([]amorphous.Row, 0, 2*len(all))
	for i := range all {
		rows = append(append(rows, all[i].Entry), all[i].Rows...)
	}
	rows = amorphous.CloneRows(rows)
	for i := range rows {
		c.size += rowCost + len(rows[i].Body) + len(rows[i].Order)
	}
	c.all = make([]amorphous.Introduction, len(all))
	for i := range all {
		n := 1 + len(all[i].Rows)
		c.all[i], rows = amorphous.Introduction{Entry: rows[0], Rows: rows[1:n:n]}, rows[n:]
	}
	return c
}

// An introduced is one introduction of a call.
type introduced struct {
	*amorphous.Introduction
	call  *entryCall
	known *[]amorphous.Row
	err   *error
}

// runEntries writes the introductions of one group in one unit. As in runGroup,
// one that the file refuses fails alone.
func (d *driver) runEntries(ctx context.Context, calls []*entryCall) []error {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	var all []introduced
	for _, c := range calls {
		for i := range c.all {
			all = append(all, introduced{&c.all[i], c, &c.known[i], &c.errs[i]})
		}
	}
	slices.SortStableFunc(all, func(a, b introduced) int {
		return cmp.Or(strings.Compare(a.call.register.Name, b.call.register.Name), strings.Compare(a.call.table.Name, b.call.table.Name))
	})
	u := unit[introduced]{
		file: d.file, halves: inHalves[introduced],
		write: func(conn sqlitefile.Conn, all []introduced) error {
			now := time.Now()
			for some := range runsOf(all, introduced.beside) {
				if err := introduce(ctx, conn, now, some); err != nil {
					return err
				}
			}
			return nil
		},
		failed: func(one introduced, err error) { *one.err, *one.known = err, nil },
	}
	u.run(ctx, all)
	return nil
}

// beside reports whether two are of one register, about one table.
func (one introduced) beside(other introduced) bool {
	return one.call.register == other.call.register && one.call.table == other.call.table
}

// introduce writes introductions of one register within a unit: the entries
// first, and then the rows of those that nothing newer is registered beside.
func introduce(ctx context.Context, conn sqlitefile.Conn, now time.Time, all []introduced) error {
	register, table := all[0].call.register, all[0].call.table
	before, err := register.partitions(ctx, conn, all)
	if err != nil {
		return err
	}
	answers := make([]error, len(all)) // each nil, or that it was superseded
	entries := make([]item, len(all))
	for i, one := range all {
		entries[i] = item{row: &one.Entry, err: &answers[i]}
	}
	if err := newBatch(register, entries).write(ctx, conn, now); err != nil {
		return err
	}
	var at []amorphous.Address
	for i, one := range all {
		*one.known, *one.err = nil, nil
		expired := !one.Entry.Expires.IsZero() && !one.Entry.Expires.After(now)
		if before[one.Entry.Partition] != 1 || expired || answers[i] != nil {
			at = append(at, one.Entry.Address())
			continue
		}
		*one.known = []amorphous.Row{one.Entry}
	}
	cells, err := register.at(ctx, conn, at)
	if err != nil {
		return err
	}
	known := make(map[cellKey][]amorphous.Row, len(at))
	for row := range amorphous.Grouped(cells) {
		known[register.nameOf(row[0].Address())] = row
	}
	var rows []item
	for i, one := range all {
		if *one.known == nil {
			*one.known = known[register.nameOf(one.Entry.Address())]
		}
		newer := func(cell amorphous.Row) bool { return cell.Stamp.Compare(one.Entry.Stamp) > 0 }
		if slices.ContainsFunc(*one.known, newer) {
			continue
		}
		for r := range one.Rows {
			rows = append(rows, item{row: &one.Rows[r], err: &answers[i]})
		}
	}
	return newBatch(table, rows).write(ctx, conn, now)
}

// partitions counts what lies, or is about to lie, in the partitions of entries.
// Most origins are new, and so alone in theirs: the index says so, for a third of
// what it costs to read what has just been written.
func (t *table) partitions(ctx context.Context, conn sqlitefile.Conn, all []introduced) (map[string]int, error) {
	out := make(map[string]int, len(all))
	names := make([]string, 0, len(all))
	for _, one := range all {
		if out[one.Entry.Partition]++; out[one.Entry.Partition] == 1 {
			names = append(names, one.Entry.Partition)
		}
	}
	args := make([]any, 0, chunkRows)
	err := t.held.chunks(len(names), func(from, to int, text string) error {
		args = args[:0]
		for _, name := range names[from:to] {
			args = append(args, name)
		}
		return conn.Query(ctx, text, args, func(scan func(dest ...any) error) error {
			var name string
			err := scan(&name)
			out[name]++
			return err
		})
	})
	return out, err
}
