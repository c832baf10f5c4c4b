package embedded

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
)

// A batch is the items of one group for one table, in the order of the primary
// key; cells of one row newest first.
type batch struct {
	table *table
	items []item
}

func newBatch(t *table, items []item) batch {
	order := byAddress
	if t.placed {
		order = byID
	}
	slices.SortFunc(items, func(a, b item) int {
		if c := order(a.row, b.row); c != 0 {
			return c
		}
		return newestFirst(a.row, b.row)
	})
	return batch{t, items}
}

func byAddress(a, b *amorphous.Row) int {
	return cmp.Or(strings.Compare(a.Partition, b.Partition), bytes.Compare(a.Order, b.Order), strings.Compare(a.ID, b.ID))
}

func byID(a, b *amorphous.Row) int { return strings.Compare(a.ID, b.ID) }

// newestFirst orders the writes to one row as if they had come newest first,
// which makes every older one a loser. At equal stamps the tombstone wins, and
// then the larger place (see place.before).
func newestFirst(a, b *amorphous.Row) int {
	if c := b.Stamp.Compare(a.Stamp); c != 0 {
		return c
	}
	switch {
	case a.Deleted && !b.Deleted:
		return -1
	case b.Deleted && !a.Deleted:
		return 1
	}
	return cmp.Or(byAddress(b, a), cmp.Compare(a.Shape, b.Shape))
}

// write writes the batch within a unit and gives every item its answer.
// Running it again after a rollback gives all answers anew.
func (b batch) write(ctx context.Context, conn sqlitefile.Conn, now time.Time) error {
	w := writer{ctx: ctx, conn: conn, table: b.table, now: now.UnixMicro()}
	for _, it := range b.items {
		*it.err = nil
	}
	write := w.writePlain
	if b.table.placed {
		write = w.writePlaced
	}
	if err := write(b.items); err != nil {
		return err
	}
	for _, twin := range w.twins {
		*twin[0].err = *twin[1].err
	}
	return nil
}

// A writer writes one batch within one unit.
type writer struct {
	ctx   context.Context
	conn  sqlitefile.Conn
	table *table
	now   int64
	args  []any
	twins [][2]item // a repeat within the batch, and the item whose answer is its own
}

func superseded(it item) { *it.err = amorphous.ErrSuperseded }

// writePlain writes to a table whose rows stand alone: tombstones first, then
// the cells that no tombstone forbids.
func (w *writer) writePlain(items []item) error {
	var cells, tombstones []item
	for start := 0; start < len(items); {
		end := start + 1
		for end < len(items) && byAddress(items[start].row, items[end].row) == 0 {
			end++
		}
		cells, tombstones = w.reduce(items[start:end], cells, tombstones)
		start = end
	}
	for _, it := range tombstones {
		if err := w.bury(it); err != nil {
			return err
		}
	}
	cells, err := w.withoutGone(cells)
	if err != nil {
		return err
	}
	if err := w.upsert(cells); err != nil {
		return err
	}
	for _, it := range tombstones {
		if err := w.answerTombstone(it); err != nil {
			return err
		}
	}
	return nil
}

// reduce keeps of the writes to one row, newest first, the newest tombstone
// and the newest cell of each shape that is newer than it.
func (w *writer) reduce(row, cells, tombstones []item) (keptCells, keptTombstones []item) {
	first := len(cells)
	var buried *item
	for i := range row {
		it := row[i]
		switch {
		case buried != nil && it.row.Deleted && it.row.Stamp == buried.row.Stamp:
			w.twins = append(w.twins, [2]item{it, *buried})
		case buried != nil:
			// Older than the tombstone, or equal and not one.
			superseded(it)
		case it.row.Deleted:
			buried = &row[i]
			tombstones = append(tombstones, it)
		default:
			same := slices.IndexFunc(cells[first:], func(kept item) bool { return kept.row.Shape == it.row.Shape })
			if same < 0 {
				cells = append(cells, it)
			} else {
				w.repeated(it, cells[first+same])
			}
		}
	}
	return cells, tombstones
}

// repeated answers a write to the cell that kept writes too.
func (w *writer) repeated(it, kept item) {
	if it.row.Stamp == kept.row.Stamp {
		w.twins = append(w.twins, [2]item{it, kept})
		return
	}
	superseded(it)
}

// upsert writes cells, newest wins, and finds the losers where not every row
// was taken.
func (w *writer) upsert(cells []item) error {
	return w.table.upsert.chunks(len(cells), func(from, to int, text string) error {
		w.args = w.args[:0]
		for _, it := range cells[from:to] {
			r := it.row
			var expires any
			if !r.Expires.IsZero() {
				expires = r.Expires.UnixMicro()
			}
			w.args = append(w.args, r.Partition, r.Order, r.ID, signed(r.Shape), r.Stamp.Version, signed(r.Stamp.Tie), expires, r.Body)
		}
		changed, err := w.conn.Exec(w.ctx, text, w.args...)
		if err != nil || changed == int64(to-from) {
			return err
		}
		return w.answerLosers(cells[from:to])
	})
}

type cellKey struct {
	part, ord, id string
	shape         uint64
}

func keyOf(r *amorphous.Row) cellKey {
	return cellKey{r.Partition, string(r.Order), r.ID, r.Shape}
}

// answerLosers compares what is stored now with what was to be stored: a newer
// stamp has superseded the item, its own stamp is the item or a repeat of it.
func (w *writer) answerLosers(cells []item) error {
	stored := make(map[cellKey]amorphous.Stamp, len(cells))
	err := w.table.stamps.chunks(len(cells), func(from, to int, text string) error {
		w.args = w.args[:0]
		for _, it := range cells[from:to] {
			w.args = append(w.args, it.row.Partition, it.row.Order, it.row.ID, signed(it.row.Shape))
		}
		return w.conn.Query(w.ctx, text, w.args, func(scan func(dest ...any) error) error {
			var r amorphous.Row
			var shape, tie int64
			if err := scan(&r.Partition, &r.Order, &r.ID, &shape, &r.Stamp.Version, &tie); err != nil {
				return err
			}
			r.Shape, r.Stamp.Tie = unsigned(shape), unsigned(tie)
			stored[keyOf(&r)] = r.Stamp
			return nil
		})
	})
	for _, it := range cells {
		if stored[keyOf(it.row)] != it.row.Stamp {
			superseded(it)
		}
	}
	return err
}
