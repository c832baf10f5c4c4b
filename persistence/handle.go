package persistence

import (
	"context"
	"iter"
	"time"
)

// A Handle puts, gets and finds the objects of one declared kind. It is safe
// for concurrent use, and lives as long as its layer.
type Handle[T any] struct {
	layer *Layer
	kind  *kind
}

// A PutResult is what became of one object of PutAll.
type PutResult struct {
	Receipt *Receipt // nil when the object was not accepted
	Err     error    // nil when Put would have returned nil; both are set when fault.Accepted(Err)
}

// Put accepts an object: when it returns nil, every task of the object is done
// or is recorded in custody and will be done. An error for which
// fault.Accepted is true comes with a receipt: custody has the object, but a
// task at priority 0 is not done yet.
func (h *Handle[T]) Put(ctx context.Context, object T, opts ...PutOption) (*Receipt, error) {
	return h.layer.put(ctx, h.kind, &object, putOf(opts))
}

// PutAll puts objects, each on its own, grouped into as few statements as the
// stores allow. The result is aligned with objects.
func (h *Handle[T]) PutAll(ctx context.Context, objects []T, opts ...PutOption) []PutResult {
	ptrs := make([]any, len(objects))
	for i := range objects {
		ptrs[i] = &objects[i]
	}
	return h.layer.putAll(ctx, h.kind, ptrs, putOf(opts))
}

// Create puts an object that must not be there yet, else fault.ErrExists. The
// kind's record must be transactional, else fault.ErrUnsupported.
func (h *Handle[T]) Create(ctx context.Context, object T, opts ...PutOption) (*Receipt, error) {
	p := putOf(opts)
	p.create = true
	return h.layer.put(ctx, h.kind, &object, p)
}

// Update reads the object, lets change modify it, and writes it, in one
// transaction; change may run again when the database asks for it. The kind's
// record must be transactional. An object that is not there is
// fault.ErrNotFound; an error of change ends the update and comes back as it
// is.
func (h *Handle[T]) Update(ctx context.Context, key string, change func(object *T) error) (*Receipt, error) {
	return h.layer.update(ctx, h.kind, key, func(obj any) error { return change(obj.(*T)) })
}

// Patch puts some fields of an object, by their Go names (of a Document, its
// properties), without reading the others: each property keeps its newest
// value, whoever wrote it, and properties that this program does not know stay.
// Beside them only the key matters, and a version field. A property that a
// Document lacks becomes nil.
//
// It goes the way of a Put, to the tasks that keep one of the fields, and is
// for kinds whose plan is amorphous default writes, else fault.ErrUnsupported,
// with the way out: no Derive and no Count, which are made of one version of the
// whole object, no When, which judges one, and no TTL or Expires. Fields that a
// layout keeps, or lies by, need KindOptions.Patched. A patch of what is not there makes an object of these
// fields alone, which lies in no layout.
func (h *Handle[T]) Patch(ctx context.Context, object T, fields ...string) (*Receipt, error) {
	return h.layer.put(ctx, h.kind, &object, putOptions{patches: true, patch: fields})
}

// Delete removes the object: a version like any other, which runs the store
// tasks and OnDelete, never Do or Tx. Deleting what is not there is fine. A
// kind with a version field needs AtVersion.
func (h *Handle[T]) Delete(ctx context.Context, key string, opts ...PutOption) (*Receipt, error) {
	p := putOf(opts)
	p.delete, p.key = true, key
	return h.layer.put(ctx, h.kind, nil, p)
}

// Get returns the object as Put was given it, its times in UTC and
// microseconds. An object that is not there is fault.ErrNotFound; a durable
// part of it that cannot be reached is an error, never a partial object. It sees
// what Put accepted once the record is written: see Reading in the package's
// documentation.
func (h *Handle[T]) Get(ctx context.Context, key string) (T, error) {
	object, _, err := h.get(ctx, key)
	return object, err
}

// get is Get that also returns when the cache was told the object; zero: never.
// The object is decoded where another one was before, and copied out.
func (h *Handle[T]) get(ctx context.Context, key string) (object T, at time.Time, err error) {
	spare := h.kind.spares.Get().(*T)
	f, err := h.layer.getFound(ctx, h.kind, key, spare)
	if err == nil {
		object, at = *f.obj.(*T), f.at
	}
	var zero T
	*spare = zero
	h.kind.spares.Put(spare)
	return object, at, err
}

