package persistence

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"github.com/fourfold-dev/fourfold/transactional"
)

// Many a Tx function begins with a Get by the key of its own object: was this
// handled before, what is kept of it. What tasks that share a transaction will
// most probably begin with is read and locked for all of them in one statement;
// each of them would be a round trip.

// txMisses is how many runs in a row may begin otherwise, before nothing is read
// ahead for their task.
const txMisses = 8

// A txHabit is how the runs of a Tx task begin.
type txHabit struct {
	table  atomic.Pointer[transactional.Table] // where they look for their object's key first; nil: that is not so, or not known
	misses atomic.Int64                        // runs in a row that did not
}

// began remembers where a run of an object looked first. Of a run that looked
// nowhere that is the zero place.
func (h *txHabit) began(key string, first place) {
	if first.table != nil && first.id == key {
		h.table.Store(first.table)
		h.misses.Store(0)
	} else if h.table.Load() != nil && h.misses.Add(1) >= txMisses {
		h.table.Store(nil)
	}
}

// ahead are rows that were read and locked before anybody asked for them, by
// place; a place without rows has none.
type ahead map[place][]transactional.Row

// readAhead reads what the tasks will most probably look for first. Where a guess
// is wrong, the transaction has locked a row more. Tables and keys are taken in
// their order, so that transactions which do this do not deadlock.
func (s *sharing) readAhead(ctx context.Context, raw *transactional.Tx) error {
	keys := map[*transactional.Table][]string{}
	var tables []*transactional.Table
	for _, x := range s.tasks {
		table := x.task.habit.table.Load()
		if table == nil {
			continue
		}
		if keys[table] == nil {
			tables = append(tables, table)
		}
		keys[table] = append(keys[table], x.key)
	}
	slices.SortFunc(tables, func(a, b *transactional.Table) int { return cmp.Compare(a.Name, b.Name) })
	s.all.ahead = ahead{}
	for _, table := range tables {
		if len(keys[table]) == 1 {
			continue // its task reads it as well by itself
		}
		rows, err := raw.Read(ctx, table, keys[table]...)
		if err != nil {
			return err
		}
		for _, key := range keys[table] {
			s.all.ahead[place{table, key}] = nil
		}
		for _, row := range rows {
			s.all.ahead[place{table, row.ID}] = []transactional.Row{row}
		}
	}
	return nil
}

// begins notes what the function does first.
func (t *Tx) begins(first place) {
	if !t.begun {
		t.begun, t.first = true, first
	}
}

// row reads a row and locks it. What was read ahead serves a function for what it
// does first only: nobody locks a row that is not there, and what the function has
// read since may say that it was inserted.
func (t *Tx) row(ctx context.Context, table *transactional.Table, key string) ([]transactional.Row, error) {
	at := place{table, key}
	first := !t.begun
	t.begins(at)
	if rows, read := t.ahead[at]; read && first {
		delete(t.ahead, at) // two objects never share a row's values
		return rows, nil
	}
	return t.tx.Read(ctx, table, key)
}
