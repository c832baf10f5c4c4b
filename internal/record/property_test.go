package record_test

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fourfold-dev/fourfold/internal/record"
)

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
