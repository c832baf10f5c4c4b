package record

import (
	"encoding"
	"encoding/base64"
	"math"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"
)

type (
	boolCodec      struct{}
	intCodec       struct{}
	uintCodec      struct{}
	floatCodec     struct{ bits int }
	stringCodec    struct{}
	bytesCodec     struct{}
	byteArrayCodec struct{}
	timeCodec      struct{}
	textCodec      struct{}
)

func (boolCodec) append(b []byte, v reflect.Value, _ int) ([]byte, error) {
	return strconv.AppendBool(b, v.Bool()), nil
}

func (boolCodec) decode(d *decoder, v reflect.Value) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	x, err := d.bool()
	if err == nil {
		v.SetBool(x)
	}
	return err
}

func (intCodec) append(b []byte, v reflect.Value, _ int) ([]byte, error) {
	return strconv.AppendInt(b, v.Int(), 10), nil
}

func (intCodec) decode(d *decoder, v reflect.Value) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	token, err := d.number()
	if err != nil {
		return err
	}
	x, err := strconv.ParseInt(string(token), 10, v.Type().Bits())
	if err != nil {
		return d.fail("the number is not a whole number that " + v.Type().String() + " holds")
	}
	v.SetInt(x)
	return nil
}

func (uintCodec) append(b []byte, v reflect.Value, _ int) ([]byte, error) {
	return strconv.AppendUint(b, v.Uint(), 10), nil
}

func (uintCodec) decode(d *decoder, v reflect.Value) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	token, err := d.number()
	if err != nil {
		return err
	}
	x, err := strconv.ParseUint(string(token), 10, v.Type().Bits())
	if err != nil {
		return d.fail("the number is not a whole number that " + v.Type().String() + " holds")
	}
	v.SetUint(x)
	return nil
}

func (c floatCodec) append(b []byte, v reflect.Value, _ int) ([]byte, error) {
	return appendFloat(b, v.Float(), c.bits)
}

func (c floatCodec) decode(d *decoder, v reflect.Value) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	token, err := d.number()
	if err != nil {
		return err
	}
	x, err := strconv.ParseFloat(string(token), c.bits)
	if err != nil {
		return d.fail("the number is larger than " + v.Type().String() + " holds")
	}
	v.SetFloat(x)
	return nil
}

// appendFloat appends the shortest form that gives the same float back. From
// 2^53 on it has an exponent: written out, the shortest digits end in zeros
// that the float does not have, and a Document would read another integer.
func appendFloat(b []byte, x float64, bits int) ([]byte, error) {
	if err := finite(x); err != nil {
		return b, err
	}
	format := byte('f')
	if abs := math.Abs(x); abs != 0 && (abs < 1e-6 || abs >= 1<<53) {
		format = 'e'
	}
	return strconv.AppendFloat(b, x, format, -1, bits), nil
}

// finite refuses what no store keeps.
func finite(x float64) error {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return bad("a float must be a number, neither NaN nor infinite")
	}
	return nil
}

func (stringCodec) append(b []byte, v reflect.Value, _ int) ([]byte, error) {
	return appendValidString(b, v.String())
}

func (stringCodec) decode(d *decoder, v reflect.Value) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	s, err := d.string()
	if err == nil {
		v.SetString(string(s))
	}
	return err
}

// appendValidString appends a string, or refuses one that is not UTF-8.
func appendValidString(b []byte, s string) ([]byte, error) {
	if err := valid(s); err != nil {
		return b, err
	}
	return appendString(b, s), nil
}

// valid refuses a string that is not UTF-8: no store would give it back.
func valid(s string) error {
	if !utf8.ValidString(s) {
		return bad("the string is not valid UTF-8; keep other bytes in a []byte")
	}
	return nil
}

func (bytesCodec) append(b []byte, v reflect.Value, _ int) ([]byte, error) {
	if v.IsNil() {
		return append(b, "null"...), nil
	}
	return appendBase64(b, v.Bytes()), nil
}

func (bytesCodec) decode(d *decoder, v reflect.Value) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	raw, err := d.base64()
	if err == nil {
		v.SetBytes(raw)
	}
	return err
}

func (byteArrayCodec) append(b []byte, v reflect.Value, _ int) ([]byte, error) {
	return appendBase64(b, v.Bytes()), nil
}

func (byteArrayCodec) decode(d *decoder, v reflect.Value) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	raw, err := d.base64()
	if err != nil {
		return err
	}
	if len(raw) != v.Len() {
		return d.fail("it has " + strconv.Itoa(len(raw)) + " bytes, not " + strconv.Itoa(v.Len()))
	}
	copy(v.Bytes(), raw)
	return nil
}

// appendBase64 appends bytes as a JSON string.
func appendBase64(b, raw []byte) []byte {
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, raw)
	return append(b, '"')
}

func (timeCodec) append(b []byte, v reflect.Value, _ int) ([]byte, error) {
	t, err := normal(*v.Addr().Interface().(*time.Time))
	if err != nil {
		return b, err
	}
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"'), nil
}

func (timeCodec) decode(d *decoder, v reflect.Value) error {
	target := v.Addr().Interface().(*time.Time)
	if d.null() {
		*target = time.Time{}
		return nil
	}
	s, err := d.string()
	if err != nil {
		return err
	}
	var t time.Time
	if err := t.UnmarshalText(s); err != nil {
		return d.fail("the string is not a time as in RFC 3339")
	}
	if t, err = normal(t); err != nil {
		return d.fail(err.(*problem).text)
	}
	*target = t
	return nil
}

// normal returns a time as every store keeps it: UTC, microseconds.
func normal(t time.Time) (time.Time, error) {
	t = t.UTC().Truncate(time.Microsecond)
	if y := t.Year(); y < 1 || y > 9999 {
		return t, bad("a time must lie between the years 1 and 9999")
	}
	return t, nil
}

func (textCodec) append(b []byte, v reflect.Value, _ int) ([]byte, error) {
	s, err := textOf(v)
	if err != nil {
		return b, err
	}
	return appendString(b, s), nil
}

func (textCodec) decode(d *decoder, v reflect.Value) error {
	v.SetZero()
	if d.null() {
		return nil
	}
	s, err := d.string()
	if err != nil {
		return err
	}
	return setText(v, s)
}

// textOf returns the text form of an addressable value.
func textOf(v reflect.Value) (string, error) {
	text, err := v.Addr().Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return "", &problem{text: "its MarshalText fails", cause: err}
	}
	s := string(text)
	return s, valid(s)
}

// setText sets an addressable value from its text form. The method may keep
// its argument, contrary to its contract, so it gets one of its own.
func setText(v reflect.Value, s []byte) error {
	text := append([]byte(nil), s...)
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(text); err != nil {
		return &problem{text: "its UnmarshalText fails", cause: err}
	}
	return nil
}
