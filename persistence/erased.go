package persistence

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// An erasure is written down: for its key the version up to which it is erased,
// and for its kind the largest such version of all keys. What is older and has
// the key is not run any more, wherever it comes from: a job of a queue that
// cannot be searched, an envelope that waits in the lane of another process. A
// tombstone does not say that, because a handler runs for every version that was
// accepted, also for one that was deleted since; and not every kind has a record.
//
// A process looks for its kinds' numbers as often as it does for debts, and reads
// the key's only for envelopes that are older than the kind's: those that were
// accepted before somebody erased something.

func erasedKind(kind string) string { return "erased/" + kind }

// The mark of a key does not name it.
func erasedKey(kind, key string) string { return "erased/" + kind + "/" + debtID(key) }

// names are the names that the kind has or had.
func (k *kind) names() []string { return append([]string{k.name}, k.formerly...) }

// noteErased writes down that all of a key is erased that is older than a
// version, under each name of the kind: in the table of positions, where the
// largest version wins because it is the stamp.
func (l *Layer) noteErased(ctx context.Context, k *kind, key string, version int64) error {
	newest := version
	if k.typ.Version != nil {
		newest = math.MaxInt64 >> 1 // the versions of one key say nothing of another's
	}
	var rows []transactional.Row
	for _, name := range k.names() {
		rows = append(rows,
			transactional.Row{ID: erasedKey(name, key), Stamp: transactional.Stamp{Version: version}, Values: []any{[]byte("{}")}},
			transactional.Row{ID: erasedKind(name), Stamp: transactional.Stamp{Version: newest}, Values: []any{[]byte("{}")}})
	}
	crash.Point("erase.note.before")
	err := l.writeErased(ctx, rows)
	crash.Point("erase.note.after")
	if err == nil {
		k.sawErased(newest)
	}
	return err
}

func (l *Layer) writeErased(ctx context.Context, rows []transactional.Row) error {
	if l.rows != nil {
		if err := l.rows.Prepare(ctx, positionRows); err != nil {
			return err
		}
		u := &transactional.Unit{}
		for _, r := range rows {
			u.Writes = append(u.Writes, transactional.Write{Table: positionRows, Row: r})
		}
		_, err := l.rows.Apply(ctx, u)
		return err
	}
	if err := l.cells.Prepare(ctx, positionCells); err != nil {
		return err
	}
	cells := make([]amorphous.Row, len(rows))
	for i, r := range rows {
		cells[i] = amorphous.Row{Partition: r.ID, ID: r.ID, Shape: 1, Stamp: amorphous.Stamp(r.Stamp), Body: r.Values[0].([]byte)}
	}
	var errs []error
	for _, err := range l.cells.Write(ctx, positionCells, cells...) {
		if !errors.Is(err, amorphous.ErrSuperseded) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// readErased reads versions by the names of their marks.
func (l *Layer) readErased(ctx context.Context, names ...string) (map[string]int64, error) {
	out := map[string]int64{}
	if l.rows != nil {
		if err := l.rows.Prepare(ctx, positionRows); err != nil {
			return nil, err
		}
		rows, err := l.rows.Read(ctx, positionRows, names...)
		for _, r := range rows {
			out[r.ID] = r.Stamp.Version
		}
		return out, err
	}
	if err := l.cells.Prepare(ctx, positionCells); err != nil {
		return nil, err
	}
	at := make([]amorphous.Address, len(names))
	for i, name := range names {
		at[i] = amorphous.Address{Partition: name, ID: name}
	}
	cells, err := l.cells.Read(ctx, positionCells, at...)
	for _, c := range cells {
		out[c.ID] = c.Stamp.Version
	}
	return out, err
}

// sawErased notes the version below which envelopes of the kind may be erased.
func (k *kind) sawErased(version int64) {
	for before := k.erased.Load(); version > before; before = k.erased.Load() {
		if k.erased.CompareAndSwap(before, version) {
			return
		}
	}
}

// watchErased looks for what others erase of the kinds whose envelopes lie in a
// queue: at once, so that nothing of it is run, and from then on again and again.
func (l *Layer) watchErased(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, probeEvery)
	defer cancel()
	known := l.lookErased(ctx)
	l.erasing.Do(func() {
		l.spawn(func(ctx context.Context) {
			var before uint64 // commits before the last look
			for pause(ctx, watchEvery); ctx.Err() == nil; pause(ctx, watchEvery) {
				n, counts := uint64(0), false
				if l.rows != nil {
					n, counts = l.rows.Commits()
				}
				if known && counts && n == before {
					continue // nothing was written there since
				}
				if l.lookErased(ctx) {
					known, before = true, n
				}
			}
		})
	})
}

func (l *Layer) lookErased(ctx context.Context) bool {
	of := map[string]*kind{}
	var names []string
	for _, k := range l.declared() {
		if k.custody != TransitoryCustody {
			continue
		}
		for _, name := range k.names() {
			names = append(names, erasedKind(name))
			of[erasedKind(name)] = k
		}
	}
	found, err := l.readErased(ctx, names...)
	for name, version := range found {
		of[name].sawErased(version)
	}
	if err != nil && ctx.Err() == nil {
		l.log.Debug("what was erased cannot be read", "error", err)
	}
	return err == nil
}

// errErased: the object was erased after it was accepted.
var errErased = errors.New("the object was erased")

// tellErased finds out which envelopes hold an object that was erased since. In
// most groups none is old enough to be asked for: asked tells, because that takes
// its time.
func (e *engine) tellErased(ctx context.Context, hs ...*held) (asked bool) {
	var old []*held
	var names []string
	for _, h := range hs {
		h.erased = nil
		if h.env.Delete || h.env.Version >= h.kind.erased.Load() {
			continue
		}
		old = append(old, h)
		for _, name := range h.kind.names() {
			names = append(names, erasedKey(name, h.env.Key))
		}
	}
	if len(old) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeEvery)
	defer cancel()
	found, err := e.layer.readErased(ctx, names...)
	for _, h := range old {
		for _, name := range h.kind.names() {
			if h.env.Version < found[erasedKey(name, h.env.Key)] {
				h.erased = errErased
			}
		}
		if err != nil {
			h.erased = err
		}
	}
	return true
}

// dropErased ends the tasks that remain of an envelope that was erased.
func (e *engine) dropErased(h *held) {
	for i := range h.run.Tasks {
		t := &h.run.Tasks[i]
		if t.State != flow.Waiting {
			continue
		}
		t.State = flow.Superseded
		if known := h.tasks[i]; known != nil && e.spilled.first(h.id(), known) {
			known.counter.ended(t.State)
			e.unqueue(h, known)
		}
		h.receipt.set(h.env.Tasks[i].Name, TaskSuperseded)
	}
}

// withheld ends an attempt of an envelope that may be erased: it waits for the
// store that knows.
func (w *worker) withheld(ctx context.Context, h *held, t *task, e *end) {
	e.ended = time.Now()
	if e.err = h.erased; !fault.Outage(e.err) {
		e.err = Snooze(foreignWait)
	}
	w.judge(ctx, h, t, e)
}
