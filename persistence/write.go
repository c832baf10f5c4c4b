package persistence

import (
	"context"
	"errors"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"
)

// write is a default write of one envelope. stale tells that a newer version
// was there.
func (e *engine) write(ctx context.Context, h *held, t *task) (stale bool, err error) {
	var obj any
	if !h.env.Delete {
		if obj, err = h.object(); err != nil {
			return false, Permanent(err)
		}
		if h.env.Shape != h.kind.all.Shape && (t.write == writeRow || !t.whole) && h.kind.lacks(h.env.Body) {
			return false, Snooze(foreignWait)
		}
	}
	return e.writeObject(ctx, h.kind, t, &version{
		obj: obj, body: h.env.Body, key: h.env.Key, stamp: h.stamp(), deleted: h.env.Delete, accepted: h.env.Accepted,
		shape: h.env.Shape,
		late:  e.late(h),
	})
}

// foreignWait is how long a write waits for a program that knows all of its
// object.
const foreignWait = 5 * time.Second

// lacks reports whether an encoded object has properties that this program does
// not know, and so would lose in a write of single columns. Where a body is
// written as it is, nothing is lost.
func (k *kind) lacks(body []byte) bool {
	known := map[string]bool{}
	for _, f := range k.all.Fields {
		known[f.Name] = true
	}
	lacks := false
	err := record.Properties(body, func(name string, _ []byte) error {
		lacks = lacks || !known[name]
		return nil
	})
	return lacks && err == nil && k.typ.Rest == nil
}

// lateAfter is how old an envelope may be for its cache write to be the first
// of its version: a cache keeps what was written a moment ago.
const lateAfter = time.Second

// late reports whether the cache may have forgotten, since the envelope was
// accepted, that a newer version was there: it may have been restarted, as this
// process may have been, or have evicted the entry.
func (e *engine) late(h *held) bool {
	return h.lost > 0 || h.env.Accepted.Before(e.layer.began) || time.Since(h.env.Accepted) > lateAfter
}

// A version is one version of an object, to be written.
type version struct {
	obj      any // nil for a delete
	body     []byte
	key      string
	stamp    transactional.Stamp
	deleted  bool
	accepted time.Time
	shape    uint64 // of body: which properties its program knew
	stored   bool   // it is what the record holds already
	late     bool   // the cache may have forgotten a newer version meanwhile
}

func (e *engine) writeObject(ctx context.Context, k *kind, t *task, v *version) (stale bool, err error) {
	switch t.write {
	case writeRow:
		stale, err = e.writeRow(ctx, k, t, v)
	case writeCell:
		if k.opts.Patched && t.partition != nil {
			return false, e.followRecord(ctx, k, t, v)
		}
		stale, err = e.writeCell(ctx, k, t, v)
	case writeCount:
		return e.writeCount(ctx, t, v)
	case writeDerived:
		stale, errs := e.writeDerived(ctx, t, v)
		return stale[0], errs[0]
	case writeCache:
		return e.writeCache(ctx, k, t, v, v.late && t == k.cache && len(k.record) > 0)
	case writeJob:
		return false, e.writeJob(ctx, k, t, v)
	}
	if err == nil && t.durable() && k.cache != nil {
		err = e.refresh(ctx, k, v)
	}
	return stale, err
}

func (e *engine) writeRow(ctx context.Context, k *kind, t *task, v *version) (bool, error) {
	row, err := t.rowOf(v.obj, v.stamp, v.deleted, v.key)
	if err != nil {
		return false, Permanent(err)
	}
	w := transactional.Write{Table: t.row, Row: row}
	if v.shape != k.all.Shape && !v.deleted {
		if w, err = t.known(w, v.body); err != nil {
			return false, Permanent(err)
		}
	}
	crash.Point("write.row.before")
	res, err := e.layer.rows.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{w}})
	crash.Point("write.row.after")
	return res.Superseded != nil && res.Superseded[0], err
}

// known limits a row to the columns that the program which put the object knew:
// what it did not know stays as it is.
func (t *task) known(w transactional.Write, body []byte) (transactional.Write, error) {
	has := map[string]bool{}
	err := record.Properties(body, func(name string, _ []byte) error {
		has[name] = true
		return nil
	})
	table := *w.Table
	table.Columns = nil
	values := w.Row.Values
	w.Row.Values = nil
	for i, f := range t.set.Fields {
		if has[f.Name] {
			table.Columns = append(table.Columns, w.Table.Columns[i])
			w.Row.Values = append(w.Row.Values, values[i])
		}
	}
	w.Table = &table
	return w, err
}

