package amorphous

import (
	"context"
	"maps"
	"slices"
)

// held reads the register, and the rows at all places that it or of names.
func (l *rowLedger) held(ctx context.Context, of []Member) (out []Held, err error) {
	at := make([]Address, len(of))
	places := map[string]Address{}
	add := func(id string, tallies []Tally) {
		for _, t := range tallies {
			a := Address{Partition: t.Partition, Order: t.Order, ID: id}
			places[placeKey(a)] = a
		}
	}
	for i := range of {
		at[i] = Address{Partition: of[i].ID, ID: registered}
		add(of[i].ID, of[i].Counts)
	}
	cells, err := l.store.Read(ctx, l.register, at...)
	if err != nil {
		return nil, err
	}
	for row := range Grouped(cells) {
		entry := Held{ID: row[0].Partition, Register: true}
		for _, cell := range row {
			tallies, err := ParseTallies(cell.Body)
			if err != nil {
				continue // it registers nothing that anybody could read
			}
			add(entry.ID, tallies)
			if cell.Stamp.Compare(entry.Stamp) > 0 {
				entry.Stamp = cell.Stamp
			}
		}
		out = append(out, entry)
	}
	if len(places) == 0 {
		return out, nil
	}
	rows, err := l.store.Read(ctx, l.members, slices.Collect(maps.Values(places))...)
	return append(out, heldRows(rows)...), err
}

// heldRows are rows of members. One that cannot be read counts as what no
// object counts as.
func heldRows(cells []Row) (out []Held) {
	for row := range Grouped(cells) {
		newest := newestCell(row)
		n, err := memberCount(newest.Body)
		if err != nil {
			n = 0
		}
		out = append(out, Held{ID: newest.ID, Stamp: newest.Stamp, Tally: Tally{newest.Partition, newest.Order, n}})
	}
	return out
}

func (l *rowLedger) walk(ctx context.Context, after []byte, limit int) ([]Held, []byte, error) {
	page, err := l.store.Scan(ctx, l.members, Range{Limit: limit, After: after})
	return heldRows(page.Rows), page.Next, err
}

// audit compares a page of seals with the members of their chunks.
func (l *rowLedger) audit(ctx context.Context, after []byte) (wrong []Tally, next []byte, err error) {
	page, err := l.store.Scan(ctx, l.seals.table, Range{Limit: 64, After: after})
	if err != nil {
		return nil, nil, err
	}
	for row := range Grouped(page.Rows) {
		seal := newestCell(row)
		if seal.ID != sealID || len(seal.Body) == 0 || seal.Body[0] != sealSum {
			continue
		}
		differ, err := l.seals.audit(ctx, &seal)
		if err != nil {
			return nil, nil, err
		}
		wrong = append(wrong, differ...)
	}
	return wrong, page.Next, nil
}

// audit compares one sum. One that cannot be read differs as a whole.
func (s *seals) audit(ctx context.Context, seal *Row) (wrong []Tally, err error) {
	sum, err := parseSum(seal)
	if err != nil {
		return []Tally{{Partition: seal.Partition, Order: seal.Order}}, nil
	}
	held, _, err := s.count(ctx, Range{Partition: seal.Partition, From: sum.from, To: sum.to})
	if err != nil {
		return nil, err
	}
	kept := map[string]int64{}
	for _, t := range sum.tallies {
		kept[string(t.Order)] += t.N
	}
	for _, t := range held {
		if kept[string(t.Order)] != t.N {
			wrong = append(wrong, Tally{t.Partition, t.Order, kept[string(t.Order)]})
		}
		delete(kept, string(t.Order))
	}
	for order, n := range kept {
		if n != 0 {
			wrong = append(wrong, Tally{seal.Partition, []byte(order), n})
		}
	}
	if len(wrong) == 0 {
		return nil, nil
	}
	// Was it made void meanwhile? Then it is no sum any more.
	now, err := s.store.Read(ctx, s.table, seal.Address())
	if err != nil || len(now) == 0 || newestCell(now).Stamp != seal.Stamp {
		return nil, err
	}
	return wrong, nil
}

// recount makes sums void: the next reader makes them anew.
func (l *rowLedger) recount(ctx context.Context, places []Tally) error {
	var at []Address
	for _, t := range places {
		seal, _, err := l.seals.addresses(t.Partition, t.Order)
		if err != nil {
			return err
		}
		at = append(at, seal)
	}
	if len(at) == 0 {
		return nil
	}
	return l.seals.voidAll(storesOwn(ctx), at) // also where no fence is up
}

// remove buries rows, and makes the sums void that they are in.
func (l *rowLedger) remove(ctx context.Context, stamp Stamp, held []Held) error {
	var rows []Row
	var places []Tally
	for _, h := range held {
		if !h.Register {
			rows = append(rows, Row{Partition: h.Partition, Order: h.Order, ID: h.ID, Deleted: true, Stamp: stamp})
			places = append(places, h.Tally)
		}
	}
	if err := writeAll(ctx, l.store, l.members, rows); err != nil {
		return err
	}
	return l.recount(ctx, places)
}
