package record_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// sink has a field of every kind.
type sink struct {
	ID     string            `persistence:"key" json:"id"`
	B      bool              `json:"b"`
	I8     int8              `json:"i8"`
	I64    int64             `json:"i64"`
	U8     uint8             `json:"u8"`
	U64    uint64            `json:"u64"`
	F32    float32           `json:"f32"`
	F64    float64           `json:"f64"`
	S      string            `json:"s"`
	Bytes  []byte            `json:"bytes"`
	List   []int             `json:"list"`
	Array  [2]string         `json:"array"`
	Map    map[string]string `json:"map"`
	ByInt  map[int8]bool     `json:"by_int"`
	Ptr    *int              `json:"ptr"`
	Struct Place             `json:"struct"`
	At     time.Time         `json:"at"`
	Wait   time.Duration     `json:"wait"`
	Raw    json.RawMessage   `json:"raw"`
	Color  color             `json:"color"`
	Node   *node             `json:"node"`
	Sum    [2]byte           `json:"sum"`
}

func decode[T any](t testing.TB, data string) (T, error) {
	t.Helper()
	var out T
	err := all(compile[T](t)).Decode([]byte(data), reflect.ValueOf(&out))
	return out, err
}

func TestDecodeRefuses(t *testing.T) {
	deep := func(open, end string, n int) string { return strings.Repeat(open, n) + strings.Repeat(end, n) }
	cases := []struct{ promise, data, want string }{
		{"nothing", ``, "sink: it is not an object"},
		{"something that is no object", `[1]`, "it is not an object"},
		{"null", `null`, "it is not an object"},
		{"bytes after the object", `{} x`, "more bytes follow"},
		{"a second object", `{}{}`, "more bytes follow"},
		{"an object without an end", `{"id":"x"`, "comma or the end"},
		{"a comma without a value", `{"id":"x",}`, "missing after the comma"},
		{"a leading comma", `{,}`, "it is not a string"},
		{"a name without quotes", `{id:1}`, "not a string"},
		{"a missing colon", `{"id" "x"}`, "colon"},
		{"another type than bool", `{"b":1}`, "sink.b: it is not true or false"},
		{"another type than a number", `{"i64":"1"}`, "sink.i64: it is not a number"},
		{"a number that overflows int8", `{"i8":128}`, "sink.i8: the number is not a whole number that int8 holds"},
		{"a number that overflows int64", `{"i64":9223372036854775808}`, "sink.i64: "},
		{"a fraction in an integer", `{"i64":1.0}`, "sink.i64: "},
		{"an exponent in an integer", `{"i64":1e3}`, "sink.i64: "},
		{"a number that overflows uint8", `{"u8":256}`, "sink.u8: "},
		{"a negative number in a uint", `{"u64":-1}`, "sink.u64: "},
		{"a number that overflows uint64", `{"u64":18446744073709551616}`, "sink.u64: "},
		{"a number that overflows float32", `{"f32":1e39}`, "sink.f32: the number is larger than float32"},
		{"a number that overflows float64", `{"f64":1e309}`, "sink.f64: "},
		{"a leading zero", `{"i64":01}`, "sink.i64: it is not a number"},
		{"a plus sign", `{"i64":+1}`, "not a number"},
		{"a number that is only a sign", `{"i64":-}`, "not a number"},
		{"a point without digits", `{"f64":1.}`, "after the point"},
		{"an exponent without digits", `{"f64":1e}`, "in the exponent"},
		{"NaN", `{"f64":NaN}`, "not a number"},
		{"another type than a string", `{"s":1}`, "sink.s: it is not a string"},
		{"invalid UTF-8", "{\"s\":\"\xff\"}", "sink.s: the string is not valid UTF-8"},
		{"invalid UTF-8 beside an escape", "{\"s\":\"\\n\xff\"}", "sink.s: the string is not valid UTF-8"},
		{"half a surrogate pair", `{"s":"\ud800"}`, "half of a surrogate pair"},
		{"a surrogate pair in the wrong order", `{"s":"\udc00\ud800"}`, "half of a surrogate pair"},
		{"an unknown escape", `{"s":"\x"}`, "unknown escape"},
		{"a broken escape", `{"s":"\u12G4"}`, "broken \\u escape"},
		{"a string without an end", `{"s":"abc`, "does not end"},
		{"an escape without an end", `{"s":"\`, "does not end"},
		{"a control character", "{\"s\":\"\n\"}", "control character"},
		{"bytes that are not base64", `{"bytes":"a"}`, "sink.bytes: the string is not base64"},
		{"base64 with bits left over", `{"bytes":"QR=="}`, "not base64"},
		{"another type than an array", `{"list":{}}`, "sink.list: it is not an array"},
		{"an element of another type", `{"list":[1,"x"]}`, "sink.list[1]: it is not a number"},
		{"an array that is too short", `{"array":["a"]}`, "sink.array: the array does not have 2 elements"},
		{"an array that is too long", `{"array":["a","b","c"]}`, "sink.array: the array does not have 2 elements"},
		{"a byte array of another length", `{"sum":"QQ=="}`, "sink.sum: it has 1 bytes, not 2"},
		{"another type than a map", `{"map":[]}`, "sink.map: it is not an object"},
		{"a key that overflows", `{"by_int":{"128":true}}`, "sink.by_int[key]: "},
		{"a key in another spelling", `{"by_int":{"01":true}}`, "sink.by_int[key]: "},
		{"another type than a struct", `{"struct":"x"}`, "sink.struct: it is not an object"},
		{"a field of another type", `{"struct":{"latitude":"x"}}`, "sink.struct.latitude: it is not a number"},
		{"a string that is no time", `{"at":"yesterday"}`, "sink.at: the string is not a time"},
		{"a time before year 1", `{"at":"0000-01-01T00:00:00Z"}`, "sink.at: a time must lie"},
		{"a time after year 9999 in UTC", `{"at":"9999-12-31T23:00:00-02:00"}`, "sink.at: a time must lie"},
		{"a text that its type refuses", `{"color":"red"}`, "sink.color: its UnmarshalText fails"},
		{"a broken raw value", `{"raw":[}`, "sink.raw: "},
		{"a broken unknown property", `{"what":[1,}`, "sink.what: "},
		{"arrays too deep", `{"what":` + deep("[", "]", record.MaxDepth) + `}`, "deeper than 64"},
		{"objects too deep", strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65), "deeper than 64"},
		{"a raw value too deep", `{"raw":` + deep("[", "]", record.MaxDepth) + `}`, "sink.raw: it is nested deeper"},
		{"a recursive type too deep", `{"node":` + strings.Repeat(`{"next":`, 70) + "null" + strings.Repeat("}", 70) + `}`, "deeper than 64"},
		{"a hundred thousand brackets", `{"what":` + strings.Repeat("[", 100000), "deeper than 64"},
	}
	for _, c := range cases {
		_, err := decode[sink](t, c.data)
		if !errors.Is(err, fault.ErrCorrupt) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s is corrupt, and the message says %q: %v", c.promise, c.want, err)
		}
	}
}

func TestDecodeTakes(t *testing.T) {
	three := 3
	at := time.Date(2024, 1, 2, 1, 4, 5, 123456000, time.UTC)
	cases := []struct {
		promise, data string
		want          sink
	}{
		{"missing properties leave the zero value", ` { } `, sink{}},
		{"null is the zero value of every field", `{"id":null,"b":null,"i8":null,"u8":null,"f32":null,"s":null,"bytes":null,"list":null,
			"array":null,"map":null,"by_int":null,"ptr":null,"struct":null,"at":null,"wait":null,"raw":null,"color":null,"node":null,"sum":null}`, sink{}},
		{"unknown properties are skipped", `{"x":[1,{"y":"\u0041\/"},null,true,false,-1.5e+3],"i8":1}`, sink{I8: 1}},
		{"of a property that is there twice the last counts, whole", `{"struct":{"name":"a"},"struct":{"latitude":1},"list":[1,2],"list":[3]}`,
			sink{Struct: Place{Lat: 1}, List: []int{3}}},
		{"names are compared after their escapes", `{"\u0069\u0038":5}`, sink{I8: 5}},
		{"names are compared with their case", `{"I8":5}`, sink{}},
		{"white space may stand anywhere", "\t{ \"list\" :\r\n[ 1 , 2 ] }\n", sink{List: []int{1, 2}}},
		{"empty is not nil", `{"bytes":"","list":[],"map":{},"by_int":{}}`,
			sink{Bytes: []byte{}, List: []int{}, Map: map[string]string{}, ByInt: map[int8]bool{}}},
		{"a pointer", `{"ptr":3}`, sink{Ptr: &three}},
		{"times in any zone, cut to microseconds", `{"at":"2024-01-02T03:04:05.123456789+02:00"}`, sink{At: at}},
		{"every escape", `{"s":"\"\\\/\b\f\n\r\t\u0000\ud83d\ude42"}`, sink{S: "\"\\/\b\f\n\r\t\x00🙂"}},
		{"the largest numbers", `{"i64":-9223372036854775808,"u64":18446744073709551615,"f64":1.7976931348623157e308}`,
			sink{I64: math.MinInt64, U64: math.MaxUint64, F64: math.MaxFloat64}},
		{"as deep as is allowed", `{"raw":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`,
			sink{Raw: json.RawMessage(strings.Repeat("[", 63) + strings.Repeat("]", 63))}},
		{"raw JSON loses its white space", "{\"raw\":{ \"a b\" : [ \" \\\" \" ] }}", sink{Raw: json.RawMessage(`{"a b":[" \" "]}`)}},
	}
	for _, c := range cases {
		got, err := decode[sink](t, c.data)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %s decodes to\n%+v, %v\nwant\n%+v", c.promise, c.data, got, err, c.want)
		}
	}
}

func TestDecodeOfEveryPrefixIsCorrupt(t *testing.T) {
	in := sample()
	data, err := all(compile[Checkin](t)).Append(nil, reflect.ValueOf(in))
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		if _, err := decode[Checkin](t, string(data[:i])); !errors.Is(err, fault.ErrCorrupt) {
			t.Fatalf("the first %d bytes are no record: %v", i, err)
		}
	}
}

func TestDecodeBoundsMemory(t *testing.T) {
	type big struct{ A [1 << 16]byte }
	type bomb struct {
		ID   string `persistence:"key"`
		List []big
		Map  map[int]big
		Ptr  []*big
	}
	element := func(s string) string { return strings.Repeat(s+",", 4000) + s }
	for _, data := range []string{`{"list":[` + element("{}") + `]}`, `{"ptr":[` + element("{}") + `]}`} {
		if _, err := decode[bomb](t, data); !errors.Is(err, fault.ErrCorrupt) || !strings.Contains(err.Error(), "memory") {
			t.Errorf("12 kB of hostile bytes do not become 256 MB: %v", err)
		}
	}
}

func TestDecodeSharesNothing(t *testing.T) {
	set := all(compile[sink](t))
	data := []byte(`{"s":"abc","bytes":"QUJD","raw":[1],"list":[1],"map":{"k":"v"},"ptr":1}`)
	var first sink
	if err := set.Decode(data, reflect.ValueOf(&first)); err != nil {
		t.Fatal(err)
	}
	second := first
	if err := set.Decode([]byte(`{"bytes":"WFla","raw":[2],"list":[2],"map":{"k":"w"},"ptr":2}`), reflect.ValueOf(&second)); err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] = 'x'
	}
	want, err := decode[sink](t, `{"s":"abc","bytes":"QUJD","raw":[1],"list":[1],"map":{"k":"v"},"ptr":1}`)
	if err != nil || !reflect.DeepEqual(first, want) {
		t.Errorf("what is decoded shares no memory with data, nor with what it replaces: %+v", first)
	}
}

func TestDecodeNeedsATarget(t *testing.T) {
	set := all(compile[sink](t))
	for _, v := range []reflect.Value{{}, reflect.ValueOf(sink{}), reflect.ValueOf(new(int)), reflect.ValueOf((*sink)(nil))} {
		if err := set.Decode([]byte(`{}`), v); !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("a target that cannot be set is invalid: %v", err)
		}
		if err := set.SetValues(v, nil); !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("a target that cannot be set is invalid: %v", err)
		}
	}
}

func TestSubsets(t *testing.T) {
	typ := compile[Checkin](t)
	some := typ.Set([]*record.Field{typ.Key, typ.Lookup("Count")})
	data, err := some.Append(nil, reflect.ValueOf(sample()))
	if err != nil || string(data) != `{"id":"c1","count":-9223372036854775808}` {
		t.Errorf("a set has its own fields only: %s, %v", data, err)
	}
	out := Checkin{UserID: "kept"}
	if err := some.Decode([]byte(`{"id":"c2","count":1,"user_id":"x","n":2,"news":true}`), reflect.ValueOf(&out)); err != nil {
		t.Fatal(err)
	}
	want := Checkin{Base: Base{ID: "c2"}, Count: 1, UserID: "kept", Rest: map[string]any{"news": true}}
	if !reflect.DeepEqual(out, want) {
		t.Errorf("other fields stay, unknown properties go to the Rest, declared ones of other sets nowhere: %+v", out)
	}
	renamed := *typ.Lookup("Count")
	renamed.Name = renamed.Purposes[record.Volatile].Name
	set := typ.Set([]*record.Field{&renamed})
	if data, err = set.Append(nil, reflect.ValueOf(sample())); err != nil || string(data) != `{"n":-9223372036854775808}` {
		t.Errorf("a copy of a field may have another name: %s, %v", data, err)
	}
	if err := set.Decode([]byte(`{"n":5}`), reflect.ValueOf(&out)); err != nil || out.Count != 5 {
		t.Errorf("a copy of a field may have another name: %+v, %v", out, err)
	}
}
