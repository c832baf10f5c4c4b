package record

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
)

type (
	named  string
	number int16
)

// Of types of one class, equal values are written alike, as text and in an order.
func TestTypesOfOneClassAreWrittenAlike(t *testing.T) {
	text := "10.0.0.1"
	for class, values := range map[string][]any{
		"text":     {"10.0.0.1", named("10.0.0.1"), netip.MustParseAddr("10.0.0.1"), &text},
		"integer":  {int(-7), int8(-7), number(-7), time.Duration(-7)},
		"unsigned": {uint(7), uint8(7), uint64(7)},
		"float64":  {0.1},
		"float32":  {float32(0.1)},
		"bool":     {true},
		"bytes":    {[]byte("ab")},
		"time":     {time.Unix(7, 0)},
	} {
		var first [2]string
		for i, value := range values {
			v := reflect.ValueOf(value)
			if got := Class(v.Type()); got != class {
				t.Errorf("%T is of the class %s, want %s", value, got, class)
			}
			written, err := Text(v)
			order, err2 := Order(v, false)
			if err != nil || err2 != nil {
				t.Fatal(value, err, err2)
			}
			if now := [2]string{written, string(order)}; i == 0 {
				first = now
			} else if now != first {
				t.Errorf("%T is written as %q, and %T as %q", value, now, values[0], first)
			}
		}
	}
}
