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

type Place struct {
	Name string
	Lat  float64  `persistence:"latitude"`
	Skip chan int `persistence:"-"`
}

type Base struct {
	ID string `persistence:"key"`
	At time.Time
}

type Checkin struct {
	Base
	UserID  string            `transactional:",index" volatile:""`
	Count   int64             `volatile:"n,ttl=15m"`
	Big     uint64            `transitory:""`
	Tags    []string          `volatile:"-"`
	Labels  map[string]string //
	Where   *Place
	Wait    time.Duration
	Data    []byte
	Raw     json.RawMessage
	Version int64          `persistence:"version"`
	Rest    map[string]any `amorphous:",rest"`
	_       int
}

func compile[T any](t testing.TB) *record.Type {
	t.Helper()
	typ, faults := record.Compile(reflect.TypeFor[T]())
	for _, f := range faults {
		t.Error(f)
	}
	if typ == nil {
		t.FailNow()
	}
	return typ
}

// all returns the set of every field.
func all(typ *record.Type) *record.Set {
	var fields []*record.Field
	for i := range typ.Fields {
		fields = append(fields, &typ.Fields[i])
	}
	return typ.Set(fields)
}

func sample() Checkin {
	return Checkin{
		Base:   Base{ID: "c1", At: time.Date(2024, 2, 29, 12, 0, 0, 123456000, time.UTC)},
		UserID: "ann", Count: math.MinInt64, Big: math.MaxUint64, Tags: []string{"a", "\x00\u2028\"\\\n"},
		Labels: map[string]string{"b": "2", "a": "1"}, Where: &Place{Name: "pier", Lat: -0.1}, Wait: time.Second,
		Data: []byte{}, Raw: json.RawMessage(`{"a":[1,2]}`), Version: 7,
		Rest: map[string]any{"color": "red", "m": int64(3), "f": 1.5, "deep": map[string]any{"x": []any{nil, true}}},
	}
}

func TestRoundTripByJSON(t *testing.T) {
	typ := compile[Checkin](t)
	in := sample()
	if err := typ.Validate(reflect.ValueOf(&in)); err != nil {
		t.Fatal(err)
	}
	b, err := all(typ).Append(nil, reflect.ValueOf(in))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"c1","at":"2024-02-29T12:00:00.123456Z","user_id":"ann","count":-9223372036854775808,` +
		`"big":18446744073709551615,"tags":["a","\u0000` + "\u2028" + `\"\\\n"],"labels":{"a":"1","b":"2"},` +
		`"where":{"name":"pier","latitude":-0.1},"wait":1000000000,"data":"","raw":{"a":[1,2]},"version":7,` +
		`"color":"red","deep":{"x":[null,true]},"f":1.5,"m":3}`
	if string(b) != want {
		t.Errorf("encoded\n%s\nwant\n%s", b, want)
	}
	var out Checkin
	if err := all(typ).Decode(b, reflect.ValueOf(&out)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(in, out) {
		t.Errorf("Get returns what Put was given:\n%+v\n%+v", in, out)
	}
}

func TestRoundTripByColumns(t *testing.T) {
	typ := compile[Checkin](t)
	in, out := sample(), Checkin{}
	values, err := all(typ).Values(reflect.ValueOf(&in))
	if err != nil {
		t.Fatal(err)
	}
	if err := all(typ).SetValues(reflect.ValueOf(&out), values); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(in, out) {
		t.Errorf("Get returns what Put was given:\n%+v\n%+v", in, out)
	}
}

func TestDocument(t *testing.T) {
	typ := compile[record.Document](t)
	in := record.Document{"id": "d1", "n": 3, "u": uint64(math.MaxUint64), "f": 1e19}
	if err := typ.Validate(reflect.ValueOf(in)); err != nil {
		t.Fatal(err)
	}
	b, err := typ.Set(nil).Append(nil, reflect.ValueOf(in))
	if err != nil {
		t.Fatal(err)
	}
	var out record.Document
	if err := typ.Set(nil).Decode(b, reflect.ValueOf(&out)); err != nil {
		t.Fatal(err)
	}
	want := record.Document{"id": "d1", "n": int64(3), "u": uint64(math.MaxUint64), "f": 1e19}
	if !reflect.DeepEqual(out, want) {
		t.Errorf("%s decodes to %#v", b, out)
	}
	if key, err := typ.KeyOf(reflect.ValueOf(out)); key != "d1" || err != nil {
		t.Errorf("key %q, %v", key, err)
	}
}

func TestInvalidNamesTheField(t *testing.T) {
	typ := compile[Checkin](t)
	in := sample()
	in.Tags[1] = "\xff"
	err := typ.Validate(reflect.ValueOf(in))
	if !errors.Is(err, fault.ErrInvalid) || !strings.Contains(err.Error(), "Checkin.Tags[1]: ") {
		t.Error(err)
	}
}

func TestVersionOf(t *testing.T) {
	in := sample()
	typ := compile[Checkin](t)
	if typ.VersionOf(reflect.ValueOf(in)) != 7 || typ.VersionOf(reflect.ValueOf(&in)) != 7 {
		t.Error("the version is the field's value")
	}
	if plain := compile[sink](t); plain.Version != nil || plain.VersionOf(reflect.ValueOf(sink{})) != 0 {
		t.Error("a type without a version field has version zero")
	}
}

type properties map[string]any

func TestRestOfANamedType(t *testing.T) {
	type loose struct {
		ID   string     `persistence:"key"`
		More properties `amorphous:",rest" transactional:",rest"`
	}
	set := all(compile[loose](t))
	in := loose{"k", properties{"odd name\n": map[string]any{"x": "y"}, "": nil}}
	data, err := set.Append(nil, reflect.ValueOf(in))
	if err != nil || string(data) != `{"id":"k","":null,"odd name\n":{"x":"y"}}` {
		t.Fatalf("unknown properties lie beside the declared ones, whatever their names: %s, %v", data, err)
	}
	if out, err := decode[loose](t, string(data)); err != nil || !reflect.DeepEqual(out, in) {
		t.Errorf("and come back: %+v, %v", out, err)
	}
	var out loose
	values, err := set.Values(reflect.ValueOf(in))
	if err == nil {
		err = set.SetValues(reflect.ValueOf(&out), values)
	}
	if err != nil || !reflect.DeepEqual(out, in) {
		t.Errorf("from a column too: %+v, %v", out, err)
	}
	if _, err := decode[loose](t, `{"odd name":[1,}`); err == nil || !strings.Contains(err.Error(), `loose."odd name"[1]: `) {
		t.Errorf("a broken one is named: %v", err)
	}
	if err := set.SetValues(reflect.ValueOf(&out), []any{"k", `[1]`}); !errors.Is(err, fault.ErrCorrupt) {
		t.Errorf("a column that holds no object is corrupt: %v", err)
	}
}

func TestBoolsFromServers(t *testing.T) {
	typ := compile[sink](t)
	set := typ.Set([]*record.Field{typ.Lookup("B")})
	for _, x := range []any{true, int64(1), "1", []byte("1")} {
		var out sink
		if err := set.SetValues(reflect.ValueOf(&out), []any{x}); err != nil || !out.B {
			t.Errorf("%#v is true in some server's answer: %v", x, err)
		}
	}
}
