package cql

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// purgeBound is how long one reading of a whole table may take.
const purgeBound = time.Hour

// Purge implements amorphous.Purger: it reads the whole table for markers, and
// a Placed table's companion for tombstones, and removes those that were
// written before a moment. What expired Cassandra removes by itself.
func (d *Driver) Purge(ctx context.Context, t amorphous.Table, before time.Time) (removed int, err error) {
	table := d.table(t)
	err = d.each(ctx, Statement{table.marked, []any{int64(markerShape)}}, func(c cell) error {
		if !c.writtenBefore(before) {
			return nil
		}
		removed++
		return d.forget(ctx, table, c)
	})
	if err != nil || !t.Placed {
		return removed, table.explain(err)
	}
	err = d.read(ctx, purgeBound, 0, func(bounded context.Context, s Session) error {
		return s.Each(bounded, d.opts.Read, Statement{Text: table.buried}, fetchRows, func(scan func(dest ...any) error) error {
			var c cell
			if err := scan(&c.ID, &c.value, &c.version); err != nil || !c.writtenBefore(before) {
				return err
			}
			return d.exec(ctx, func(ctx context.Context, s Session) error {
				return s.Exec(ctx, d.opts.Write, Statement{table.unlist, []any{c.version, c.ID, "", []byte{}}})
			})
		})
	})
	return removed, table.explain(err)
}

// A cell is a stored cell as it is.
type cell struct {
	amorphous.Address
	shape   int64
	value   []byte
	version int64
}

func (c *cell) writtenBefore(moment time.Time) bool {
	return len(c.value) >= cellHead && int64(binary.BigEndian.Uint64(c.value[8:])) < moment.UnixMicro()
}

func (d *Driver) each(ctx context.Context, text Statement, do func(cell) error) error {
	return d.read(ctx, purgeBound, 0, func(ctx context.Context, s Session) error {
		return s.Each(ctx, d.opts.Read, text, fetchRows, func(scan func(dest ...any) error) error {
			var c cell
			if err := scan(&c.Partition, &c.Order, &c.ID, &c.shape, &c.value, &c.version); err != nil {
				return err
			}
			return do(c)
		})
	})
}

// forget removes a marker, and first the cells that only the marker keeps
// down: those of its own version, which no range tombstone covers.
func (d *Driver) forget(ctx context.Context, t *table, marker cell) error {
	gone := amorphous.Stamp{Version: marker.version, Tie: binary.BigEndian.Uint64(marker.value)}
	at := []any{marker.Partition, notNil(marker.Order), marker.ID}
	var statements []Statement
	drop := func(c cell) {
		statements = append(statements, Statement{t.dropCell, append(append([]any{c.version}, at...), c.shape)})
	}
	err := d.each(ctx, Statement{t.row, at}, func(c cell) error {
		var r amorphous.Row
		if c.shape == markerShape || c.value == nil {
			return nil
		}
		err := decodeCell(&r, c.shape, c.value, c.version)
		if err == nil && r.Stamp.Compare(gone) <= 0 {
			drop(c)
		}
		return err
	})
	if err != nil {
		return err
	}
	drop(marker)
	return d.exec(ctx, func(ctx context.Context, s Session) error {
		return s.Batch(ctx, d.opts.Write, statements)
	})
}
