package persistence

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/volatile"
)

// A trace is one thing that a task keeps of one object.
type trace struct {
	at      string // where: unique among the traces of a task and a key, and printable
	stamp   transactional.Stamp
	content []byte // comparable: equal for equal objects; nil: only that it is there counts
	aside   bool   // it only says where the others are, and holds nothing of an object
	row     amorphous.Row
	held    amorphous.Held // of a count
}

// A sought is a key whose traces are looked for, with those that there ought to
// be: who keeps rows in many places looks there too.
type sought struct {
	key      string
	expected []trace
}

// A walked is some of what a task keeps of any object.
type walked struct {
	keys   []string // aligned with traces
	traces []trace
	looked int    // how much was gone over
	next   []byte // the cursor behind it; nil: that was all
}

// A keeper knows what one task keeps: what an object implies there, and what is
// there. Whoever adds a kind of task that keeps something adds its keeper, and
// Verify, Repair and Erase know it.
type keeper interface {
	// expect returns the traces that an object implies; none for one that is
	// not there.
	expect(ctx context.Context, s *subject) ([]trace, error)
	// find returns the traces that are there, by key.
	find(ctx context.Context, of []sought) (map[string][]trace, error)
	// walk returns traces of any key, in an order of the store's own, about n of
	// them, behind a cursor. A keeper that cannot be walked returns none.
	walk(ctx context.Context, after []byte, n int) (walked, error)
	// write writes what an object implies, at a stamp.
	write(ctx context.Context, s *subject, stamp transactional.Stamp) error
	// drop removes what is there of a key, or, with a trace, that one. All says
	// that more of the key may have gone with it, which the caller writes again
	// as far as an object implies it.
	drop(ctx context.Context, key string, t *trace, stamp transactional.Stamp) (all bool, err error)
	// there reports whether a trace that walk found is still where it was.
	there(ctx context.Context, key string, t *trace) (bool, error)
	// follows reports that rows have versions of their own, so that only their
	// contents are compared.
	follows() bool
}

// An auditor is a keeper that also keeps sums.
type auditor interface {
	// audit returns traces of sums that differ from what they are made of.
	audit(ctx context.Context, after []byte) (walked, error)
	recount(ctx context.Context, t *trace) error
}

// A kept is a task with its keeper.
type kept struct {
	task *task
	keeper
	few bool // an object may have many traces: few of them are compared at a time
}

// keepers lists what the tasks of a kind keep beside the record.
func (l *Layer) keepers(k *kind) []kept {
	var out []kept
	for _, t := range k.tasks {
		switch {
		case k.inRecord(t):
		case t.write == writeCell:
			out = append(out, kept{t, &cellKeeper{l, k, t}, false})
		case t.write == writeDerived:
			out = append(out, kept{t, &derivedKeeper{layer: l, kind: k, task: t}, true})
		case t.write == writeCount:
			out = append(out, kept{t, &countKeeper{l, k, t}, true})
		case t == k.cache && len(k.record) > 0:
			out = append(out, kept{t, &cacheKeeper{l, k, t}, false})
		}
	}
	return out
}

// A cellKeeper keeps a second copy of an object, by key or where it is read.
type cellKeeper struct {
	layer *Layer
	kind  *kind
	task  *task
}

func (c *cellKeeper) follows() bool { return c.kind.opts.Patched && c.task.partition != nil }

func (c *cellKeeper) expect(_ context.Context, s *subject) ([]trace, error) {
	t := c.task
	if s.err != nil || s.obj == nil || t.when != nil && !t.when(s.obj) {
		return nil, s.err
	}
	if c.follows() && !placed(t, s.body) {
		return nil, nil
	}
	v, err := c.kind.versionOf(s)
	if err != nil {
		return nil, err
	}
	row, err := t.cellOf(v.obj, v.body, amorphous.Stamp(v.stamp), false, v.key, v.accepted, nil)
	if err != nil || !row.Expires.IsZero() && row.Expires.Before(microTime(nowMicro())) {
		return nil, err // its time is over
	}
	one, err := c.trace([]amorphous.Row{row})
	if err != nil || t.bucket == 0 {
		return []trace{one}, err
	}
	bucket, err := t.bucketTrace(s.obj)
	return []trace{one, bucket}, err
}

// bucketAt is where a trace of a known bucket is.
const bucketAt = "the list of buckets"

// bucketTrace is the knowledge that the object's bucket has rows.
func (t *task) bucketTrace(obj any) (trace, error) {
	row, err := t.bucketRow(obj, microTime(nowMicro()))
	return trace{at: bucketAt, aside: true, row: row}, err
}

