// Package record turns Go structs into records, a list of named properties,
// and back, by a codec that is compiled once per type. The encoding of a
// property is JSON; properties that a program does not know are kept.
package record

import (
	"reflect"
	"time"
)

// The tag keys, which are also the five packages.
const (
	Persistence   = "persistence"
	Transitory    = "transitory"
	Volatile      = "volatile"
	Transactional = "transactional"
	Amorphous     = "amorphous"
)

// A Field is one property of a type.
type Field struct {
	Go       string             // Go field name, "A.B" for a field of an embedded struct
	Name     string             // property name
	Purposes map[string]Options // by tag key; no entry: not tagged for that purpose
	Type     reflect.Type       //
	Column   ColumnType         // how a transactional column holds it
	Index    []int              // reflect index path
}

// Options are what follows the name in a tag.
type Options struct {
	Name   string // a name of its own under that purpose; empty: Field.Name
	Unique bool
	Index  bool
	Rest   bool
	TTL    time.Duration
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

// A Type is a compiled Go type.
type Type struct {
	Go      reflect.Type
	Fields  []Field // every kept property, in declaration order
	Key     *Field  // tagged persistence:"key"
	Version *Field  // tagged persistence:"version", an int64; nil when the clock makes versions
	Rest    *Field  // map[string]any or Document that holds the unknown properties; may be nil
	Tagged  bool    // some field has a purpose tag
}

// A Document is an object without a struct: its property "id" is the key. In
// a Document numbers come back as int64 where they are whole and fit, else as
// float64.
type Document = map[string]any

// Compile compiles a struct type (or Document, whose Type has no Fields, a Rest
// that is the whole map, and a Set with a constant Shape), or returns all of
// its faults at once, each a sentence with the type, the field and a way out.
func Compile(t reflect.Type) (*Type, []error) { panic("todo") }

// A Set is a subset of a type's fields with a codec.
type Set struct {
	Fields []*Field
	Shape  uint64 // digest of the property names, never zero
}

// Set returns the set of the fields.
func (t *Type) Set(fields []*Field) *Set { panic("todo") }

// Validate checks a value before any store sees it: key, strings valid UTF-8,
// no NaN, times between year 1 and 9999.
func (t *Type) Validate(v reflect.Value) error { panic("todo") }

// KeyOf returns the key as a string.
func (t *Type) KeyOf(v reflect.Value) (string, error) { panic("todo") }

// VersionOf returns the version field's value.
func (t *Type) VersionOf(v reflect.Value) int64 { panic("todo") }

// Append appends the set's fields of v as one JSON object. It allocates only
// to grow buf.
func (s *Set) Append(buf []byte, v reflect.Value) ([]byte, error) { panic("todo") }

// Decode fills the set's fields of v (addressable) from a JSON object; unknown
// properties go to the type's Rest if there is one, else they are returned
// neither as an error nor as data. A property of another type than the field's
// is fault.ErrCorrupt that names it.
func (s *Set) Decode(data []byte, v reflect.Value) error { panic("todo") }

// Values returns the set's fields as SQL values: int64, uint64, float64, bool,
// string, []byte, time.Time or nil.
func (s *Set) Values(v reflect.Value) ([]any, error) { panic("todo") }

// SetValues fills the set's fields from SQL values, aligned with Fields.
func (s *Set) SetValues(v reflect.Value, values []any) error { panic("todo") }

// Order returns a field's value as bytes that sort as the values do (integers,
// floats, strings, times, bools; descending inverts).
func Order(v reflect.Value, descending bool) ([]byte, error) { panic("todo") }

// Text returns a field's value as the string that stands for it in a partition
// or a key: injective per type.
func Text(v reflect.Value) (string, error) { panic("todo") }

// Merge returns one JSON object with the properties of several, each from the
// body in which it is newest (bodies newest first).
func Merge(bodies ...[]byte) ([]byte, error) { panic("todo") }
