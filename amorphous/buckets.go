package amorphous

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

// buckets knows which buckets the partitions of a collection have. It is a
// table of its own, read before the rows are: a row per bucket, in the order in
// which buckets are read. A bucket is registered before its first row is
// written, so a crash in between leaves an empty bucket, never a lost row.
type buckets struct {
	store  *Store
	table  Table
	layout *layout

	mu   sync.Mutex
	seen map[string]int64 // partition with bucket, to the version that is registered

	// Of derived rows, whose buckets may be split.
	splitAt  int
	fillings map[string]*filling
}

// maxSeen bounds the memory of what is registered; past it the memory starts
// anew, which costs repeated writes and nothing else.
const maxSeen = 1 << 16

func newBuckets(store *Store, name string, l *layout) *buckets {
	return &buckets{store: store, table: Table{Name: name + "__buckets"}, layout: l, seen: map[string]int64{}, fillings: map[string]*filling{}}
}

// register makes known the buckets of a batch's rows.
func (k *buckets) register(ctx context.Context, b *batch) error {
	var missing []Row
	k.mu.Lock()
	for i := range b.rows {
		r := &b.rows[i]
		version, expires := k.life(r.Expires)
		if k.seen[r.Partition] >= version {
			continue
		}
		bucket, _ := bucketIn(r.Partition, b.names[i])
		if n := len(missing); n > 0 && missing[n-1].Partition == b.names[i] && string(missing[n-1].Order) == string(k.order(bucket)) {
			continue
		}
		missing = append(missing, Row{Partition: b.names[i], Order: k.order(bucket), ID: "bucket", Shape: 1,
			Stamp: Stamp{Version: version}, Body: []byte("{}"), Expires: expires})
	}
	k.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	for _, err := range k.store.Write(ctx, k.table, missing...) {
		if err != nil && !errors.Is(err, ErrSuperseded) {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.seen) > maxSeen {
		clear(k.seen)
	}
	for i := range b.rows {
		version, _ := k.life(b.rows[i].Expires)
		k.seen[b.rows[i].Partition] = max(k.seen[b.rows[i].Partition], version)
	}
	return nil
}

// life is how long the knowledge of a bucket is kept: for good, or as long as
// its rows, rounded up so that it is written now and then only. The moment is
// the version too, so that the longest life wins.
func (k *buckets) life(expires time.Time) (version int64, until time.Time) {
	if expires.IsZero() || k.layout.expires != nil {
		return 1, time.Time{} // for good, also when each row has an end of its own
	}
	step := max(k.layout.TTL/8, time.Hour)
	until = expires.Truncate(step).Add(2 * step)
	return until.UnixMicro(), until
}

// order sorts buckets the way the layout reads them.
func (k *buckets) order(bucket int64) []byte {
	u := uint64(bucket) ^ 1<<63
	if k.layout.descending {
		u = ^u
	}
	return binary.BigEndian.AppendUint64(nil, u)
}

func (k *buckets) number(order []byte) int64 {
	u := binary.BigEndian.Uint64(order)
	if k.layout.descending {
		u = ^u
	}
	return int64(u ^ 1<<63)
}

// page reads one page of a partition across its buckets.
func (k *buckets) page(ctx context.Context, table Table, r Range, q *Query) (Page, error) {
	name := r.Partition
	low, high := k.bounds(q)
	index := Range{Partition: name, Reverse: r.Reverse}
	if r.After != nil {
		at, err := ParseCursor(r.After, "")
		if err != nil {
			return Page{}, locate(err, "page", table.Name, "")
		}
		bucket, ok := bucketIn(at.Partition, name)
		if !ok {
			return Page{}, locate(invalid("the cursor belongs to another partition"), "page", table.Name, "")
		}
		r.Partition = at.Partition
		if forward := k.layout.descending == r.Reverse; forward {
			low = max(low, bucket)
		} else {
			high = min(high, bucket)
		}
	}
	index.From, index.To = k.order(low), behind(k.order(high))
	if k.layout.descending {
		index.From, index.To = k.order(high), behind(k.order(low))
	}
	return k.fill(ctx, table, r, index, name)
}

// bounds are the buckets that a query can touch.
func (k *buckets) bounds(q *Query) (low, high int64) {
	low, high = math.MinInt64, math.MaxInt64
	if from, ok := q.From.(time.Time); ok {
		low = k.layout.bucketOf(from)
	}
	if to, ok := q.To.(time.Time); ok {
		high = k.layout.bucketOf(to)
	}
	return low, high
}

// fill reads bucket after bucket until the page is full. r.After is the cursor
// within the first one.
func (k *buckets) fill(ctx context.Context, table Table, r, index Range, name string) (out Page, err error) {
	want := r.Limit
	if want == 0 {
		want = DefaultLimit
	}
	first := r.Partition
	for {
		list, err := k.store.Scan(ctx, k.table, index)
		if err != nil {
			return Page{}, err
		}
		known := slices.Collect(Grouped(list.Rows))
		for i, bucket := range known {
			within := r
			within.Partition = bucketName(name, k.number(bucket[0].Order))
			if within.Partition != first {
				within.After = nil
			}
			within.Limit = want
			page, err := k.scan(ctx, table, within, splitsOf(bucket))
			if err != nil {
				return Page{}, err
			}
			out.Rows = append(out.Rows, page.Rows...)
			for range Grouped(page.Rows) {
				want--
			}
			if last := i == len(known)-1 && list.Next == nil; page.Next != nil || want <= 0 && !last {
				end := &out.Rows[len(out.Rows)-1]
				out.Next = end.Address().Cursor()
				return out, nil
			}
		}
		if index.After = list.Next; list.Next == nil {
			return out, nil
		}
	}
}
