package amorphoustest

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// A Model is a table held in memory as the set of writes that were made to it.
// What is in the table is computed from that set, so the order of the writes
// cannot matter by construction; a driver must agree with it in every order.
type Model struct {
	Placed bool // as the table's; not to be changed after the first write
	rows   map[string]*history
}

type history struct {
	gone  amorphous.Stamp
	cells map[cellKey]amorphous.Row // the newest write of each cell
	tops  map[string]amorphous.Stamp
}

type cellKey struct {
	place string
	shape uint64
}

// placeOf and rowOf are injective because neither has a NUL byte but between
// its parts, and an Order is last.
func placeOf(partition string, order []byte) string { return partition + "\x00" + string(order) }

func (m *Model) rowOf(partition string, order []byte, id string) string {
	if m.Placed {
		return id
	}
	return id + "\x00" + placeOf(partition, order)
}

// Write makes one write and reports whether it is superseded.
func (m *Model) Write(row amorphous.Row) (superseded bool) {
	if m.rows == nil {
		m.rows = map[string]*history{}
	}
	name := m.rowOf(row.Partition, row.Order, row.ID)
	h := m.rows[name]
	if h == nil {
		h = &history{cells: map[cellKey]amorphous.Row{}, tops: map[string]amorphous.Stamp{}}
		m.rows[name] = h
	}
	if row.Deleted {
		if row.Stamp.Compare(h.gone) > 0 {
			h.gone = row.Stamp
		}
		return h.gone != row.Stamp || h.newest().Compare(row.Stamp) > 0
	}
	key := cellKey{placeOf(row.Partition, row.Order), row.Shape}
	if old, ok := h.cells[key]; !ok || old.Stamp.Compare(row.Stamp) < 0 {
		h.cells[key] = row
	}
	if row.Stamp.Compare(h.tops[key.place]) > 0 {
		h.tops[key.place] = row.Stamp
	}
	stored := h.cells[key]
	return stored.Stamp != row.Stamp || !h.alive(key)
}

// WriteAll makes writes as one call: to one row as if they had come newest
// first, tombstones before cells of the same stamp.
func (m *Model) WriteAll(rows []amorphous.Row) (superseded []bool) {
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		if c := rows[j].Stamp.Compare(rows[i].Stamp); c != 0 {
			return c
		}
		return cmp.Compare(rows[i].Shape, rows[j].Shape) // a tombstone's is zero
	})
	superseded = make([]bool, len(rows))
	for _, i := range order {
		superseded[i] = m.Write(rows[i])
	}
	return superseded
}

func (h *history) newest() (top amorphous.Stamp) {
	for _, stamp := range h.tops {
		if stamp.Compare(top) > 0 {
			top = stamp
		}
	}
	return top
}

// alive: no tombstone of its stamp or newer, and no newer write elsewhere.
func (h *history) alive(key cellKey) bool {
	stamp := h.cells[key].Stamp
	if stamp.Compare(h.gone) <= 0 {
		return false
	}
	for place, top := range h.tops {
		if place != key.place && top.Compare(stamp) > 0 {
			return false
		}
	}
	return true
}

// Live returns the cells that readers see, in the order of Partition, Order,
// ID and Shape.
func (m *Model) Live() []amorphous.Row {
	var out []amorphous.Row
	now := time.Now()
	for _, h := range m.rows {
		for key, row := range h.cells {
			if h.alive(key) && (row.Expires.IsZero() || row.Expires.After(now)) {
				out = append(out, row)
			}
		}
	}
	SortRows(out)
	return out
}

// SortRows sorts by Partition, Order, ID and Shape.
func SortRows(rows []amorphous.Row) {
	slices.SortFunc(rows, func(a, b amorphous.Row) int {
		return cmp.Or(strings.Compare(a.Partition, b.Partition), bytes.Compare(a.Order, b.Order),
			strings.Compare(a.ID, b.ID), cmp.Compare(a.Shape, b.Shape))
	})
}