// trace is the trace of one row, whose body is decoded and encoded again, so
// that what different programs wrote of one object compares equal.
func (c *cellKeeper) trace(cells []amorphous.Row) (trace, error) {
	p, err := cellPart(cells)
	out := trace{at: whereIs(&cells[0]), stamp: p.stamp, row: cells[0]}
	if err != nil {
		return out, err
	}
	obj := c.kind.make()
	if err = c.task.set.Decode(p.body, value(obj)); err == nil {
		out.content, err = c.task.set.Append(nil, value(obj))
	}
	return out, err
}

// whereIs names the place of a row.
func whereIs(r *amorphous.Row) string {
	name, bucket, bucketed := strings.Cut(strings.TrimPrefix(r.Partition, escaped), between)
	if bucketed {
		return fmt.Sprintf("partition %q, bucket %s, order %x", name, bucket, r.Order)
	}
	return fmt.Sprintf("partition %q, order %x", name, r.Order)
}

func (c *cellKeeper) find(ctx context.Context, of []sought) (map[string][]trace, error) {
	at, err := c.layer.addresses(ctx, c.kind, c.task, of)
	if err != nil {
		return nil, err
	}
	cells, err := c.layer.cells.Read(ctx, c.task.table(), at...)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]trace, len(of))
	for row := range amorphous.Grouped(cells) {
		one, _ := c.trace(row) // what cannot be read has no content, and differs
		traces := []trace{one}
		if c.task.bucket > 0 {
			known, err := c.bucketOf(ctx, &row[0])
			if err != nil {
				return nil, err
			}
			traces = append(traces, known...)
		}
		out[row[0].ID] = append(out[row[0].ID], traces...)
	}
	return out, nil
}

// bucketOf is the trace of the bucket that a row lies in.
func (c *cellKeeper) bucketOf(ctx context.Context, r *amorphous.Row) ([]trace, error) {
	at, ok := bucketAddress(r.Partition)
	if !ok {
		return nil, nil
	}
	cells, err := c.layer.cells.Read(ctx, c.task.bucketTable(), at)
	if err != nil || len(cells) == 0 {
		return nil, err
	}
	return []trace{{at: bucketAt, aside: true, row: cells[0]}}, nil
}

func (c *cellKeeper) walk(ctx context.Context, after []byte, n int) (w walked, err error) {
	page, err := c.layer.cells.Scan(ctx, c.task.table(), amorphous.Range{Limit: n, After: after})
	w.next = page.Next
	for row := range amorphous.Grouped(page.Rows) {
		one, _ := c.trace(row)
		w.add(row[0].ID, one)
	}
	return w, err
}

// add adds a trace that was gone over.
func (w *walked) add(key string, t trace) {
	w.keys, w.traces, w.looked = append(w.keys, key), append(w.traces, t), w.looked+1
}

// there scans the place itself: a Placed table may not know of it.
func (c *cellKeeper) there(ctx context.Context, key string, t *trace) (bool, error) {
	r := amorphous.Range{Partition: t.row.Partition, From: t.row.Order, To: append(slices.Clone(t.row.Order), 0)}
	for {
		page, err := c.layer.cells.Scan(ctx, c.task.table(), r)
		if err != nil {
			return false, err
		}
		found := slices.ContainsFunc(page.Rows, func(row amorphous.Row) bool { return row.ID == key })
		if found || page.Next == nil {
			return found, nil
		}
		r.After = page.Next
	}
}

// write writes the row, and makes its bucket known anew.
func (c *cellKeeper) write(ctx context.Context, s *subject, stamp transactional.Stamp) error {
	v, err := c.kind.versionOf(s)
	if err != nil {
		return err
	}
	if c.task.bucket > 0 {
		row, err := c.task.bucketRow(s.obj, v.accepted)
		if err != nil {
			return err
		}
		if stamp != s.stamp { // the list of buckets may have a tombstone of its own
			row.Stamp.Version = max(row.Stamp.Version, stamp.Version)
		}
		if err := c.put(ctx, c.task.bucketTable(), row); err != nil {
			return err
		}
	}
	v.stamp = stamp
	_, err = c.layer.engine.writeObject(ctx, c.kind, c.task, v)
	return err
}

func (c *cellKeeper) put(ctx context.Context, table amorphous.Table, row amorphous.Row) error {
	if err := c.layer.cells.Write(ctx, table, row)[0]; err != nil && err != amorphous.ErrSuperseded {
		return err
	}
	return nil
}

