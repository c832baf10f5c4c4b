package sqlitefile

import (
	"database/sql"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// roundTrip stores a value in a column without a type and reads it back.
func roundTrip(t *testing.T, f *File, arg any, dest any) error {
	t.Helper()
	return f.Write(t.Context(), func(c Conn) error {
		if _, err := c.Exec(t.Context(), "INSERT OR REPLACE INTO t VALUES (1, ?)", arg); err != nil {
			return err
		}
		return c.Query(t.Context(), "SELECT v FROM t WHERE k = 1", nil, func(scan func(...any) error) error { return scan(dest) })
	})
}

func TestValuesComeBackAsTheyWere(t *testing.T) {
	f := openTest(t, Options{Relaxed: true})
	seven, text := int64(7), "x"
	for _, test := range []struct{ arg, want any }{
		{int64(math.MinInt64), int64(math.MinInt64)},
		{int64(math.MaxInt64), int64(math.MaxInt64)},
		{42, 42},
		{uint64(math.MaxUint64), uint64(math.MaxUint64)},
		{uint64(1) << 63, uint64(1) << 63},
		{1.5, 1.5},
		{math.Inf(-1), math.Inf(-1)},
		{3, 3.0},
		{true, true},
		{false, false},
		{"", ""},
		{"a\x00b\xff", "a\x00b\xff"},
		{[]byte{}, []byte{}},
		{[]byte{0, 1, 255}, []byte{0, 1, 255}},
		{[]byte(nil), []byte(nil)},
		{nil, []byte(nil)},
		{"text", []byte("text")},
		{[]byte("blob"), "blob"},
		{int64(7), &seven},
		{"x", &text},
		{nil, (*int64)(nil)},
		{nil, (*string)(nil)},
		{nil, (*uint64)(nil)},
		{nil, sql.NullInt64{}},
		{int64(7), sql.NullInt64{Int64: 7, Valid: true}},
	} {
		dest := reflect.New(reflect.TypeOf(test.want))
		if err := roundTrip(t, f, test.arg, dest.Interface()); err != nil {
			t.Errorf("%#v into %T: %v", test.arg, test.want, err)
		} else if got := dest.Elem().Interface(); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%#v came back as %#v, want %#v", test.arg, got, test.want)
		}
	}
	for _, arg := range []any{nil, int64(1), 2.5, "s", []byte("b"), []byte{}} {
		var got any
		if err := roundTrip(t, f, arg, &got); err != nil || !reflect.DeepEqual(got, arg) {
			t.Errorf("%#v into any: %#v, %v", arg, got, err)
		}
	}
}

func TestWhatDoesNotFitIsAnError(t *testing.T) {
	f := openTest(t, Options{Relaxed: true})
	for _, arg := range []any{time.Now(), int32(1), uint(1), float32(1), math.NaN(), struct{}{}, new(int)} {
		var got any
		if err := roundTrip(t, f, arg, &got); !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("argument %T: err = %v, want invalid", arg, err)
		}
	}
	for _, test := range []struct{ arg, dest any }{
		{nil, new(int64)}, {nil, new(string)}, {nil, new(bool)}, {"1", new(int64)}, {int64(2), new(bool)},
		{int64(1<<53 + 1), new(float64)}, {1.5, new(int64)}, {int64(1), new(string)}, {int64(1), new([]byte)},
		{int64(1), new(time.Time)}, {"x", new(*int64)},
	} {
		if err := roundTrip(t, f, test.arg, test.dest); !errors.Is(err, fault.ErrCorrupt) {
			t.Errorf("%#v into %T: err = %v, want corrupt: nothing is converted with a loss", test.arg, test.dest, err)
		}
	}
	if err := f.Read(t.Context(), func(c Conn) error {
		return c.Query(t.Context(), "SELECT 1, 2", nil, func(scan func(...any) error) error { return scan(new(int)) })
	}); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("err = %v, want invalid for one destination and two columns", err)
	}
}
