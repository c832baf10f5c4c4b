package persistence

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/transactional"
)

// isDocument reports whether the type is Document, which has no fields.
func isDocument(typ *record.Type) bool { return typ.Key == nil }

// fieldsOf returns the fields of a type.
func fieldsOf(typ *record.Type) []*record.Field {
	out := make([]*record.Field, len(typ.Fields))
	for i := range typ.Fields {
		out[i] = &typ.Fields[i]
	}
	return out
}

// mentions reports whether some field is tagged for the purpose.
func mentions(typ *record.Type, p Purpose) bool {
	return slices.ContainsFunc(typ.Fields, func(f record.Field) bool { return taggedFor(&f, p) })
}

// taggedFor reports whether the field is tagged for the purpose, other than
// to be left out.
func taggedFor(f *record.Field, p Purpose) bool {
	o, ok := f.Purposes[p.String()]
	return ok && !o.Omit
}

// splits reports whether the tags of a type say what the purpose stores. The
// field of the unknown properties does not count: it goes where the others go.
func splits(typ *record.Type, p Purpose) bool {
	return slices.ContainsFunc(typ.Fields, func(f record.Field) bool { return !isRest(typ, &f) && taggedFor(&f, p) })
}

// isRest reports whether the field holds the unknown properties.
func isRest(typ *record.Type, f *record.Field) bool { return typ.Rest != nil && typ.Rest.Go == f.Go }

// always reports whether the field is in every set: the key and the version.
func always(typ *record.Type, f *record.Field) bool {
	return typ.Key != nil && typ.Key.Go == f.Go || typ.Version != nil && typ.Version.Go == f.Go
}

// stores reports whether the tags let a default write of the purpose store the
// field.
func stores(typ *record.Type, f *record.Field, p Purpose) bool {
	switch o := f.Purposes[p.String()]; {
	case always(typ, f):
		return true
	case o.Omit:
		return false
	case splits(typ, p):
		return taggedFor(f, p)
	case isRest(typ, f):
		return true
	}
	// No tag of this purpose anywhere: the whole object, less the fields that
	// are tagged only for other purposes.
	return taggedFor(f, p) || !taggedForAny(f)
}

func taggedForAny(f *record.Field) bool {
	for _, o := range f.Purposes {
		if !o.Omit {
			return true
		}
	}
	return false
}

// resolve turns names of fields into fields, and fields into tables.
func (c *compiler) resolve() {
	for _, w := range c.words {
		if w.orderingKey != "" {
			w.ordering = c.field(w, c.kind.typ, "OrderingKey", w.orderingKey, "order tasks", text)
		}
		if w.write == writeDerived {
			c.layoutDerived(w)
		}
		if w.write == writeNone || w.write == writeDerived {
			continue
		}
		if w.write == writeCount {
			w.whole = true
			c.counting(w)
			continue
		}
		fields := c.fieldsFor(w)
		w.whole = len(fields) == len(c.kind.all.Fields) && !renamed(fields, w.purpose)
		if isDocument(c.kind.typ) {
			w.whole = true
		}
		c.resolveTTL(w, fields)
		switch w.write {
		case writeRow:
			c.table(w, fields)
		case writeCell:
			c.layout(w)
			fallthrough
		default:
			w.set = c.kind.typ.Set(named(fields, w.purpose))
		}
	}
}

// fieldsFor returns the fields that a default write stores.
func (c *compiler) fieldsFor(w *wording) []*record.Field {
	typ := c.kind.typ
	only := map[string]bool{}
	for _, name := range w.fields {
		f := c.lookup(w, typ, "Fields", name)
		switch {
		case f == nil:
		case !stores(typ, f, w.purpose):
			c.taskFault(w, "Fields names %q, which the tags keep out of what is %s: tag it %s:\"\" as well, or remove it from Fields", f.Go, w.purpose, w.purpose)
		default:
			only[f.Go] = true
		}
	}
	var out []*record.Field
	for _, f := range fieldsOf(typ) {
		if stores(typ, f, w.purpose) && (len(w.fields) == 0 || only[f.Go] || always(typ, f)) {
			out = append(out, f)
		}
	}
	return out
}

// named gives fields the names that they have under a purpose.
func named(fields []*record.Field, p Purpose) []*record.Field {
	out := slices.Clone(fields)
	for i, f := range out {
		if name := f.Purposes[p.String()].Name; name != "" && name != f.Name {
			renamed := *f
			renamed.Name = name
			out[i] = &renamed
		}
	}
	return out
}

func renamed(fields []*record.Field, p Purpose) bool {
	return slices.ContainsFunc(fields, func(f *record.Field) bool {
		name := f.Purposes[p.String()].Name
		return name != "" && name != f.Name
	})
}

