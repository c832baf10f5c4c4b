package transactional

import (
	"context"
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Bounds of Scan and DeadLetters.
const (
	defaultLimit = 100
	maxLimit     = 10000
)

// A Filter selects rows for Scan.
type Filter struct {
	// Equal maps column names to values, which all must hold; nil means NULL.
	Equal map[string]any
	// By orders by one column (and id); empty orders by id. From and To bound
	// it: From <= By < To, nil is open. Rows whose By is NULL come first, and
	// lie outside every bound. When By is empty, From and To are strings.
	By       string
	From, To any
	Reverse  bool   // the largest first
	Limit    int    // zero means 100, at most 10,000
	After    []byte // a cursor that Scan returned for the same filter
}

// Scan returns live rows and a cursor, nil at the end. Rows that change while
// pages are read are seen once where their order by By and id did not change.
func (s *Store) Scan(ctx context.Context, table *Table, f Filter) (rows []Row, next []byte, err error) {
	p, err := s.enter(ctx, table)
	if err != nil {
		return nil, nil, s.locate(err, "scan", table, "")
	}
	err = s.view(ctx, func(c Conn) error {
		var err error
		rows, next, err = s.scan(ctx, c, p, &f)
		return err
	})
	if err != nil {
		return nil, nil, s.explain(ctx, err, "scan", p)
	}
	return rows, next, nil
}

// A condition collects a WHERE clause.
type condition struct {
	parts []string
	args  []any
}

func (c *condition) and(text string, args ...any) {
	c.parts = append(c.parts, text)
	c.args = append(c.args, args...)
}

// An ordering is the column that a scan is ordered by.
type ordering struct {
	column  string // quoted; "" orders by id alone
	typ     Type
	at      int // in the table's columns
	reverse bool
}

func (s *Store) scan(ctx context.Context, c Conn, p *plan, f *Filter) ([]Row, []byte, error) {
	limit := f.Limit
	if limit == 0 {
		limit = defaultLimit
	}
	if limit < 0 || limit > maxLimit {
		return nil, nil, fault.New(fault.ErrInvalid, purpose, "scan", "Limit is not between 0 and 10,000")
	}
	q := s.dialect.Quote
	order := ordering{reverse: f.Reverse, at: -1}
	if f.By != "" {
		i, ok := p.byName[f.By]
		if !ok {
			return nil, nil, fault.New(fault.ErrInvalid, purpose, "scan", "By is no column of the table")
		}
		order = ordering{q(p.columns[i]), p.table.Columns[i].Type, i, f.Reverse}
	}
	var where condition
	where.and("deleted = 0")
	if err := s.equal(&where, p, f); err != nil {
		return nil, nil, err
	}
	if err := s.bound(&where, &order, f); err != nil {
		return nil, nil, err
	}
	if err := s.after(&where, p, &order, f); err != nil {
		return nil, nil, err
	}
	query := "SELECT " + list(q, slices.Concat(ourColumns, p.columns)) + " FROM " + q(p.physical) +
		" WHERE " + strings.Join(where.parts, " AND ") + order.by() + " LIMIT ?"
	rows := make([]Row, 0, min(limit, defaultLimit))
	err := c.Query(ctx, query, append(where.args, int64(limit)+1), func(scan func(...any) error) error {
		row, err := p.scanRow(scan)
		rows = append(rows, row)
		return err
	})
	if err != nil || len(rows) <= limit {
		return rows, nil, err
	}
	rows = rows[:limit]
	return rows, order.cursor(p, f, &rows[limit-1]), nil
}

func (o *ordering) by() string {
	direction := ""
	if o.reverse {
		direction = " DESC"
	}
	if o.column == "" {
		return " ORDER BY id" + direction
	}
	return " ORDER BY " + o.column + direction + ", id" + direction
}

// equal adds the conditions of Filter.Equal, in the order of their names, so
// that the same filter has the same text.
func (s *Store) equal(where *condition, p *plan, f *Filter) error {
	names := make([]string, 0, len(f.Equal))
	for name := range f.Equal {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		i, ok := p.byName[name]
		if !ok {
			return fault.New(fault.ErrInvalid, purpose, "scan", "Equal names a column that the table does not have")
		}
		v, err := encode(&s.dialect, p.table.Columns[i].Type, f.Equal[name])
		if err != nil {
			return &fault.Error{Op: "scan", Store: purpose, Class: fault.ErrInvalid, Err: columnError{name, err}}
		}
		column := s.dialect.Quote(p.columns[i])
		if v == nil {
			where.and(column + " IS NULL")
		} else {
			where.and(column+" = ?", v)
		}
	}
	return nil
}

// bound adds From and To.
func (s *Store) bound(where *condition, o *ordering, f *Filter) error {
	column := o.column
	if column == "" {
		column = "id"
	}
	for _, side := range []struct {
		value any
		op    string
	}{{f.From, " >= ?"}, {f.To, " < ?"}} {
		if side.value == nil {
			continue
		}
		var (
			v   any
			err error
		)
		if o.column == "" {
			v, err = encode(&s.dialect, Text, side.value)
		} else {
			v, err = encode(&s.dialect, o.typ, side.value)
		}
		if err != nil {
			return &fault.Error{Op: "scan", Store: purpose, Class: fault.ErrInvalid, Err: columnError{f.By, err}}
		}
		where.and(column+side.op, v)
	}
	return nil
}

// after adds the condition that a cursor stands for.
func (s *Store) after(where *condition, p *plan, o *ordering, f *Filter) error {
	if f.After == nil {
		return nil
	}
	at, err := parseCursor(f.After, cursorTag(p.physical, f))
	if err != nil {
		return err
	}
	op := " > ?"
	if o.reverse {
		op = " < ?"
	}
	if o.column == "" {
		where.and("id"+op, at.id)
		return nil
	}
	v, err := encode(&s.dialect, o.typ, at.value)
	switch {
	case err != nil:
		return fault.New(fault.ErrInvalid, purpose, "scan", "the cursor is of another filter")
	case v == nil && o.reverse:
		where.and(o.column+" IS NULL AND id < ?", at.id)
	case v == nil:
		where.and("("+o.column+" IS NOT NULL OR id > ?)", at.id)
	case o.reverse:
		// NULL is the smallest value, so it is still to come.
		where.and("("+o.column+" < ? OR "+o.column+" = ? AND id < ? OR "+o.column+" IS NULL)", v, v, at.id)
	default:
		where.and("("+o.column+" > ? OR "+o.column+" = ? AND id > ?)", v, v, at.id)
	}
	return nil
}

func (o *ordering) cursor(p *plan, f *Filter, last *Row) []byte {
	at := position{id: last.ID}
	if o.at >= 0 {
		at.value = last.Values[o.at]
	}
	return at.append(nil, cursorTag(p.physical, f))
}
