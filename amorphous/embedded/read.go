package embedded

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
)

// pageBytes bounds the bodies of one page: a page of large rows holds fewer of
// them than its limit.
const pageBytes = 4 << 20

const live = "(c.expires IS NULL OR c.expires > ?)"

// Read implements amorphous.Driver. All rows are read on one snapshot.
func (d *driver) Read(ctx context.Context, t amorphous.Table, at []amorphous.Address) ([]amorphous.Row, error) {
	table, err := d.table(ctx, t)
	if err != nil {
		return nil, err
	}
	var out []amorphous.Row
	err = d.file.Read(ctx, func(conn sqlitefile.Conn) error {
		out, err = table.at(ctx, conn, at)
		return err
	})
	return out, err
}

// at reads the live cells at addresses, in their order.
func (t *table) at(ctx context.Context, conn sqlitefile.Conn, at []amorphous.Address) (out []amorphous.Row, err error) {
	args := make([]any, 0, 3*min(len(at), chunkRows)+1)
	err = t.read.chunks(len(at), func(from, to int, text string) error {
		args = args[:0]
		for _, a := range at[from:to] {
			if !t.placed {
				args = append(args, a.Partition, notNil(a.Order))
			}
			args = append(args, a.ID)
		}
		return conn.Query(ctx, text, append(args, time.Now().UnixMicro()), appendRow(&out))
	})
	if len(at) < 2 || len(out) < 2 {
		return out, err
	}
	first := make(map[cellKey]int, len(at))
	for i := len(at) - 1; i >= 0; i-- {
		first[t.nameOf(at[i])] = i
	}
	slices.SortFunc(out, func(a, b amorphous.Row) int {
		return cmp.Or(cmp.Compare(first[t.nameOf(a.Address())], first[t.nameOf(b.Address())]), cmp.Compare(a.Shape, b.Shape))
	})
	return slices.CompactFunc(out, func(a, b amorphous.Row) bool { return a.SameRow(&b) && a.Shape == b.Shape }), err
}

// nameOf is what names a row among others.
func (t *table) nameOf(a amorphous.Address) cellKey {
	if t.placed {
		return cellKey{id: a.ID}
	}
	return cellKey{part: a.Partition, ord: string(a.Order), id: a.ID}
}

const selected = "c.part,c.ord,c.id,c.shape,c.version,c.tie,c.expires,c.body"

func appendRow(out *[]amorphous.Row) func(scan func(dest ...any) error) error {
	return func(scan func(dest ...any) error) error {
		r, err := scanRow(scan)
		if err == nil {
			*out = append(*out, r)
		}
		return err
	}
}

func scanRow(scan func(dest ...any) error) (amorphous.Row, error) {
	var r amorphous.Row
	var shape, tie int64
	var expires any
	err := scan(&r.Partition, &r.Order, &r.ID, &shape, &r.Stamp.Version, &tie, &expires, &r.Body)
	r.Shape, r.Stamp.Tie = unsigned(shape), unsigned(tie)
	if micros, ok := expires.(int64); ok {
		r.Expires = time.UnixMicro(micros).UTC()
	}
	return r, err
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// errFull ends a query whose page is full.
var errFull = errors.New("page is full")

// Scan implements amorphous.Driver.
func (d *driver) Scan(ctx context.Context, t amorphous.Table, r amorphous.Range) (amorphous.Page, error) {
	table, err := d.table(ctx, t)
	if err != nil {
		return amorphous.Page{}, err
	}
	text, args, err := table.scan(r)
	if err != nil {
		return amorphous.Page{}, err
	}
	var page amorphous.Page
	err = d.file.Read(ctx, func(conn sqlitefile.Conn) error {
		page = amorphous.Page{}
		rows, size := 0, 0
		err := conn.Query(ctx, text, args, func(scan func(dest ...any) error) error {
			row, err := scanRow(scan)
			if err != nil {
				return err
			}
			n := len(page.Rows)
			if n == 0 || !row.SameRow(&page.Rows[n-1]) {
				if n > 0 && (rows == r.Limit || size >= pageBytes) {
					last := &page.Rows[n-1]
					page.Next = last.Address().Cursor()
					return errFull
				}
				rows++
			}
			size += len(row.Body)
			page.Rows = append(page.Rows, row)
			return nil
		})
		if errors.Is(err, errFull) {
			return nil
		}
		return err
	})
	return page, err
}

// scan is the query of a range. There is no LIMIT in it, since a row may have
// several cells: the reader stops when it has its rows, and SQLite, which
// follows the primary key, has done no more work than that.
func (t *table) scan(r amorphous.Range) (text string, args []any, err error) {
	text = "SELECT " + selected + " FROM " + t.cells + " c WHERE " + live
	args = []any{time.Now().UnixMicro()}
	add := func(condition string, values ...any) {
		text += " AND " + condition
		args = append(args, values...)
	}
	var after amorphous.Address
	if r.After != nil {
		if after, err = amorphous.ParseCursor(r.After, r.Partition); err != nil {
			return "", nil, err
		}
	}
	if r.Partition == "" {
		if r.After != nil {
			add("(c.part,c.ord,c.id) > (?,?,?)", after.Partition, notNil(after.Order), after.ID)
		}
		return text + " ORDER BY c.part,c.ord,c.id,c.shape", args, nil
	}
	add("c.part=?", r.Partition)
	if r.From != nil {
		add("c.ord>=?", notNil(r.From))
	}
	if r.To != nil {
		add("c.ord<?", notNil(r.To))
	}
	direction, beyond := "", ">"
	if r.Reverse {
		direction, beyond = " DESC", "<"
	}
	if r.After != nil {
		add("(c.ord,c.id) "+beyond+" (?,?)", notNil(after.Order), after.ID)
	}
	return text + " ORDER BY c.ord" + direction + ",c.id" + direction + ",c.shape" + direction, args, nil
}
