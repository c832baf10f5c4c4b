package record_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

var seeds = []string{
	``, `{}`, `null`, `[]`, `{"id":"x"}`, `{"a":1,"a":2}`, `{"s":"\u0000\ud83d\ude42\ud800"}`, `{"i64":9223372036854775807,"u64":18446744073709551615}`,
	`{"f64":1e308,"f32":-0,"b":true,"list":[1,2],"array":["a","b"],"map":{"k":"v"},"by_int":{"-1":true},"ptr":1}`,
	`{"struct":{"name":"n","latitude":1.5},"at":"2024-01-02T03:04:05.6+07:00","wait":1,"raw":{"x":[ ]},"color":"#010203"}`,
	`{"node":{"value":1,"next":{"kids":[{}],"map":{"a":null}}},"bytes":"QUJD","sum":"QUI="}`, `{"a":1.0,"b":1e3,"c":18446744073709551616,"d":-0}`,
	"{\"a\":\"\xff\"}", `{"a":[[[[[[]]]]]]}`, ` { "\u0061" : [ 1 , 2 ] } `, `{"a":1}x`, `{"id":"a","at":"0001-01-01T00:00:00Z"}`,
}

// FuzzDecode: no bytes make Decode panic; what it takes is JSON that
// encoding/json understands in the same way; what only encoding/json takes is
// refused for one of the reasons that the documentation gives; what was taken
// encodes to bytes that decode to the same.
func FuzzDecode(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	document, kinds, checkin := compile[record.Document](f), compile[sink](f), compile[Checkin](f)
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzDocument(t, document.Set(nil), data)
		fuzzStruct[sink](t, all(kinds), data)
		fuzzStruct[Checkin](t, all(checkin), data)
	})
}

func fuzzDocument(t *testing.T, set *record.Set, data []byte) {
	var ours record.Document
	var theirs map[string]any
	err := set.Decode(data, reflect.ValueOf(&ours))
	stdErr := json.Unmarshal(data, &theirs)
	if err != nil {
		strict := !utf8.Valid(data) || strings.Contains(err.Error(), "surrogate") || strings.Contains(err.Error(), "deeper than") || theirs == nil
		if !errors.Is(err, fault.ErrCorrupt) || stdErr == nil && !strict {
			t.Fatalf("what encoding/json takes is refused for a documented reason: %v: %q", err, data)
		}
		return
	}
	if stdErr != nil {
		t.Fatalf("what we take is JSON: %v: %q", stdErr, data)
	}
	if got, want := asFloats(ours), asFloats(theirs); len(theirs) > 0 && !reflect.DeepEqual(got, want) {
		t.Fatalf("encoding/json understands the same: %#v, want %#v", got, want)
	}
	fuzzAgain(t, set, &ours)
}

func fuzzStruct[T any](t *testing.T, set *record.Set, data []byte) {
	var v T
	if err := set.Decode(data, reflect.ValueOf(&v)); err != nil {
		if !errors.Is(err, fault.ErrCorrupt) {
			t.Fatalf("hostile bytes are corrupt and nothing else: %v", err)
		}
		return
	}
	if !json.Valid(data) {
		t.Fatalf("what we take is JSON: %q", data)
	}
	fuzzAgain(t, set, &v)
}

// fuzzAgain encodes what was decoded, by JSON and by columns, and back.
func fuzzAgain[T any](t *testing.T, set *record.Set, v *T) {
	first, err := set.Append(nil, reflect.ValueOf(v))
	if err != nil {
		t.Fatalf("what was decoded can be encoded: %v", err)
	}
	var again, columns T
	if err := set.Decode(first, reflect.ValueOf(&again)); err != nil || !reflect.DeepEqual(again, *v) {
		t.Fatalf("what was decoded comes back: %#v, %v, want %#v", again, err, *v)
	}
	values, err := set.Values(reflect.ValueOf(v))
	if err == nil {
		err = set.SetValues(reflect.ValueOf(&columns), values)
	}
	if err != nil || !reflect.DeepEqual(columns, *v) {
		t.Fatalf("and from columns: %#v, %v, want %#v", columns, err, *v)
	}
}

// asFloats turns all numbers of a Document into float64, as encoding/json has
// them.
func asFloats(x any) any {
	switch x := x.(type) {
	case int64:
		return float64(x)
	case uint64:
		return float64(x)
	case map[string]any:
		out := map[string]any{}
		for k, v := range x {
			out[k] = asFloats(v)
		}
		return out
	case []any:
		out := []any{}
		for _, v := range x {
			out = append(out, asFloats(v))
		}
		return out
	}
	return x
}

