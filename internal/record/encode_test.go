package record_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func loop() *node { n := &node{}; n.Next = n; return n }

func TestValidateRefuses(t *testing.T) {
	typ := compile[sink](t)
	circle := map[string]any{}
	circle["again"] = circle
	cases := []struct {
		promise string
		change  func(*sink)
		want    string
	}{
		{"an empty key", func(s *sink) { s.ID = "" }, "sink.ID: the key is empty"},
		{"a key with a NUL", func(s *sink) { s.ID = "a\x00" }, "sink.ID: the key has a NUL"},
		{"a key that is too long", func(s *sink) { s.ID = strings.Repeat("x", 256) }, "sink.ID: the key has 256 bytes, and 255 is the most"},
		{"invalid UTF-8", func(s *sink) { s.S = "a\xff" }, "sink.S: the string is not valid UTF-8"},
		{"half a surrogate in UTF-8", func(s *sink) { s.S = "\xed\xa0\x80" }, "sink.S: "},
		{"invalid UTF-8 in an array", func(s *sink) { s.Array[1] = "\xff" }, "sink.Array[1]: "},
		{"invalid UTF-8 as a key of a map", func(s *sink) { s.Map = map[string]string{"\xff": ""} }, "sink.Map[key]: "},
		{"invalid UTF-8 in a map", func(s *sink) { s.Map = map[string]string{"k": "\xff"} }, "sink.Map[…]: "},
		{"invalid UTF-8 in a struct", func(s *sink) { s.Struct.Name = "\xff" }, "sink.Struct.Name: "},
		{"NaN", func(s *sink) { s.F64 = math.NaN() }, "sink.F64: a float must be a number"},
		{"infinity", func(s *sink) { s.F32 = float32(math.Inf(-1)) }, "sink.F32: a float must be a number"},
		{"a time before year 1", func(s *sink) { s.At = time.Date(0, 12, 31, 23, 59, 59, 0, time.UTC) }, "sink.At: a time must lie"},
		{"a time after year 9999", func(s *sink) { s.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "sink.At: a time must lie"},
		{"a time after year 9999 in UTC", func(s *sink) { s.At = time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200)) }, "sink.At: "},
		{"raw JSON that is none", func(s *sink) { s.Raw = json.RawMessage(`{`) }, "sink.Raw.its JSON: "},
		{"raw JSON that is empty", func(s *sink) { s.Raw = json.RawMessage{} }, "sink.Raw.its JSON: "},
		{"two raw values", func(s *sink) { s.Raw = json.RawMessage(`1 2`) }, "more bytes follow"},
		{"raw JSON with half a surrogate pair", func(s *sink) { s.Raw = json.RawMessage(`"\ud800"`) }, "surrogate"},
		{"raw JSON that is too deep", func(s *sink) { s.Raw = json.RawMessage(strings.Repeat("[", 64) + strings.Repeat("]", 64)) }, "deeper than 64"},
		{"a circle of pointers", func(s *sink) { s.Node = loop() }, "deeper than 64"},
	}
	for _, c := range cases {
		s := sink{ID: "k"}
		c.change(&s)
		err := typ.Validate(reflect.ValueOf(s))
		if !errors.Is(err, fault.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s is invalid, and the message says %q: %v", c.promise, c.want, err)
		}
		if strings.Contains(c.want, "the key") {
			continue
		}
		buf, err := all(typ).Append([]byte("x"), reflect.ValueOf(s))
		if !errors.Is(err, fault.ErrInvalid) || string(buf) != "x" {
			t.Errorf("%s: Append refuses what Validate refuses, and leaves buf as it was: %q, %v", c.promise, buf, err)
		}
		if _, err = all(typ).Values(reflect.ValueOf(s)); !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("%s: Values refuses what Validate refuses: %v", c.promise, err)
		}
	}
	if err := typ.Validate(reflect.ValueOf(Place{})); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("a value of another type is invalid: %v", err)
	}
}

func TestRestRefuses(t *testing.T) {
	circle := map[string]any{}
	circle["again"] = circle
	named := name("x")
	cases := []struct {
		promise string
		rest    map[string]any
		want    string
	}{
		{"a declared property", map[string]any{"user_id": 1}, `Rest: the property "user_id" is a declared field`},
		{"a declared property by its name under a purpose", map[string]any{"n": 1}, `"n" is a declared field`},
		{"a name that is not UTF-8", map[string]any{"\xff": 1}, "Rest.a property name: "},
		{"a string that is not UTF-8", map[string]any{"a": []any{"\xff"}}, "Rest.a[0]: "},
		{"NaN", map[string]any{"a": map[string]any{"b": math.NaN()}}, "Rest.a.b: "},
		{"a circle", circle, "deeper than 64"},
		{"a type that would come back as another", map[string]any{"a": []string{"x"}}, "cannot give back a []string"},
		{"a time", map[string]any{"a": time.Time{}}, "cannot give back a time.Time"},
		{"a named type", map[string]any{"a": named}, "cannot give back a record_test.name"},
		{"bytes", map[string]any{"a": []byte{1}}, "cannot give back a []uint8"},
		{"a pointer", map[string]any{"a": new(int)}, "cannot give back a *int"},
		{"a uintptr", map[string]any{"a": uintptr(1)}, "cannot give back a uintptr"},
	}
	typ := compile[Checkin](t)
	for _, c := range cases {
		in := sample()
		in.Rest = c.rest
		err := typ.Validate(reflect.ValueOf(in))
		if !errors.Is(err, fault.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s in a Rest is invalid, and the message says %q: %v", c.promise, c.want, err)
		}
		if _, err = all(typ).Values(reflect.ValueOf(in)); !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("%s: Values refuses what Validate refuses: %v", c.promise, err)
		}
	}
}

