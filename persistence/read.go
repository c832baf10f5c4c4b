package persistence

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/volatile"
)

// A part is what one task of the record holds of an object.
type part struct {
	there   bool // something is there, if only a tombstone
	deleted bool
	stamp   transactional.Stamp
	values  []any  // of a row
	body    []byte // of cells, merged
}

// A found is an object as the record holds it.
type found struct {
	obj   any // nil: there is no such object
	stamp transactional.Stamp
	body  []byte    // of a record that is one cell
	at    time.Time // when the cache was told it; zero: it was read from the record
	mixed bool      // its parts are of different versions
}

// Parts of two versions are read again this often, after pauses that grow from
// mixedPause: a Put that is under way ends within that.
const (
	mixedTries = 6
	mixedPause = 2 * time.Millisecond
)

// readRecord reads objects from the record, past the cache. What is not there
// is left out. Objects whose parts stay of different versions are named by the
// error, which can be retried; the others are returned all the same.
func (l *Layer) readRecord(ctx context.Context, k *kind, keys []string) (map[string]found, error) {
	out := make(map[string]found, len(keys))
	pause := mixedPause
	for try := 1; ; try++ {
		parts, err := l.readParts(ctx, k, keys)
		if err != nil {
			return out, err
		}
		var again []string
		for _, key := range keys {
			f, err := k.join(key, parts[key])
			if err != nil {
				return out, err
			}
			if f.mixed {
				again = append(again, key)
				continue
			}
			out[key] = f
		}
		if len(again) == 0 {
			return out, nil
		}
		if try == mixedTries {
			return out, &fault.Error{Op: "get", Kind: k.name, Key: again[0], Class: fault.ErrBusy,
				Err: fmt.Errorf("the parts of %d objects are of different versions: a Put is under way, or a task of one waits", len(again))}
		}
		if err := sleep(ctx, pause); err != nil {
			return out, err
		}
		keys, pause = again, 2*pause
	}
}

// sleep waits, or returns the context's error when it ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readParts reads what every task of the record holds, side by side. The
// result is aligned with k.record for each key that some task knows.
func (l *Layer) readParts(ctx context.Context, k *kind, keys []string) (map[string][]part, error) {
	out := make(map[string][]part, len(keys))
	for _, key := range keys {
		out[key] = make([]part, len(k.record))
	}
	if len(k.record) == 1 {
		return out, l.readPart(ctx, k.record[0], keys, func(key string, p part) { out[key][0] = p })
	}
	var (
		wg   sync.WaitGroup
		errs = make([]error, len(k.record))
	)
	for i, t := range k.record {
		wg.Go(func() {
			// No two tasks touch the same element.
			errs[i] = l.readPart(ctx, t, keys, func(key string, p part) { out[key][i] = p })
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readPart reads what one task holds of objects.
func (l *Layer) readPart(ctx context.Context, t *task, keys []string, each func(key string, p part)) error {
	if t.write == writeRow {
		rows, err := l.rows.Read(ctx, t.row, keys...)
		for _, row := range rows {
			each(row.ID, rowPart(row))
		}
		return err
	}
	at := make([]amorphous.Address, len(keys))
	for i, key := range keys {
		at[i] = amorphous.Address{Partition: key, ID: key}
	}
	cells, err := l.cells.Read(ctx, t.table(), at...)
	if err != nil {
		return err
	}
	for row := range amorphous.Grouped(cells) {
		p, err := cellPart(row)
		if err != nil {
			return err
		}
		each(row[0].ID, p)
	}
	return nil
}

func rowPart(row transactional.Row) part {
	return part{there: true, deleted: row.Deleted, stamp: row.Stamp, values: row.Values}
}

// cellPart merges the cells of one row. Tombstones are not returned by the
// store: what was deleted is not there.
func cellPart(cells []amorphous.Row) (part, error) {
	body, stamp, ok, err := amorphous.Merge(cells)
	return part{there: ok, stamp: transactional.Stamp(stamp), body: body}, err
}

// join makes one object of the parts of its record. Parts of two versions are
// never mixed; where the newest part is a tombstone the object is gone,
// whatever the others still hold.
func (k *kind) join(key string, parts []part) (found, error) {
	newest := part{}
	agree := true
	for i, p := range parts {
		if p.there && (!newest.there || p.stamp.Newer(newest.stamp)) {
			newest = p
		}
		if i > 0 && (p.there != parts[0].there || p.stamp != parts[0].stamp || p.deleted != parts[0].deleted) {
			agree = false
		}
	}
	switch {
	case !newest.there, newest.deleted:
		return found{stamp: newest.stamp}, nil
	case !agree:
		return found{mixed: true}, nil
	}
	obj := k.make()
	for i, p := range parts {
		if err := k.fill(obj, k.record[i], key, p); err != nil {
			return found{}, err
		}
	}
	return found{obj: obj, stamp: newest.stamp, body: newest.body}, nil
}

// fill sets the fields that one task of the record holds.
func (k *kind) fill(obj any, t *task, key string, p part) error {
	var err error
	if t.write == writeRow {
		if err = t.set.SetValues(value(obj), p.values); err == nil {
			err = k.setKey(obj, key)
		}
		k.setVersion(obj, p.stamp.Version)
	} else {
		err = t.set.Decode(p.body, value(obj))
	}
	if err != nil {
		return &fault.Error{Op: "get", Store: t.purpose.String(), Kind: k.name, Key: key, Class: fault.ErrCorrupt, Err: err}
	}
	return nil
}

// fillVolatile sets the fields that only the cache holds, where it still has
// them at the same version; what was lost stays zero, which is no error.
func (l *Layer) fillVolatile(ctx context.Context, k *kind, objs map[string]found) error {
	for _, t := range k.parts {
		keys := make([]string, 0, len(objs))
		byPart := make(map[string]found, len(objs))
		for key, f := range objs {
			if f.obj != nil {
				name := t.partKey(k, key)
				keys, byPart[name] = append(keys, name), f
			}
		}
		if len(keys) == 0 {
			continue
		}
		entries, _ := l.cache.GetAll(ctx, keys)
		for name, entry := range entries {
			if f, ok := byPart[name]; ok && !entry.Absent && entry.Stamp == volatile.Stamp(f.stamp) {
				t.lend(entry.Value, f.obj)
			}
		}
	}
	return ctx.Err()
}

// lend sets the fields of a cached part. An entry that cannot be decoded is a
// lost one: it is decoded aside, so that no half of it stays.
func (t *task) lend(entry []byte, obj any) {
	aside := newLike(obj)
	if ok, err := t.uncache(entry, aside); !ok || err != nil {
		return
	}
	_, _ = t.uncache(entry, obj)
}

// readOne reads one object with its volatile fields, past the cache of whole
// objects.
func (l *Layer) readOne(ctx context.Context, k *kind, key string) (found, error) {
	all, err := l.readRecord(ctx, k, []string{key})
	if err == nil {
		err = l.fillVolatile(ctx, k, all)
	}
	return all[key], err
}

// holdsAll reports whether the cache entry of the kind has every field that
// the record and the volatile parts have, so that Get needs nothing else.
func (k *kind) holdsAll() bool {
	if k.cache.whole {
		return true
	}
	missing := func(set *record.Set) bool { return !k.covers([]*task{k.cache}, set) }
	for _, t := range append(append([]*task{}, k.record...), k.parts...) {
		if missing(t.set) {
			return false
		}
	}
	return true
}
