package persistence

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A patch travels as an envelope whose body has some properties only, under
// their own Shape, as that of a program which knows no others. The record takes
// it as a cell of its own; layouts of a kind with KindOptions.Patched follow
// the record.

// encodePatch validates and encodes the named fields of an object.
func (l *Layer) encodePatch(a *accepting, obj any, fields []string) error {
	k := a.kind
	set, part, err := k.patchSet(obj, fields)
	if err != nil {
		return err
	}
	v := value(part)
	if a.version.key, err = k.typ.KeyOf(v); err != nil {
		return err
	}
	if err = checkKey(a.version.key); err != nil {
		return err
	}
	if a.version.body, err = set.Encode(v); err != nil {
		return err
	}
	if limit := k.limit; limit > 0 && len(a.version.body) > limit {
		return &fault.Error{Op: "put", Class: fault.ErrTooLarge,
			Err: fmt.Errorf("the encoded patch has %d bytes, and a store of its plan takes %d", len(a.version.body), limit)}
	}
	a.version.obj, a.version.shape = part, set.ShapeFor(v)
	if doc, ok := part.(*Document); ok {
		a.version.shape = shapeOf(*doc)
	}
	return nil
}

func shapeOf(doc Document) uint64 {
	names := make([]string, 0, len(doc))
	for name := range doc {
		names = append(names, name)
	}
	return record.ShapeOf(names...)
}

// patchSet is what a patch writes: the set of its fields, and the object, of
// which a Document is cut down to them.
func (k *kind) patchSet(obj any, names []string) (*record.Set, any, error) {
	if len(names) == 0 {
		return nil, nil, invalid("Patch names the fields that it writes")
	}
	if err := k.patchable(); err != nil {
		return nil, nil, err
	}
	if doc, ok := obj.(*Document); ok {
		part := Document{"id": (*doc)["id"]}
		for _, name := range names {
			part[name] = (*doc)[name]
		}
		return k.all, &part, nil
	}
	var fields []*record.Field
	for _, f := range fieldsOf(k.typ) {
		if always(k.typ, f) {
			fields = append(fields, f)
		}
	}
	for _, name := range names {
		f := k.typ.Lookup(name)
		switch {
		case f == nil:
			return nil, nil, invalid("Patch names %q, which is no kept field: %s", name, suggest(k.typ, name))
		case !holds(k.record[0].set, f):
			return nil, nil, invalid("Patch names %s, which the record does not keep", name)
		case !slices.Contains(fields, f):
			fields = append(fields, f)
		}
		if err := k.patchesLayout(f); err != nil {
			return nil, nil, err
		}
	}
	return k.typ.Set(fields), obj, nil
}

// errPut is the way out for what cannot be patched.
const errPut = "Put the object whole: Get, change, Put"

// patchable refuses kinds of which a patch would leave something behind.
func (k *kind) patchable() error {
	for _, t := range k.tasks {
		var why string
		switch {
		case t.write != writeCell:
			why = "is no default amorphous write"
		case t.when != nil:
			why = "has When, which judges whole objects"
		case t.ttl > 0 || t.expires != nil:
			why = "ends its rows, and a patch would outlive the rest of its object"
		default:
			continue
		}
		return fault.New(fault.ErrUnsupported, "", "put", fmt.Sprintf("only kinds whose plan is amorphous default writes can be patched, and task %q %s. %s", t.name, why, errPut))
	}
	if len(k.record) == 0 {
		return fault.New(fault.ErrUnsupported, "", "put", "a patch goes to the record, and the kind has none: give its plan an amorphous default write without PartitionBy")
	}
	return nil
}

// patchesLayout refuses a field that a layout keeps which does not follow the
// record.
func (k *kind) patchesLayout(f *record.Field) error {
	for _, t := range k.tasks {
		if t.partition == nil || k.opts.Patched || !t.concerns(f) {
			continue
		}
		return fault.New(fault.ErrUnsupported, "", "put", fmt.Sprintf(
			"task %q lies by %s and keeps %s, and does not know where the object of a patch lies: declare the kind with KindOptions.Patched. Or %s", t.name, t.partition.Go, f.Go, errPut))
	}
	return nil
}

// concerns reports whether a row of the task changes with a field.
func (t *task) concerns(f *record.Field) bool {
	return holds(t.set, f) || t.partition != nil && t.partition.Go == f.Go || t.newest != nil && t.newest.Go == f.Go
}

// skips reports whether a patch of some fields has nothing for a task.
func (k *kind) skips(t *task, names []string) bool {
	if len(names) == 0 || isDocument(k.typ) {
		return false
	}
	return !slices.ContainsFunc(names, func(name string) bool { return t.concerns(k.typ.Lookup(name)) })
}

