package record

import (
	"reflect"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// columnOf returns the column type that holds a Go type, and whether it holds
// its text form; a pointer's column is that of what it points to, with NULL
// for nil.
func columnOf(t reflect.Type) (column ColumnType, text bool) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch k := t.Kind(); {
	case t == timeType:
		return ColumnTime, false
	case isText(t):
		return ColumnText, true
	case t == rawType:
		return ColumnJSON, false
	case k == reflect.Bool:
		return ColumnBool, false
	case k >= reflect.Int && k <= reflect.Int64:
		return ColumnInt, false
	case k >= reflect.Uint && k <= reflect.Uint64:
		return ColumnUint, false
	case k == reflect.Float32 || k == reflect.Float64:
		return ColumnFloat, false
	case k == reflect.String:
		return ColumnText, false
	case isBytes(t), isByteArray(t):
		return ColumnBytes, false
	}
	return ColumnJSON, false
}

// Values returns the set's fields as SQL values: int64, uint64, float64, bool,
// string, []byte, time.Time or nil, by the column type of the field. JSON is a
// string. Nil is NULL, and only nil is. The values share no memory with v.
// What Append refuses is refused here too.
func (s *Set) Values(v reflect.Value) ([]any, error) {
	v, err := s.typ.value(v, "encode")
	if err != nil {
		return nil, err
	}
	out := make([]any, len(s.Fields))
	for i, f := range s.Fields {
		if out[i], err = s.columnValue(f, at(v, f.Index)); err != nil {
			return nil, refused(fault.ErrInvalid, "encode", s.typ.name, within(err, f.Go))
		}
	}
	return out, nil
}

// columnValue returns one field as a SQL value.
func (s *Set) columnValue(f *Field, v reflect.Value) (any, error) {
	whole := v
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil, nil
		}
		v = v.Elem()
	case reflect.Slice, reflect.Map:
		if v.IsNil() && !f.text {
			return nil, nil
		}
	}
	switch f.Column {
	case ColumnInt:
		return v.Int(), nil
	case ColumnUint:
		return v.Uint(), nil
	case ColumnFloat:
		return v.Float(), finite(v.Float())
	case ColumnBool:
		return v.Bool(), nil
	case ColumnText:
		if f.text {
			return textOf(v)
		}
		return v.String(), valid(v.String())
	case ColumnBytes:
		return append([]byte{}, v.Bytes()...), nil
	case ColumnTime:
		return normal(timeOf(v))
	}
	return s.columnJSON(f, whole)
}

// columnJSON returns one field as JSON text.
func (s *Set) columnJSON(f *Field, v reflect.Value) (any, error) {
	depth := 2
	if f.rest {
		depth = 1 // its properties stand where the record's own do
		for name := range asDocument(v) {
			if _, clash := s.typ.declared[name]; clash {
				return nil, bad("the property " + shown(name) + " is a declared field; set the field instead")
			}
		}
	}
	b, err := f.codec.append(nil, v, depth)
	if err != nil {
		return nil, err
	}
	if string(b) == "null" {
		return nil, nil
	}
	return string(b), nil
}