// resolveTTL takes the life of the entry from the tags where the task names
// none. One entry has one life.
func (c *compiler) resolveTTL(w *wording, fields []*record.Field) {
	if w.ttl != 0 {
		return
	}
	var from *record.Field
	for _, f := range fields {
		ttl := f.Purposes[w.purpose.String()].TTL
		switch {
		case ttl == 0:
		case from == nil:
			w.ttl, from = ttl, f
		case ttl != w.ttl:
			c.taskFault(w, "%s has ttl=%v and %s has ttl=%v, but they are one entry: use one ttl, or a plan with a task for each", from.Go, w.ttl, f.Go, ttl)
			return
		}
	}
	if from == nil || w.write != writeCell {
		return
	}
	for _, f := range fields {
		if f.Purposes[w.purpose.String()].TTL == 0 && !always(c.kind.typ, f) {
			c.taskFault(w, "ttl=%v of %s would also end %s, which lies in the same row and has none: give TTL to the task, or the ttl to every field", w.ttl, from.Go, f.Go)
			return
		}
	}
}

// layout resolves where a row of the amorphous store lies.
func (c *compiler) layout(w *wording) {
	w.cell = amorphous.Table{Name: physical(c.kind.table, w.name), Placed: w.partitionBy != ""}
	if w.partitionBy != "" {
		w.partition = c.field(w, c.kind.typ, "PartitionBy", w.partitionBy, "name a partition", text)
	}
	if w.newestBy != "" {
		w.newest = c.field(w, c.kind.typ, "Newest", w.newestBy, "order rows", order)
	}
	if w.expiresBy != "" {
		w.expires = c.lookup(w, c.kind.typ, "Expires", w.expiresBy)
		if w.expires != nil && w.expires.Type != reflect.TypeFor[time.Time]() {
			c.taskFault(w, "Expires says until when an object is kept, and %s is a %s: name a time.Time", w.expires.Go, w.expires.Type)
		}
	}
	c.checkBucket(w, w.newest)
}

// checkBucket refuses buckets of what is not time.
func (c *compiler) checkBucket(w *wording, newest *record.Field) {
	if w.bucket > 0 && newest != nil && newest.Type != reflect.TypeFor[time.Time]() {
		c.taskFault(w, "Bucket divides time, and Newest is %s, a %s: order by a time.Time, or leave out Bucket", newest.Go, newest.Type)
	}
}

// table makes the table of a transactional default write. The key is the id of
// the row and the version its stamp, so neither has a column of its own.
func (c *compiler) table(w *wording, fields []*record.Field) {
	fields = slices.DeleteFunc(slices.Clone(fields), func(f *record.Field) bool { return always(c.kind.typ, f) })
	if isDocument(c.kind.typ) {
		fields = []*record.Field{c.kind.typ.Rest}
	}
	fields = named(fields, w.purpose)
	t := &transactional.Table{Name: physical(c.kind.table)}
	for _, f := range fields {
		if !transactional.ValidName(f.Name) {
			c.taskFault(w, "the property %q of %s is too long for a column: give it a shorter name, as in `transactional:\"name\"` (%d bytes at most)", f.Name, f.Go, transactional.MaxName)
		}
		t.Columns = append(t.Columns, transactional.Column{Name: f.Name, Type: transactional.Type(f.Column)})
		o := f.Purposes[record.Transactional]
		if o.Unique {
			t.Unique = append(t.Unique, []string{f.Name})
		}
		if o.Index {
			t.Index = append(t.Index, []string{f.Name})
		}
	}
	w.row, w.set = t, c.kind.typ.Set(fields)
}

// An ability is what a field must be able to do: it returns an error for a
// value of a type that cannot.
type ability func(v reflect.Value) error

func text(v reflect.Value) error  { _, err := record.Text(v); return err }
func order(v reflect.Value) error { _, err := record.Order(v, true); return err }

// field resolves a word that names one field with an ability.
func (c *compiler) field(w *wording, typ *record.Type, word, name, purpose string, can ability) *record.Field {
	f := c.lookup(w, typ, word, name)
	if f == nil {
		return nil
	}
	if can(reflect.New(f.Type).Elem()) != nil {
		c.taskFault(w, "%s is %s, a %s, which cannot %s: use a string, a number, a bool or a time.Time", word, f.Go, f.Type, purpose)
		return nil
	}
	return f
}

// lookup finds a field of a type by its Go name, or records a fault with a
// suggestion.
func (c *compiler) lookup(w *wording, typ *record.Type, word, name string) *record.Field {
	f := typ.Lookup(name)
	if f != nil {
		return f
	}
	if isDocument(typ) {
		c.taskFault(w, "%s names the field %q, and a Document has none: declare a struct for it", word, name)
		return nil
	}
	c.taskFault(w, "%s names %q, which is no kept field of %s: %s", word, name, typeName(typ.Go), suggest(typ, name))
	return nil
}

// suggest is the way out for a name that no field has.
func suggest(typ *record.Type, name string) string {
	var names, folded []string
	for i := range typ.Fields {
		names = append(names, typ.Fields[i].Go)
		folded = append(folded, strings.ToLower(typ.Fields[i].Go))
	}
	if near := slices.Index(folded, strings.ToLower(name)); near >= 0 {
		return fmt.Sprintf("did you mean %q?", names[near])
	}
	if near := slices.Index(folded, record.Nearest(name, folded...)); near >= 0 {
		return fmt.Sprintf("did you mean %q?", names[near])
	}
	return "its fields are " + strings.Join(names, ", ")
}