// GetAged is Get that also tells how old the answer is: how long ago the cache
// was told it. What was read from the record for this call has no age.
func (h *Handle[T]) GetAged(ctx context.Context, key string) (object T, age time.Duration, err error) {
	object, at, err := h.get(ctx, key)
	if !at.IsZero() {
		age = max(time.Since(at), 0)
	}
	return object, age, err
}

// GetAll returns the objects that are there, by key; what is not there is left
// out. With an error the map, which is never nil, has what could be read.
func (h *Handle[T]) GetAll(ctx context.Context, keys ...string) (map[string]T, error) {
	found, err := h.layer.getAll(ctx, h.kind, keys)
	out := make(map[string]T, len(found))
	for key, obj := range found {
		out[key] = *obj.(*T)
	}
	return out, err
}

// A Query selects objects of one task's layout.
type Query struct {
	// Task names the default write to read: one with PartitionBy, or the
	// record. Empty: the record.
	Task string
	// Where holds required values by Go field name. A task with PartitionBy
	// needs its field here; a transactional record takes its indexed fields.
	Where map[string]any
	// From and To bound the field that orders: From <= field < To. Nil is open.
	From, To any
	// Oldest reverses the order.
	Oldest bool
	// Limit is the number of objects; zero means all for Find and 100 for
	// FindPage.
	Limit int
	// After continues behind the page that returned this cursor.
	After string
}

// A Page is a part of what a Query selects.
type Page[T any] struct {
	Objects []T    // in the query's order, at most Limit; may be empty
	Next    string // cursor for Query.After; empty: there is no more
}

// Find returns the objects that a query selects, one after another, reading a
// page at a time. An error ends the sequence.
func (h *Handle[T]) Find(ctx context.Context, q Query) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for obj, err := range h.layer.find(ctx, h.kind, q) {
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			if !yield(*obj.(*T), nil) {
				return
			}
		}
	}
}

// FindPage returns one page of what a query selects, and the cursor of the
// next, which survives restarts and concurrent writes.
func (h *Handle[T]) FindPage(ctx context.Context, q Query) (Page[T], error) {
	objs, next, err := h.layer.findPage(ctx, h.kind, q)
	page := Page[T]{Next: next, Objects: make([]T, len(objs))}
	for i, obj := range objs {
		page.Objects[i] = *obj.(*T)
	}
	return page, err
}

// Explain tells what one Put of this object would do: tasks, order, lanes,
// statements, keys, times to live, bytes, and what each driver sends for its
// default writes. Nothing is written, and no server is asked.
func (h *Handle[T]) Explain(object T) (*Explanation, error) {
	return h.layer.explain(h.kind, &object)
}

// In returns the handle inside a transaction.
func (h *Handle[T]) In(tx *Tx) *TxHandle[T] { return &TxHandle[T]{tx: tx, kind: h.kind} }

// A TxHandle works on one kind inside a transaction. Its kind's record must be
// transactional for everything but Put and Delete.
type TxHandle[T any] struct {
	tx   *Tx
	kind *kind
}

// Put records an object: it is accepted when the transaction commits, always in
// transactional custody, at a version above every row that the transaction
// read. Writes of other purposes at priority 0 run after the commit.
func (h *TxHandle[T]) Put(ctx context.Context, object T, opts ...PutOption) (*Receipt, error) {
	return h.tx.put(ctx, h.kind, &object, putOf(opts))
}

// Create is Put of an object that must not be there yet, else fault.ErrExists.
func (h *TxHandle[T]) Create(ctx context.Context, object T, opts ...PutOption) (*Receipt, error) {
	p := putOf(opts)
	p.create = true
	return h.tx.put(ctx, h.kind, &object, p)
}

// Get reads an object and locks it until the end of the transaction.
func (h *TxHandle[T]) Get(ctx context.Context, key string) (T, error) {
	var object T
	obj, err := h.tx.get(ctx, h.kind, key)
	if err == nil {
		object = *obj.(*T)
	}
	return object, err
}

// Find returns the objects that a query on the record selects.
func (h *TxHandle[T]) Find(ctx context.Context, q Query) ([]T, error) {
	objs, err := h.tx.find(ctx, h.kind, q)
	out := make([]T, len(objs))
	for i, obj := range objs {
		out[i] = *obj.(*T)
	}
	return out, err
}

// Delete records a delete.
func (h *TxHandle[T]) Delete(ctx context.Context, key string, opts ...PutOption) (*Receipt, error) {
	p := putOf(opts)
	p.delete, p.key = true, key
	return h.tx.put(ctx, h.kind, nil, p)
}