// partial is the cell of a body that does not hold all that this program knows:
// of what it holds, the properties that the task keeps, under their own Shape.
// What it does not hold stays as it is.
func (t *task) partial(k *kind, row *amorphous.Row, v *version) error {
	if t.whole {
		row.Shape = v.shape
		return nil
	}
	kept, known, rest := map[string]string{}, map[string]bool{}, false
	for _, g := range k.all.Fields {
		known[g.Name] = true
	}
	for _, f := range t.set.Fields {
		rest = rest || isRest(k.typ, f)
		for _, g := range k.all.Fields {
			if g.Go == f.Go {
				kept[g.Name] = f.Name
			}
		}
	}
	if rest { // its properties lie among the others
		err := record.Properties(v.body, func(name string, _ []byte) error {
			if !known[name] {
				kept[name] = name
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	body, names, err := record.Pick(v.body, kept)
	row.Body, row.Shape = body, record.ShapeOf(names...)
	return err
}

// followTries bounds how often a row follows a record that changes meanwhile.
const followTries = 8

// errMoving is why a layout tries again.
var errMoving = errors.New("the object changed while its row followed it")

// followRecord writes a row of a layout from what the record holds, whatever version
// brought us here: properties of an object may be of several versions, and so
// the row has a version of its own, above that of the row before it. Whoever
// writes it looks at the record again afterwards, and does it over if it has
// changed: of two who follow at the same time at least one sees the other's
// record.
func (e *engine) followRecord(ctx context.Context, k *kind, t *task, v *version) error {
	l := e.layer
	ctx = amorphous.WithConsistency(ctx, 0)
	if !v.stored {
		vs := []version{*v}
		if e.writeCells(ctx, k, k.record[0], vs); vs[0].err != nil {
			return vs[0].err
		}
	}
	last, err := l.readRecord(ctx, k, []string{v.key})
	for range followTries {
		if err != nil {
			return err
		}
		want := last[v.key]
		row, err := l.followRow(ctx, t, v.key, want)
		if err != nil {
			return err
		}
		if err := l.writeFollower(ctx, t, row, want, v); err != nil {
			return err
		}
		cells, err := l.cells.Read(ctx, t.table(), amorphous.Address{ID: v.key})
		if err != nil {
			return err
		}
		last, err = l.readRecord(ctx, k, []string{v.key})
		if err == nil && t.follows(cells, row) && last[v.key].same(want) {
			return nil
		}
		l.ticks.clock.Observe(row.Stamp.Version + 1)
	}
	return &fault.Error{Op: "write", Store: "amorphous", Kind: k.name, Key: v.key, Class: fault.ErrBusy, Err: errMoving}
}

// same reports whether the record held the same at two moments.
func (f found) same(g found) bool {
	return f.stamp == g.stamp && string(f.body) == string(g.body) && (f.obj == nil) == (g.obj == nil)
}

// follows reports whether the row is what was written.
func (t *task) follows(cells []amorphous.Row, row amorphous.Row) bool {
	if row.Deleted {
		return len(cells) == 0
	}
	return len(cells) > 0 && slices.ContainsFunc(cells, func(c amorphous.Row) bool {
		return c.SameRow(&row) && c.Stamp == row.Stamp
	})
}

// followRow is the row that the record implies, at a version above what lies
// there. An object that lacks what places it has none.
func (l *Layer) followRow(ctx context.Context, t *task, key string, f found) (amorphous.Row, error) {
	cells, err := l.cells.Read(ctx, t.table(), amorphous.Address{ID: key})
	if err != nil {
		return amorphous.Row{}, err
	}
	version, err := l.ticks.now(ctx, false)
	if err != nil {
		return amorphous.Row{}, err
	}
	for _, c := range cells {
		version = max(version, c.Stamp.Version+1)
	}
	gone := f.obj == nil || !placed(t, f.body)
	stamp := amorphous.Stamp{Version: version, Tie: digest(f.body, gone)}
	row, err := t.cellOf(f.obj, f.body, stamp, gone, key, microTime(version), nil)
	if !gone {
		// It is the whole truth, and covers what programs wrote that know
		// other properties.
		row.Shape = record.DocumentShape
	}
	return row, err
}

// placed reports whether a body has the properties that place a row.
func placed(t *task, body []byte) bool {
	need := 1
	if t.newest != nil {
		need++
	}
	err := record.Properties(body, func(name string, _ []byte) error {
		if name == t.partition.Name || t.newest != nil && name == t.newest.Name {
			need--
		}
		return nil
	})
	return err == nil && need <= 0
}

func (l *Layer) writeFollower(ctx context.Context, t *task, row amorphous.Row, f found, v *version) error {
	if !row.Deleted {
		if err := l.noteBucket(ctx, t, f.obj, v.accepted); err != nil {
			return err
		}
	}
	if err := l.cells.Write(ctx, t.table(), row)[0]; !errors.Is(err, amorphous.ErrSuperseded) {
		return err
	}
	return nil // seen by follows
}
