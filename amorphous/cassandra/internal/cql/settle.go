package cql

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// A place is where a row lies.
type place struct{ part, ord, id string }

func placeOf(r *amorphous.Row) place { return place{r.Partition, string(r.Order), r.ID} }

// A listing is what the companion of a Placed table knows of one ID: the
// newest stamp that was written to each place, and of the tombstones. The
// tombstone's entry is the one without a partition.
type listing struct {
	places map[place]amorphous.Stamp
	gone   amorphous.Stamp
}

// A repair is what a listing asks for: kill the cells at a place up to a
// stamp, or strike a place that nothing can lie at any more off the list.
type repair struct {
	at     place
	bury   amorphous.Stamp // zero: nothing to bury
	unlist amorphous.Stamp // zero: it stays listed; else the stamp that it is listed with
}

// settle is the step at the heart of Placed tables: what a writer has to do
// about a listing that it read after it registered mine, once they are written.
// It must come out right whatever other writers do at the same time:
//
//   - The writer of the newest buries what lies elsewhere up to its own stamp:
//     nothing there can win any more. The newest place itself is buried up to
//     just below the second newest: an older cell, at the place that the row
//     returned to, must not come back.
//   - A writer that is overruled buries its own place, and what is older than
//     its own write at the newest place. It leaves the other places alone: the
//     newest may be registered and not yet written, and until it is, readers
//     find there what it will replace.
//   - What a tombstone covers is buried up to the tombstone.
//   - A place is struck off only after it was buried, and only by the stamp
//     that was read, so that a newer listing of it stays.
//
// Of two writers at least one sees the other, since both register before they
// read. If it is the newer one, it buries the older one's place; if it is the
// older one, it buries its own.
func settle(l listing, mine []*amorphous.Row) []repair {
	newest, ok := l.newest()
	if !ok {
		return nil
	}
	s := settlement{listing: l, newest: newest, top: l.places[newest], buries: map[place]amorphous.Stamp{}}
	for at, stamp := range l.places {
		if at != newest && stamp.Compare(s.second) > 0 {
			s.second = stamp
		}
	}
	for _, r := range mine {
		if r.Deleted {
			s.bury(newest, l.gone)
			for at := range l.places {
				s.bury(at, l.gone)
			}
			continue
		}
		s.own(r)
	}
	return s.repairs()
}

// A settlement is a listing and what it asks for.
type settlement struct {
	listing
	newest      place
	top, second amorphous.Stamp
	buries      map[place]amorphous.Stamp
}

func (s *settlement) bury(at place, upTo amorphous.Stamp) {
	if upTo.Version > 0 && upTo.Compare(s.buries[at]) > 0 {
		s.buries[at] = upTo
	}
}

// own says what follows from a cell that was written.
func (s *settlement) own(r *amorphous.Row) {
	at := placeOf(r)
	if r.Stamp.Compare(s.gone) <= 0 {
		s.bury(at, s.gone)
	}
	switch {
	case at != s.newest:
		s.bury(at, later(s.top, s.gone))
		s.bury(s.newest, below(r.Stamp))
	case r.Stamp == s.top:
		for other := range s.places {
			if other != at {
				s.bury(other, later(s.top, s.gone))
			}
		}
		s.bury(at, below(s.second))
	case r.Stamp.Compare(s.second) < 0:
		s.bury(at, below(s.second))
	}
}

func (s *settlement) repairs() []repair {
	out := make([]repair, 0, len(s.buries))
	for at, upTo := range s.buries {
		fix := repair{at: at, bury: upTo}
		// Of one version only the marker tells ties apart: such a place stays
		// listed, so that a larger tie is still found there.
		if stamp, listed := s.places[at]; listed && stamp.Version < upTo.Version {
			fix.unlist = stamp
		}
		out = append(out, fix)
	}
	return out
}

// newest is the place that holds the row: the one with the newest stamp. One
// stamp at two places would be two contents under one digest; the larger place
// wins, as everywhere.
func (l listing) newest() (at place, ok bool) {
	for p, stamp := range l.places {
		c := 1
		if ok {
			c = stamp.Compare(l.places[at])
		}
		if c > 0 || c == 0 && larger(p, at) {
			at, ok = p, true
		}
	}
	return at, ok
}

func larger(a, b place) bool {
	if c := strings.Compare(a.part, b.part); c != 0 {
		return c > 0
	}
	return a.ord > b.ord
}

func later(a, b amorphous.Stamp) amorphous.Stamp {
	if a.Compare(b) >= 0 {
		return a
	}
	return b
}

// below is the stamp right below s.
func below(s amorphous.Stamp) amorphous.Stamp {
	if s.Tie > 0 {
		return amorphous.Stamp{Version: s.Version, Tie: s.Tie - 1}
	}
	return amorphous.Stamp{Version: s.Version - 1, Tie: ^uint64(0)}
}

