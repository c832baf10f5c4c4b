package embedded

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
)

// purgeRows is how many rows one unit removes, so that a purge never holds the
// writer for long.
const purgeRows = 500

// Purge implements amorphous.Purger: expired cells first, then tombstones and
// the places at which nothing lies any more.
func (d *driver) Purge(ctx context.Context, t amorphous.Table, before time.Time) (removed int, err error) {
	if t.Tallied {
		return d.purgeTallied(ctx, t, before.UnixMicro())
	}
	table, err := d.table(ctx, t)
	if err != nil {
		return 0, err
	}
	removed, err = d.purgeExpired(ctx, table, before.UnixMicro())
	if err != nil {
		return removed, err
	}
	n, err := d.purgeOther(ctx, table, before.UnixMicro())
	return removed + n, err
}

func (d *driver) purgeExpired(ctx context.Context, t *table, before int64) (removed int, err error) {
	text := "DELETE FROM " + t.cells + " WHERE (part,ord,id,shape) IN" +
		" (SELECT part,ord,id,shape FROM " + t.cells + " WHERE expires < ? LIMIT ?)"
	return d.purgeAll(ctx, text, before, purgeRows)
}

// purgeTallied removes members that count nowhere, and sums that are zero.
func (d *driver) purgeTallied(ctx context.Context, table amorphous.Table, before int64) (removed int, err error) {
	t, err := d.tallied(ctx, table)
	if err != nil {
		return 0, err
	}
	removed, err = d.purgeAll(ctx, "DELETE FROM "+t.members+" WHERE id IN (SELECT id FROM "+t.members+" WHERE counts=x'' AND at < ? LIMIT ?)", before, purgeRows)
	if err != nil {
		return removed, err
	}
	_, err = d.purgeAll(ctx, "DELETE FROM "+t.tallies+" WHERE (part,ord) IN (SELECT part,ord FROM "+t.tallies+" WHERE n=0 LIMIT ?)", purgeRows)
	return removed, err
}

// purgeAll runs a statement that removes up to purgeRows rows until it finds
// fewer.
func (d *driver) purgeAll(ctx context.Context, text string, args ...any) (removed int, err error) {
	for {
		var n int64
		err := d.file.Write(ctx, func(conn sqlitefile.Conn) (err error) {
			n, err = conn.Exec(ctx, text, args...)
			return err
		})
		if err != nil {
			return removed, err
		}
		if removed += int(n); n < purgeRows {
			return removed, nil
		}
	}
}

// purgeOther removes what is old in the table's companion. It looks beside the
// writer, a part at a time, and asks again on the writer.
func (d *driver) purgeOther(ctx context.Context, t *table, before int64) (removed int, err error) {
	idle := " AND at < ?"
	if t.placed {
		idle += " AND NOT EXISTS (SELECT 1 FROM " + t.cells + " c WHERE c.part=p.part AND c.ord=p.ord AND c.id=p.id)"
	}
	look := "SELECT part,ord,id FROM " + t.other + " p WHERE (part,ord,id) > (?,?,?)" + idle + " ORDER BY part,ord,id LIMIT ?"
	if t.placed {
		look = "SELECT part,ord,id FROM " + t.other + " p WHERE id > ?" + idle + " ORDER BY id LIMIT ?"
	}
	forget := "DELETE FROM " + t.other + " AS p WHERE part=? AND ord=? AND id=?" + idle
	last := amorphous.Address{}
	for {
		args := []any{last.Partition, notNil(last.Order), last.ID, before, purgeRows}
		if t.placed {
			args = []any{last.ID, before, purgeRows}
		}
		found, err := d.addresses(ctx, look, args)
		if err != nil {
			return removed, err
		}
		n, err := d.forget(ctx, forget, found, before)
		removed += n
		if err != nil || len(found) < purgeRows {
			return removed, err
		}
		last = found[len(found)-1]
	}
}

func (d *driver) addresses(ctx context.Context, text string, args []any) (found []amorphous.Address, err error) {
	err = d.file.Read(ctx, func(conn sqlitefile.Conn) error {
		found = found[:0]
		return conn.Query(ctx, text, args, func(scan func(dest ...any) error) error {
			var a amorphous.Address
			if err := scan(&a.Partition, &a.Order, &a.ID); err != nil {
				return err
			}
			found = append(found, a)
			return nil
		})
	})
	return found, err
}

func (d *driver) forget(ctx context.Context, text string, found []amorphous.Address, before int64) (removed int, err error) {
	if len(found) == 0 {
		return 0, nil
	}
	err = d.file.Write(ctx, func(conn sqlitefile.Conn) error {
		removed = 0
		for _, a := range found {
			n, err := conn.Exec(ctx, text, a.Partition, notNil(a.Order), a.ID, before)
			if err != nil {
				return err
			}
			removed += int(n)
		}
		return nil
	})
	return removed, err
}
