package persistence

import (
	"context"
	"reflect"
	"strconv"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
)

// A layout with Bucket divides each partition by time. Which buckets a
// partition has stands in a table of its own, one row per bucket, so that a
// reader walks those that are there, however far apart they lie. The row is
// written before the first object of its bucket, and stays: a bucket that has
// emptied costs one read.

// bucketTable is the table of the buckets.
func (t *task) bucketTable(k *kind) amorphous.Table {
	return amorphous.Table{Name: physical(k.table, t.name, "buckets")}
}

// bucketOrder is where a bucket lies among those of its partition: the newest
// comes first.
func bucketOrder(number int64) []byte {
	order, err := record.Order(reflect.ValueOf(number), true)
	if err != nil {
		panic(err) // integers have an order
	}
	return order
}

// bucketShape and bucketStamp are the same for every row, so that a repeat
// changes nothing.
const bucketShape = 1

var bucketStamp = amorphous.Stamp{Version: 1, Tie: 1}

// noteBucket makes known that the object's bucket has rows. It does nothing
// for a layout without buckets.
func (l *Layer) noteBucket(ctx context.Context, k *kind, t *task, obj any) error {
	if t.partition == nil || t.bucket == 0 {
		return nil
	}
	v := value(obj)
	text, err := record.Text(v.FieldByIndex(t.partition.Index))
	if err != nil {
		return err
	}
	number := t.bucketOf(v.FieldByIndex(t.newest.Index).Interface().(time.Time))
	return l.cells.Write(ctx, t.bucketTable(k), amorphous.Row{
		Partition: partitionName(text), Order: bucketOrder(number), ID: strconv.FormatInt(number, 10),
		Shape: bucketShape, Stamp: bucketStamp, Body: []byte("{}"),
	})[0]
}

// pageBuckets reads a page of a partition with buckets, one bucket after
// another.
func (l *Layer) pageBuckets(ctx context.Context, r *query, n int) ([]any, *cursor, error) {
	var out []any
	first, inner := r.start()
	for number, err := range l.buckets(ctx, r, first) {
		if err != nil {
			return out, nil, err
		}
		if first == nil || number != *first {
			inner = nil
		}
		if len(out) == n {
			return out, &cursor{shape: r.shape, bucket: number}, nil
		}
		one := *r
		one.at = &cursor{shape: r.shape, bucket: number, inner: inner}
		objs, next, err := one.pull(ctx, n-len(out), l.partitionPuller(r, bucketName(r.partition, number)))
		out = append(out, objs...)
		if err != nil || next != nil {
			return out, next, err
		}
	}
	return out, nil, nil
}

// start is the bucket to begin with, and where in it: the cursor's, else the
// first within the bounds; nil is open.
func (r *query) start() (first *int64, inner []byte) {
	switch {
	case r.at != nil:
		return &r.at.bucket, r.at.inner
	case r.reverse:
		return r.oldest, nil
	}
	return r.newest, nil
}

// buckets yields the numbers of the buckets within the bounds, in the order of
// the query, from first on.
func (l *Layer) buckets(ctx context.Context, r *query, first *int64) func(yield func(int64, error) bool) {
	newest, oldest := first, r.oldest
	if r.reverse {
		newest, oldest = r.newest, first
	}
	scan := amorphous.Range{Partition: r.partition, Reverse: r.reverse}
	if newest != nil {
		scan.From = bucketOrder(*newest)
	}
	if oldest != nil {
		scan.To = append(bucketOrder(*oldest), 0)
	}
	return func(yield func(int64, error) bool) {
		for {
			page, err := l.cells.Scan(ctx, r.task.bucketTable(r.kind), scan)
			if err != nil {
				yield(0, err)
				return
			}
			for _, row := range page.Rows {
				number, err := strconv.ParseInt(row.ID, 10, 64)
				if !yield(number, err) || err != nil {
					return
				}
			}
			if page.Next == nil {
				return
			}
			scan.After = page.Next
		}
	}
}
