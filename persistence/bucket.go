package persistence

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"sync"
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

// A bucketKey names a bucket of a partition.
type bucketKey struct {
	partition string
	number    int64
}

// bucketMemory is which buckets this process has made known, so that it is said
// once for many objects. It is said again after a while: a server that lost what
// was written last hides no bucket for longer that is still written to.
type bucketMemory struct {
	mu   sync.Mutex
	told map[bucketKey]telling
}

// A telling is that a bucket was made known.
type telling struct {
	version int64     // of its row
	at      time.Time // when it was written
}

const (
	tellAgain = time.Minute
	maxTold   = 1 << 16 // buckets that are remembered; past it the memory starts anew
)

// lacks reports whether a bucket is to be made known with a version. The caller
// holds mu.
func (m *bucketMemory) lacks(key bucketKey, version int64, now time.Time) bool {
	t, ok := m.told[key]
	return !ok || t.version < version || now.Sub(t.at) >= tellAgain
}

// keep remembers what was written.
func (m *bucketMemory) keep(written map[bucketKey]*bucketNote, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.told == nil || len(m.told)+len(written) > maxTold {
		m.told = make(map[bucketKey]telling, len(written))
	}
	for key, note := range written {
		m.told[key] = telling{note.version, now}
	}
}

// A bucketNote makes a bucket known, for the versions whose objects lie in it.
type bucketNote struct {
	version int64
	expires time.Time
	of      []*version
}

// noteBucket is noteBuckets for one object.
func (l *Layer) noteBucket(ctx context.Context, t *task, obj any, accepted time.Time) error {
	lone := []version{{obj: obj, accepted: accepted}}
	l.noteBuckets(ctx, t, lone)
	return lone[0].err
}

// noteBuckets makes known that the buckets of objects have rows. The write of the
// objects comes after it. It does nothing for deletes, for what is stale or has
// an error, and for a layout without buckets; who cannot be made known gets the
// error.
func (l *Layer) noteBuckets(ctx context.Context, t *task, vs []version) {
	if t.partition == nil || t.bucket == 0 {
		return
	}
	now := time.Now()
	missing := t.missingBuckets(vs, now)
	if len(missing) == 0 {
		return
	}
	rows := make([]amorphous.Row, 0, len(missing))
	keys := make([]bucketKey, 0, len(missing))
	for key, note := range missing {
		rows, keys = append(rows, key.row(note.version, note.expires)), append(keys, key)
	}
	for i, err := range l.cells.Write(ctx, t.bucketTable(), rows...) {
		if err == nil || errors.Is(err, amorphous.ErrSuperseded) { // it is known for longer
			continue
		}
		for _, v := range missing[keys[i]].of {
			v.err = err
		}
		delete(missing, keys[i])
	}
	t.buckets.keep(missing, now)
}

// missingBuckets are the buckets of objects that are not known.
func (t *task) missingBuckets(vs []version, now time.Time) (missing map[bucketKey]*bucketNote) {
	t.buckets.mu.Lock()
	defer t.buckets.mu.Unlock()
	for i := range vs {
		v := &vs[i]
		if v.err != nil || v.stale || v.deleted || v.obj == nil {
			continue
		}
		key, err := t.bucketKey(v.obj)
		if err != nil {
			v.err = err
			continue
		}
		version, expires := t.bucketLife(v.accepted)
		if !t.buckets.lacks(key, version, now) {
			continue
		}
		note := missing[key]
		if note == nil {
			if missing == nil {
				missing = map[bucketKey]*bucketNote{}
			}
			note = &bucketNote{}
			missing[key] = note
		}
		if version > note.version {
			note.version, note.expires = version, expires
		}
		note.of = append(note.of, v)
	}
	return missing
}

// bucketKey names the object's bucket.
func (t *task) bucketKey(obj any) (bucketKey, error) {
	v := value(obj)
	text, err := record.Text(v.FieldByIndex(t.partition.Index))
	return bucketKey{partitionName(text), t.bucketOf(v.FieldByIndex(t.newest.Index).Interface().(time.Time))}, err
}

// row says that the bucket has rows.
func (k bucketKey) row(version int64, expires time.Time) amorphous.Row {
	return amorphous.Row{
		Partition: k.partition, Order: bucketOrder(k.number), ID: "bucket",
		Shape: 1, Stamp: amorphous.Stamp{Version: version}, Body: []byte("{}"), Expires: expires,
	}
}

// bucketRow says that the object's bucket has rows.
func (t *task) bucketRow(obj any, accepted time.Time) (amorphous.Row, error) {
	key, err := t.bucketKey(obj)
	version, expires := t.bucketLife(accepted)
	return key.row(version, expires), err
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
