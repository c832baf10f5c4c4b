package amorphous

import (
	"context"
	"errors"
	"hash/crc64"
	"reflect"
	"sync"

	"github.com/fourfold-dev/fourfold/internal/hlc"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Collection keeps objects of one type in a Store, laid out the way they are
// read. It is safe for concurrent use.
//
// Every write has a Stamp, and the newest wins wherever it comes from. Put and
// Delete take versions from the process's clock, in microseconds, which never
// goes backward while the process runs; PutAt, DeleteAt and RemoveAt are given
// theirs, such as the version of the object that a row is derived from, so
// that a repeat is the same write.
type Collection[T any] struct {
	store  *Store
	table  Table
	layout *layout
	known  *buckets // nil without Layout.Bucket
	whole  bool     // a row is wholly of its newest version: cells are not merged
	pool   sync.Pool
}

// Document is an object without a struct, for a Collection whose objects have
// no properties in common: its property "id" is the key.
type Document = record.Document

// clock makes the versions of Put and Delete.
var clock = hlc.New(0, nil)

var digest = crc64.MakeTable(crc64.ECMA)

// NewCollection returns the collection of a name, valid by ValidName, in a
// store. T is a struct with a field tagged persistence:"key", or Document. It
// does not ask the store anything; all faults of the declaration are listed in
// one fault.ErrInvalid.
func NewCollection[T any](store *Store, name string, l *Layout) (*Collection[T], error) {
	if l == nil {
		l = &Layout{}
	}
	compiled, err := l.compile(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	c := &Collection[T]{store: store, layout: compiled, table: Table{Name: name, Placed: compiled.order != nil || compiled.partition != nil}}
	if l.Copies {
		c.table.Placed = false
	}
	if l.Bucket > 0 {
		c.known = newBuckets(store, name, compiled)
	}
	c.pool.New = func() any { return new(batch) }
	for _, table := range c.Tables() {
		if _, err := store.qualify(table); err != nil {
			return nil, locate(err, "declare", name, "")
		}
	}
	return c, nil
}

// Tables are the tables of the collection, for Store.CreateSchema and
// Store.Prepare: one, and with Layout.Bucket another one that remembers which
// buckets there are.
func (c *Collection[T]) Tables() []Table {
	if c.known != nil {
		return []Table{c.table, c.known.table}
	}
	return []Table{c.table}
}

// A batch is the rows of one call. It is pooled: encoding a call allocates
// little beyond the names of its places.
type batch struct {
	rows  []Row
	names []string // partitions without their buckets
	ends  []int    // of each body in buf
	buf   []byte
}

func (b *batch) reset() {
	clear(b.rows)
	b.rows, b.names, b.ends, b.buf = b.rows[:0], b.names[:0], b.ends[:0], b.buf[:0]
}

// maxPooled is the largest buffer that goes back to the pool, in bytes.
const maxPooled = 1 << 20

// Put writes objects, newest wins, in one grouped write. A faulty object
// (fault.ErrInvalid, fault.ErrTooLarge) refuses the whole call before anything
// is written; else every object is tried, and the error joins what went wrong.
// It is not atomic. A repeat of the whole call is harmless. Objects that a
// newer version forestalled are not an error.
func (c *Collection[T]) Put(ctx context.Context, objs ...T) error {
	return c.put(ctx, "put", c.layout.set, Stamp{}, objs)
}

// PutAt is Put with a stamp of the caller's, for each of the objects. A zero
// Tie is replaced by a digest of each object's content. With Layout.TTL an
// object expires that long after the first time it was put.
func (c *Collection[T]) PutAt(ctx context.Context, stamp Stamp, objs ...T) error {
	if stamp.Version <= 0 {
		return c.fail("put", "", invalid("the stamp's version is %d; versions are greater than zero", stamp.Version))
	}
	return c.put(ctx, "put", c.layout.set, stamp, objs)
}

func (c *Collection[T]) put(ctx context.Context, op string, set *record.Set, stamp Stamp, objs []T) error {
	return c.putAs(ctx, op, set, set.Shape, stamp, objs)
}

func (c *Collection[T]) putAs(ctx context.Context, op string, set *record.Set, shape uint64, stamp Stamp, objs []T) error {
	b := c.pool.Get().(*batch)
	defer c.release(b)
	for i := range objs {
		if err := c.encode(b, set, shape, stamp, reflect.ValueOf(&objs[i]).Elem()); err != nil {
			return c.fail(op, b.key(), err)
		}
	}
	start := 0
	for i, end := range b.ends {
		r := &b.rows[i]
		r.Body = b.buf[start:end:end]
		if start = end; r.Stamp.Tie == 0 {
			r.Stamp.Tie = crc64.Checksum(r.Body, digest)
		}
		if err := c.store.validateRow(c.table, r); err != nil {
			return c.fail(op, r.ID, err)
		}
	}
	if c.known != nil {
		if err := c.known.register(ctx, b); err != nil {
			return err
		}
	}
	return c.write(ctx, b.rows)
}

// key is the key of the object that was encoded last, or failed to be.
func (b *batch) key() string {
	if len(b.rows) == 0 {
		return ""
	}
	return b.rows[len(b.rows)-1].ID
}

// encode appends an object to a batch. The bodies are cut out of the buffer at
// the end, when it no longer moves.
func (c *Collection[T]) encode(b *batch, set *record.Set, shape uint64, stamp Stamp, v reflect.Value) error {
	b.rows = append(b.rows, Row{Shape: shape, Stamp: stamp})
	r := &b.rows[len(b.rows)-1]
	if err := c.locate(r, b, v); err != nil {
		return err
	}
	if r.Stamp.Version == 0 {
		var err error
		if r.Stamp.Version, err = c.version(v); err != nil {
			return err
		}
	}
	var err error
	if r.Expires, err = c.layout.end(v); err != nil {
		return err
	}
	b.buf, err = set.Append(b.buf, v)
	b.ends = append(b.ends, len(b.buf))
	return err
}

// locate fills in where an object's row lies.
func (c *Collection[T]) locate(r *Row, b *batch, v reflect.Value) error {
	key, err := c.layout.typ.KeyOf(v)
	if err != nil {
		return err
	}
	r.ID = key
	at, name, err := c.layout.place(v, key)
	r.Partition, r.Order = at.Partition, at.Order
	b.names = append(b.names, name)
	return err
}

// version is the object's own where its type has one, else the clock's.
func (c *Collection[T]) version(v reflect.Value) (int64, error) {
	if c.layout.typ.Version != nil {
		return c.layout.typ.VersionOf(v), nil
	}
	version, _ := clock.Now() // without a ceiling there is always a version
	return version, nil
}

func (c *Collection[T]) release(b *batch) {
	if cap(b.buf) <= maxPooled {
		b.reset()
		c.pool.Put(b)
	}
}

// write writes rows and joins what went wrong; a cause that many rows share is
// said once.
func (c *Collection[T]) write(ctx context.Context, rows []Row) error {
	if len(rows) == 0 {
		return nil
	}
	var failed []error
	var last error
	for _, err := range c.store.Write(ctx, c.table, rows...) {
		if err == nil || errors.Is(err, ErrSuperseded) {
			continue
		}
		if last != nil && fault.ClassOf(last) == fault.ClassOf(err) && len(failed) >= 8 {
			continue
		}
		last = err
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// Delete deletes objects by their keys, wherever they lie. What is not there
// is fine. It is fault.ErrUnsupported with Layout.Copies, where Remove takes
// its place, and fault.ErrInvalid for a type with a version of its own, where
// DeleteAt does.
func (c *Collection[T]) Delete(ctx context.Context, keys ...string) error {
	if c.layout.typ.Version != nil {
		return c.fail("delete", "", invalid("%v has a version of its own; use DeleteAt", c.layout.typ.Go))
	}
	version, _ := clock.Now()
	return c.DeleteAt(ctx, Stamp{Version: version}, keys...)
}

// DeleteAt is Delete with a stamp of the caller's: it deletes what is not newer.
func (c *Collection[T]) DeleteAt(ctx context.Context, stamp Stamp, keys ...string) error {
	if c.layout.Copies {
		return c.fail("delete", "", fault.New(fault.ErrUnsupported, "", "", "with Layout.Copies a key may lie at many places; use Remove"))
	}
	rows := make([]Row, len(keys))
	for i, key := range keys {
		rows[i] = Row{ID: key, Stamp: stamp, Deleted: true}
		if !c.table.Placed {
			rows[i].Partition = key
		}
	}
	return c.write(ctx, rows)
}

// Remove deletes the rows at the places of objects, of which only the fields
// that name the place and the key matter.
func (c *Collection[T]) Remove(ctx context.Context, objs ...T) error {
	version, _ := clock.Now()
	return c.RemoveAt(ctx, Stamp{Version: version}, objs...)
}

// RemoveAt is Remove with a stamp of the caller's: it removes what is not newer.
func (c *Collection[T]) RemoveAt(ctx context.Context, stamp Stamp, objs ...T) error {
	b := c.pool.Get().(*batch)
	defer c.release(b)
	for i := range objs {
		b.rows = append(b.rows, Row{Stamp: stamp, Deleted: true})
		if err := c.locate(&b.rows[i], b, reflect.ValueOf(&objs[i]).Elem()); err != nil {
			return c.fail("remove", b.key(), err)
		}
	}
	return c.write(ctx, b.rows)
}

// fail adds the whereabouts to an error.
func (c *Collection[T]) fail(op, key string, err error) error {
	return locate(err, op, c.table.Name, key)
}
