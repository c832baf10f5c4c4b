package record_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"time"

	"pgregory.net/rapid"

	"github.com/fourfold-dev/fourfold/internal/record"
)

// Types that reflect.StructOf cannot make: with names, methods, recursion.
type (
	level   int8
	name    string
	blob    []byte
	ids     []uint16
	byLevel map[level]name
	node    struct {
		Value int32   `json:"value"`
		Next  *node   `json:"next"`
		Kids  []node  `json:"kids"`
		Map   nodeMap `json:"map"`
	}
	nodeMap map[string]*node
	// color has a text form, by methods on the value and on the pointer.
	color struct{ r, g, b byte }
	// ring has a text form by methods on the pointer only.
	ring  struct{ n int }
	outer struct {
		embedded
		Own string `json:"own"`
	}
	embedded struct {
		Deep bool `json:"deep"`
	}
)

func (c color) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "#%02x%02x%02x", c.r, c.g, c.b), nil
}

func (c *color) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "#%02x%02x%02x", &c.r, &c.g, &c.b)
	return err
}

func (r *ring) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(r.n), 10), nil }

func (r *ring) UnmarshalText(text []byte) (err error) {
	r.n, err = strconv.Atoi(string(text))
	return err
}

var leaves = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](),
	reflect.TypeFor[int32](), reflect.TypeFor[int64](), reflect.TypeFor[uint](), reflect.TypeFor[uint8](),
	reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](), reflect.TypeFor[float32](),
	reflect.TypeFor[float64](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](), reflect.TypeFor[time.Time](),
	reflect.TypeFor[time.Duration](), reflect.TypeFor[json.RawMessage](), reflect.TypeFor[level](),
	reflect.TypeFor[name](), reflect.TypeFor[blob](), reflect.TypeFor[ids](), reflect.TypeFor[byLevel](),
	reflect.TypeFor[node](), reflect.TypeFor[color](), reflect.TypeFor[ring](), reflect.TypeFor[netip.Addr](),
	reflect.TypeFor[time.Month](), reflect.TypeFor[outer](), reflect.TypeFor[struct{}](), reflect.TypeFor[nodeMap](),
}

var keys = []reflect.Type{
	reflect.TypeFor[string](), reflect.TypeFor[name](), reflect.TypeFor[int](), reflect.TypeFor[int8](),
	reflect.TypeFor[int64](), reflect.TypeFor[uint64](), reflect.TypeFor[level](), reflect.TypeFor[uint16](),
}

// drawType draws an accepted type of at most some levels.
func drawType(t *rapid.T, depth int) reflect.Type {
	if depth == 0 || rapid.IntRange(0, 2).Draw(t, "leaf") > 0 {
		return rapid.SampledFrom(leaves).Draw(t, "type")
	}
	switch rapid.IntRange(0, 5).Draw(t, "composite") {
	case 0:
		return reflect.SliceOf(drawType(t, depth-1))
	case 1:
		return reflect.ArrayOf(rapid.IntRange(0, 3).Draw(t, "len"), drawType(t, depth-1))
	case 2:
		return reflect.MapOf(rapid.SampledFrom(keys).Draw(t, "key"), drawType(t, depth-1))
	case 3:
		e := drawType(t, depth-1)
		text := reflect.PointerTo(e).Implements(reflect.TypeFor[interface{ UnmarshalText([]byte) error }]())
		if k := e.Kind(); !text && (k == reflect.Pointer || k == reflect.Slice || k == reflect.Map) {
			return e
		}
		return reflect.PointerTo(e)
	}
	return drawStruct(t, depth-1, nil)
}

// drawStruct draws a struct with the given fields first.
func drawStruct(t *rapid.T, depth int, fields []reflect.StructField) reflect.Type {
	for i := range rapid.IntRange(0, 5).Draw(t, "fields") {
		fields = append(fields, reflect.StructField{
			Name: "F" + strconv.Itoa(i), Type: drawType(t, depth), Tag: reflect.StructTag(fmt.Sprintf(`json:"f%d"`, i)),
		})
	}
	return reflect.StructOf(fields)
}

var keyField = reflect.StructField{Name: "ID", Type: reflect.TypeFor[string](), Tag: `persistence:"key" json:"id"`}

// times cover the range that the codec accepts, its ends, and every zone.
func drawTime(t *rapid.T) time.Time {
	first, last := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
	sec := rapid.OneOf(rapid.Int64Range(first, last), rapid.SampledFrom([]int64{first, last, 0, -1})).Draw(t, "sec")
	at := time.Unix(sec, rapid.Int64Range(0, 999999999).Draw(t, "nsec"))
	return at.In(time.FixedZone("", 60*rapid.IntRange(-12*60, 14*60).Draw(t, "zone")))
}

