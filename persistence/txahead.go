package persistence

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/transactional"
)

// Most Tx functions get rows whose keys stand in their object: its own key, for was
// it handled before, or that of whom or what it is about, in a field. What the tasks
// that share a transaction will most probably get is read and locked for all of
// them in one statement; each of them would be a round trip.

const (
	txReads  = 4 // gets of a run that are looked at, the first ones
	txMisses = 8 // runs that do without a row, before it is read ahead no more, until one gets it
)

// A txHabit is what the runs of a Tx task get.
type txHabit struct {
	mu    sync.Mutex
	reads []txRead
}

// A txRead is a row that they get.
type txRead struct {
	table  *transactional.Table
	field  *record.Field // of the object, whose value is the row's key
	misses int
}

// learn remembers what a run got, as far as its object told.
func (h *txHabit) learn(x *txTask, got []place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var expected [txReads]place
	for i := range h.reads {
		r := &h.reads[i]
		expected[i] = x.placeOf(r)
		if !slices.Contains(got, expected[i]) {
			r.misses++
		}
	}
	known := len(h.reads)
	for _, at := range got {
		if slices.Contains(expected[:known], at) || len(h.reads) == txReads {
			continue
		}
		if r := (txRead{table: at.table}); x.tells(&r, at.id) {
			h.reads = append(h.reads, r)
		}
	}
	h.reads = slices.DeleteFunc(h.reads, func(r txRead) bool { return r.misses >= txMisses })
}

// expects calls want with the places of the rows that a run will most probably get.
func (h *txHabit) expects(x *txTask, want func(place)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.reads {
		if at := x.placeOf(&h.reads[i]); checkKey(at.id) == nil {
			want(at)
		}
	}
}

// placeOf is where a row lies that is read for the task's object; its id is empty
// where the object has no such field.
func (x *txTask) placeOf(r *txRead) place {
	at := place{table: r.table}
	v, err := value(x.obj).FieldByIndexErr(r.field.Index)
	switch {
	case err != nil: // it is of an embedded struct that is not there
	case v.CanInt():
		at.id = strconv.FormatInt(v.Int(), 10)
	case v.Kind() == reflect.String:
		at.id = v.String()
	}
	return at
}

// tells finds the field of the object that is a row's key.
func (x *txTask) tells(r *txRead, key string) bool {
	for _, r.field = range x.held.kind.all.Fields {
		if x.placeOf(r).id == key {
			return true
		}
	}
	return false
}

// ahead are rows that were read and locked before anybody asked for them, by
// place; a place without rows has none.
type ahead map[place][]transactional.Row

// readAhead reads what the tasks will most probably get. Where a guess is wrong,
// the transaction has locked a row more. Tables and keys are taken in their order,
// so that transactions which do this do not deadlock.
func (s *sharing) readAhead(ctx context.Context, raw *transactional.Tx) error {
	keys := map[*transactional.Table][]string{}
	var tables []*transactional.Table
	for _, x := range s.tasks {
		x.task.habit.expects(x, func(at place) {
			if keys[at.table] == nil {
				tables = append(tables, at.table)
			}
			keys[at.table] = append(keys[at.table], at.id)
		})
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

// gets notes that the function gets a row.
func (t *Tx) gets(at place) {
	if len(t.got) < txReads && !slices.Contains(t.got, at) {
		t.got = append(t.got, at)
	}
}

// row reads a row and locks it, if that was not done ahead. Nobody locks a row that
// is not there: what the function has read since may say that it was inserted, so
// then it is looked for again.
func (t *Tx) row(ctx context.Context, table *transactional.Table, key string) ([]transactional.Row, error) {
	at := place{table, key}
	t.gets(at)
	if rows, read := t.ahead[at]; read && (len(rows) > 0 || !t.since) {
		delete(t.ahead, at) // two objects never share a row's values
		return rows, nil
	}
	t.since = true
	return t.tx.Read(ctx, table, key)
}
