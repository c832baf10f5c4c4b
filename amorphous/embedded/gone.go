package embedded

import (
	"github.com/fourfold-dev/fourfold/amorphous"
)

// bury records a tombstone of a plain table and removes the cells that it
// covers.
func (w *writer) bury(it item) error {
	r := it.row
	_, err := w.conn.Exec(w.ctx, "INSERT INTO "+w.table.other+"(part,ord,id,version,tie,at) VALUES (?,?,?,?,?,?)"+
		" ON CONFLICT(part,ord,id) DO UPDATE SET version=excluded.version,tie=excluded.tie,at=excluded.at WHERE "+newerThan,
		r.Partition, r.Order, r.ID, r.Stamp.Version, signed(r.Stamp.Tie), w.now)
	if err != nil {
		return err
	}
	return w.remove(r.Partition, r.Order, r.ID, r.Stamp)
}

// remove deletes the cells of a row up to a stamp, inclusive.
func (w *writer) remove(part string, ord []byte, id string, upTo amorphous.Stamp) error {
	_, err := w.conn.Exec(w.ctx, "DELETE FROM "+w.table.cells+" WHERE part=? AND ord=? AND id=? AND "+
		"(version < ? OR (version = ? AND tie <= ?))",
		part, ord, id, upTo.Version, upTo.Version, signed(upTo.Tie))
	return err
}

// answerTombstone says whether the row holds something newer than the
// tombstone: a newer tombstone, or any cell, since the older ones are gone.
func (w *writer) answerTombstone(it item) error {
	r := it.row
	return w.conn.Query(w.ctx, "SELECT 1 FROM "+w.table.other+" WHERE part=? AND ord=? AND id=? AND (version > ? OR (version = ? AND tie > ?))"+
		" UNION ALL SELECT 1 FROM "+w.table.cells+" WHERE part=? AND ord=? AND id=? LIMIT 1",
		[]any{r.Partition, r.Order, r.ID, r.Stamp.Version, r.Stamp.Version, signed(r.Stamp.Tie), r.Partition, r.Order, r.ID},
		func(func(...any) error) error {
			superseded(it)
			return nil
		})
}

// withoutGone leaves out the cells that a tombstone forbids. Most tables have
// no tombstones at all, so it asks for one first.
func (w *writer) withoutGone(cells []item) ([]item, error) {
	some, err := w.anyGone()
	if err != nil || !some {
		return cells, err
	}
	gone := map[cellKey]amorphous.Stamp{}
	err = w.table.gone.chunks(len(cells), func(from, to int, text string) error {
		w.args = w.args[:0]
		for _, it := range cells[from:to] {
			w.args = append(w.args, it.row.Partition, it.row.Order, it.row.ID)
		}
		return w.conn.Query(w.ctx, text, w.args, func(scan func(dest ...any) error) error {
			var r amorphous.Row
			var tie int64
			if err := scan(&r.Partition, &r.Order, &r.ID, &r.Stamp.Version, &tie); err != nil {
				return err
			}
			r.Stamp.Tie = unsigned(tie)
			gone[keyOf(&r)] = r.Stamp
			return nil
		})
	})
	if err != nil || len(gone) == 0 {
		return cells, err
	}
	kept := cells[:0:0]
	for _, it := range cells {
		key := keyOf(it.row)
		key.shape = 0
		if stamp, ok := gone[key]; ok && it.row.Stamp.Compare(stamp) <= 0 {
			superseded(it)
			continue
		}
		kept = append(kept, it)
	}
	return kept, nil
}

func (w *writer) anyGone() (some bool, err error) {
	err = w.conn.Query(w.ctx, "SELECT 1 FROM "+w.table.other+" LIMIT 1", nil, func(func(...any) error) error {
		some = true
		return nil
	})
	return some, err
}
