package persistence

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
)

// write is a default write of one envelope. stale tells that a newer version
// was there.
func (e *engine) write(ctx context.Context, h *held, t *task) (stale bool, err error) {
	v := e.versionOf(h, t)
	return e.writeObject(ctx, h.kind, t, &v)
}

// versionOf is the version of an envelope that a default write stores; its err
// says why it cannot.
func (e *engine) versionOf(h *held, t *task) version {
	v := version{
		body: h.env.Body, key: h.env.Key, stamp: h.stamp(), deleted: h.env.Delete, accepted: h.env.Accepted,
		shape: h.env.Shape, late: t.write == writeCache && e.late(h), known: h.placedOf(t),
	}
	if !h.env.First.IsZero() {
		// A replay gave it a horizon of its own, in which its object's may end.
		v.err = e.layer.pastHorizon(h.kind, h.env)
	}
	if v.deleted || v.err != nil {
		return v
	}
	obj, err := h.object()
	switch {
	case err != nil:
		v.err = Permanent(err)
	case v.shape != h.kind.all.Shape && (t.write == writeRow || !t.whole) && h.kind.lacks(v.body):
		v.err = Snooze(foreignWait)
	}
	v.obj = obj
	return v
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

// A version is one version of an object, to be written, and what came of it.
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

	known *transactional.Placed // what was known of older places, when that of its row was registered; nil: it is not

	place [16]byte // room for the order of its row

	stale bool  // a newer version was there
	err   error // before the write: why it cannot be written
}

// writeObject is the default write of one version.
func (e *engine) writeObject(ctx context.Context, k *kind, t *task, v *version) (stale bool, err error) {
	lone := lones.Get().(*[1]version)
	defer lones.Put(lone)
	lone[0] = *v
	e.writeAll(ctx, k, t, lone[:])
	stale, err = lone[0].stale, lone[0].err
	lone[0] = version{}
	return stale, err
}

// lones are for groups of one.
var lones = sync.Pool{New: func() any { return new([1]version) }}

// writeAll is a default write of many versions, each on its own, in one call of
// the store; those that have an error already are left out. A version has its
// answer in stale and err.
func (e *engine) writeAll(ctx context.Context, k *kind, t *task, vs []version) {
	switch t.write {
	case writeRow:
		e.writeRows(ctx, k, t, vs)
	case writeCell:
		if k.opts.Patched && t.partition != nil {
			for i := range vs {
				if v := &vs[i]; v.err == nil {
					v.err = e.followRecord(ctx, k, t, v)
				}
			}
			return
		}
		e.writeWhereItLies(ctx, k, t, vs)
	case writeCount:
		e.writeCounts(ctx, t, vs)
	case writeDerived:
		e.writeDeriveds(ctx, t, vs)
	case writeCache:
		e.writeCaches(ctx, k, t, vs)
	case writeJob:
		e.writeJobs(ctx, k, t, vs)
	}
	if k.refreshedBy(t) {
		e.refreshAll(ctx, k, vs)
	}
}

// refreshedBy reports whether a task's write is followed by one to the cache.
func (k *kind) refreshedBy(t *task) bool { return k.cache != nil && slices.Contains(k.record, t) }

// answer gives the versions that were written, which had no error before, what
// the store said of each, in their order.
func answer(vs []version, errs []error, more func(v *version, n int)) {
	n := 0
	for i := range vs {
		v := &vs[i]
		if v.err != nil {
			continue
		}
		if v.err = errs[n]; more != nil {
			more(v, n)
		}
		n++
	}
}

func (e *engine) writeRows(ctx context.Context, k *kind, t *task, vs []version) {
	units := make([]*transactional.Unit, 0, len(vs))
	for i := range vs {
		v := &vs[i]
		if v.err != nil {
			continue
		}
		w, err := t.rowWrite(k, v)
		if err != nil {
			v.err = Permanent(err)
			continue
		}
		units = append(units, &transactional.Unit{Writes: []transactional.Write{w}})
	}
	if len(units) == 0 {
		return
	}
	crash.Point("write.row.before")
	results, errs := e.layer.rows.ApplyAll(ctx, units)
	crash.Point("write.row.after")
	answer(vs, errs, func(v *version, n int) {
		v.stale = results[n].Superseded != nil && results[n].Superseded[0]
	})
}

