package persistence

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A row of a layout moves when the field changes that places it, and the row at
// its old place must go. A store that writes blindly learns of old places from
// a list that every writer keeps and reads again, which costs more than the row.
// Where custody is transactional, a version's place is registered instead, in
// the store of the outbox, before its row is written: with the acceptance, where
// the row is written before Put returns, else by the task. The register
// serializes the versions of an object, so each knows of all that is older, and
// every newer one knows of it, whatever was written so far. A version that was
// the newest when it was registered writes its row, and buries what is older at
// its own stamp: so it does not matter in which order versions go on.

// A book is how it is known where the rows of a layout lie.
type book int32

const (
	unknownBook    book = iota
	listedBook          // the store of the rows keeps a list, or knows by itself: a Placed table
	registeredBook      // the register of the transactional store
)

// wouldRegister reports whether the rows of a layout that is new are registered.
func (l *Layer) wouldRegister(k *kind, t *task) bool {
	return l.mayRegister(k, t) && k.custody == TransactionalCustody && len(k.tasks) > 1
}

// mayRegister reports whether the rows of a layout can be registered at all.
func (l *Layer) mayRegister(k *kind, t *task) bool {
	return t.write == writeCell && t.partition != nil && !k.opts.Patched &&
		l.rows != nil && l.cells != nil && !l.cells.Features().Superseded
}

// chooseBook decides, when a kind is declared, what can be decided without the
// stores.
func (l *Layer) chooseBook(k *kind, t *task) {
	t.cell.Placed = t.partition != nil && !l.wouldRegister(k, t)
	if !l.mayRegister(k, t) {
		t.keepBook(listedBook)
	}
}

// bookOf returns how it is known where the rows of a layout lie. What a layout
// began with it keeps, however its plan changes: one book does not know what the
// other holds.
func (l *Layer) bookOf(ctx context.Context, k *kind, t *task) (book, error) {
	if b := book(t.book.Load()); b != unknownBook {
		return b, nil
	}
	would := l.wouldRegister(k, t)
	listed, err := l.cells.Listed(ctx, t.cell)
	switch {
	case err != nil:
		return unknownBook, err
	case would && !listed:
		return t.keepBook(registeredBook), nil
	}
	var lacks *transactional.SchemaError
	registered, err := l.rows.AnyPlaced(ctx, t.cell.Name)
	switch {
	case errors.As(err, &lacks):
		registered = false
	case err != nil && fault.Outage(err) && !would && listed:
		return listedBook, nil // most probably, and nobody has to wait; the next one asks again
	case err != nil:
		return unknownBook, err
	}
	if registered {
		return t.keepBook(registeredBook), nil
	}
	return t.keepBook(listedBook), nil
}

func (t *task) keepBook(b book) book {
	t.book.Store(int32(b))
	return b
}

// table is the table of a layout, as it is by the book that was chosen.
func (t *task) table() amorphous.Table {
	out := t.cell
	switch book(t.book.Load()) {
	case listedBook:
		out.Placed = t.partition != nil
	case registeredBook:
		out.Placed = false
	}
	return out
}

func (t *task) registered() bool { return book(t.book.Load()) == registeredBook }

// placement is the entry of a version in the register of places.
func (t *task) placement(v *version) (transactional.Placement, error) {
	p := transactional.Placement{Space: t.cell.Name, ID: v.key, Stamp: v.stamp}
	if v.deleted {
		return p, nil // it lies nowhere
	}
	partition, order, err := t.place(v.obj, nil)
	p.Place = appendPlace(nil, partition, order)
	if p.Until = t.ends(v.obj, v.accepted); !p.Until.IsZero() && p.Until.Before(v.accepted) {
		p.Until = v.accepted // it is remembered for as long as what was deleted then
	}
	return p, err
}

// registers reports whether the only write of an object that needs no envelope
// would register its place: nobody may learn of a version that is not accepted.
func (e *engine) registers(ctx context.Context, a *accepting) bool {
	t := a.direct
	if t.write != writeCell || t.partition == nil {
		return false
	}
	b, err := e.layer.bookOf(ctx, a.kind, t)
	return err != nil || b == registeredBook
}

