package record_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func merge(bodies ...string) (string, error) {
	var b [][]byte
	for _, s := range bodies {
		b = append(b, []byte(s))
	}
	out, err := record.Merge(b...)
	return string(out), err
}

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		promise string
		bodies  []string
		want    string
	}{
		{"nothing is an empty object", nil, `{}`},
		{"one body stays as it is", []string{`{"a":1}`}, `{"a":1}`},
		{"the newest body wins, property by property", []string{`{"a":1,"b":2}`, `{"b":3,"c":4}`, `{"c":5,"d":6}`}, `{"a":1,"b":2,"c":4,"d":6}`},
		{"null is a value too", []string{`{"a":null}`, `{"a":1}`}, `{"a":null}`},
		{"objects inside are not merged", []string{`{"a":{"x":1}}`, `{"a":{"y":2}}`}, `{"a":{"x":1}}`},
		{"names are compared after their escapes", []string{`{"\u0061":1}`, `{"a":2,"\"":3}`}, `{"a":1,"\"":3}`},
		{"of a name that one body has twice the last one counts", []string{`{"a":1,"a":2}`, `{"b":1,"a":3,"b":2}`}, `{"a":2,"b":2}`},
		{"white space around values goes", []string{" { \"a\" : [ 1 ] } \n"}, `{"a":[ 1 ]}`},
	} {
		if got, err := merge(c.bodies...); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.promise, got, err, c.want)
		}
	}
	for _, body := range []string{``, `[]`, `{"a":}`, `{"a":1}x`, `{"a":"` + "\xff" + `"}`} {
		if _, err := merge(`{"a":1}`, body); !errors.Is(err, fault.ErrCorrupt) {
			t.Errorf("a body that is no JSON object is corrupt: %q: %v", body, err)
		}
	}
}

func TestProperties(t *testing.T) {
	type property struct{ name, value string }
	var got []property
	err := record.Properties([]byte(`{"a": {"x":[1]} ,"\u0062":"\n","a":-1e5}`), func(name string, value []byte) error {
		got = append(got, property{name, string(value)})
		return nil
	})
	if want := []property{{"a", `{"x":[1]}`}, {"b", `"\n"`}, {"a", "-1e5"}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("properties come in order, with their raw values: %q, %v", got, err)
	}
	stop := errors.New("stop")
	if err := record.Properties([]byte(`{"a":1,"b":2}`), func(string, []byte) error { return stop }); err != stop {
		t.Errorf("an error of the function's own ends it, untouched: %v", err)
	}
}

func TestShape(t *testing.T) {
	typ := compile[Checkin](t)
	id, count := typ.Key, typ.Lookup("Count")
	a, b := typ.Set([]*record.Field{id, count}), typ.Set([]*record.Field{count, id})
	if a.Shape != b.Shape || a.Shape == 0 {
		t.Error("a shape depends on the property names, whatever their order")
	}
	renamed := *count
	renamed.Name = "n"
	for what, fields := range map[string][]*record.Field{
		"one property less": {id}, "another name": {id, &renamed}, "a Rest": {id, count, typ.Rest}, "none": {},
	} {
		if s := typ.Set(fields).Shape; s == a.Shape || s == 0 {
			t.Errorf("%s is another shape", what)
		}
	}
	doc := compile[record.Document](t)
	if doc.Set(nil).Shape != doc.Set([]*record.Field{doc.Rest}).Shape {
		t.Error("the shape of a Document is constant")
	}
	for got, want := range map[uint64]uint64{a.Shape: 0x6425422ca3ccffa5, doc.Set(nil).Shape: 0xa9edecebeb03ae4} {
		if got != want {
			t.Errorf("shapes stand in stores and never change: %#x, want %#x", got, want)
		}
	}
}

func TestDigest(t *testing.T) {
	// The published vectors of XXH64 with seed zero, and lengths around its
	// stripes of 32 bytes.
	const text = "Nobody inspects the spammish repetition"
	for data, want := range map[string]uint64{
		"": 0xef46db3751d8e999, "a": 0xd24ec4f1a98c6e5b, "abc": 0x44bc2cf5ad770999, text: 0xfbcea83c8a378bf1,
	} {
		if got := record.Digest([]byte(data)); got != want {
			t.Errorf("digests stand in stores and never change: %q is %#x, want %#x", data, got, want)
		}
	}
	seen := map[uint64]int{}
	data := make([]byte, 100)
	for n := range len(data) {
		h := record.Digest(data[:n])
		if other, clash := seen[h]; clash {
			t.Errorf("%d and %d zero bytes have one digest", n, other)
		}
		seen[h] = n
	}
}

