package persistence

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A layout with Bucket divides each partition by time. Which buckets a
// partition has stands in a table of its own, one row per bucket, so that a
// reader walks those that are there, however far apart they lie. The row is
// written before the first object of its bucket: a crash in between leaves an
// empty bucket, which costs one read, and never hides an object. It is the
// table that an amorphous.Collection of the same layout keeps.

// bucketTable is the table of the buckets of a task's layout.
func (t *task) bucketTable() amorphous.Table {
	return amorphous.Table{Name: t.cell.Name + "__buckets"}
}

// bucketOrder is where a bucket lies among those of its partition: the newest
// comes first.
func bucketOrder(number int64) []byte {
	return binary.BigEndian.AppendUint64(nil, ^(uint64(number) ^ 1<<63))
}

// bucketNumber is the inverse of bucketOrder.
func bucketNumber(order []byte) (int64, error) {
	if len(order) != 8 {
		return 0, fault.New(fault.ErrCorrupt, "amorphous", "find", "a row in a table of buckets has no number")
	}
	return int64(^binary.BigEndian.Uint64(order) ^ 1<<63), nil
}

// noteBucket makes known that the object's bucket has rows. The write of the
// object comes after it. It does nothing for a delete, and for a layout
// without buckets.
func (l *Layer) noteBucket(ctx context.Context, t *task, obj any, accepted time.Time) error {
	if t.partition == nil || t.bucket == 0 || obj == nil {
		return nil
	}
	row, err := t.bucketRow(obj, accepted)
	if err != nil {
		return err
	}
	err = l.cells.Write(ctx, t.bucketTable(), row)[0]
	if errors.Is(err, amorphous.ErrSuperseded) {
		return nil // it is known for longer
	}
	return err
}

// bucketRow says that the object's bucket has rows.
func (t *task) bucketRow(obj any, accepted time.Time) (amorphous.Row, error) {
	v := value(obj)
	text, err := record.Text(v.FieldByIndex(t.partition.Index))
	number := t.bucketOf(v.FieldByIndex(t.newest.Index).Interface().(time.Time))
	version, expires := t.bucketLife(accepted)
	return amorphous.Row{
		Partition: partitionName(text), Order: bucketOrder(number), ID: "bucket",
		Shape: 1, Stamp: amorphous.Stamp{Version: version}, Body: []byte("{}"), Expires: expires,
	}, err
}

// bucketAddress is where it stands that a partition with a bucket has rows.
func bucketAddress(partition string) (at amorphous.Address, ok bool) {
	i := strings.LastIndex(partition, between)
	if i < 0 {
		return at, false
	}
	number, err := strconv.ParseInt(partition[i+len(between):], 10, 64)
	return amorphous.Address{Partition: partition[:i], Order: bucketOrder(number), ID: "bucket"}, err == nil
}

// bucketLife is how long a bucket is known: for good, or as long as the rows
// in it, rounded up so that most writes repeat one another. The moment is the
// version too: the longest life wins.
func (t *task) bucketLife(accepted time.Time) (version int64, expires time.Time) {
	if t.ttl == 0 {
		return 1, time.Time{}
	}
	step := max(t.ttl/8, time.Hour)
	expires = accepted.Add(t.ttl).Truncate(step).Add(2 * step)
	return expires.UnixMicro(), expires
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
			page, err := l.cells.Scan(ctx, r.task.bucketTable(), scan)
			if err != nil {
				yield(0, err)
				return
			}
			for _, row := range page.Rows {
				number, err := bucketNumber(row.Order)
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
