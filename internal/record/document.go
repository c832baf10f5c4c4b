package record

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// documentCodec is the codec of a map[string]any as one value: a Rest that is
// a column of its own.
type documentCodec struct{}

func (documentCodec) append(b []byte, v reflect.Value, depth int) ([]byte, error) {
	return appendAny(b, asDocument(v), depth)
}

func (documentCodec) decode(d *decoder, v reflect.Value) error {
	v.SetZero()
	if d.null() {
		return nil
	}
	if d.peek() != '{' {
		return d.fail("it is not an object")
	}
	x, err := d.any()
	if err == nil {
		v.Set(reflect.ValueOf(x).Convert(v.Type()))
	}
	return err
}

// asDocument returns the map of a Rest.
func asDocument(v reflect.Value) map[string]any {
	if v.Type() != documentType {
		v = v.Convert(documentType)
	}
	return v.Interface().(map[string]any)
}

// appendAny appends a value of a Document.
func appendAny(b []byte, x any, depth int) ([]byte, error) {
	switch x := x.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, x), nil
	case string:
		return appendValidString(b, x)
	case map[string]any:
		return appendMap(b, x, depth)
	case []any:
		return appendSlice(b, x, depth)
	case float64:
		return appendFloat(b, x, 64)
	case float32:
		return appendFloat(b, float64(x), 64)
	}
	switch v := reflect.ValueOf(x); {
	case v.Type().PkgPath() != "":
	case v.CanInt():
		return strconv.AppendInt(b, v.Int(), 10), nil
	case v.CanUint() && v.Kind() != reflect.Uintptr:
		return strconv.AppendUint(b, v.Uint(), 10), nil
	}
	return b, bad("a Document cannot give back a " + reflect.TypeOf(x).String() +
		"; use nil, bool, string, numbers, map[string]any and []any, or declare a struct")
}

func appendMap(b []byte, m map[string]any, depth int) ([]byte, error) {
	if m == nil {
		return append(b, "null"...), nil
	}
	if depth > MaxDepth {
		return b, tooDeep()
	}
	var err error
	b = append(b, '{')
	for i, name := range sortedKeys(m) {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendProperty(b, name, m[name], depth); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

// appendProperty appends one property of an object at the given depth.
func appendProperty(b []byte, name string, x any, depth int) ([]byte, error) {
	b, err := appendValidString(b, name)
	if err != nil {
		return b, within(err, "a property name")
	}
	b = append(b, ':')
	if b, err = appendAny(b, x, depth+1); err != nil {
		return b, within(err, printable(name))
	}
	return b, nil
}

func appendSlice(b []byte, s []any, depth int) ([]byte, error) {
	if s == nil {
		return append(b, "null"...), nil
	}
	if depth > MaxDepth {
		return b, tooDeep()
	}
	var err error
	b = append(b, '[')
	for i, x := range s {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendAny(b, x, depth+1); err != nil {
			return b, within(err, element(i))
		}
	}
	return append(b, ']'), nil
}

// sortedKeys lists the keys of a map in order, so that the same map has the
// same bytes.
func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// any reads any value, as Document has it.
func (d *decoder) any() (any, error) {
	switch d.peek() {
	case '{':
		return d.anyMap()
	case '[':
		return d.anySlice()
	case '"':
		s, err := d.string()
		return string(s), err
	case 't', 'f':
		return d.bool()
	case 'n':
		if d.null() {
			return nil, nil
		}
		return nil, d.fail("it is not a JSON value")
	}
	return d.anyNumber()
}

func (d *decoder) anyMap() (any, error) {
	if err := d.enter('{'); err != nil {
		return nil, err
	}
	m := map[string]any{}
	for first := true; ; first = false {
		name, more, err := d.name(first)
		if err != nil || !more {
			return m, err
		}
		key := string(name)
		if m[key], err = d.any(); err != nil {
			return nil, within(err, printable(key))
		}
	}
}

func (d *decoder) anySlice() (any, error) {
	if err := d.enter('['); err != nil {
		return nil, err
	}
	s := []any{}
	for {
		more, err := d.more(']', len(s) == 0)
		if err != nil || !more {
			return s, err
		}
		x, err := d.any()
		if err != nil {
			return nil, within(err, element(len(s)))
		}
		s = append(s, x)
	}
}

// anyNumber reads a number as int64, uint64 or float64. A number with a point
// or an exponent is taken for an integer below 2^53 only, where no two integers
// are one float; the negative zero stays a float.
func (d *decoder) anyNumber() (any, error) {
	token, err := d.number()
	if err != nil {
		return nil, err
	}
	text := string(token)
	plain := !strings.ContainsAny(text, ".eE") && text != "-0"
	if plain {
		if x, err := strconv.ParseInt(text, 10, 64); err == nil {
			return x, nil
		}
		if x, err := strconv.ParseUint(text, 10, 64); err == nil {
			return x, nil
		}
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, d.fail("the number is larger than a float64 holds")
	}
	if !plain && x == math.Trunc(x) && math.Abs(x) < 1<<53 && !(x == 0 && math.Signbit(x)) {
		return int64(x), nil
	}
	return x, nil
}
