package transactional

import (
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// flip maps an unsigned number to a signed one such that signed comparison
// orders as unsigned does; every server has signed 64-bit integers.
func flip(u uint64) int64 { return int64(u ^ 1<<63) }

func unflip(i int64) uint64 { return uint64(i) ^ 1<<63 }

// micros is a time as every store keeps it. The zero time is zero.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// encode turns a value into what the driver binds. It copies bytes, because
// a caller whose context ends may change them while the group still runs.
func encode(d *Dialect, t Type, v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case int64:
		if t == Int {
			return v, nil
		}
	case uint64:
		if t == Uint {
			return d.Uint(v), nil
		}
	case float64:
		if t == Float {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("a float column holds no %v", v)
			}
			return v + 0, nil // a negative zero becomes zero, which some servers make of it anyway
		}
	case bool:
		if t == Bool {
			if v {
				return int64(1), nil
			}
			return int64(0), nil
		}
	case string:
		if t == Text || t == JSON {
			if !utf8.ValidString(v) {
				return nil, fmt.Errorf("a %s column holds valid UTF-8 only", t)
			}
			return v, nil
		}
	case []byte:
		return encodeBytes(t, v)
	case time.Time:
		if t == Time {
			return v.UnixMicro(), nil
		}
	}
	return nil, fmt.Errorf("a %s column takes no %T", t, v)
}

func encodeBytes(t Type, v []byte) (any, error) {
	switch {
	case v == nil:
		return nil, nil
	case t == Bytes:
		return append(make([]byte, 0, len(v)), v...), nil
	case t == JSON && !utf8.Valid(v):
		return nil, fmt.Errorf("a json column holds valid UTF-8 only")
	case t == JSON:
		return string(v), nil
	}
	return nil, fmt.Errorf("a %s column takes no bytes", t)
}

// sizeOf is the number of bytes that a bound value counts for.
func sizeOf(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []byte:
		return len(v)
	}
	return 8
}

// decode turns what a driver scanned into a value of the column's type. A
// value that cannot be one is fault.ErrCorrupt.
func decode(t Type, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	out, ok := any(nil), false
	switch t {
	case Int:
		out, ok = v.(int64)
	case Uint:
		out, ok = decodeUint(v)
	case Float:
		out, ok = decodeFloat(v)
	case Bool:
		var n int64
		n, ok = v.(int64)
		out = n != 0
	case Text:
		out, ok = decodeText(v)
	case Bytes, JSON:
		out, ok = decodeBytes(v)
	case Time:
		var n int64
		n, ok = v.(int64)
		out = time.UnixMicro(n).UTC()
	}
	if !ok {
		return nil, fault.New(fault.ErrCorrupt, purpose, "read", fmt.Sprintf("a %s column holds a %T", t, v))
	}
	return out, nil
}

func decodeUint(v any) (uint64, bool) {
	switch v := v.(type) {
	case uint64:
		return v, true
	case int64:
		return uint64(v), v >= 0
	case string:
		u, err := strconv.ParseUint(v, 10, 64)
		return u, err == nil
	case []byte:
		u, err := strconv.ParseUint(string(v), 10, 64)
		return u, err == nil
	}
	return 0, false
}

// decodeFloat also takes an integer, which is how SQLite answers for a number
// that somebody's own SQL wrote without a point.
func decodeFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	}
	return 0, false
}

func decodeText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	}
	return "", false
}

func decodeBytes(v any) ([]byte, bool) {
	switch v := v.(type) {
	case string:
		return []byte(v), true
	case []byte:
		return append(make([]byte, 0, len(v)), v...), true
	}
	return nil, false
}
