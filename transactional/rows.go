package transactional

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Rows are the objects of one Go type in one table: the typed face of the
// store for programs that use it alone. A field tagged persistence:"key" is
// the id; the other fields are columns, named as package persistence names
// properties, with the options unique and index of the tag transactional.
// Versions are made from the clock, above every version that is there.
//
// All methods run inside a transaction, so several of them are one change.
type Rows[T any] struct {
	table  *Table
	typ    *record.Type
	key    *record.Set
	fields *record.Set
}

// NewRows compiles a struct type for a table, whose name is valid by
// ValidName. A type that cannot be stored is fault.ErrInvalid with all of its
// faults.
func NewRows[T any](table string) (*Rows[T], error) {
	typ, faults := record.Compile(reflect.TypeFor[T]())
	if faults != nil {
		return nil, fault.Wrap(fault.ErrInvalid, purpose, "compile", errors.Join(faults...))
	}
	if typ.Key == nil {
		return nil, fault.New(fault.ErrInvalid, purpose, "compile", `the type has no field tagged persistence:"key"`)
	}
	r := &Rows[T]{table: &Table{Name: table}, typ: typ, key: typ.Set([]*record.Field{typ.Key})}
	var fields []*record.Field
	for i := range typ.Fields {
		f := typ.Fields[i]
		o := f.Purposes[record.Transactional]
		if o.Omit || slices.Equal(f.Index, typ.Key.Index) {
			continue
		}
		if o.Name != "" {
			f.Name = o.Name
		}
		fields = append(fields, &f)
		r.table.Columns = append(r.table.Columns, Column{Name: f.Name, Type: Type(f.Column)})
		if o.Unique {
			r.table.Unique = append(r.table.Unique, []string{f.Name})
		}
		if o.Index {
			r.table.Index = append(r.table.Index, []string{f.Name})
		}
	}
	r.fields = typ.Set(fields)
	return r, validTable(r.table)
}

// Table is the table that the type makes, for Prepare, Schema, and units.
func (r *Rows[T]) Table() *Table { return r.table }

// Get returns the object and locks it until the end of the transaction, or
// fault.ErrNotFound.
func (r *Rows[T]) Get(ctx context.Context, tx *Tx, key string) (T, error) {
	var v T
	row, err := r.read(ctx, tx, key)
	if err == nil && (row == nil || row.Deleted) {
		err = r.absent("get", key)
	}
	if err != nil {
		return v, err
	}
	return v, r.decode(row, &v)
}

// Put writes the object whatever is there.
func (r *Rows[T]) Put(ctx context.Context, tx *Tx, v T) error {
	return r.write(ctx, tx, v, Above)
}

// Insert writes the object if none with its key is there, else
// fault.ErrExists.
func (r *Rows[T]) Insert(ctx context.Context, tx *Tx, v T) error {
	return r.write(ctx, tx, v, Insert)
}

// Update reads the object, has change change it, and writes it; change's error
// is returned untouched. An object that is not there is fault.ErrNotFound. The
// key cannot be changed: that is fault.ErrInvalid.
func (r *Rows[T]) Update(ctx context.Context, tx *Tx, key string, change func(*T) error) error {
	v, err := r.Get(ctx, tx, key)
	if err != nil {
		return err
	}
	if err := change(&v); err != nil {
		return err
	}
	if now, err := r.typ.KeyOf(reflect.ValueOf(&v).Elem()); err != nil || now != key {
		return &fault.Error{Op: "update", Store: purpose, Kind: r.table.Name, Key: key, Class: fault.ErrInvalid,
			Err: errors.New("the key was changed")}
	}
	return r.write(ctx, tx, v, Above)
}

// Delete removes the object; one that is not there is fault.ErrNotFound.
func (r *Rows[T]) Delete(ctx context.Context, tx *Tx, key string) error {
	row, err := r.read(ctx, tx, key)
	if err == nil && (row == nil || row.Deleted) {
		err = r.absent("delete", key)
	}
	if err != nil {
		return err
	}
	return r.apply(ctx, tx, Row{ID: key, Stamp: above(row), Deleted: true}, Above)
}

// List returns the objects that a filter selects, and a cursor for the next
// page, nil at the end.
func (r *Rows[T]) List(ctx context.Context, tx *Tx, f Filter) (objects []T, next []byte, err error) {
	rows, next, err := tx.Scan(ctx, r.table, f)
	if err != nil {
		return nil, nil, err
	}
	objects = make([]T, len(rows))
	for i := range rows {
		if err := r.decode(&rows[i], &objects[i]); err != nil {
			return nil, nil, err
		}
	}
	return objects, next, nil
}

func (r *Rows[T]) write(ctx context.Context, tx *Tx, v T, mode Mode) error {
	value := reflect.ValueOf(&v).Elem()
	if err := r.typ.Validate(value); err != nil {
		return err
	}
	key, err := r.typ.KeyOf(value)
	if err != nil {
		return err
	}
	values, err := r.fields.Values(value)
	if err != nil {
		return err
	}
	row, err := r.read(ctx, tx, key)
	if err != nil {
		return err
	}
	return r.apply(ctx, tx, Row{ID: key, Stamp: above(row), Values: values}, mode)
}

func (r *Rows[T]) apply(ctx context.Context, tx *Tx, row Row, mode Mode) error {
	_, err := tx.Apply(ctx, &Unit{Writes: []Write{{Table: r.table, Row: row, Mode: mode}}})
	return err
}

// read returns the row or its tombstone, locked, or nil.
func (r *Rows[T]) read(ctx context.Context, tx *Tx, key string) (*Row, error) {
	rows, err := tx.Read(ctx, r.table, key)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// above makes a stamp that wins over what is there.
func above(row *Row) Stamp {
	version := time.Now().UnixMicro()
	if row != nil {
		version = max(version, row.Stamp.Version+1)
	}
	return Stamp{Version: version}
}

func (r *Rows[T]) decode(row *Row, v *T) error {
	value := reflect.ValueOf(v).Elem()
	if err := r.key.SetValues(value, []any{row.ID}); err != nil {
		return err
	}
	return r.fields.SetValues(value, row.Values)
}

func (r *Rows[T]) absent(op, key string) error {
	return &fault.Error{Op: op, Store: purpose, Kind: r.table.Name, Key: key, Class: fault.ErrNotFound}
}