func (e *engine) writeCell(ctx context.Context, k *kind, t *task, v *version) (bool, error) {
	row, err := t.cellOf(v.obj, v.body, amorphous.Stamp(v.stamp), v.deleted, v.key, v.accepted)
	if err != nil {
		return false, Permanent(err)
	}
	crash.Point("write.cell.before")
	if !v.deleted && v.shape != k.all.Shape {
		// The body is a patch, or of another program: it lies under the shape
		// of what that program knew, so that what only one of two programs
		// knows survives the other.
		if err := t.partial(k, &row, v); err != nil {
			return false, Permanent(err)
		}
	}
	if err := e.layer.noteBucket(ctx, t, v.obj, v.accepted); err != nil {
		return false, err
	}
	err = e.layer.cells.Write(ctx, t.cell, row)[0]
	crash.Point("write.cell.after")
	if errors.Is(err, amorphous.ErrSuperseded) {
		return true, nil
	}
	return false, err
}

// writeCache writes the entry of a cached kind, or of the volatile fields of
// one. An entry that is too large for the cache is left out: the reader gets
// it from the record. With replace it only goes over an older one: a cache that
// does not remember a newer version would take this one for the newest.
func (e *engine) writeCache(ctx context.Context, k *kind, t *task, v *version, replace bool) (bool, error) {
	key := k.cacheKey(v.key)
	if t != k.cache {
		key = t.partKey(k, v.key)
	}
	superseded, err := e.putCache(ctx, k, t, v, key, replace)
	if err != nil && !errors.Is(err, fault.ErrTooLarge) { // then nothing old has stayed
		if unwritten := e.layer.owe(ctx, k, key, v.stamp); unwritten != nil {
			return false, unwritten
		}
	}
	return superseded, err
}

// putCache is writeCache without what is owed when it fails.
func (e *engine) putCache(ctx context.Context, k *kind, t *task, v *version, key string, replace bool) (bool, error) {
	entry := volatile.Entry{Stamp: volatile.Stamp(v.stamp), Absent: v.deleted}
	if !v.deleted {
		body, err := t.cacheOf(v.obj, v.body)
		if err != nil || v.shape != k.all.Shape {
			// An entry of another program's shape serves nobody here.
			if gone := e.layer.cache.Invalidate(ctx, key, entry.Stamp); gone != nil || err == nil {
				return false, gone
			}
			return false, Permanent(err)
		}
		entry.Value = body
	}
	crash.Point("write.cache.before")
	w := volatile.Write{Key: key, Entry: entry, TTL: t.ttl + t.stale, Parts: t.parts}
	if replace {
		w.Mode = volatile.Replacing
	}
	out := e.layer.cache.WriteAll(ctx, []volatile.Write{w})[0]
	return out.Superseded, out.Err
}

// refresh replaces the cache entry after a write of the record, so that a slow
// reader cannot put the version before it back. Where nothing is, it leaves
// nothing: the write may have lost to a version that the cache has forgotten.
// An error means that an old entry may stay and that nobody would know.
func (e *engine) refresh(ctx context.Context, k *kind, v *version) error {
	crash.Point("refresh.before")
	_, err := e.writeCache(ctx, k, k.cache, v, true)
	if err == nil {
		return nil
	}
	k.cache.counter.skipped.Add(1)
	var unwritten errUnwritten
	if errors.As(err, &unwritten) {
		return unwritten
	}
	return nil
}

// writeJob puts the object into the tube KIND.TASK for whoever takes from it.
func (e *engine) writeJob(ctx context.Context, k *kind, t *task, v *version) error {
	if v.deleted {
		return nil
	}
	body, err := t.encode(nil, v.obj, v.body)
	if err != nil {
		return Permanent(err)
	}
	crash.Point("write.job.before")
	return e.layer.queue.Put(ctx, transitory.Job{
		Tube: k.name + "." + t.name, Priority: uint32(t.priority), Body: body,
	})[0]
}

// newer reports whether the record holds a newer version than stamp.
func (l *Layer) newer(ctx context.Context, k *kind, key string, stamp transactional.Stamp) (bool, error) {
	for _, t := range k.record {
		switch t.write {
		case writeRow:
			rows, err := l.rows.Read(ctx, t.row, key)
			if err != nil {
				return false, err
			}
			if len(rows) > 0 && rows[0].Stamp.Newer(stamp) {
				return true, nil
			}
		case writeCell:
			cells, err := l.cells.Read(ctx, t.cell, amorphous.Address{Partition: key, ID: key})
			if err != nil {
				return false, err
			}
			for _, c := range cells {
				if transactional.Stamp(c.Stamp).Newer(stamp) {
					return true, nil
				}
			}
		}
	}
	return false, nil
}

// bury writes dead letters outside of a unit: in the transactional store, else
// in the amorphous one.
func (l *Layer) bury(ctx context.Context, dead []transactional.DeadLetter) error {
	switch {
	case len(dead) == 0:
		return nil
	case l.rows != nil:
		crash.Point("bury.before")
		_, err := l.rows.Apply(ctx, &transactional.Unit{Bury: dead})
		crash.Point("bury.after")
		return err
	case l.cells != nil:
		return l.buryCells(ctx, dead)
	}
	return fault.New(fault.ErrUnsupported, "", "bury", "dead letters need a transactional or an amorphous store")
}
