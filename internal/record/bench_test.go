package record_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// small is the check-in of the front page: six fields.
type small struct {
	ID    string    `persistence:"key" json:"id"`
	User  string    `json:"user"`
	Venue string    `json:"venue"`
	At    time.Time `json:"at"`
	Count int64     `json:"count"`
	Score float64   `json:"score"`
}

// medium encodes to about 300 bytes.
type medium struct {
	ID     string    `persistence:"key" json:"id"`
	User   string    `json:"user"`
	Venue  string    `json:"venue"`
	Text   string    `json:"text"`
	At     time.Time `json:"at"`
	Lat    float64   `json:"lat"`
	Lon    float64   `json:"lon"`
	Public bool      `json:"public"`
	Likes  int       `json:"likes"`
	Tags   []string  `json:"tags"`
	Owner  struct {
		Name string `json:"name"`
		Age  uint8  `json:"age"`
	} `json:"owner"`
	Reply *int64 `json:"reply"`
}

func smallValue() *small {
	return &small{ID: "c-0123456789", User: "ann", Venue: "pier 39", At: time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC), Count: 123456, Score: 0.75}
}

func mediumValue() *medium {
	n := int64(42)
	m := &medium{ID: "c-0123456789", User: "ann-of-green-gables", Venue: "pier 39, san francisco",
		Text: "had a \"great\" time watching the sea lions with everybody\n", At: smallValue().At, Lat: 37.8087, Lon: -122.4098,
		Public: true, Likes: 17, Tags: []string{"sea", "lions", "sunday"}, Reply: &n}
	m.Owner.Name, m.Owner.Age = "anne", 11
	return m
}

func benchmark[T any](b *testing.B, value *T) {
	set := all(compile[T](b))
	data, err := set.Append(nil, reflect.ValueOf(value))
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 2*len(data))
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := set.Append(buf, reflect.ValueOf(value)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encode/std", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(value); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var out T
			if err := set.Decode(data, reflect.ValueOf(&out)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode/std", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var out T
			if err := json.Unmarshal(data, &out); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSmall(b *testing.B)  { benchmark(b, smallValue()) }
func BenchmarkMedium(b *testing.B) { benchmark(b, mediumValue()) }

func BenchmarkValues(b *testing.B) {
	set, v := all(compile[small](b)), reflect.ValueOf(smallValue())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := set.Values(v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	typ, v := compile[small](b), reflect.ValueOf(smallValue())
	b.ReportAllocs()
	for b.Loop() {
		if err := typ.Validate(v); err != nil {
			b.Fatal(err)
		}
	}
}