// register adds to the acceptance where an object's rows will lie that are
// written before Put returns.
func (a *accepting) register(down [8]bool) {
	if down[Amorphous] {
		return // not written now, but by a worker, which registers them
	}
	for _, t := range a.held.tasks {
		if t.priority > 0 || t.delay > 0 || !t.registered() {
			continue
		}
		if p, err := t.placement(&a.version); err == nil { // encode has asked before
			a.unit.Place, a.placed = append(a.unit.Place, p), append(a.placed, t)
		}
	}
}

// learn keeps what the acceptance has learned of older places.
func (a *accepting) learn(known []transactional.Placed) {
	for i := range known {
		a.held.placed = append(a.held.placed, placedTask{a.placed[i], &known[i]})
	}
}

// A placedTask is what was known of older places when the place of a task's row
// was registered.
type placedTask struct {
	task  *task
	known *transactional.Placed
}

// placedOf returns what was known of older places; nil: nobody has asked.
func (h *held) placedOf(t *task) *transactional.Placed {
	for _, p := range h.placed {
		if p.task == t {
			return p.known
		}
	}
	return nil
}

// appendPlace appends a place as the register keeps it, one after another.
func appendPlace(buf []byte, partition string, order []byte) []byte {
	buf = append(binary.AppendUvarint(buf, uint64(len(partition))), partition...)
	return append(binary.AppendUvarint(buf, uint64(len(order))), order...)
}

// places reads what appendPlace wrote; id is the row's.
func places(buf []byte, id string) (out []amorphous.Address, err error) {
	next := func() (part []byte) {
		n, size := binary.Uvarint(buf)
		if size <= 0 || n > uint64(len(buf)-size) {
			err = fault.New(fault.ErrCorrupt, "transactional", "placed", "the register of places cannot be read")
			buf = nil
			return nil
		}
		part, buf = buf[size:size+int(n)], buf[size+int(n):]
		return part
	}
	for len(buf) > 0 {
		partition := string(next())
		out = append(out, amorphous.Address{Partition: partition, Order: next(), ID: id})
	}
	return out, err
}

// writePlaced is writeCells for a task whose places are registered.
func (e *engine) writePlaced(ctx context.Context, k *kind, t *task, vs []version) {
	e.register(ctx, t, vs)
	for i := range vs {
		if v := &vs[i]; v.err == nil {
			v.stale = v.known.Stamp.Newer(v.stamp)
		}
	}
	e.layer.noteBuckets(ctx, t, vs)
	var rows []amorphous.Row
	var of []*version
	for i := range vs {
		v := &vs[i]
		if v.err != nil || v.stale {
			continue
		}
		own, err := t.placedRows(k, v)
		if err != nil {
			v.err = Permanent(err)
			continue
		}
		for range own {
			of = append(of, v)
		}
		rows = append(rows, own...)
	}
	if len(rows) > 0 {
		crash.Point("write.moved.before")
		errs := e.layer.cells.Write(ctx, t.table(), rows...)
		crash.Point("write.moved.after")
		for i, err := range errs {
			if v := of[i]; v.err == nil && !errors.Is(err, amorphous.ErrSuperseded) {
				v.err = err
			}
		}
	}
	e.leavePlaces(ctx, t, vs)
}

// register registers the versions that no acceptance has, and learns where older
// ones lie, or that there is a newer one.
func (e *engine) register(ctx context.Context, t *task, vs []version) {
	var units []*transactional.Unit
	var of []*version
	for i := range vs {
		v := &vs[i]
		if v.err != nil || v.known != nil {
			continue
		}
		p, err := t.placement(v)
		if err != nil {
			v.err = Permanent(err)
			continue
		}
		units, of = append(units, &transactional.Unit{Place: []transactional.Placement{p}}), append(of, v)
	}
	if len(units) == 0 {
		return
	}
	crash.Point("write.place.before")
	results, errs := e.layer.rows.ApplyAll(ctx, units)
	crash.Point("write.place.after")
	for i, v := range of {
		if v.err = errs[i]; v.err == nil {
			v.known = &results[i].Placed[0]
		}
	}
}