// drop buries a key. A row at a place that the table does not know of is made
// its place first, so that burying finds it.
func (c *cellKeeper) drop(ctx context.Context, key string, t *trace, stamp transactional.Stamp) (all bool, err error) {
	switch b, err := c.layer.bookOf(ctx, c.kind, c.task); {
	case err != nil:
		return true, err
	case b == registeredBook:
		return true, c.bury(ctx, key, t, stamp)
	}
	if t != nil && c.task.partition != nil {
		adopted := t.row
		adopted.Stamp, adopted.Expires = justBelow(stamp), t.row.Expires
		adopted.Body, adopted.Shape = []byte("{}"), 1
		if err := c.put(ctx, c.task.table(), adopted); err != nil {
			return true, err
		}
	}
	row := amorphous.Row{ID: key, Stamp: amorphous.Stamp(stamp), Deleted: true}
	if c.task.partition == nil {
		row.Partition = key
		if t != nil {
			row.Partition, row.Order = t.row.Partition, t.row.Order
		}
	}
	return true, c.put(ctx, c.task.table(), row)
}

// bury buries a key where a trace is, or else wherever the register knows of.
func (c *cellKeeper) bury(ctx context.Context, key string, t *trace, stamp transactional.Stamp) (err error) {
	var at []amorphous.Address
	if t != nil {
		at = append(at, amorphous.Address{Partition: t.row.Partition, Order: t.row.Order, ID: key})
	} else {
		at, err = c.layer.placesOf(ctx, c.task, []string{key})
	}
	for i := 0; i < len(at) && err == nil; i++ {
		err = c.put(ctx, c.task.table(), tombstoneAt(at[i], stamp))
	}
	return err
}

func justBelow(s transactional.Stamp) amorphous.Stamp {
	if s.Tie == 0 {
		return amorphous.Stamp{Version: s.Version - 1, Tie: ^uint64(0)}
	}
	return amorphous.Stamp{Version: s.Version, Tie: s.Tie - 1}
}

// A cacheKeeper keeps the entries that Get serves. An entry that is not there
// is no loss, and entries cannot be walked.
type cacheKeeper struct {
	layer *Layer
	kind  *kind
	task  *task
}

func (c *cacheKeeper) follows() bool { return false }

func (c *cacheKeeper) expect(_ context.Context, s *subject) ([]trace, error) {
	if s.err != nil || s.obj == nil {
		return nil, s.err
	}
	content, err := c.task.set.Append(nil, value(s.obj))
	return []trace{{at: "the cache", stamp: s.stamp, content: content}}, err
}

func (c *cacheKeeper) find(ctx context.Context, of []sought) (map[string][]trace, error) {
	names := make([]string, len(of))
	for i := range of {
		names[i] = c.kind.cacheKey(of[i].key)
	}
	entries, err := c.layer.cache.GetAll(ctx, names)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]trace, len(entries))
	for i := range of {
		entry, ok := entries[names[i]]
		if !ok || entry.Absent && entry.Stamp == (volatile.Stamp{}) {
			continue
		}
		one := trace{at: "the cache", stamp: transactional.Stamp(entry.Stamp)}
		if entry.Absent {
			one.at = "" // an absence, which implies nothing where nothing is
		}
		obj := c.kind.make()
		if ok, err := c.task.uncache(entry.Value, obj); !entry.Absent && (!ok || err != nil) {
			continue // a miss
		}
		if !entry.Absent {
			one.content, _ = c.task.set.Append(nil, value(obj))
		}
		out[of[i].key] = []trace{one}
	}
	return out, nil
}

func (c *cacheKeeper) walk(context.Context, []byte, int) (walked, error) { return walked{}, nil }

func (c *cacheKeeper) there(context.Context, string, *trace) (bool, error) { return false, nil }

// write removes the entry: the next reader fills it from the record.
func (c *cacheKeeper) write(ctx context.Context, s *subject, stamp transactional.Stamp) error {
	_, err := c.drop(ctx, s.key, nil, stamp)
	return err
}

func (c *cacheKeeper) drop(ctx context.Context, key string, _ *trace, stamp transactional.Stamp) (all bool, err error) {
	if err := c.layer.cache.Delete(ctx, c.kind.cacheKey(key)); err != nil {
		return false, err
	}
	return false, c.layer.cache.Invalidate(ctx, c.kind.cacheKey(key), volatile.Stamp(stamp))
}

// keeperOf returns the keeper of a task.
func (l *Layer) keeperOf(k *kind, task string) (kept, error) {
	all := l.keepers(k)
	i := slices.IndexFunc(all, func(c kept) bool { return c.task.name == task })
	if i < 0 {
		return kept{}, &fault.Error{Op: "repair", Kind: k.name, Class: fault.ErrUnsupported,
			Err: fmt.Errorf("task %q keeps nothing that can be mended from the record", task)}
	}
	return all[i], nil
}

// same reports whether two traces hold the same content.
func (t *trace) same(other *trace) bool { return bytes.Equal(t.content, other.content) }