func TestSetValuesRefuses(t *testing.T) {
	typ := compile[sink](t)
	for _, c := range []struct {
		promise, field string
		value          any
	}{
		{"a number that overflows", "I8", int64(128)}, {"a number that overflows", "U8", uint64(256)},
		{"a negative number in a uint", "U64", int64(-1)}, {"a number that overflows", "I64", uint64(1 << 63)},
		{"a fraction in an integer", "I64", 1.5}, {"a text that is no number", "I64", "x"}, {"a bool in a number", "I64", true},
		{"a float that overflows float32", "F32", 1e39}, {"NaN", "F64", "NaN"}, {"text in a bool", "B", "yes"},
		{"2 in a bool", "B", int64(2)}, {"a number in a text", "S", int64(1)}, {"invalid UTF-8", "S", []byte("\xff")},
		{"a number in bytes", "Bytes", int64(1)}, {"bytes of another length", "Sum", []byte{1}}, {"a float as time", "At", 1.5},
		{"a text as time", "At", "x"}, {"a time out of range", "At", int64(1) << 62}, {"a text that its type refuses", "Color", "red"},
		{"a number as JSON", "List", int64(1)}, {"JSON of another type", "List", "{}"}, {"JSON with more behind it", "List", "[] []"},
	} {
		var out sink
		f := typ.Lookup(c.field)
		err := typ.Set([]*record.Field{f}).SetValues(reflect.ValueOf(&out), []any{c.value})
		if !errors.Is(err, fault.ErrCorrupt) || !strings.Contains(err.Error(), "sink."+f.Name) {
			t.Errorf("%s is corrupt, and the message names the property: %v", c.promise, err)
		}
	}
	if err := all(typ).SetValues(reflect.ValueOf(new(sink)), nil); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("values are aligned with the fields: %v", err)
	}
}

func TestRestColumnGivesUpWhatIsDeclaredNow(t *testing.T) {
	typ := compile[Checkin](t)
	set := typ.Set([]*record.Field{typ.Key, typ.Lookup("UserID"), typ.Lookup("Count"), typ.Rest})
	var out Checkin
	values := []any{"c1", nil, int64(5), `{"user_id":"ann","count":7,"big":1,"color":"red"}`}
	if err := set.SetValues(reflect.ValueOf(&out), values); err != nil {
		t.Fatal(err)
	}
	want := Checkin{Base: Base{ID: "c1"}, UserID: "ann", Count: 5, Rest: map[string]any{"color": "red"}}
	if !reflect.DeepEqual(out, want) {
		t.Errorf("a property that has become a field fills it where its column is NULL: %+v", out)
	}
	values[3] = `{"user_id":5}`
	if err := set.SetValues(reflect.ValueOf(&out), values); !errors.Is(err, fault.ErrCorrupt) || !strings.Contains(err.Error(), "Checkin.user_id") {
		t.Errorf("and is corrupt where it is of another type: %v", err)
	}
	for _, rest := range []map[string]any{nil, {}} {
		in := sample()
		in.Rest = rest
		values, err := set.Values(reflect.ValueOf(in))
		if err == nil {
			err = set.SetValues(reflect.ValueOf(&out), values)
		}
		if err != nil || !reflect.DeepEqual(out.Rest, rest) {
			t.Errorf("a column tells a nil Rest from an empty one: %v, %v", out.Rest, err)
		}
	}
}

func TestEvolution(t *testing.T) {
	type before struct {
		ID   string `persistence:"key"`
		Name string
		Rest map[string]any `amorphous:",rest"`
	}
	type after struct {
		ID    string `persistence:"key"`
		Name  string
		Likes *int
		Where Place
	}
	three := 3
	in := after{"k", "ann", &three, Place{Name: "pier"}}
	data, err := all(compile[after](t)).Append(nil, reflect.ValueOf(in))
	if err != nil {
		t.Fatal(err)
	}
	old, err := decode[before](t, string(data))
	if err != nil {
		t.Fatal(err)
	}
	old.Name = "anne"
	if data, err = all(compile[before](t)).Append(nil, reflect.ValueOf(old)); err != nil {
		t.Fatal(err)
	}
	in.Name = "anne"
	if got, err := decode[after](t, string(data)); err != nil || !reflect.DeepEqual(got, in) {
		t.Errorf("properties that a program does not know survive its Get and Put: %+v, %v", got, err)
	}
}
