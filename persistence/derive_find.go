package persistence

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A DerivedHandle reads the rows of type D that a task with Derive writes. It
// is safe for concurrent use, and lives as long as its layer.
type DerivedHandle[D any] struct {
	layer *Layer
	kind  *kind
	task  *task
	rows  *amorphous.Derived[D]
}

// Derived returns the reader of the rows that a task of a kind derives, as in
// persistence.Derived[Notice](checkins, "inbox"). Like Declare it is program
// text: it panics when the kind has no such task, or the task's rows are no D.
func Derived[D, T any](h *Handle[T], task string) *DerivedHandle[D] {
	t := h.kind.task(task)
	if t == nil || t.derive == nil {
		panic(&refusal{what: "declaration", faults: []string{fmt.Sprintf("kind %q has no task %q with Derive%s", h.kind.name, task, h.kind.derives())}})
	}
	rows, ok := t.derive.derived.(*amorphous.Derived[D])
	if !ok {
		panic(&refusal{what: "declaration", faults: []string{fmt.Sprintf("task %q of kind %q derives rows of %s, not of %s",
			task, h.kind.name, typeName(t.derive.rowType), typeName(reflect.TypeFor[D]()))}})
	}
	return &DerivedHandle[D]{h.layer, h.kind, t, rows}
}

