package amorphous

import (
	"context"
	"iter"
	"reflect"
	"slices"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Query selects from a partition. The zero Query is all of it.
type Query struct {
	// From and To bound the field that orders the partition, From <= field <
	// To, whatever the direction of reading. They have the field's type; nil
	// is open.
	From, To any
	// Reverse reads against the layout's direction: with Layout.Newest, oldest
	// first.
	Reverse bool
	// Limit is how many objects at most. Zero: DefaultLimit in Page, no bound
	// in All.
	Limit int
	// After is a cursor: reading goes on behind the object that it was made
	// of. Cursors survive restarts and concurrent writes.
	After []byte
}

// Get returns the object of a key, or fault.ErrNotFound. With Layout.Copies it
// is fault.ErrUnsupported.
func (c *Collection[T]) Get(ctx context.Context, key string) (T, error) {
	var zero T
	found, err := c.GetAll(ctx, key)
	if err != nil {
		return zero, err
	}
	obj, ok := found[key]
	if !ok {
		return zero, c.fail("get", key, fault.New(fault.ErrNotFound, "", "", "nothing has this key"))
	}
	return obj, nil
}

// GetAll returns the objects of several keys; what is not there is left out.
func (c *Collection[T]) GetAll(ctx context.Context, keys ...string) (map[string]T, error) {
	if c.layout.Copies {
		return nil, c.fail("get", "", fault.New(fault.ErrUnsupported, "", "", "with Layout.Copies a key may lie at many places; read its partition"))
	}
	at := make([]Address, len(keys))
	for i, key := range keys {
		at[i] = Address{ID: key}
		if !c.table.Placed {
			at[i].Partition = key
		}
	}
	cells, err := c.store.Read(ctx, c.table, at...)
	if err != nil {
		return nil, err
	}
	out := make(map[string]T, len(keys))
	for row := range Grouped(cells) {
		obj, err := c.decode(row)
		if err != nil {
			return nil, err
		}
		out[row[0].ID] = obj
	}
	return out, nil
}

// List returns the first objects of a partition in the layout's direction:
// with Layout.Newest, the newest. Limit zero means DefaultLimit.
func (c *Collection[T]) List(ctx context.Context, partition string, limit int) ([]T, error) {
	objs, _, err := c.Page(ctx, partition, &Query{Limit: limit})
	return objs, err
}

// Page returns one page of a partition, and a cursor for the rest, nil when
// there is none. A page of large objects may hold fewer than the limit. The
// partition is the field's value as text: integers in decimal, times in RFC
// 3339 in UTC with six digits of microseconds.
func (c *Collection[T]) Page(ctx context.Context, partition string, q *Query) (objs []T, next []byte, err error) {
	if q == nil {
		q = &Query{}
	}
	r, err := c.rangeOf(partition, q)
	if err != nil {
		return nil, nil, c.fail("page", "", err)
	}
	var page Page
	if c.known != nil {
		page, err = c.known.page(ctx, c.table, r, q)
	} else {
		page, err = c.store.Scan(ctx, c.table, r)
	}
	if err != nil {
		return nil, nil, err
	}
	for row := range Grouped(page.Rows) {
		obj, err := c.decode(row)
		if err != nil {
			return nil, nil, err
		}
		objs = append(objs, obj)
	}
	return objs, page.Next, nil
}

// All iterates over a partition, a page at a time. It ends after the first
// error. Cursor makes a cursor of any object on the way.
func (c *Collection[T]) All(ctx context.Context, partition string, q *Query) iter.Seq2[T, error] {
	var query Query
	if q != nil {
		query = *q
	}
	return pages(query.Limit, func(limit int) ([]T, bool, error) {
		query.Limit = limit
		objs, next, err := c.Page(ctx, partition, &query)
		query.After = next
		return objs, next != nil, err
	})
}

// pages flattens pages; limit zero means no bound.
func pages[T any](limit int, read func(limit int) ([]T, bool, error)) iter.Seq2[T, error] {
	const size = 500
	return func(yield func(T, error) bool) {
		left := limit
		for {
			n := size
			if limit > 0 {
				n = min(left, size)
			}
			objs, more, err := read(n)
			for _, obj := range objs {
				if !yield(obj, nil) {
					return
				}
			}
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			if left -= len(objs); !more || limit > 0 && left <= 0 {
				return
			}
		}
	}
}

// Cursor returns the cursor that goes on behind an object, for Query.After and
// Scan.
func (c *Collection[T]) Cursor(obj T) ([]byte, error) {
	v := reflect.ValueOf(&obj).Elem()
	key, err := c.layout.typ.KeyOf(v)
	if err != nil {
		return nil, c.fail("cursor", "", err)
	}
	at, _, err := c.layout.place(v, key)
	if err != nil {
		return nil, c.fail("cursor", key, err)
	}
	return at.Cursor(), nil
}

func (c *Collection[T]) decode(cells []Row) (obj T, err error) {
	if c.whole {
		cells = []Row{newestCell(cells)}
	}
	body, _, ok, err := Merge(cells)
	if err == nil && ok {
		err = c.layout.set.Decode(body, reflect.ValueOf(&obj))
	}
	return obj, c.fail("decode", cells[0].ID, err)
}

// rangeOf is the Range of a Query in a partition, which with buckets is still
// without them.
func (c *Collection[T]) rangeOf(partition string, q *Query) (Range, error) {
	r := Range{Partition: partitionName(partition), Reverse: q.Reverse, Limit: q.Limit, After: q.After}
	if c.layout.partition == nil {
		r.Partition = partition
	}
	from, err := c.layout.bound("From", q.From)
	if err != nil {
		return r, err
	}
	to, err := c.layout.bound("To", q.To)
	if err != nil {
		return r, err
	}
	r.From, r.To = from, to
	if c.layout.descending {
		// Stored orders are inverted: what is before To lies behind it, and
		// From itself is the last one inside.
		r.From, r.To = behind(to), behind(from)
	}
	return r, nil
}

// behind is the smallest order that lies behind one; no order is the beginning
// of another.
func behind(order []byte) []byte {
	if order == nil {
		return nil
	}
	return append(slices.Clone(order), 0)
}

func (l *layout) bound(word string, value any) ([]byte, error) {
	if value == nil {
		return nil, nil
	}
	if l.order == nil {
		return nil, invalid("%s bounds the field that orders a partition, and the layout has none", word)
	}
	v := reflect.ValueOf(value)
	if l.order.field != nil && v.Type() != l.order.field.Type {
		return nil, invalid("%s is a %v; %s is a %v", word, v.Type(), l.order.field.Go, l.order.field.Type)
	}
	return record.Order(v, l.descending)
}