// FuzzTag: no tag makes Compile panic; a tag that it takes says what reflect
// reads in it, and nothing of ours in it goes unread.
func FuzzTag(f *testing.F) {
	for _, s := range []string{
		`persistence:"key"`, `persistence:"x,version"`, `transactional:"a,unique,index" volatile:"-"`, `amorphous:",ttl=15m" json:"x"`,
		`transitory:""`, `persistance:"-"`, `volatile: "x"`, `amorphous:",rest"`, `json:"x" volatile:"a\"b"`, `volatile:"ttl=1s"`, `persistence`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tag := reflect.StructTag(text)
		fields := []reflect.StructField{key(), {Name: "Field", Type: reflect.TypeFor[int64](), Tag: tag}}
		typ, faults := record.Compile(reflect.StructOf(fields))
		if (typ == nil) != (len(faults) > 0) {
			t.Fatal("Compile returns a type or faults")
		}
		if typ == nil {
			return
		}
		if tag.Get("persistence") == "-" {
			if len(typ.Fields) != 1 {
				t.Fatalf("a dash leaves the field out: %q", text)
			}
			return
		}
		checkTagged(t, typ.Fields[1], tag)
	})
}

// checkTagged compares a compiled field with what reflect reads in its tag.
func checkTagged(t *testing.T, field record.Field, tag reflect.StructTag) {
	if !record.ValidName(field.Name) {
		t.Fatalf("a property name is valid: %q", field.Name)
	}
	for _, purpose := range []string{record.Transitory, record.Volatile, record.Transactional, record.Amorphous} {
		value, there := tag.Lookup(purpose)
		options, read := field.Purposes[purpose]
		if there != read || options.Omit != (value == "-") {
			t.Fatalf("every tag of ours is read: %s in %q is %+v", purpose, tag, options)
		}
		if options.Omit {
			continue
		}
		name, rest, _ := strings.Cut(value, ",")
		if options.Name != name || options.Name != "" && !record.ValidName(name) {
			t.Fatalf("the name stands first: %+v in %q", options, tag)
		}
		words := strings.FieldsFunc(rest, func(r rune) bool { return r == ',' })
		set := 0
		for _, is := range []bool{options.Unique, options.Index, options.Rest, options.TTL > 0} {
			if is {
				set++
			}
		}
		if set != len(words) {
			t.Fatalf("no option goes unread: %+v in %q", options, tag)
		}
	}
}

// FuzzOrder: bytes sort as the values do, and joined parts in order.
func FuzzOrder(f *testing.F) {
	f.Add("", "\x00", int64(0), int64(-1), uint64(0), 0.0, math.Copysign(0, -1))
	f.Add("a", "a\x00", int64(math.MinInt64), int64(math.MaxInt64), uint64(math.MaxUint64), 1e-300, -1e300)
	f.Fuzz(func(t *testing.T, a, b string, x, y int64, u uint64, p, q float64) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			checkOrder(t, []byte(a), []byte(b), strings.Compare(a, b))
		} else {
			checkPair(t, a, b, strings.Compare)
		}
		checkPair(t, x, y, compareOf[int64])
		checkPair(t, u, uint64(x), compareOf[uint64])
		if finite := p - p + q - q; finite == 0 {
			checkPair(t, p, q, compareOf[float64])
		}
		s, r := time.UnixMicro(x%(1<<55)), time.UnixMicro(y%(1<<55))
		checkPair(t, s, r, time.Time.Compare)
		first := append(order(t, []byte(a), true), order(t, x, false)...)
		second := append(order(t, []byte(b), true), order(t, y, false)...)
		want := strings.Compare(b, a)
		if want == 0 {
			want = compareOf(x, y)
		}
		if got := bytes.Compare(first, second); got != want {
			t.Fatalf("what is joined sorts by the first part, then by the second: %d, want %d", got, want)
		}
	})
}

func compareOf[T int64 | uint64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// FuzzMerge: the result has each property of the newest body that has it, as
// encoding/json sees it; merging again changes nothing.
func FuzzMerge(f *testing.F) {
	for i, s := range seeds {
		f.Add([]byte(s), []byte(seeds[(i+4)%len(seeds)]), []byte(`{"a":1,"\u0062":2}`))
	}
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		got, err := record.Merge(a, b, c)
		if err != nil {
			if !errors.Is(err, fault.ErrCorrupt) || got != nil {
				t.Fatalf("a body that is no JSON object is corrupt: %q, %v", got, err)
			}
			return
		}
		want, ours := map[string]json.RawMessage{}, map[string]json.RawMessage{}
		for _, body := range [][]byte{c, b, a} {
			if err := json.Unmarshal(body, &want); err != nil {
				t.Fatalf("what we take is JSON: %v", err)
			}
		}
		if err := json.Unmarshal(got, &ours); err != nil || !reflect.DeepEqual(ours, want) {
			t.Fatalf("each property is that of the newest body: %s, %v, want %s", got, err, want)
		}
		again, err := record.Merge(got, b, a, c)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("merging again changes nothing: %s, %v, want %s", again, err, got)
		}
	})
}