// placedRows are the row of a version, unless it is a delete, and the
// tombstones of where older versions may lie.
func (t *task) placedRows(k *kind, v *version) (rows []amorphous.Row, err error) {
	former, err := places(v.known.Former, v.key)
	if err != nil {
		return nil, err
	}
	if !v.deleted {
		row, err := t.cellRow(k, v)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	for _, at := range former {
		gone := tombstoneAt(at, v.stamp)
		if !v.deleted && gone.SameRow(&rows[0]) {
			gone.Stamp = justBelow(v.stamp) // it came back, and older cells did not
		}
		rows = append(rows, gone)
	}
	return rows, nil
}

func tombstoneAt(at amorphous.Address, stamp transactional.Stamp) amorphous.Row {
	return amorphous.Row{Partition: at.Partition, Order: at.Order, ID: at.ID, Stamp: amorphous.Stamp(stamp), Deleted: true}
}

// leavePlaces takes the places where nothing lies any more out of the register.
// What stays there for an error is buried again, by the next version.
func (e *engine) leavePlaces(ctx context.Context, t *task, vs []version) {
	var left []transactional.Placed
	for i := range vs {
		if v := &vs[i]; v.err == nil && !v.stale && len(v.known.Former) > 0 {
			left = append(left, *v.known)
		}
	}
	if len(left) == 0 {
		return
	}
	crash.Point("write.leave.before")
	err := e.layer.rows.LeavePlaces(ctx, t.cell.Name, left...)
	if err == nil {
		return
	}
	e.layer.log.DebugContext(ctx, "former places stay in the register", "table", t.cell.Name, "error", err)
	for i := range vs {
		if v := &vs[i]; v.err == nil && v.deleted {
			v.err = err // there may be no next version
		}
	}
}

// addresses are where the rows of keys may lie.
func (l *Layer) addresses(ctx context.Context, k *kind, t *task, of []sought) (at []amorphous.Address, err error) {
	if b, err := l.bookOf(ctx, k, t); err != nil {
		return nil, err
	} else if b == registeredBook {
		return l.soughtPlaces(ctx, t, of)
	}
	for i := range of {
		a := amorphous.Address{ID: of[i].key}
		if t.partition == nil {
			a.Partition = of[i].key
		}
		at = append(at, a)
	}
	return at, nil
}

// soughtPlaces are the places that the register knows, and those that are
// expected, whatever it knows.
func (l *Layer) soughtPlaces(ctx context.Context, t *task, of []sought) ([]amorphous.Address, error) {
	keys := make([]string, len(of))
	for i := range of {
		keys[i] = of[i].key
	}
	at, err := l.placesOf(ctx, t, keys)
	for i := range of {
		for _, e := range of[i].expected {
			if !e.aside && e.row.ID != "" {
				at = append(at, amorphous.Address{Partition: e.row.Partition, Order: e.row.Order, ID: e.row.ID})
			}
		}
	}
	slices.SortFunc(at, func(a, b amorphous.Address) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Partition, b.Partition), bytes.Compare(a.Order, b.Order))
	})
	return slices.CompactFunc(at, func(a, b amorphous.Address) bool {
		return a.ID == b.ID && a.Partition == b.Partition && bytes.Equal(a.Order, b.Order)
	}), err
}

// placesOf lists where rows of objects may lie, as far as the register knows.
func (l *Layer) placesOf(ctx context.Context, t *task, keys []string) (out []amorphous.Address, err error) {
	known, err := l.rows.Placed(ctx, t.cell.Name, keys...)
	for _, p := range known {
		var now, former []amorphous.Address
		if err == nil {
			now, err = places(p.Place, p.ID)
		}
		if err == nil {
			former, err = places(p.Former, p.ID)
		}
		out = append(append(out, now...), former...)
	}
	return out, err
}
