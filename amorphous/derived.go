package amorphous

import (
	"context"
	"iter"
	"reflect"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Derived keeps rows of type D that are derived from objects of other types,
// their origins: one object becomes many rows, laid out the way they are read,
// as a message becomes a notice in the inbox of every reader. A newer version
// of an origin, or one that implies nothing, removes the rows that it no
// longer implies, whatever the order in which versions arrive (see
// DerivedRows). It is safe for concurrent use.
type Derived[D any] struct {
	cells *Collection[D]
	rows  *DerivedRows
}

// NewDerived returns the derived rows of a name in a store, laid out as l says;
// Copies is implied. D is a struct with a field tagged persistence:"key", and
// a key is unique in its partition. The name is valid by ValidName with
// "__buckets" behind it. A nil opts means the defaults.
func NewDerived[D any](store *Store, name string, l *Layout, opts *RegisterOptions) (*Derived[D], error) {
	var layout Layout
	if l != nil {
		layout = *l
	}
	if layout.Expires != "" {
		return nil, fault.New(fault.ErrInvalid, purpose, "declare", "derived rows end with their origin: leave out Expires, and use Origin.Expires or TTL")
	}
	layout.Copies = layout.PartitionBy != ""
	cells, err := NewCollection[D](store, name, &layout)
	if err != nil {
		return nil, err
	}
	rows, err := NewDerivedRows(store, name, opts)
	if err != nil {
		return nil, err
	}
	if rows.spread = cells.known; rows.spread != nil {
		o, _ := opts.withDefaults() // NewDerivedRows found no fault
		rows.spread.splitAt = o.SplitAt
	}
	cells.whole = true
	return &Derived[D]{cells: cells, rows: rows}, nil
}

// Tables are the tables of the rows, for Store.CreateSchema, Store.Prepare and
// Store.Purge.
func (d *Derived[D]) Tables() []Table { return d.rows.Tables() }

// Rows are the derived rows below this type.
func (d *Derived[D]) Rows() *DerivedRows { return d.rows }

// Put makes the rows of an origin exactly these. The sequence may be long, of
// up to MaxDerived rows, which are never in memory together; it may be asked
// again, and must give the same rows each time. ErrSuperseded means that a
// newer version was there, and that no row of this one is left. Any other
// error means that a repeat is needed, which is harmless.
func (d *Derived[D]) Put(ctx context.Context, o Origin, rows iter.Seq[D]) error {
	return d.rows.Put(ctx, d.Imply(o, Infallible(rows)))[0]
}

// Delete removes the rows of an origin: a version that implies none.
func (d *Derived[D]) Delete(ctx context.Context, o Origin) error {
	return d.rows.Put(ctx, Implication{Origin: o})[0]
}

// Infallible is a sequence in which nothing fails; a nil sequence is empty.
func Infallible[D any](rows iter.Seq[D]) iter.Seq2[D, error] {
	return func(yield func(D, error) bool) {
		if rows == nil {
			return
		}
		for row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// Imply encodes what an origin implies, for DerivedRows.Put, which takes many
// at a time. An error of the sequence ends it.
func (d *Derived[D]) Imply(o Origin, rows iter.Seq2[D, error]) Implication {
	if o.Expires.IsZero() && d.cells.layout.TTL > 0 {
		o.Expires = time.Now().Add(d.cells.layout.TTL)
	}
	return Implication{Origin: o, Rows: func(yield func(Row, error) bool) {
		for obj, err := range rows {
			var row Row
			if err == nil {
				row, err = d.encode(&obj)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}}
}

func (d *Derived[D]) encode(obj *D) (row Row, err error) {
	l, v := d.cells.layout, reflect.ValueOf(obj).Elem()
	row.Shape = l.set.Shape
	if row.ID, err = l.typ.KeyOf(v); err != nil {
		return row, err
	}
	at, _, err := l.place(v, row.ID)
	if err != nil {
		return row, err
	}
	row.Partition, row.Order = at.Partition, at.Order
	row.Body, err = l.set.Append(nil, v)
	return row, err
}

// Get returns the row at the place of another, of which only the fields that
// name the place and the key matter, or fault.ErrNotFound.
func (d *Derived[D]) Get(ctx context.Context, at D) (D, error) {
	var zero D
	row, err := d.encode(&at)
	if err != nil {
		return zero, d.cells.fail("get", row.ID, err)
	}
	found, err := d.rows.Read(ctx, row.Address())
	if err != nil {
		return zero, err
	}
	if len(found) == 0 {
		return zero, d.cells.fail("get", row.ID, fault.New(fault.ErrNotFound, "", "", "no row lies there"))
	}
	return d.cells.decode(found[:1])
}

// Of returns the rows that the newest version of an origin has, in no order
// that matters. They are all in memory.
func (d *Derived[D]) Of(ctx context.Context, key string) ([]D, error) {
	registered, err := d.rows.Registered(ctx, key)
	if err != nil || len(registered) == 0 {
		return nil, err
	}
	found, err := d.rows.Read(ctx, registered[0].Places...)
	if err != nil {
		return nil, err
	}
	var out []D
	for i := range found {
		if found[i].Stamp != registered[0].Stamp {
			continue // another origin's, or not written yet
		}
		obj, err := d.cells.decode(found[i : i+1])
		if err != nil {
			return nil, err
		}
		out = append(out, obj)
	}
	return out, nil
}

// List returns the first rows of a partition, as Collection.List does.
func (d *Derived[D]) List(ctx context.Context, partition string, limit int) ([]D, error) {
	return d.cells.List(ctx, partition, limit)
}

// Page returns one page of a partition, as Collection.Page does.
func (d *Derived[D]) Page(ctx context.Context, partition string, q *Query) (rows []D, next []byte, err error) {
	return d.cells.Page(ctx, partition, q)
}

// All iterates over a partition, as Collection.All does.
func (d *Derived[D]) All(ctx context.Context, partition string, q *Query) iter.Seq2[D, error] {
	return d.cells.All(ctx, partition, q)
}

// Scan reads all partitions, as Collection.Scan does. A row whose bucket was
// split while its origin was written again may be seen twice.
func (d *Derived[D]) Scan(after []byte) *Scan[D] { return d.cells.Scan(after) }

// Cursor returns the cursor that goes on behind a row, for Query.After.
func (d *Derived[D]) Cursor(row D) ([]byte, error) { return d.cells.Cursor(row) }
