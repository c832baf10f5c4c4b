package record_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"testing"
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

func TestPropertyJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ, in := draw(t)
		set, want := all(typ), canonical(in)
		if err := typ.Validate(in); err != nil {
			t.Fatalf("an accepted type takes each of its values: %v", err)
		}
		data, err := set.Append([]byte("before"), in)
		if err != nil {
			t.Fatal(err)
		}
		if data = data[len("before"):]; !json.Valid(data) {
			t.Fatalf("a record is valid JSON: %s", data)
		}
		out := reflect.New(typ.Go)
		if err := set.Decode(data, out); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		same(t, "Get returns what Put was given", out.Elem(), want)
		again, err := set.Append(nil, out)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("the same object has the same bytes: %v\n%s\n%s", err, again, data)
		}
	})
}

func TestPropertyColumns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ, in := draw(t)
		set, want := all(typ), canonical(in)
		values, err := set.Values(in)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range values {
			if !columnHolds(set.Fields[i].Column, x) {
				t.Fatalf("%s: a column of type %s does not hold a %T", set.Fields[i].Go, set.Fields[i].Column, x)
			}
		}
		out := reflect.New(typ.Go)
		if err := set.SetValues(out, values); err != nil {
			t.Fatalf("%v: %#v", err, values)
		}
		same(t, "Get returns what Put was given, from columns too", out.Elem(), want)
		if err := set.SetValues(out, asServer(values)); err != nil {
			t.Fatalf("%v: %#v", err, values)
		}
		same(t, "and in whichever form a server returns them", out.Elem(), want)
	})
}

// columnHolds is the contract of Values by column type.
func columnHolds(c record.ColumnType, x any) bool {
	want := map[record.ColumnType]any{
		record.ColumnInt: int64(0), record.ColumnUint: uint64(0), record.ColumnFloat: 0.0, record.ColumnBool: false,
		record.ColumnText: "", record.ColumnBytes: []byte{}, record.ColumnTime: time.Time{}, record.ColumnJSON: "",
	}
	return x == nil || reflect.TypeOf(x) == reflect.TypeOf(want[c])
}

// asServer turns values into the forms in which some servers return them.
func asServer(values []any) []any {
	out := make([]any, len(values))
	for i, x := range values {
		switch x := x.(type) {
		case int64:
			out[i] = strconv.AppendInt(nil, x, 10)
		case uint64:
			out[i] = strconv.AppendUint(nil, x, 10)
		case float64:
			out[i] = strconv.FormatFloat(x, 'g', -1, 64)
		case bool:
			out[i] = int64(0)
			if x {
				out[i] = int64(1)
			}
		case string:
			out[i] = []byte(x)
		case []byte:
			out[i] = string(x)
		case time.Time:
			out[i] = x.UnixMicro()
		}
	}
	return out
}

// drawAny draws a value that a Document takes, and what it comes back as.
func drawAny(t *rapid.T, depth int) (in, out any) {
	switch rapid.IntRange(0, 8).Draw(t, "any") {
	case 0:
		return nil, nil
	case 1:
		x := rapid.Bool().Draw(t, "bool")
		return x, x
	case 2:
		x := rapid.Int().Draw(t, "int")
		return x, int64(x)
	case 3:
		x := rapid.Uint64().Draw(t, "uint")
		if x <= math.MaxInt64 {
			return x, int64(x)
		}
		return x, x
	case 4:
		x := rapid.OneOf(rapid.Float64(), rapid.Map(rapid.Int64(), func(n int64) float64 { return float64(n) })).Draw(t, "float")
		if x == math.Trunc(x) && math.Abs(x) < 1<<53 && !(x == 0 && math.Signbit(x)) {
			return x, int64(x)
		}
		return x, x
	case 5, 6:
		x := drawString(t)
		return x, x
	case 7:
		a, b := []any{}, []any{}
		for range drawLen(t, depth) {
			x, y := drawAny(t, depth-1)
			a, b = append(a, x), append(b, y)
		}
		return a, b
	}
	return drawMap(t, depth)
}

func drawMap(t *rapid.T, depth int) (in, out map[string]any) {
	in, out = map[string]any{}, map[string]any{}
	for range drawLen(t, depth) {
		name := drawString(t)
		in[name], out[name] = drawAny(t, depth-1)
	}
	return in, out
}

func drawLen(t *rapid.T, depth int) int {
	if depth == 0 {
		return 0
	}
	return rapid.IntRange(0, 4).Draw(t, "len")
}

func TestPropertyDocument(t *testing.T) {
	typ := compile[record.Document](t)
	set := typ.Set(nil)
	rapid.Check(t, func(t *rapid.T) {
		in, want := drawMap(t, 4)
		in["id"], want["id"] = "k", "k"
		if err := typ.Validate(reflect.ValueOf(in)); err != nil {
			t.Fatal(err)
		}
		data, err := set.Append(nil, reflect.ValueOf(in))
		if err != nil {
			t.Fatal(err)
		}
		var out, column record.Document
		if err := set.Decode(data, reflect.ValueOf(&out)); err != nil {
			t.Fatal(err)
		}
		same(t, "numbers come back with their value, all else as it was", reflect.ValueOf(out), reflect.ValueOf(want))
		again, err := set.Append(nil, reflect.ValueOf(out))
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("the same object has the same bytes: %v\n%s\n%s", err, again, data)
		}
		values, err := set.Values(reflect.ValueOf(in))
		if err == nil {
			err = set.SetValues(reflect.ValueOf(&column), values)
		}
		if err != nil {
			t.Fatal(err)
		}
		same(t, "from a column too", reflect.ValueOf(column), reflect.ValueOf(want))
	})
}

// differs reports whether encoding/json would write a type otherwise: byte
// arrays as numbers, and text forms on the pointer not at all inside maps.
func differs(t reflect.Type) bool {
	s := strings.ReplaceAll(t.String(), "[]", "")
	return strings.Contains(s, "]uint8") || strings.Contains(s, "map[") && strings.Contains(s, "record_test.ring")
}

func TestPropertyAgreesWithEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ, in := draw(t)
		if differs(typ.Go) {
			t.Skip("encoding/json writes this type in another way")
		}
		set, want := all(typ), canonical(in)
		ours, err := set.Append(nil, in)
		if err != nil {
			t.Fatal(err)
		}
		out := reflect.New(typ.Go)
		if err := json.Unmarshal(ours, out.Interface()); err != nil {
			t.Fatalf("encoding/json reads what we write: %v: %s", err, ours)
		}
		same(t, "encoding/json reads the same", canonical(nullsAway(out.Elem())), want)
		theirs, err := json.MarshalIndent(want.Addr().Interface(), " ", "\t")
		if err != nil {
			t.Fatal(err)
		}
		out = reflect.New(typ.Go)
		if err := set.Decode(theirs, out); err != nil {
			t.Fatalf("we read what encoding/json writes: %v: %s", err, theirs)
		}
		same(t, "we read the same", out.Elem(), want)
	})
}

// nullsAway turns the raw nulls that encoding/json leaves into nil.
func nullsAway(v reflect.Value) reflect.Value {
	if raw, ok := v.Addr().Interface().(*json.RawMessage); ok && string(*raw) == "null" {
		*raw = nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			nullsAway(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			nullsAway(v.Index(i))
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			e := reflect.New(v.Type().Elem()).Elem()
			e.Set(v.MapIndex(k))
			v.SetMapIndex(k, nullsAway(e))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				nullsAway(v.Field(i))
			}
		}
	}
	return v
}
