package embedded

import (
	"cmp"
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// A place is what a Placed table knows of one ID.
//
// The rule that it keeps, whatever the order in which writes arrive: a row
// lies where its newest write put it, and a cell lives there unless a
// tombstone of its stamp or a newer one exists, or a newer write put the row
// elsewhere in between.
type place struct {
	part  string
	ord   string
	top   amorphous.Stamp // of the newest write; zero when there was none
	moved amorphous.Stamp // of the newest write that put it elsewhere: older cells are dead
	gone  amorphous.Stamp // of the newest tombstone: cells up to it are dead
}

// A verdict is what a write to an ID leads to.
type verdict struct {
	superseded bool
	cell       bool             // write the cell
	leave      *place           // remove every cell at this former place
	remove     *amorphous.Stamp // remove the cells at the place up to this stamp
	changed    bool             // the place itself
}

// apply is the step: state and write in, state and actions out.
func (p place) apply(r *amorphous.Row) (place, verdict) {
	if r.Deleted {
		return p.bury(r.Stamp)
	}
	var v verdict
	at := place{part: r.Partition, ord: string(r.Order)}
	here := p.part == at.part && p.ord == at.ord
	switch {
	case r.Stamp.Compare(p.gone) <= 0:
		v.superseded = true
	case p.top == amorphous.Stamp{}:
		p.part, p.ord, p.top = at.part, at.ord, r.Stamp
		v.cell, v.changed = true, true
	case here && r.Stamp.Compare(p.moved) < 0:
		v.superseded = true
	case here:
		v.cell = true
		if r.Stamp.Compare(p.top) > 0 {
			p.top, v.changed = r.Stamp, true
		}
	case p.before(r.Stamp, at):
		former := p
		v.leave, v.cell, v.changed = &former, true, true
		p.moved = newer(p.moved, p.top)
		p.part, p.ord, p.top = at.part, at.ord, r.Stamp
	default:
		v.superseded = true
		if r.Stamp.Compare(p.moved) > 0 {
			p.moved, v.changed = r.Stamp, true
			below := just(r.Stamp)
			v.remove = &below
		}
	}
	return p, v
}

// bury applies a tombstone, which needs no place.
func (p place) bury(stamp amorphous.Stamp) (place, verdict) {
	v := verdict{superseded: stamp.Compare(p.gone) < 0 || stamp.Compare(p.top) < 0}
	if stamp.Compare(p.gone) > 0 {
		p.gone, v.changed = stamp, true
		v.remove = &stamp
	}
	return p, v
}

// before reports whether a write elsewhere is newer than the newest one here.
// One stamp at two places would be two contents under one digest; the larger
// place wins, so that every order of arrival ends alike.
func (p place) before(stamp amorphous.Stamp, at place) bool {
	if c := stamp.Compare(p.top); c != 0 {
		return c > 0
	}
	if c := strings.Compare(at.part, p.part); c != 0 {
		return c > 0
	}
	return at.ord > p.ord
}

func newer(a, b amorphous.Stamp) amorphous.Stamp {
	if a.Compare(b) >= 0 {
		return a
	}
	return b
}

// just is the stamp right below s.
func just(s amorphous.Stamp) amorphous.Stamp {
	if s.Tie > 0 {
		return amorphous.Stamp{Version: s.Version, Tie: s.Tie - 1}
	}
	return amorphous.Stamp{Version: s.Version - 1, Tie: ^uint64(0)}
}

// writePlaced writes to a table with at most one row per ID. Items are sorted
// by ID. IDs that nobody wrote before take a way without a question per row.
func (w *writer) writePlaced(items []item) error {
	known, fresh, err := w.introduce(items)
	if err != nil {
		return err
	}
	cells, err := w.decide(known)
	if err != nil {
		return err
	}
	cells = append(cells, fresh...)
	sortCells(cells)
	return w.upsert(cells)
}

// introduce inserts the places of IDs that come once and are not tombstones,
// and returns apart the items of which it then knows that their ID is new.
func (w *writer) introduce(items []item) (known, fresh []item, err error) {
	single := make([]item, 0, len(items))
	for i, it := range items {
		again := i > 0 && items[i-1].row.ID == it.row.ID || i+1 < len(items) && items[i+1].row.ID == it.row.ID
		if again || it.row.Deleted {
			known = append(known, it)
			continue
		}
		single = append(single, it)
	}
	err = w.table.fresh.chunks(len(single), func(from, to int, text string) error {
		w.args = w.args[:0]
		for _, it := range single[from:to] {
			r := it.row
			w.args = append(w.args, r.ID, r.Partition, r.Order, r.Stamp.Version, signed(r.Stamp.Tie), w.now)
		}
		changed, err := w.conn.Exec(w.ctx, text, w.args...)
		if err != nil {
			return err
		}
		if changed == int64(to-from) {
			fresh = append(fresh, single[from:to]...)
		} else {
			// Some were there. Those that were not are now, at the place and
			// stamp of their item, which changes nothing for decide.
			known = append(known, single[from:to]...)
		}
		return nil
	})
	return known, fresh, err
}

// decide applies items to the places as they are, executes what that leads
// to, and returns the cells to write.
func (w *writer) decide(items []item) ([]item, error) {
	if len(items) == 0 {
		return nil, nil
	}
	places, err := w.places(items)
	if err != nil {
		return nil, err
	}
	var cells []item
	changed := map[string]bool{}
	for _, it := range items {
		next, v := places[it.row.ID].apply(it.row)
		if v.superseded {
			superseded(it)
		}
		if v.leave != nil {
			if err := w.remove(v.leave.part, []byte(v.leave.ord), it.row.ID, v.leave.top); err != nil {
				return nil, err
			}
		}
		if v.remove != nil && next.top != (amorphous.Stamp{}) {
			if err := w.remove(next.part, []byte(next.ord), it.row.ID, *v.remove); err != nil {
				return nil, err
			}
		}
		if next.gone.Compare(next.top) >= 0 {
			// Nothing lies there any more, and its name may say what was erased.
			next.part, next.ord = "", ""
		}
		if v.cell {
			cells = append(cells, it)
		}
		if v.changed {
			changed[it.row.ID] = true
		}
		places[it.row.ID] = next
	}
	return w.onePerCell(cells), w.replace(items, places, changed)
}

// onePerCell leaves the newest of several writes to one cell; the items of one
// ID stand newest first.
func (w *writer) onePerCell(cells []item) []item {
	newest := make(map[cellKey]item, len(cells))
	kept := cells[:0]
	for _, it := range cells {
		key := keyOf(it.row)
		if twin, again := newest[key]; again {
			w.repeated(it, twin)
			continue
		}
		newest[key] = it
		kept = append(kept, it)
	}
	return kept
}

// places reads what is known of the IDs.
func (w *writer) places(items []item) (map[string]place, error) {
	out := make(map[string]place, len(items))
	var ids []string
	for i, it := range items {
		if i == 0 || items[i-1].row.ID != it.row.ID {
			ids = append(ids, it.row.ID)
		}
	}
	err := w.table.located.chunks(len(ids), func(from, to int, text string) error {
		w.args = w.args[:0]
		for _, id := range ids[from:to] {
			w.args = append(w.args, id)
		}
		return w.conn.Query(w.ctx, text, w.args, func(scan func(dest ...any) error) error {
			id, p, err := scanPlace(scan)
			out[id] = p
			return err
		})
	})
	return out, err
}

func scanPlace(scan func(dest ...any) error) (id string, p place, err error) {
	var ord []byte
	var ties [3]int64
	var at int64
	err = scan(&id, &p.part, &ord, &p.top.Version, &ties[0], &p.moved.Version, &ties[1], &p.gone.Version, &ties[2], &at)
	p.ord = string(ord)
	for i, stamp := range []*amorphous.Stamp{&p.top, &p.moved, &p.gone} {
		if stamp.Version > 0 {
			stamp.Tie = unsigned(ties[i])
		}
	}
	return id, p, err
}

// replace stores the places that changed.
func (w *writer) replace(items []item, places map[string]place, changed map[string]bool) error {
	ids := make([]string, 0, len(changed))
	for i, it := range items {
		if id := it.row.ID; changed[id] && (i == 0 || items[i-1].row.ID != id) {
			ids = append(ids, id)
		}
	}
	return w.table.replace.chunks(len(ids), func(from, to int, text string) error {
		w.args = w.args[:0]
		for _, id := range ids[from:to] {
			p := places[id]
			w.args = append(w.args, id, p.part, append([]byte{}, p.ord...),
				p.top.Version, signed(p.top.Tie), p.moved.Version, signed(p.moved.Tie), p.gone.Version, signed(p.gone.Tie), w.now)
		}
		_, err := w.conn.Exec(w.ctx, text, w.args...)
		return err
	})
}

// sortCells puts the cells of IDs, which came by ID, into the order of the
// table that they go to.
func sortCells(cells []item) {
	slices.SortFunc(cells, func(a, b item) int {
		return cmp.Or(byAddress(a.row, b.row), cmp.Compare(a.row.Shape, b.row.Shape))
	})
}