func TestDocumentNumbers(t *testing.T) {
	typ := compile[record.Document](t)
	set := typ.Set(nil)
	in := record.Document{
		"id": "x", "int": 1, "int8": int8(-1), "uint": uint(2), "max": uint64(math.MaxUint64), "min": int64(math.MinInt64),
		"float": 0.1, "float32": float32(0.1), "whole": 3.0, "huge": 1e19, "edge": float64(1 << 63), "below": -float64(1 << 63),
		"wide": 1846674407379223296.0, "minus": math.Copysign(0, -1), "tiny": 5e-324, "nil": nil, "nilmap": map[string]any(nil), "nilslice": []any(nil),
		"empty": map[string]any{}, "none": []any{}, "list": []any{1, "a", nil, true, 1.5},
	}
	want := record.Document{
		"id": "x", "int": int64(1), "int8": int64(-1), "uint": int64(2), "max": uint64(math.MaxUint64), "min": int64(math.MinInt64),
		"float": 0.1, "float32": float64(float32(0.1)), "whole": int64(3), "huge": 1e19, "edge": float64(1 << 63), "below": -float64(1 << 63),
		"wide": 1846674407379223296.0, "minus": math.Copysign(0, -1), "tiny": 5e-324, "nil": nil, "nilmap": nil, "nilslice": nil,
		"empty": map[string]any{}, "none": []any{}, "list": []any{int64(1), "a", nil, true, 1.5},
	}
	data, err := set.Append(nil, reflect.ValueOf(in))
	if err != nil {
		t.Fatal(err)
	}
	var out record.Document
	if err := set.Decode(data, reflect.ValueOf(&out)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(out, want) || !math.Signbit(out["minus"].(float64)) {
		t.Errorf("numbers come back with their value, as int64, uint64 or float64:\n%#v\nwant\n%#v", out, want)
	}
	again, err := set.Append(nil, reflect.ValueOf(out))
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("what came back has the same bytes: %s, %v", again, err)
	}
	values, err := set.Values(reflect.ValueOf(in))
	if err != nil || len(values) != 1 {
		t.Fatalf("a Document is one JSON column: %v, %v", values, err)
	}
	out = nil
	if err := set.SetValues(reflect.ValueOf(&out), values); err != nil || !reflect.DeepEqual(out, want) {
		t.Errorf("a Document is one JSON column: %v, %v", out, err)
	}
	if _, err := decode[record.Document](t, `{"n":1e400}`); !errors.Is(err, fault.ErrCorrupt) {
		t.Errorf("a number that no float64 holds is corrupt: %v", err)
	}
	out, err = decode[record.Document](t, `{"a":1.0,"b":1e3,"c":9007199254740993.0,"d":18446744073709551616,"e":1.5e3}`)
	want = record.Document{"a": int64(1), "b": int64(1000), "c": float64(1 << 53), "d": float64(1 << 64), "e": int64(1500)}
	if err != nil || !reflect.DeepEqual(out, want) {
		t.Errorf("whole numbers in any notation: %#v, %v", out, err)
	}
}

func TestNegativeZeroKeepsItsSign(t *testing.T) {
	in := sink{ID: "k", F64: math.Copysign(0, -1), F32: float32(math.Copysign(0, -1))}
	data, err := all(compile[sink](t)).Append(nil, reflect.ValueOf(in))
	if err != nil {
		t.Fatal(err)
	}
	out, err := decode[sink](t, string(data))
	if err != nil || !math.Signbit(out.F64) || !math.Signbit(float64(out.F32)) {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestMonotonicClockIsDropped(t *testing.T) {
	in := sink{ID: "k", At: time.Now()}
	data, err := all(compile[sink](t)).Append(nil, reflect.ValueOf(in))
	if err != nil {
		t.Fatal(err)
	}
	out, err := decode[sink](t, string(data))
	if want := in.At.Truncate(time.Microsecond); err != nil || !out.At.Equal(want) || out.At.Location() != time.UTC || out.At != out.At.Round(0) {
		t.Errorf("times are UTC in microseconds without a monotonic reading: %v is %v, %v", want, out.At, err)
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	for what, v := range map[string]any{"small": smallValue(), "medium": mediumValue()} {
		typ, faults := record.Compile(reflect.TypeOf(v).Elem())
		if len(faults) > 0 {
			t.Fatal(errors.Join(faults...))
		}
		set, rv, buf := all(typ), reflect.ValueOf(v), make([]byte, 0, 1024)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := set.Append(buf, rv); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("Append allocates only to grow buf: %v allocations for %s", n, what)
		}
	}
}

func TestValuesShareNothing(t *testing.T) {
	in := sink{ID: "k", Bytes: []byte("abc"), Raw: json.RawMessage(`[1]`)}
	set := all(compile[sink](t))
	values, err := set.Values(reflect.ValueOf(&in))
	if err != nil {
		t.Fatal(err)
	}
	in.Bytes[0], in.Raw[1] = 'x', '2'
	var out sink
	if err := set.SetValues(reflect.ValueOf(&out), values); err != nil {
		t.Fatal(err)
	}
	if string(out.Bytes) != "abc" || string(out.Raw) != "[1]" {
		t.Errorf("values share no memory with the object: %s %s", out.Bytes, out.Raw)
	}
}

func TestSetsAreSafeForConcurrentUse(t *testing.T) {
	typ, in := compile[Checkin](t), sample()
	set := all(typ)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				var out Checkin
				data, err := set.Append(nil, reflect.ValueOf(&in))
				if err == nil {
					err = set.Decode(data, reflect.ValueOf(&out))
				}
				if err == nil {
					err = typ.Validate(reflect.ValueOf(&out))
				}
				if err != nil || !reflect.DeepEqual(in, out) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
