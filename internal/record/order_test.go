package record_test

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// order returns Order of a value of any type.
func order(t failer, v any, descending bool) []byte {
	t.Helper()
	b, err := record.Order(reflect.ValueOf(v), descending)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// checkOrder checks all that Order promises of two values.
func checkOrder(t failer, a, b any, want int) {
	t.Helper()
	up, down := order(t, a, false), order(t, a, true)
	if got := bytes.Compare(up, order(t, b, false)); got != want {
		t.Fatalf("bytes sort as the values do: %#v against %#v is %d, want %d", a, b, got, want)
	}
	if got := bytes.Compare(down, order(t, b, true)); got != -want {
		t.Fatalf("descending inverts: %#v against %#v is %d, want %d", a, b, got, -want)
	}
	if want != 0 && (bytes.HasPrefix(up, order(t, b, false)) || bytes.HasPrefix(down, order(t, b, true))) {
		t.Fatalf("no result is the beginning of another: %#v, %#v", a, b)
	}
}

// checkText checks that Text is injective.
func checkText(t failer, a, b any, want int) {
	t.Helper()
	x, err := record.Text(reflect.ValueOf(a))
	y, err2 := record.Text(reflect.ValueOf(b))
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if (x == y) != (want == 0) {
		t.Fatalf("Text is injective: %#v is %q, %#v is %q", a, x, b, y)
	}
}

func checkPair[T any](t failer, a, b T, compare func(T, T) int) {
	t.Helper()
	for _, p := range [][2]T{{a, b}, {b, a}, {a, a}} {
		want := compare(p[0], p[1])
		checkOrder(t, p[0], p[1], want)
		checkOrder(t, &p[0], &p[1], want)
		checkText(t, p[0], p[1], want)
	}
}

func pairs[T any](t *testing.T, g *rapid.Generator[T], compare func(T, T) int) {
	t.Helper()
	t.Run(reflect.TypeFor[T]().String(), rapid.MakeCheck(func(t *rapid.T) {
		checkPair(t, g.Draw(t, "a"), g.Draw(t, "b"), compare)
	}))
}

func TestPropertyOrder(t *testing.T) {
	near := func(g *rapid.Generator[string]) *rapid.Generator[string] {
		return rapid.OneOf(g, rapid.StringOf(rapid.SampledFrom([]rune{0, 1, 'a', 0xff})))
	}
	pairs(t, rapid.Int(), cmp.Compare[int])
	pairs(t, rapid.Int64(), cmp.Compare[int64])
	pairs(t, rapid.Int8(), cmp.Compare[int8])
	pairs(t, rapid.Uint64(), cmp.Compare[uint64])
	pairs(t, rapid.Uint16(), cmp.Compare[uint16])
	pairs(t, rapid.Float64(), cmp.Compare[float64])
	pairs(t, rapid.Float32(), cmp.Compare[float32])
	pairs(t, near(rapid.String()), strings.Compare)
	pairs(t, rapid.SliceOf(rapid.SampledFrom([]byte{0, 1, 254, 255})), bytes.Compare)
	pairs(t, rapid.Custom(drawTime), func(a, b time.Time) int {
		return a.Truncate(time.Microsecond).Compare(b.Truncate(time.Microsecond))
	})
	pairs(t, rapid.Map(rapid.Int64(), func(n int64) time.Duration { return time.Duration(n) }), cmp.Compare[time.Duration])
	pairs(t, rapid.Bool(), func(a, b bool) int {
		if a == b {
			return 0
		}
		if b {
			return -1
		}
		return 1
	})
}

func TestPropertyOrderJoins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOf(rapid.SampledFrom([]rune{0, 1, 'a'}))
		a, b := s.Draw(t, "a"), s.Draw(t, "b")
		x, y := rapid.Int64().Draw(t, "x"), rapid.Int64().Draw(t, "y")
		first := append(order(t, a, false), order(t, x, true)...)
		second := append(order(t, b, false), order(t, y, true)...)
		if got, want := bytes.Compare(first, second), cmp.Or(strings.Compare(a, b), cmp.Compare(y, x)); got != want {
			t.Fatalf("what is joined sorts by the first part, then by the second: (%q, %d) against (%q, %d) is %d, want %d", a, x, b, y, got, want)
		}
	})
}

func TestOrderAndTextAreGolden(t *testing.T) {
	at := time.Date(2024, 1, 2, 3, 4, 5, 600000, time.FixedZone("", 3600))
	for _, c := range []struct {
		v           any
		order, text string
	}{
		{int8(-1), "\x7f\xff\xff\xff\xff\xff\xff\xff", "-1"},
		{uint64(1), "\x00\x00\x00\x00\x00\x00\x00\x01", "1"},
		{1.5, "\xbf\xf8\x00\x00\x00\x00\x00\x00", "1.5"},
		{math.Copysign(0, -1), "\x80\x00\x00\x00\x00\x00\x00\x00", "0"},
		{"a\x00b", "a\x00\xffb\x00\x01", "a\x00b"},
		{"", "\x00\x01", ""},
		{true, "\x01", "true"},
		{time.Unix(0, 0), "\x80\x00\x00\x00\x00\x00\x00\x00", "1970-01-01T00:00:00.000000Z"},
		{at, "\x80\x06\x0d\xec\xe9\xba\x31\x98", "2024-01-02T02:04:05.000600Z"},
		{time.Second, "\x80\x00\x00\x00\x3b\x9a\xca\x00", "1000000000"},
		{[]byte{0xfb, 0xff}, "\xfb\xff\x00\x01", "-_8"},
		{color{1, 2, 3}, "#010203\x00\x01", "#010203"},
		{ring{7}, "7\x00\x01", "7"},
	} {
		if got := order(t, c.v, false); string(got) != c.order {
			t.Errorf("the order of %v stands in stores and never changes: %q, want %q", c.v, got, c.order)
		}
		if got, err := record.Text(reflect.ValueOf(c.v)); err != nil || got != c.text {
			t.Errorf("the text of %v stands in stores and never changes: %q, %v, want %q", c.v, got, err, c.text)
		}
	}
	if got, err := record.Text(reflect.ValueOf([2]byte{1, 2})); err != nil || got != "AQI" {
		t.Errorf("a byte array has a text: %q, %v", got, err)
	}
}

func TestOrderAndTextRefuse(t *testing.T) {
	for _, v := range []any{math.NaN(), math.Inf(1), "\xff", (*int)(nil), nil, []int{1}, map[string]int{}, struct{}{}, uintptr(1),
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), func() {}} {
		if b, err := record.Order(reflect.ValueOf(v), false); !errors.Is(err, fault.ErrInvalid) || b != nil {
			t.Errorf("%v has no order: %q, %v", v, b, err)
		}
		if s, err := record.Text(reflect.ValueOf(v)); !errors.Is(err, fault.ErrInvalid) || s != "" {
			t.Errorf("%v has no text: %q, %v", v, s, err)
		}
	}
}
