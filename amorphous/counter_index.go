package amorphous

import (
	"context"
	"encoding/binary"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A part is a partition of a counter: what lies together of one value of each
// dimension, within one window of time.
type part struct {
	of     string // the dimensions' values, joined by joinOf
	window int64  // seconds since 1970
	shard  int
}

// name is the name of the partition. It is injective: what stands behind the
// last two separators has none in it.
func (p part) name() string {
	return p.of + between + strconv.FormatInt(p.window, 10) + between + strconv.Itoa(p.shard)
}

// joinOf joins the values of dimensions into one text, injectively.
func joinOf(of []string) string {
	var b strings.Builder
	for i, value := range of {
		if i > 0 {
			b.WriteString(between)
		}
		if strings.ContainsAny(value, escaped+between) {
			value = strings.ReplaceAll(value, escaped, escaped+"0")
			value = strings.ReplaceAll(value, between, escaped+"1")
		}
		b.WriteString(value)
	}
	return b.String()
}

// splitOf is the inverse of joinOf for n values. What others had counted by other
// dimensions stays as different as it is.
func splitOf(joined string, n int) []string {
	if n == 0 && joined == "" {
		return nil
	}
	of := strings.Split(joined, between)
	for i, value := range of {
		if strings.Contains(value, escaped) {
			value = strings.ReplaceAll(value, escaped+"1", between)
			of[i] = strings.ReplaceAll(value, escaped+"0", escaped)
		}
	}
	return of
}

// timeOrder is the Order of what begins at a time.
func timeOrder(at time.Time) []byte { return secondsOrder(at.Unix()) }

func secondsOrder(seconds int64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 8), uint64(seconds)^1<<63)
}

func secondsOf(order []byte) (int64, error) {
	if len(order) != 8 {
		return 0, fault.New(fault.ErrCorrupt, "", "", "a row of a counter has no time")
	}
	return int64(binary.BigEndian.Uint64(order) ^ 1<<63), nil
}

// countIndex knows which partitions a counter has. It is a table of its own,
// in which a partition stands before anything is counted in it, so that a
// crash in between leaves an empty partition, never one that is not found.
// It is read in three ways:
//
//	"of" and the values   the windows of these values, and their shards
//	"in" and the window   the values in a window, and their shards
//	"windows"             the windows
type countIndex struct {
	store *Store
	table Table

	mu   sync.Mutex
	seen map[string]struct{} // names of registered partitions; at most maxSeen
}

const (
	indexOf      = "of" + between
	indexIn      = "in" + between
	indexWindows = "windows"
)

func newCountIndex(store *Store, name string) *countIndex {
	return &countIndex{store: store, table: Table{Name: name + "__index"}, seen: map[string]struct{}{}}
}

// register makes known the partitions of members.
func (x *countIndex) register(ctx context.Context, members []Member) error {
	missing := x.missing(members)
	if len(missing) == 0 {
		return nil
	}
	rows := make([]Row, 0, 3*len(missing))
	for name := range missing {
		one, err := indexRows(name, 1)
		if err != nil {
			return err
		}
		rows = append(rows, one...)
	}
	if err := writeAll(ctx, x.store, x.table, rows); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.seen) > maxSeen {
		clear(x.seen)
	}
	for name := range missing {
		x.seen[name] = struct{}{}
	}
	return nil
}

// indexRows are the rows that make a partition known.
func indexRows(name string, version int64) ([]Row, error) {
	p, err := parsePart(name)
	if err != nil {
		return nil, err
	}
	shard, window := strconv.Itoa(p.shard), strconv.FormatInt(p.window, 10)
	row := func(partition, id string) Row {
		return Row{Partition: partition, Order: secondsOrder(p.window), ID: id, Shape: 1, Stamp: Stamp{Version: version}}
	}
	return []Row{row(indexOf+p.of, shard), row(indexIn+window, p.of+between+shard), row(indexWindows, "w")}, nil
}

// missing are the partitions of members that are not known to be registered.
func (x *countIndex) missing(members []Member) map[string]struct{} {
	var out map[string]struct{}
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range members {
		for _, tally := range members[i].Counts {
			if _, known := x.seen[tally.Partition]; !known {
				if out == nil {
					out = map[string]struct{}{}
				}
				out[tally.Partition] = struct{}{}
			}
		}
	}
	return out
}

// parsePart is the inverse of part.name.
func parsePart(name string) (p part, err error) {
	rest, shard, ok := cutLast(name)
	of, window, ok2 := cutLast(rest)
	if ok && ok2 {
		p.of = of
		p.window, err = strconv.ParseInt(window, 10, 64)
	}
	if err == nil && ok && ok2 {
		p.shard, err = strconv.Atoi(shard)
	}
	if err != nil || !ok || !ok2 {
		return p, fault.New(fault.ErrCorrupt, "", "", "a row of a counter lies in no partition of one")
	}
	return p, nil
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndex(s, between)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(between):], true
}

// of returns the partitions of some values, in windows from low up to high.
func (x *countIndex) of(ctx context.Context, of string, low, high *int64) (parts []part, err error) {
	err = x.each(ctx, Range{Partition: indexOf + of, From: bound(low, 0), To: bound(high, 1)}, func(row *Row) error {
		window, err := secondsOf(row.Order)
		if err != nil {
			return err
		}
		shard, err := strconv.Atoi(row.ID)
		parts = append(parts, part{of, window, shard})
		return err
	})
	return parts, err
}

// in returns the partitions of all values for which keep is true, in windows
// from low up to high.
func (x *countIndex) in(ctx context.Context, low, high *int64, keep func(of string) bool) (parts []part, err error) {
	var windows []int64
	err = x.each(ctx, Range{Partition: indexWindows, From: bound(low, 0), To: bound(high, 1)}, func(row *Row) error {
		window, err := secondsOf(row.Order)
		windows = append(windows, window)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, window := range windows {
		err := x.each(ctx, Range{Partition: indexIn + strconv.FormatInt(window, 10)}, func(row *Row) error {
			of, shard, _ := cutLast(row.ID)
			number, err := strconv.Atoi(shard)
			if err == nil && keep(of) {
				parts = append(parts, part{of, window, number})
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// bound is a bound of Order at a time, or behind it.
func bound(seconds *int64, behind int64) []byte {
	if seconds == nil {
		return nil
	}
	return secondsOrder(*seconds + behind)
}

func (x *countIndex) each(ctx context.Context, r Range, do func(row *Row) error) error {
	return eachRow(ctx, x.store, x.table, r, do)
}

// eachRow calls do for every row of a range, a page at a time.
func eachRow(ctx context.Context, store *Store, table Table, r Range, do func(row *Row) error) error {
	r.Limit = MaxLimit
	for {
		page, err := store.Scan(ctx, table, r)
		if err != nil {
			return err
		}
		for i := range page.Rows {
			if err := do(&page.Rows[i]); err != nil {
				return err
			}
		}
		if r.After = page.Next; page.Next == nil {
			return nil
		}
	}
}
