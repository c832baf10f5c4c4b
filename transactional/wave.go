package transactional

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// wave executes units that touch nothing in common: first everything that may
// decide that a unit fails or repeats is read and locked, always in the same
// order, then the others write, all of them together.
func (s *Store) wave(ctx context.Context, c Conn, jobs []*job) error {
	now, err := s.moment(ctx, c, jobs)
	if err != nil {
		return err
	}
	if err := s.checkTokens(ctx, c, jobs, now); err != nil {
		return err
	}
	if err := s.checkUnbury(ctx, c, jobs); err != nil {
		return err
	}
	held, err := s.checkSettle(ctx, c, jobs)
	if err != nil {
		return err
	}
	var ws []*write
	for _, j := range jobs {
		ws = append(ws, j.writes...)
	}
	if err := s.writeRows(ctx, c, ws); err != nil {
		return err
	}
	if err := s.writeLater(ctx, c, jobs); err != nil {
		return err
	}
	if err := s.registerPlaces(ctx, c, jobs); err != nil {
		return err
	}
	if err := s.addRecords(ctx, c, jobs, now); err != nil {
		return err
	}
	if err := s.settleRecords(ctx, c, jobs, held, now); err != nil {
		return err
	}
	if err := s.unbury(ctx, c, jobs); err != nil {
		return err
	}
	return s.bury(ctx, c, jobs)
}

// writeLater executes the writes of a unit that writes a row more than once;
// such a unit is alone in its transaction, so a failure takes all of it.
func (s *Store) writeLater(ctx context.Context, c Conn, jobs []*job) error {
	for _, j := range jobs {
		for _, ws := range j.later {
			if j.try.out {
				break
			}
			if err := s.writeRows(ctx, c, ws); err != nil {
				return err
			}
			if j.try.out && j.try.err != nil {
				return j.try.err
			}
		}
	}
	return nil
}

// tableWrites are the writes of one wave to one table.
type tableWrites struct {
	plan    *plan
	careful []*write
	plain   []*write
	absent  []*write // of the careful ones: to insert
	stones  []*write
	replace []string // rows to remove before the tombstones are inserted
}

// byTable sorts writes by table and row.
func byTable(ws []*write) []*tableWrites {
	var out []*tableWrites
	for _, w := range ws {
		i := slices.IndexFunc(out, func(t *tableWrites) bool { return t.plan == w.plan })
		if i < 0 {
			i = len(out)
			out = append(out, &tableWrites{plan: w.plan})
		}
		if w.careful() {
			out[i].careful = append(out[i].careful, w)
		} else {
			out[i].plain = append(out[i].plain, w)
		}
	}
	slices.SortStableFunc(out, func(a, b *tableWrites) int { return cmp.Compare(a.plan.physical, b.plan.physical) })
	for _, t := range out {
		slices.SortFunc(t.careful, compareWrites)
	}
	return out
}

// writeRows decides the careful writes of all tables, and then writes.
func (s *Store) writeRows(ctx context.Context, c Conn, ws []*write) error {
	if len(ws) == 0 {
		return nil
	}
	tables := byTable(ws)
	found := make([]map[string]stamped, len(tables))
	for i, t := range tables {
		if len(t.careful) == 0 {
			continue
		}
		at, ok := t.careful[0].job.seen.stamps(t.careful)
		if !ok {
			var err error
			if at, err = s.stampsOf(ctx, c, &t.plan.lock, t.careful); err != nil {
				return err
			}
		}
		found[i] = at
		for _, w := range t.careful {
			if w.job.try.out {
				continue
			}
			row, there := at[w.id]
			if v, err := w.decide(row, there); v == fails {
				w.job.try.fail(err)
			}
		}
	}
	for i, t := range tables {
		t.divide(found[i])
		if err := s.writeTable(ctx, c, t); err != nil {
			return err
		}
	}
	ws[0].job.seen.wrote(ws) // whoever has seen anything is alone
	return nil
}

