package record

import (
	"bytes"
	"reflect"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// The tag keys, which are also the five packages.
const (
	Persistence   = "persistence"
	Transitory    = "transitory"
	Volatile      = "volatile"
	Transactional = "transactional"
	Amorphous     = "amorphous"
)

// The limits of a record.
const (
	// MaxDepth is how deep objects, arrays and maps may lie in one another; the
	// record itself is the first level. Deeper is fault.ErrInvalid on the way
	// in and fault.ErrCorrupt on the way out.
	MaxDepth = 64
	// MaxName is the longest property name of a declared field, in bytes.
	MaxName = 64
	// MaxKey is the longest key, in bytes: the shortest limit of any store.
	MaxKey = 255
)

// A Field is one property of a type. A copy of a Field may be given another
// Name before it goes into a Set: that is how a purpose's own name is used.
type Field struct {
	Go       string             // Go field name, "A.B" for a field of an embedded struct
	Name     string             // property name
	Purposes map[string]Options // by tag key; no entry: not tagged for that purpose
	Type     reflect.Type       // of the Go field
	Column   ColumnType         // how a transactional column holds it
	Index    []int              // reflect index path; empty for a Document's Rest

	codec codec
	rest  bool // it holds the unknown properties
	text  bool // its column holds a text form of its type's own
}

// Options are what follows the name in a tag.
type Options struct {
	Name   string        // a name of its own under that purpose; empty: Field.Name
	Omit   bool          // "-": the purpose's default write of a whole object leaves the field out
	Unique bool          // transactional only
	Index  bool          // transactional only
	Rest   bool          // amorphous and transactional only; set for Type.Rest
	TTL    time.Duration // volatile and amorphous only; zero: none
}

// A ColumnType names how a property becomes a SQL value.
type ColumnType string

// The column types, equal to those of package transactional.
const (
	ColumnInt   ColumnType = "int"
	ColumnUint  ColumnType = "uint"
	ColumnFloat ColumnType = "float"
	ColumnBool  ColumnType = "bool"
	ColumnText  ColumnType = "text"
	ColumnBytes ColumnType = "bytes"
	ColumnTime  ColumnType = "time"
	ColumnJSON  ColumnType = "json"
)

// A Type is a compiled Go type. It is immutable and safe for concurrent use.
type Type struct {
	Go      reflect.Type // the struct, or Document
	Fields  []Field      // every kept property, in declaration order, the Rest among them
	Key     *Field       // tagged persistence:"key", an element of Fields; nil for Document
	Version *Field       // tagged persistence:"version", an int64; nil when the clock makes versions
	Rest    *Field       // map[string]any or Document that holds the unknown properties; may be nil
	Tagged  bool         // some field has a purpose tag other than "-"

	name     string              // how messages name the type
	declared map[string]struct{} // every name under which a property may lie
	all      *Set                // of every field, for Validate
}

// A Document is an object without a struct: its property "id", a string or an
// integer, is the key. A Document holds nil, bool, string, Go's integers and
// floats, map[string]any and []any, and nothing else: what it cannot give back
// it does not take. Numbers come back with their value: integers as int64, as
// uint64 where only that fits; floats as int64 where they are whole and below
// 2^53, else as float64. A nil map or slice inside comes back as nil.
type Document = map[string]any

// A Set is a subset of a type's fields with a codec. It is immutable and safe
// for concurrent use.
type Set struct {
	Fields []*Field // in the order of Values; of a Document, its Rest alone
	Shape  uint64   // digest of the property names, never zero

	typ    *Type
	object *object
}

// Set returns the set of the fields, which are elements of Fields or copies of
// them. The Rest is in the set when it is among the fields; a Document's set
// is always the whole map.
func (t *Type) Set(fields []*Field) *Set {
	if t.document() {
		fields = []*Field{t.Rest}
	}
	o := newObject(t.name, fields)
	o.declared = t.declared
	if o.rest == nil && t.Rest != nil {
		o.unknown = t.Rest.Index
	}
	return &Set{Fields: fields, Shape: shape(fields), typ: t, object: o}
}

// Lookup returns the field with a Go name: "A.B", or just "B" where B is
// promoted from an embedded struct. It is nil when there is none.
func (t *Type) Lookup(goName string) *Field {
	var found *Field
	for i := range t.Fields {
		f := &t.Fields[i]
		switch {
		case f.Go == goName:
			return f
		case lastElement(f.Go) == goName && found == nil:
			found = f
		}
	}
	return found
}

// Validate checks a value before any store sees it: the key, and of every kept
// field that strings are valid UTF-8, floats are numbers, times lie between
// year 1 and 9999, raw JSON is JSON, and nothing is deeper than MaxDepth. The
// error is fault.ErrInvalid and names the field. Append and Values check the
// same of the fields of their set.
func (t *Type) Validate(v reflect.Value) error {
	v, err := t.value(v, "validate")
	if err != nil {
		return err
	}
	if _, err := t.KeyOf(v); err != nil {
		return err
	}
	return t.all.scratched(v, func([]byte) {})
}

// Encode is Append to a buffer of its own, without room behind the object.
func (s *Set) Encode(v reflect.Value) (body []byte, err error) {
	err = s.scratched(v, func(encoded []byte) { body = bytes.Clone(encoded) })
	return body, err
}

// scratched encodes into a buffer that is valid for the call only. There is one
// truth for what Append takes and what Validate takes.
func (s *Set) scratched(v reflect.Value, look func(encoded []byte)) error {
	buf := scratch.Get().(*[]byte)
	out, err := s.Append((*buf)[:0], v)
	if err == nil {
		look(out)
	}
	if cap(out) <= maxScratch {
		*buf = out
		scratch.Put(buf)
	}
	return err
}

// scratch holds the buffers of scratched.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// maxScratch is the largest buffer that stays in the pool, in bytes.
const maxScratch = 64 << 10

// VersionOf returns the version field's value, zero for a type without one.
func (t *Type) VersionOf(v reflect.Value) int64 {
	if t.Version == nil {
		return 0
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return at(v, t.Version.Index).Int()
}

// Append appends the set's fields of v, a value of the type or a pointer to
// one, as one JSON object. It allocates only to grow buf when v is
// addressable and has no maps and no types with a text form of their own. The
// same object has the same bytes. An error is fault.ErrInvalid, and buf comes
// back as it was.
func (s *Set) Append(buf []byte, v reflect.Value) ([]byte, error) {
	v, err := s.typ.value(v, "encode")
	if err != nil {
		return buf, err
	}
	out, err := s.object.append(buf, v, 1)
	if err != nil {
		return buf, refused(fault.ErrInvalid, "encode", s.typ.name, err)
	}
	return out, nil
}

// Decode fills the set's fields of v (a pointer, or addressable) from a JSON
// object; unknown properties go to the type's Rest if there is one, else they
// are returned neither as an error nor as data. A property that is missing
// leaves its field alone; null is the zero value of any field; of a property
// that is there twice the last one counts. What is decoded shares no memory
// with data.
//
// A property of another type than the field's, a number that the field cannot
// hold, bytes after the object and everything that is not JSON in valid UTF-8
// is fault.ErrCorrupt that names the property; v is then partly filled.
func (s *Set) Decode(data []byte, v reflect.Value) error {
	v, err := s.typ.target(v)
	if err != nil {
		return err
	}
	d := decoders.Get().(*decoder)
	defer d.free()
	d.start(data)
	if err := s.object.fill(d, v); err != nil {
		return refused(fault.ErrCorrupt, "decode", s.typ.name, err)
	}
	if err := d.end(); err != nil {
		return refused(fault.ErrCorrupt, "decode", s.typ.name, err)
	}
	return nil
}

// document reports whether the type is Document.
func (t *Type) document() bool { return t.Rest != nil && len(t.Rest.Index) == 0 }

// value returns the addressable value of the type that v is or points to.
func (t *Type) value(v reflect.Value, op string) (reflect.Value, error) {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if !v.IsValid() || v.Type() != t.Go {
		return v, fault.New(fault.ErrInvalid, "", op, "the value is not a "+t.name)
	}
	if !v.CanAddr() {
		p := reflect.New(t.Go).Elem()
		p.Set(v)
		v = p
	}
	return v, nil
}

// target returns the settable value of the type that v is or points to.
func (t *Type) target(v reflect.Value) (reflect.Value, error) {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if !v.IsValid() || v.Type() != t.Go || !v.CanSet() {
		return v, fault.New(fault.ErrInvalid, "", "decode", "the target is not an addressable "+t.name)
	}
	return v, nil
}

// at walks an index path; unlike reflect.Value.FieldByIndex it never meets a
// pointer, because embedded pointers are refused by Compile.
func at(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		v = v.Field(i)
	}
	return v
}
