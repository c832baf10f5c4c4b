package transactional

import (
	"context"
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// inChunks calls fn with the ids as arguments of statements of few different
// sizes: the last id is repeated until the size is a power of two.
func inChunks[T any](ids []T, arg func(T) any, fn func(args []any) error) error {
	for len(ids) > 0 {
		n := min(len(ids), maxChunk)
		args := make([]any, padded(n))
		for i := range args {
			args[i] = arg(ids[min(i, n-1)])
		}
		if err := fn(args); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

func textArg(id string) any { return id }

// readRows reads rows by id with one of the plan's statements that select all
// columns. Ids are sorted, because those who lock rows in one order do not
// deadlock.
func (s *Store) readRows(ctx context.Context, c Conn, p *plan, z *sized, ids []string) ([]Row, error) {
	sorted := slices.Clone(ids)
	slices.Sort(sorted)
	var rows []Row
	err := inChunks(slices.Compact(sorted), textArg, func(args []any) error {
		return c.Query(ctx, z.text(len(args)), args, func(scan func(...any) error) error {
			row, err := p.scanRow(scan)
			rows = append(rows, row)
			return err
		})
	})
	return rows, err
}

// scanRow scans id, version, tie, deleted and the columns.
func (p *plan) scanRow(scan func(...any) error) (Row, error) {
	var (
		row     Row
		tie     int64
		deleted int64
		raw     = make([]any, len(p.columns))
		dest    = make([]any, 4, 4+len(raw))
	)
	dest[0], dest[1], dest[2], dest[3] = &row.ID, &row.Stamp.Version, &tie, &deleted
	for i := range raw {
		dest = append(dest, &raw[i])
	}
	if err := scan(dest...); err != nil {
		return row, err
	}
	row.Stamp.Tie, row.Deleted = unflip(tie), deleted != 0
	if row.Deleted {
		return row, nil
	}
	for i, v := range raw {
		value, err := decode(p.table.Columns[i].Type, v)
		if err != nil {
			return row, &fault.Error{
				Op: "read", Store: purpose, Kind: p.table.Name, Key: row.ID, Class: fault.ErrCorrupt,
				Err: columnError{p.table.Columns[i].Name, err},
			}
		}
		raw[i] = value
	}
	row.Values = raw
	return row, nil
}

// columnError says which column an error is about.
type columnError struct {
	column string
	err    error
}

func (e columnError) Error() string { return "column " + e.column + ": " + e.err.Error() }
func (e columnError) Unwrap() error { return e.err }

// A stamped is what is known of a row that is there.
type stamped struct {
	stamp   Stamp
	deleted bool
}

// stampsOf reads the stamps of rows; those that are not there are left out.
func (s *Store) stampsOf(ctx context.Context, c Conn, z *sized, ws []*write) (map[string]stamped, error) {
	found := make(map[string]stamped, len(ws))
	err := inChunks(ws, func(w *write) any { return w.id }, func(args []any) error {
		return c.Query(ctx, z.text(len(args)), args, func(scan func(...any) error) error {
			var (
				id           string
				at           stamped
				tie, deleted int64
			)
			if err := scan(&id, &at.stamp.Version, &tie, &deleted); err != nil {
				return err
			}
			at.stamp.Tie, at.deleted = unflip(tie), deleted != 0
			found[id] = at
			return nil
		})
	})
	return found, err
}

// A write is a Write that was checked, with its arguments.
type write struct {
	job   *job
	index int // in Unit.Writes
	plan  *plan
	id    string
	stamp Stamp
	mode  Mode

	expect  int64
	deleted bool
	args    []any // id, version, tie, deleted, then the columns, which a tombstone does not have
}

func (w *write) row() []any { return w.args }

// careful reports whether the row that is there decides before anything is
// written. A plain newest write leaves that to the database; a tombstone is
// written by removing the row and inserting, so that columns which this
// program does not know are gone too.
func (w *write) careful() bool { return w.mode != Newest || w.deleted }

// compareWrites orders rows by primary key: those who write in one order do
// not deadlock.
func compareWrites(a, b *write) int { return strings.Compare(a.id, b.id) }

// superseded notes that a newer version was there.
func (w *write) superseded() {
	r := &w.job.try.result
	if r.Superseded == nil {
		r.Superseded = make([]bool, len(w.job.unit.Writes))
	}
	r.Superseded[w.index] = true
}

// A verdict is what the row that is there means for a write.
type verdict int

const (
	writes verdict = iota
	skips          // a newer version is there, or this one: no error
	fails
)

// decide judges a careful write by the row that is there.
func (w *write) decide(at stamped, there bool) (verdict, error) {
	newer := !there || w.stamp.Newer(at.stamp)
	live := there && !at.deleted
	switch w.mode {
	case Insert:
		if live || !newer {
			return fails, w.fail(fault.ErrExists, "a row with this id is there")
		}
	case IfVersion:
		matches := there && at.stamp.Version == w.expect || w.expect == 0 && !live
		if !matches {
			return fails, w.fail(fault.ErrConflict, "another version is there than the one expected")
		}
		if !newer {
			return fails, w.fail(fault.ErrConflict, "the new version is not above the one that is there")
		}
	case Above:
		if !newer {
			return fails, w.fail(fault.ErrConflict, "the version that is there is as new or newer")
		}
	default:
		if !newer {
			if at.stamp != w.stamp {
				w.superseded()
			}
			return skips, nil
		}
	}
	return writes, nil
}

func (w *write) fail(class error, message string) error {
	e := fault.New(class, purpose, "write", message)
	e.Kind, e.Key = w.plan.table.Name, w.id
	return e
}
