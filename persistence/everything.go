package persistence

import (
	"context"
	"errors"
	"iter"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A Scan reads every object of a kind from its record, in an order of the
// store's own. It can stop at any object, and go on behind it, in another
// process too: Cursor says where it is. It must not be used by two goroutines
// at a time.
type Scan[T any] struct {
	layer *Layer
	kind  *kind
	at    string // the key that was yielded last; empty: at the start
	bad   error  // the cursor was none
	seen  int
	over  bool
}

// Scan returns a scan of everything from a cursor of another one on, empty for
// the start.
func (h *Handle[T]) Scan(after string) *Scan[T] {
	s := &Scan[T]{layer: h.layer, kind: h.kind}
	if after != "" {
		at, err := parseCursor(after)
		if err == nil && (at.shape != h.kind.scanShape() || checkKey(string(at.inner)) != nil) {
			err = errors.New("the cursor belongs to another scan")
		}
		if s.at = string(at.inner); err != nil {
			s.bad = &fault.Error{Op: "scan", Kind: h.kind.name, Class: fault.ErrInvalid, Err: err}
		}
	}
	return s
}

// scanShape tells the cursors of a kind's scans.
func (k *kind) scanShape() uint64 { return record.Digest([]byte("scan " + k.table)) }

// Cursor returns the cursor that goes on behind the object that was yielded
// last, empty before the first. It survives restarts and concurrent writes.
func (s *Scan[T]) Cursor() string {
	if s.at == "" {
		return ""
	}
	return cursor{shape: s.kind.scanShape(), inner: []byte(s.at)}.String()
}

// Seen is how many objects this scan has yielded.
func (s *Scan[T]) Seen() int { return s.seen }

// Objects iterates over the objects that are left. What is written meanwhile
// may be seen or not; all else is seen once. An object that cannot be read is
// yielded as an error that names its key, and the scan goes on behind it if the
// caller does; after an error of a store it has stopped, and Objects tries
// again from there.
func (s *Scan[T]) Objects(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		if s.bad != nil {
			yield(zero, s.bad)
			return
		}
		for !s.over {
			subjects, more, err := s.layer.recordPage(ctx, s.kind, s.at, readPage)
			if err != nil {
				yield(zero, err)
				return
			}
			for _, sub := range subjects {
				s.at = sub.key
				if sub.obj == nil && sub.err == nil {
					continue // it went while we read
				}
				obj := zero
				if sub.err == nil {
					obj = *sub.obj.(*T)
					s.seen++
				}
				if !yield(obj, sub.err) {
					return
				}
			}
			s.over = !more
		}
	}
}

// A subject is an object of the record, on its way through something that goes
// over all of them.
type subject struct {
	key string
	found
	err error // it cannot be read
}

// recordPage reads objects of a kind's record behind a key, in the order of the
// store, with the fields that only the cache holds, and says whether there may
// be more. It costs the store nothing to go on at a key, whether that still
// exists or not.
func (l *Layer) recordPage(ctx context.Context, k *kind, after string, n int) (subjects []subject, more bool, err error) {
	if subjects, more, err = l.storedPage(ctx, k, after, n); err == nil {
		err = l.fillSubjects(ctx, k, subjects)
	}
	return subjects, more, err
}

// storedPage is recordPage without what only the cache holds.
func (l *Layer) storedPage(ctx context.Context, k *kind, after string, n int) (subjects []subject, more bool, err error) {
	if err := l.open("scan"); err != nil {
		return nil, false, err
	}
	if len(k.record) == 0 {
		return nil, false, &fault.Error{Op: "scan", Kind: k.name, Class: fault.ErrUnsupported,
			Err: errors.New("the kind has no record: give its plan a transactional default write, or an amorphous one without PartitionBy")}
	}
	if k.record[0].write == writeRow {
		return l.pageOfRows(ctx, k, after, n)
	}
	r := amorphous.Range{Limit: n}
	if after != "" {
		r.After = amorphous.Address{Partition: after, ID: after}.Cursor()
	}
	page, err := l.cells.Scan(ctx, k.record[0].table(), r)
	if err != nil {
		return nil, false, err
	}
	for row := range amorphous.Grouped(page.Rows) {
		p, err := cellPart(row)
		subjects = append(subjects, k.subject(row[0].ID, []part{p}, err))
	}
	return subjects, page.Next != nil, nil
}

// pageOfRows is storedPage where the record begins with a row.
func (l *Layer) pageOfRows(ctx context.Context, k *kind, after string, n int) (subjects []subject, more bool, err error) {
	f := transactional.Filter{Limit: n}
	if after != "" {
		f.From = after + "\x00" // the next key that there may be
	}
	rows, next, err := l.rows.Scan(ctx, k.record[0].row, f)
	if err != nil {
		return nil, false, err
	}
	keys := make([]string, len(rows))
	parts := make(map[string][]part, len(rows))
	for i, row := range rows {
		keys[i] = row.ID
		parts[row.ID] = make([]part, len(k.record))
		parts[row.ID][0] = rowPart(row)
	}
	for i, t := range k.record[1:] {
		if err := l.readPart(ctx, t, keys, func(key string, p part) { parts[key][i+1] = p }); err != nil {
			return nil, false, err
		}
	}
	for _, key := range keys {
		sub := k.subject(key, parts[key], nil)
		if sub.mixed {
			// A Put is under way, or was torn: read apart, with patience.
			all, err := l.readRecord(ctx, k, []string{key})
			if sub = (subject{key: key, found: all[key], err: err}); fault.Outage(err) || fault.Cancelled(err) {
				return nil, false, err
			}
		}
		subjects = append(subjects, sub)
	}
	return subjects, next != nil, nil
}

// subject joins the parts of one object.
func (k *kind) subject(key string, parts []part, err error) subject {
	s := subject{key: key, err: err}
	if err == nil {
		s.found, s.err = k.join(key, parts)
	}
	return s
}

// fillSubjects sets the fields that only the cache holds.
func (l *Layer) fillSubjects(ctx context.Context, k *kind, subjects []subject) error {
	if len(k.parts) == 0 {
		return nil
	}
	all := make(map[string]found, len(subjects))
	for _, s := range subjects {
		all[s.key] = s.found
	}
	return l.fillVolatile(ctx, k, all)
}