// derives lists the kind's tasks with Derive.
func (k *kind) derives() string {
	var names []string
	for _, t := range k.tasks {
		if t.derive != nil {
			names = append(names, t.name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ", but " + strings.Join(names, ", ")
}

// Find returns the rows that a query selects, one after another, reading a
// page at a time. An error ends the sequence. Where names the field of
// PartitionBy, From and To bound that of Newest; a query without Where reads
// all partitions, in no order that matters. Task is not needed.
func (h *DerivedHandle[D]) Find(ctx context.Context, q Query) iter.Seq2[D, error] {
	return func(yield func(D, error) bool) {
		r, err := h.query(q)
		for left := q.Limit; err == nil; {
			n := readPage
			if q.Limit > 0 {
				n = min(n, left)
			}
			var rows []D
			var next []byte
			rows, next, err = h.page(ctx, r, n)
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
			if left -= len(rows); err == nil && (next == nil || q.Limit > 0 && left <= 0) {
				return
			}
			r.inner.After = next
		}
		var none D
		yield(none, err)
	}
}

// FindPage returns one page of what a query selects, and the cursor of the
// next, which survives restarts and concurrent writes.
func (h *DerivedHandle[D]) FindPage(ctx context.Context, q Query) (Page[D], error) {
	var page Page[D]
	r, err := h.query(q)
	if err != nil {
		return page, err
	}
	var next []byte
	page.Objects, next, err = h.page(ctx, r, cmp.Or(q.Limit, defaultPage))
	if next != nil {
		page.Next = cursor{shape: r.shape, inner: next}.String()
	}
	return page, err
}

// Get returns the row at the place of another, of which only the key and the
// fields of PartitionBy and Newest matter, or fault.ErrNotFound.
func (h *DerivedHandle[D]) Get(ctx context.Context, at D) (D, error) {
	if err := h.layer.open("get"); err != nil {
		var none D
		return none, err
	}
	return h.rows.Get(ctx, at)
}

// Of returns the rows that were derived from an object, in no order that
// matters. They are all in memory.
func (h *DerivedHandle[D]) Of(ctx context.Context, key string) ([]D, error) {
	if err := h.layer.open("find"); err != nil {
		return nil, err
	}
	return h.rows.Of(ctx, key)
}

// A derivedQuery is a Query on derived rows, checked and resolved.
type derivedQuery struct {
	partition string
	whole     bool // of all partitions
	inner     amorphous.Query
	shape     uint64
}

// query checks a query. All faults are listed together.
func (h *DerivedHandle[D]) query(q Query) (*derivedQuery, error) {
	if err := h.layer.open("find"); err != nil {
		return nil, err
	}
	var faults faults
	r := h.task.derive.resolve(h.task.name, q, &faults)
	r.shape = r.digest(h.kind, h.task)
	if q.After != "" {
		at, err := parseCursor(q.After)
		switch {
		case err != nil:
			faults.add("%v", err)
		case at.shape != r.shape:
			faults.add("the cursor in After belongs to another query: keep Where, From, To and Oldest as they were")
		}
		r.inner.After = at.inner
	}
	if len(faults) > 0 {
		return nil, h.kind.badQuery(faults)
	}
	return r, nil
}

func (d *derivation) resolve(task string, q Query, faults *faults) *derivedQuery {
	r := &derivedQuery{whole: len(q.Where) == 0, inner: amorphous.Query{Reverse: q.Oldest}}
	if q.Task != "" && q.Task != task {
		faults.add("Task is %q, and these are the rows of task %q: leave it out", q.Task, task)
	}
	if q.Limit < 0 {
		faults.add("Limit is %d: use a positive number, or zero", q.Limit)
	}
	by := cmp.Or(d.layout.PartitionBy, d.typ.Key.Go)
	for _, name := range slices.Sorted(maps.Keys(q.Where)) {
		if name != by {
			faults.add("Where names %q: rows of task %q lie in partitions by %s, which is the one field that can be asked for", name, task, by)
			continue
		}
		v, err := coerce(d.typ.Lookup(by).Type, q.Where[name])
		if err == nil {
			r.partition, err = record.Text(v)
		}
		if err != nil {
			faults.add("Where %s: %v", name, err)
		}
	}
	if q.From == nil && q.To == nil {
		if r.whole && q.Oldest {
			faults.add("Oldest orders a partition, and Where names none")
		}
		return r
	}
	switch newest := d.typ.Lookup(d.layout.Newest); {
	case d.layout.Newest == "":
		faults.add("From and To bound the field that orders, and task %q has no Newest", task)
	case r.whole:
		faults.add("From and To bound the rows of a partition, and Where names none")
	default:
		r.inner.From = bounded("From", newest.Type, q.From, faults)
		r.inner.To = bounded("To", newest.Type, q.To, faults)
	}
	return r
}

func bounded(word string, to reflect.Type, given any, faults *faults) any {
	if given == nil {
		return nil
	}
	v, err := coerce(to, given)
	if err != nil {
		faults.add("%s: %v", word, err)
		return nil
	}
	return v.Interface()
}

// digest is a digest of what the query selects, and in which order.
func (r *derivedQuery) digest(k *kind, t *task) uint64 {
	var b []byte
	for _, s := range []string{k.table, t.name, r.partition, fmt.Sprint(r.whole, r.inner.Reverse), fmt.Sprintf("%v %v", r.inner.From, r.inner.To)} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return max(record.Digest(b), 1)
}

// page returns at most n rows, and where to go on; nil is the end. A store's
// page may hold fewer than were asked for.
func (h *DerivedHandle[D]) page(ctx context.Context, r *derivedQuery, n int) (out []D, next []byte, err error) {
	if r.whole {
		return h.anywhere(ctx, r.inner.After, n)
	}
	inner := r.inner
	for len(out) < n {
		inner.Limit = min(n-len(out), amorphous.MaxLimit)
		rows, after, err := h.rows.Page(ctx, r.partition, &inner)
		out = append(out, rows...)
		if err != nil || after == nil {
			return out, nil, invalidCursor(err)
		}
		inner.After = after
	}
	return out, inner.After, nil
}

// anywhere reads all partitions.
func (h *DerivedHandle[D]) anywhere(ctx context.Context, after []byte, n int) (out []D, next []byte, err error) {
	scan := h.rows.Scan(after)
	for row, err := range scan.Objects(ctx) {
		if err != nil {
			return out, nil, invalidCursor(err)
		}
		if out = append(out, row); len(out) == n {
			return out, scan.Cursor(), nil
		}
	}
	return out, nil, nil
}

// invalidCursor says of a forged cursor what the caller knows it by.
func invalidCursor(err error) error {
	if err != nil && fault.ClassOf(err) == fault.ErrInvalid {
		return &fault.Error{Op: "find", Class: fault.ErrInvalid, Err: errors.Join(errCursor, err)}
	}
	return err
}
