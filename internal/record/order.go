package record

import (
	"encoding/binary"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Order returns a field's value as bytes that sort as the values do: integers,
// floats, strings, []byte, times, durations and bools, and types with a text
// form, which sort as their text does; descending inverts. No result is the
// beginning of another of the same type, so that results can be joined: what
// is joined sorts by the first part, then by the second. A nil pointer, a NaN
// and every other type is fault.ErrInvalid.
func Order(v reflect.Value, descending bool) ([]byte, error) {
	return AppendOrder(make([]byte, 0, 16), v, descending)
}

// AppendOrder is Order in a buffer of the caller's, which it appends to.
func AppendOrder(buf []byte, v reflect.Value, descending bool) ([]byte, error) {
	b, err := appendOrder(buf, v)
	if err != nil {
		return nil, refused(fault.ErrInvalid, "order", nameOf(v), err)
	}
	if descending {
		for i := len(buf); i < len(b); i++ {
			b[i] = ^b[i]
		}
	}
	return b, nil
}

func appendOrder(b []byte, v reflect.Value) ([]byte, error) {
	v, err := plain(v)
	if err != nil {
		return b, err
	}
	t := v.Type()
	switch k := t.Kind(); {
	case t == timeType:
		at, err := normal(timeOf(v))
		return appendSigned(b, at.UnixMicro()), err
	case isText(t):
		s, err := textOf(addressable(v))
		return appendEscaped(b, s), err
	case k == reflect.Bool:
		if v.Bool() {
			return append(b, 1), nil
		}
		return append(b, 0), nil
	case v.CanInt():
		return appendSigned(b, v.Int()), nil
	case v.CanUint() && k != reflect.Uintptr:
		return binary.BigEndian.AppendUint64(b, v.Uint()), nil
	case v.CanFloat():
		return appendOrderedFloat(b, v.Float())
	case k == reflect.String:
		return appendEscaped(b, v.String()), valid(v.String())
	case isBytes(t):
		return appendEscaped(b, string(v.Bytes())), nil
	}
	return b, bad("it has no order; use an integer, a float, a string, a time or a bool")
}

// appendSigned appends an integer with its sign flipped, so that negative
// numbers come first.
func appendSigned(b []byte, x int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(x)^1<<63)
}

// appendOrderedFloat appends a float's bits: negative numbers inverted, the
// others with the sign flipped. Both zeros are one value.
func appendOrderedFloat(b []byte, x float64) ([]byte, error) {
	if err := finite(x); err != nil {
		return b, err
	}
	bits := math.Float64bits(x + 0) // -0 + 0 is 0
	if bits>>63 == 1 {
		bits = ^bits
	} else {
		bits ^= 1 << 63
	}
	return binary.BigEndian.AppendUint64(b, bits), nil
}

// appendEscaped appends a string with NUL as 00 FF and 00 01 at the end, which
// sorts a string before those that it begins.
func appendEscaped(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		b = append(b, s[i])
		if s[i] == 0 {
			b = append(b, 0xff)
		}
	}
	return append(b, 0, 1)
}

// plain follows a pointer, and refuses nil.
func plain(v reflect.Value) (reflect.Value, error) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if !v.IsValid() {
		return v, bad("it is nil")
	}
	return v, nil
}

// timeOf returns the time in v.
func timeOf(v reflect.Value) time.Time {
	if v.CanAddr() {
		return *v.Addr().Interface().(*time.Time)
	}
	return v.Interface().(time.Time)
}

// addressable returns v, or a copy that has an address.
func addressable(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return v
	}
	p := reflect.New(v.Type()).Elem()
	p.Set(v)
	return p
}

// nameOf is how a message names the type of v.
func nameOf(v reflect.Value) string {
	if !v.IsValid() {
		return "nil"
	}
	return typeName(v.Type())
}

// Class names how Order and Text write the values of a type, and those behind
// pointers to it: "time", "text", "bool", "integer", "unsigned", "float32",
// "float64" or "bytes". Of types of one class, equal values are written alike.
func Class(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	v := reflect.Zero(t)
	switch k := t.Kind(); {
	case t == timeType:
		return "time"
	case isText(t), k == reflect.String:
		return "text"
	case k == reflect.Bool:
		return "bool"
	case v.CanInt():
		return "integer"
	case v.CanUint():
		return "unsigned"
	case v.CanFloat():
		return "float" + strconv.Itoa(t.Bits())
	}
	return "bytes"
}