// rowWrite is the write of a version's row.
func (t *task) rowWrite(k *kind, v *version) (transactional.Write, error) {
	row, err := t.rowOf(v.obj, v.stamp, v.deleted, v.key)
	w := transactional.Write{Table: t.row, Row: row}
	if err == nil && v.shape != k.all.Shape && !v.deleted {
		return t.known(w, v.body)
	}
	return w, err
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

// writeWhereItLies writes by the book of the layout.
func (e *engine) writeWhereItLies(ctx context.Context, k *kind, t *task, vs []version) {
	switch b, err := e.layer.bookOf(ctx, k, t); {
	case err != nil:
		for i := range vs {
			if v := &vs[i]; v.err == nil {
				v.err = err
			}
		}
	case b == registeredBook:
		e.writePlaced(ctx, k, t, vs)
	default:
		e.writeCells(ctx, k, t, vs)
	}
}

// cellRows are for the rows of a call, which its store does not keep.
var cellRows = sync.Pool{New: func() any { return new([]amorphous.Row) }}

func (e *engine) writeCells(ctx context.Context, k *kind, t *task, vs []version) {
	room := cellRows.Get().(*[]amorphous.Row)
	rows := (*room)[:0]
	defer func() {
		clear(rows)
		*room = rows
		cellRows.Put(room)
	}()
	e.layer.noteBuckets(ctx, t, vs)
	for i := range vs {
		v := &vs[i]
		if v.err != nil {
			continue
		}
		row, err := t.cellRow(k, v)
		if err != nil {
			v.err = Permanent(err)
			continue
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return
	}
	crash.Point("write.cell.before")
	errs := e.layer.cells.Write(ctx, t.table(), rows...)
	crash.Point("write.cell.after")
	answer(vs, errs, func(v *version, _ int) { v.superseded() })
}

// superseded turns the error of a version that a newer one forestalled into
// stale.
func (v *version) superseded() {
	if errors.Is(v.err, amorphous.ErrSuperseded) {
		v.stale, v.err = true, nil
	}
}

// cellRow is the row of a version's cell.
func (t *task) cellRow(k *kind, v *version) (amorphous.Row, error) {
	row, err := t.cellOf(v.obj, v.body, amorphous.Stamp(v.stamp), v.deleted, v.key, v.accepted, v.place[:0])
	if err == nil && !v.deleted && v.shape != k.all.Shape {
		// The body is a patch, or of another program: it lies under the shape
		// of what that program knew, so that what only one of two programs
		// knows survives the other.
		err = t.partial(k, &row, v)
	}
	return row, err
}

// writeJobs puts the objects into the tube KIND.TASK for whoever takes from it.
// A delete has none.
func (e *engine) writeJobs(ctx context.Context, k *kind, t *task, vs []version) {
	jobs, at := make([]transitory.Job, 0, len(vs)), make([]int, 0, len(vs))
	for i := range vs {
		v := &vs[i]
		if v.err != nil || v.deleted {
			continue
		}
		body, err := t.encode(nil, v.obj, v.body)
		if err != nil {
			v.err = Permanent(err)
			continue
		}
		jobs = append(jobs, transitory.Job{Tube: k.name + "." + t.name, Priority: uint32(t.priority), Body: body})
		at = append(at, i)
	}
	if len(jobs) == 0 {
		return
	}
	crash.Point("write.job.before")
	for n, err := range e.layer.queue.Put(ctx, jobs...) {
		vs[at[n]].err = err
	}
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
			cells, err := l.cells.Read(ctx, t.table(), amorphous.Address{Partition: key, ID: key})
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
