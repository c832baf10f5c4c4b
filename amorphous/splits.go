package amorphous

import (
	"context"
	"errors"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A bucket into which much is written is split: its rows lie in several
// partitions, by a digest of their ID. How many there are stands beside the
// bucket, a cell for each power of two, so that the largest is never lost; it
// only grows, and a row stays where it was written. So a row may lie in one
// split while its next version lies in another: readers read all splits as one
// and take the newest, and what removes a row removes it from all of them.

// maxSplits is the logarithm of how many partitions a bucket has at most.
const maxSplits = 6

// splitName is the partition of one split; the first is the bucket as it was.
func splitName(partition string, split uint32) string {
	if split == 0 {
		return partition
	}
	return partition + "/" + strconv.FormatUint(uint64(split), 10)
}

// splittable reports whether the names of splits fit.
func splittable(partition string) bool { return len(partition)+len("/63") <= MaxKey }

// whole is the bucket's partition of a split, the inverse of splitName: the
// number of a bucket has no slash in it.
func whole(partition string) string {
	if slash := strings.LastIndexByte(partition, '/'); slash > strings.LastIndex(partition, between) && strings.Contains(partition, between) {
		return partition[:slash]
	}
	return partition
}

// unsplit gives rows the partitions of their buckets.
func unsplit(cells []Row) {
	for i := range cells {
		cells[i].Partition = whole(cells[i].Partition)
	}
}

// splitsOf is the logarithm of how many partitions a bucket has, given its
// cells.
func splitsOf(bucket []Row) (splits uint64) {
	for i := range bucket {
		splits = max(splits, bucket[i].Shape-1)
	}
	return splits
}

// cutBucket divides a bucket's partition into its name and number. What was
// laid out without buckets has none.
func cutBucket(partition string) (name string, bucket int64, ok bool) {
	at := strings.LastIndex(partition, between)
	if at < 0 {
		return partition, 0, false
	}
	bucket, err := strconv.ParseInt(partition[at+len(between):], 10, 64)
	return partition[:at], bucket, err == nil
}

// A filling is what a program knows of a bucket that it writes to.
type filling struct {
	life   int64  // version that is registered
	splits uint64 // logarithm of how many partitions it has
	rows   int    // that this program wrote
}

// place makes known the buckets of rows and moves the rows into splits where
// there are any.
func (k *buckets) place(ctx context.Context, rows []Row) error {
	counts := map[string]int{}
	until := map[string]time.Time{}
	for i := range rows {
		partition := rows[i].Partition
		counts[partition]++
		if rows[i].Expires.After(until[partition]) {
			until[partition] = rows[i].Expires
		}
	}
	grown, err := k.grow(ctx, counts)
	if err != nil {
		return err
	}
	var missing []Row
	k.mu.Lock()
	for partition, n := range counts {
		f := k.fillings[partition]
		if f == nil {
			if len(k.fillings) >= maxSeen {
				clear(k.fillings)
			}
			f = &filling{}
			k.fillings[partition] = f
		}
		f.rows += n
		f.splits = max(f.splits, grown[partition])
		if cell := k.cell(partition, f.splits, until[partition]); f.life < cell.Stamp.Version || grown[partition] > 0 {
			missing = append(missing, cell)
		}
		counts[partition] = int(f.splits)
	}
	k.mu.Unlock()
	if err := k.enter(ctx, missing); err != nil {
		return err
	}
	for i := range rows {
		if splits := counts[rows[i].Partition]; splits > 0 {
			rows[i].Partition = splitName(rows[i].Partition, splitBy(rows[i].ID)&(1<<splits-1))
		}
	}
	return nil
}

func splitBy(id string) uint32 { return crc32.ChecksumIEEE([]byte(id)) }

// enter writes rows about buckets, and remembers that they are written.
func (k *buckets) enter(ctx context.Context, missing []Row) error {
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
	for i := range missing {
		partition := bucketName(missing[i].Partition, k.number(missing[i].Order))
		if f := k.fillings[partition]; f != nil && missing[i].Shape == 1+f.splits {
			f.life = max(f.life, missing[i].Stamp.Version)
		}
	}
	return nil
}

// cell is the row that makes a bucket known, with its splits.
func (k *buckets) cell(partition string, splits uint64, until time.Time) Row {
	name, bucket, _ := cutBucket(partition)
	if k.layout.TTL == 0 {
		until = time.Time{} // another origin may have rows there for good
	}
	version, expires := k.life(until)
	return Row{Partition: name, Order: k.order(bucket), ID: "bucket", Shape: 1 + splits,
		Stamp: Stamp{Version: version}, Body: []byte("{}"), Expires: expires}
}

// grow returns into how many splits, by their logarithm, the buckets are to go
// that became too full.
func (k *buckets) grow(ctx context.Context, counts map[string]int) (map[string]uint64, error) {
	var full []string
	k.mu.Lock()
	for partition, n := range counts {
		f := k.fillings[partition]
		if f != nil && k.splitAt > 0 && f.splits < maxSplits && f.rows+n > k.splitAt<<f.splits && splittable(partition) {
			full = append(full, partition)
		}
	}
	k.mu.Unlock()
	if len(full) == 0 {
		return nil, nil
	}
	// Others may have split it further already.
	grown, err := k.splits(ctx, full)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, partition := range full {
		if f := k.fillings[partition]; f != nil && err == nil && grown[partition] <= f.splits {
			grown[partition] = f.splits + 1
		}
	}
	return grown, err
}

// splits reads how many splits buckets have, by their logarithm.
func (k *buckets) splits(ctx context.Context, partitions []string) (map[string]uint64, error) {
	at := make([]Address, 0, len(partitions))
	for _, partition := range partitions {
		if name, bucket, ok := cutBucket(partition); ok {
			at = append(at, Address{name, k.order(bucket), "bucket"})
		}
	}
	out := make(map[string]uint64, len(partitions))
	cells, err := k.store.Read(ctx, k.table, at...)
	for i := range cells {
		partition := bucketName(cells[i].Partition, k.number(cells[i].Order))
		out[partition] = max(out[partition], cells[i].Shape-1)
	}
	return out, err
}

// everywhere returns tombstones for every split in which a row may lie.
func (k *buckets) everywhere(ctx context.Context, rows []Row) ([]Row, error) {
	splits, err := k.splits(ctx, distinct(rows, func(r Row) string { return r.Partition }))
	if err != nil {
		return nil, err
	}
	var out []Row
	for _, row := range rows {
		for split := range uint32(1) << splits[row.Partition] {
			copied := row
			copied.Partition = splitName(row.Partition, split)
			out = append(out, copied)
		}
	}
	return out, nil
}

// addresses returns every address at which a row may lie.
func (k *buckets) addresses(ctx context.Context, at []Address) ([]Address, error) {
	splits, err := k.splits(ctx, distinct(at, func(a Address) string { return a.Partition }))
	if err != nil {
		return nil, err
	}
	var out []Address
	for _, a := range at {
		for split := range uint32(1) << splits[a.Partition] {
			out = append(out, Address{splitName(a.Partition, split), a.Order, a.ID})
		}
	}
	return out, nil
}

func distinct[T any](list []T, of func(T) string) []string {
	var out []string
	seen := map[string]bool{}
	for _, one := range list {
		if name := of(one); !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}

// scan reads a page of a bucket, whose splits are read side by side and merged.
func (k *buckets) scan(ctx context.Context, table Table, r Range, splits uint64) (Page, error) {
	if splits == 0 {
		return k.store.Scan(ctx, table, r)
	}
	pages := make([]Page, 1<<splits)
	errs := make([]error, len(pages))
	var wg sync.WaitGroup
	for i := range pages {
		within := r
		within.Partition = splitName(r.Partition, uint32(i))
		if r.After != nil {
			at, err := ParseCursor(r.After, "")
			if err != nil {
				return Page{}, err
			}
			at.Partition = within.Partition
			within.After = at.Cursor()
		}
		wg.Go(func() { pages[i], errs[i] = k.store.Scan(ctx, table, within) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return Page{}, err
	}
	return mergePages(pages, r), nil
}

// mergePages merges pages of one range. Behind the last row of a page that is
// not the last one nothing is known.
func mergePages(pages []Page, r Range) (out Page) {
	order := byPlace
	if r.Reverse {
		order = func(a, b *Row) int { return byPlace(b, a) }
	}
	var end *Row
	for i := range pages {
		if last := len(pages[i].Rows) - 1; pages[i].Next != nil && (end == nil || order(&pages[i].Rows[last], end) < 0) {
			end = &pages[i].Rows[last]
		}
		out.Rows = append(out.Rows, pages[i].Rows...)
	}
	slices.SortStableFunc(out.Rows, func(a, b Row) int { return order(&a, &b) })
	if end != nil {
		known := *end
		out.Rows = slices.DeleteFunc(out.Rows, func(row Row) bool { return order(&row, &known) > 0 })
	}
	unsplit(out.Rows)
	n, cells := 0, 0
	for row := range Grouped(out.Rows) {
		if n == r.Limit {
			break
		}
		n, cells = n+1, cells+len(row)
	}
	if cells < len(out.Rows) || end != nil {
		out.Rows = out.Rows[:cells]
		last := &out.Rows[cells-1]
		out.Next = last.Address().Cursor()
	}
	return out
}

func byPlace(a, b *Row) int {
	if c := slices.Compare(a.Order, b.Order); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}