var rawValues = []string{"", `{}`, `[]`, `"a \u0000 b"`, `-0.0e+7`, `{"a":{"b":[1,2,3,null,true,"x"]},"a":1}`, `12345678901234567890123`}

// drawValue fills a settable value.
func drawValue(t *rapid.T, v reflect.Value, depth int) {
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		*p = drawTime(t)
		return
	case *json.RawMessage:
		if raw := rapid.SampledFrom(rawValues).Draw(t, "raw"); raw != "" {
			*p = json.RawMessage(raw)
		}
		return
	case *color:
		*p = color{rapid.Byte().Draw(t, "r"), 2, 3}
		return
	case *ring:
		p.n = rapid.Int().Draw(t, "ring")
		return
	case *netip.Addr:
		*p = rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("::1%eth0"), netip.MustParseAddr("10.0.0.1")}).Draw(t, "addr")
		return
	case *embedded:
		p.Deep = true
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		drop := 64 - v.Type().Bits()
		v.SetInt(rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MaxInt64, math.MinInt64, 1<<53 + 1})).Draw(t, "int") >> drop)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		drop := 64 - v.Type().Bits()
		v.SetUint(rapid.OneOf(rapid.Uint64(), rapid.Just(uint64(math.MaxUint64))).Draw(t, "uint") >> drop)
	case reflect.Float32:
		v.SetFloat(float64(rapid.Float32().Draw(t, "float32")))
	case reflect.Float64:
		v.SetFloat(rapid.Float64().Draw(t, "float64"))
	case reflect.String:
		v.SetString(drawString(t))
	default:
		drawComposite(t, v, depth)
	}
}

// drawString draws valid UTF-8, rich in what encodings get wrong.
func drawString(t *rapid.T) string {
	odd := []rune{0, 1, '\b', '\t', '\n', '\f', '\r', 0x1f, '"', '\\', '/', 0x7f, 0x80, 0x2028, 0x2029, '<', '&', 0xfffd, 0xffff, 0x10ffff, '🙂'}
	return rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.SampledFrom(odd))).Draw(t, "string")
}

func drawComposite(t *rapid.T, v reflect.Value, depth int) {
	full := depth > 0 && rapid.IntRange(0, 3).Draw(t, "nil") > 0
	n := 0
	if depth > 1 {
		n = rapid.IntRange(0, 3).Draw(t, "n")
	}
	switch v.Kind() {
	case reflect.Pointer:
		if full {
			v.Set(reflect.New(v.Type().Elem()))
			drawValue(t, v.Elem(), depth-1)
		}
	case reflect.Slice:
		if full {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				drawValue(t, v.Index(i), depth-1)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			drawValue(t, v.Index(i), depth-1)
		}
	case reflect.Map:
		if full {
			v.Set(reflect.MakeMap(v.Type()))
			for range n {
				key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				drawValue(t, key, depth-1)
				drawValue(t, elem, depth-1)
				v.SetMapIndex(key, elem)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				drawValue(t, v.Field(i), depth-1)
			}
		}
	}
}

// canonical returns a copy with the one change that a Put is allowed to make:
// times are UTC in microseconds.
func canonical(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		at := v.Interface().(time.Time).UTC().Truncate(time.Microsecond)
		return reflect.ValueOf(at)
	case v.Type() == reflect.TypeFor[netip.Addr](), v.Type() == reflect.TypeFor[color](), v.Type() == reflect.TypeFor[ring]():
		return out
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(canonical(v.Elem()))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			out.Index(i).Set(canonical(v.Index(i)))
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMap(v.Type()))
		}
		for _, k := range v.MapKeys() {
			out.SetMapIndex(k, canonical(v.MapIndex(k)))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(canonical(v.Field(i)))
			}
		}
	}
	return out
}

// draw draws a type with a value, both compiled.
func draw(t *rapid.T) (*record.Type, reflect.Value) {
	goType := drawStruct(t, 3, []reflect.StructField{keyField})
	typ, faults := record.Compile(goType)
	if len(faults) > 0 {
		t.Fatalf("%v: %v", goType, errors.Join(faults...))
	}
	v := reflect.New(goType).Elem()
	drawValue(t, v, 6)
	v.Field(0).SetString("k")
	return typ, v
}

func same(t *rapid.T, sentence string, got, want reflect.Value) {
	t.Helper()
	if !reflect.DeepEqual(got.Interface(), want.Interface()) {
		t.Fatalf("%s: got\n%#v\nwant\n%#v", sentence, got.Interface(), want.Interface())
	}
}