// divide sorts what is left into the statements that write it.
func (t *tableWrites) divide(found map[string]stamped) {
	t.plain = slices.DeleteFunc(t.plain, func(w *write) bool { return w.job.try.out })
	for _, w := range t.careful {
		if w.job.try.out {
			continue
		}
		row, there := found[w.id]
		v, _ := w.decide(row, there)
		switch {
		case v != writes:
		case w.deleted:
			t.stones = append(t.stones, w)
			if there {
				t.replace = append(t.replace, w.id)
			}
		case there:
			t.plain = append(t.plain, w)
		default:
			t.absent = append(t.absent, w)
		}
	}
	slices.SortFunc(t.plain, compareWrites)
}

func (s *Store) writeTable(ctx context.Context, c Conn, t *tableWrites) error {
	p := t.plan
	err := inChunks(t.replace, textArg, func(args []any) error {
		_, err := c.Exec(ctx, p.remove.text(len(args)), args...)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.insertRows(ctx, c, &p.tombstones, t.stones); err != nil {
		return err
	}
	if err := s.insertRows(ctx, c, &p.insert, t.absent); err != nil {
		return err
	}
	return s.upsertRows(ctx, c, p, t.plain)
}

// insertRows inserts rows that must not be there.
func (s *Store) insertRows(ctx context.Context, c Conn, z *sized, ws []*write) error {
	return eachChunk(ctx, s, c, z, ws, func([]*write, int64) error { return nil })
}

// eachChunk executes a multi-row statement for rows, as many of them at a time
// as chunk says.
func eachChunk[T interface{ row() []any }](ctx context.Context, s *Store, c Conn, z *sized, ws []T, done func(chunk []T, affected int64) error) error {
	for len(ws) > 0 {
		n := s.chunk(z, len(ws), len(ws[0].row()))
		affected, err := execWith(ctx, c, z.text(n), func(args []any) []any {
			for _, w := range ws[:n] {
				args = append(args, w.row()...)
			}
			return args
		})
		if err == nil {
			err = done(ws[:n], affected)
		}
		if err != nil {
			return err
		}
		ws = ws[n:]
	}
	return nil
}

// upsertRows writes rows where the row is absent or older, and notes which
// were superseded.
func (s *Store) upsertRows(ctx context.Context, c Conn, p *plan, ws []*write) error {
	return eachChunk(ctx, s, c, &p.upsert, ws, func(chunk []*write, affected int64) error {
		if s.dialect.AllWon(affected, len(chunk)) {
			return nil
		}
		at, err := s.stampsOf(ctx, c, &p.stamps, chunk)
		if err != nil {
			return err
		}
		for _, w := range chunk {
			row, there := at[w.id]
			switch {
			case !there:
				// The server took another key's row for this one, because they
				// share a unique value, and the guard left it alone.
				return w.fail(fault.ErrExists, "a unique value is taken by another row")
			case row.stamp == w.stamp:
				// Written, or the repeat of a write that was.
			default:
				w.superseded()
			}
		}
		return nil
	})
}

// chunked executes a multi-row INSERT of ours for n rows.
func (s *Store) chunked(ctx context.Context, c Conn, z *sized, n, width int, row func(args []any, i int) []any) error {
	for i := 0; i < n; {
		size := s.chunk(z, n-i, width)
		_, err := execWith(ctx, c, z.text(size), func(args []any) []any {
			for k := range size {
				args = row(args, i+k)
			}
			return args
		})
		if err != nil {
			return err
		}
		i += size
	}
	return nil
}

// argLists are lists of arguments that are used again: a group's statement has
// hundreds.
var argLists = sync.Pool{New: func() any { return new([]any) }}

// execWith executes a statement with the arguments that fill appends. A list is
// used again only after a success: a driver that was cut off may still read it.
func execWith(ctx context.Context, c Conn, query string, fill func(args []any) []any) (int64, error) {
	list := argLists.Get().(*[]any)
	args := fill((*list)[:0])
	n, err := c.Exec(ctx, query, args...)
	if err == nil {
		clear(args)
		*list = args
		argLists.Put(list)
	}
	return n, err
}