// writePlaced writes rows that have one place each: register, then write and
// read the listings side by side, then repair what the listings show.
func (d *Driver) writePlaced(ctx context.Context, items []item) {
	if len(items) == 0 {
		return
	}
	d.mutate(ctx, registrations(items))
	var cells []item
	byID := map[*table]map[string]*settling{}
	var all []*settling
	for _, it := range items {
		if *it.err != nil {
			continue
		}
		if byID[it.table] == nil {
			byID[it.table] = map[string]*settling{}
		}
		one := byID[it.table][it.row.ID]
		if one == nil {
			one = &settling{table: it.table, id: it.row.ID}
			byID[it.table][it.row.ID] = one
			all = append(all, one)
		}
		one.written = append(one.written, it)
		if !it.row.Deleted {
			cells = append(cells, it)
		}
	}
	settlings := all
	var wg sync.WaitGroup
	wg.Go(func() { d.mutate(ctx, cellsOf(cells)) })
	slices.SortStableFunc(all, func(a, b *settling) int { return strings.Compare(a.table.Name, b.table.Name) })
	for len(all) > 0 {
		n := 1
		for n < len(all) && n < mixedRows && all[n].table == all[0].table {
			n++
		}
		some := all[:n]
		wg.Go(func() { d.list(ctx, some) })
		all = all[n:]
	}
	wg.Wait()
	for _, one := range settlings {
		d.settle(ctx, one, &wg)
	}
	wg.Wait()
}

// list reads the listings of rows of one table, few enough for one statement.
func (d *Driver) list(ctx context.Context, some []*settling) {
	ids := make([]string, len(some))
	for i, one := range some {
		ids[i] = one.id
	}
	found, err := d.listings(ctx, d.opts.Read, some[0].table, ids)
	for _, one := range some {
		one.listing, one.err = found[one.id], err
	}
}

// A settling is the rows of one ID that were registered, on their way to be
// settled.
type settling struct {
	table   *table
	id      string
	written []item
	listing listing
	err     error
}

// settle repairs what the listing shows, beside others in wg; mostly that is
// nothing.
func (d *Driver) settle(ctx context.Context, one *settling, wg *sync.WaitGroup) {
	if one.err == nil {
		var mine []*amorphous.Row
		for _, it := range one.written {
			if *it.err == nil {
				mine = append(mine, it.row)
			}
		}
		if repairs := settle(one.listing, mine); len(repairs) > 0 {
			wg.Go(func() {
				one.err = d.repair(ctx, one.table, repairs)
				one.end()
			})
			return
		}
	}
	one.end()
}

// end gives the rows their outcome. What is registered, and not written or not
// settled, is in between, so its outcome is unknown; a repeat ends it.
func (one *settling) end() {
	for _, it := range one.written {
		it.fail(one.err)
		*it.err = unknownOf(*it.err)
	}
}

// registrations list the places of items before anything is written there.
func registrations(items []item) []mutation {
	now := time.Now()
	out := make([]mutation, 0, len(items))
	for _, it := range items {
		at := placeOf(it.row)
		if it.row.Deleted {
			at.part, at.ord = "", ""
		}
		stamp := markerValue(it.row.Stamp, now)
		out = append(out, mutation{partition: it.table.places + at.id, item: it, bytes: bytesOf(it.row),
			statements: []Statement{{it.table.register, []any{it.row.Stamp.Version, stamp, at.id, at.part, []byte(at.ord)}}}})
	}
	return out
}

// repair buries, and then strikes off what was buried.
func (d *Driver) repair(ctx context.Context, t *table, repairs []repair) error {
	now := time.Now()
	var errs []error
	run := func(make func(repair) (partition string, statements []Statement)) error {
		errs = errs[:0]
		var mutations []mutation
		for range repairs {
			errs = append(errs, nil)
		}
		for i, fix := range repairs {
			partition, statements := make(fix)
			if len(statements) == 0 {
				continue
			}
			mutations = append(mutations, mutation{partition: partition, statements: statements, bytes: rowCost,
				item: item{t, &amorphous.Row{ID: fix.at.id}, &errs[i]}})
		}
		d.mutate(ctx, mutations)
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nil
	}
	err := run(func(fix repair) (string, []Statement) {
		return t.cells + fix.at.part, t.bury(fix.at, fix.bury, now)
	})
	if err != nil {
		return err
	}
	return run(func(fix repair) (string, []Statement) {
		if fix.unlist.Version == 0 {
			return "", nil
		}
		return t.places + fix.at.id, []Statement{{t.unlist, []any{fix.unlist.Version, fix.at.id, fix.at.part, []byte(fix.at.ord)}}}
	})
}

// listings reads what is known of the places of IDs.
func (d *Driver) listings(ctx context.Context, c Consistency, t *table, ids []string) (map[string]listing, error) {
	found := make(map[string]listing, len(ids))
	err := d.query(ctx, func(ctx context.Context, s Session) error {
		clear(found)
		return s.Each(ctx, c, Statement{t.listed, []any{ids}}, fetchRows, func(scan func(dest ...any) error) error {
			var ord, tie []byte
			var at place
			var stamp amorphous.Stamp
			if err := scan(&at.id, &at.part, &ord, &tie, &stamp.Version); err != nil {
				return err
			}
			if len(tie) < cellHead {
				return errShortCell()
			}
			at.ord, stamp.Tie = string(ord), binary.BigEndian.Uint64(tie)
			l := found[at.id]
			if at.part == "" {
				l.gone = stamp
			} else {
				if l.places == nil {
					l.places = map[place]amorphous.Stamp{}
				}
				l.places[at] = stamp
			}
			found[at.id] = l
			return nil
		})
	})
	return found, t.explain(err)
}
