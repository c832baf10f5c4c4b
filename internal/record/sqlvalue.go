package record

import (
	"reflect"
	"strconv"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// SetValues fills the set's fields of v (a pointer, or addressable) from SQL
// values, aligned with Fields. NULL is the zero value of any field. Numbers are
// taken from every form in which a server may send them; times also as
// microseconds since 1970. A value of another type, and one that the field
// cannot hold, is fault.ErrCorrupt that names the property.
//
// A property in the column of the Rest that has become a declared field since
// it was written fills that field, if the field's own column is NULL.
func (s *Set) SetValues(v reflect.Value, values []any) error {
	v, err := s.typ.target(v)
	if err != nil {
		return err
	}
	if len(values) != len(s.Fields) {
		return fault.New(fault.ErrInvalid, "", "decode", strconv.Itoa(len(values))+" values for "+strconv.Itoa(len(s.Fields))+" fields")
	}
	for i, f := range s.Fields {
		if err := f.setValue(at(v, f.Index), values[i]); err != nil {
			return refused(fault.ErrCorrupt, "decode", s.typ.name, within(err, f.Name))
		}
	}
	for _, f := range s.Fields {
		if f.rest && !s.typ.document() {
			if err := s.promote(v, values, f); err != nil {
				return refused(fault.ErrCorrupt, "decode", s.typ.name, err)
			}
		}
	}
	return nil
}

// promote moves properties that have become declared fields out of the Rest.
func (s *Set) promote(v reflect.Value, values []any, rest *Field) error {
	properties := asDocument(at(v, rest.Index))
	for name := range properties {
		if _, declared := s.typ.declared[name]; !declared {
			continue
		}
		i, there := s.fieldNamed(name)
		if there && values[i] == nil {
			if err := s.refill(v, s.Fields[i], properties[name]); err != nil {
				return within(err, name)
			}
		}
		delete(properties, name)
	}
	return nil
}

// fieldNamed finds a field of the set by its property name.
func (s *Set) fieldNamed(name string) (int, bool) {
	for i, f := range s.Fields {
		if f.Name == name && !f.rest {
			return i, true
		}
	}
	return 0, false
}

// refill sets a field from a property of a Rest.
func (s *Set) refill(v reflect.Value, f *Field, x any) error {
	b, err := appendAny(nil, x, 2)
	if err != nil {
		return err
	}
	return decodeWhole(f.codec, b, at(v, f.Index), 1)
}

// decodeWhole decodes one value inside a record and nothing after it.
func decodeWhole(c codec, data []byte, v reflect.Value, depth int) error {
	d := newDecoder(data)
	d.depth = depth
	if err := c.decode(d, v); err != nil {
		return err
	}
	return d.end()
}

// setValue sets a field from a SQL value.
func (f *Field) setValue(v reflect.Value, x any) error {
	if x == nil {
		v.SetZero()
		return nil
	}
	if f.Column == ColumnJSON {
		text, err := sqlText(x)
		if err != nil {
			return err
		}
		depth := 1
		if f.rest {
			depth = 0
		}
		return decodeWhole(f.codec, []byte(text), v, depth)
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch f.Column {
	case ColumnInt, ColumnUint, ColumnFloat:
		return setNumber(v, x)
	case ColumnBool:
		return setBool(v, x)
	case ColumnTime:
		return setTime(v, x)
	}
	text, err := sqlText(x)
	if err != nil {
		return err
	}
	if f.Column == ColumnBytes {
		return setBytes(v, []byte(text))
	}
	if err := valid(text); err != nil {
		return err
	}
	if f.text {
		v.SetZero()
		return setText(v, []byte(text))
	}
	v.SetString(text)
	return nil
}

// sqlText takes a string in both forms in which drivers return it.
func sqlText(x any) (string, error) {
	switch x := x.(type) {
	case string:
		return x, nil
	case []byte:
		return string(x), nil
	}
	return "", unexpected(x)
}

// unexpected is the problem of a SQL value of a type that its column cannot have.
func unexpected(x any) error {
	return bad("the column holds a " + reflect.TypeOf(x).String() + ", not what the field needs")
}

// setNumber sets a number; whole numbers exactly or not at all.
func setNumber(v reflect.Value, x any) error {
	var text string
	switch x := x.(type) {
	case int64:
		text = strconv.FormatInt(x, 10)
		if v.CanInt() && !v.OverflowInt(x) {
			v.SetInt(x)
			return nil
		}
	case uint64:
		text = strconv.FormatUint(x, 10)
	case float64:
		if err := finite(x); err != nil || !v.CanFloat() || v.OverflowFloat(x) {
			return bad("the number does not fit a " + v.Type().String())
		}
		v.SetFloat(x)
		return nil
	default:
		var err error
		if text, err = sqlText(x); err != nil {
			return err
		}
	}
	return parseNumber(v, text)
}

// parseNumber sets a number from its decimal text.
func parseNumber(v reflect.Value, text string) error {
	bits := v.Type().Bits()
	var err error
	switch {
	case v.CanInt():
		var n int64
		n, err = strconv.ParseInt(text, 10, bits)
		v.SetInt(n)
	case v.CanUint():
		var n uint64
		n, err = strconv.ParseUint(text, 10, bits)
		v.SetUint(n)
	default:
		var n float64
		if n, err = strconv.ParseFloat(text, bits); err == nil {
			err = finite(n)
		}
		v.SetFloat(n)
	}
	if err != nil {
		return bad("the number does not fit a " + v.Type().String())
	}
	return nil
}

// setBool sets a bool; some servers keep it as 0 and 1.
func setBool(v reflect.Value, x any) error {
	switch x := x.(type) {
	case bool:
		v.SetBool(x)
		return nil
	case int64:
		if x == 0 || x == 1 {
			v.SetBool(x == 1)
			return nil
		}
	case string, []byte:
		if text, _ := sqlText(x); text == "0" || text == "1" {
			v.SetBool(text == "1")
			return nil
		}
	}
	return unexpected(x)
}

// setTime sets a time, from microseconds since 1970 if need be.
func setTime(v reflect.Value, x any) error {
	var t time.Time
	switch x := x.(type) {
	case time.Time:
		t = x
	case int64:
		t = time.UnixMicro(x)
	case string, []byte:
		text, _ := sqlText(x)
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return unexpected(x)
		}
		t = time.UnixMicro(n)
	default:
		return unexpected(x)
	}
	t, err := normal(t)
	if err != nil {
		return err
	}
	*v.Addr().Interface().(*time.Time) = t
	return nil
}

// setBytes sets a slice or an array of bytes, which become the field's own.
func setBytes(v reflect.Value, raw []byte) error {
	if v.Kind() == reflect.Slice {
		v.SetBytes(raw)
		return nil
	}
	if len(raw) != v.Len() {
		return bad("it has " + strconv.Itoa(len(raw)) + " bytes, not " + strconv.Itoa(v.Len()))
	}
	copy(v.Bytes(), raw)
	return nil
}
