package memcached

import (
	"bytes"
	"math"
	"time"

	"github.com/fourfold-dev/fourfold/volatile"
)

// The flags of an item tell how its value lies on the server.
const (
	flagPlain  = 0
	flagNumber = 1 // decimal digits; a decrement pads them with spaces
	flagMarked = 2 // one zero byte stands before it, so that the server does not take it for a number
)

// wireValue returns the bytes and flags for a value. The server's increment
// takes more for a number than we do ("+7", " 7", "7 "); such values are
// marked, so that an increment fails on them as it does in process.
func wireValue(value []byte) ([]byte, uint32) {
	switch {
	case isNumber(value):
		return value, flagNumber
	case len(value) > 0 && looksNumeric(value[0]):
		return append([]byte{0}, value...), flagMarked
	}
	return value, flagPlain
}

// value undoes wireValue.
func value(wire []byte, flags uint32) []byte {
	switch {
	case flags == flagNumber:
		return bytes.TrimRight(wire, " ")
	case flags == flagMarked && len(wire) > 0:
		return wire[1:]
	}
	return wire
}

func isNumber(value []byte) bool {
	_, ok := volatile.ParseCount(value)
	return ok
}

// looksNumeric reports whether C's strtoull goes on after this byte.
func looksNumeric(c byte) bool {
	return c >= '0' && c <= '9' || c == '+' || c == '-' || c == ' ' || c >= '\t' && c <= '\r'
}

// relativeMost is where the server begins to read an expiry as a Unix time.
const relativeMost = 30 * 24 * 60 * 60

// expiry returns the server's expiry for a TTL, in seconds. The server counts
// ticks of a second, so n ticks last between n-1 and n seconds: one more makes
// sure that the entry lives for its TTL. A time past 2038 is as late as the
// protocol of the client can say.
func expiry(ttl time.Duration, now time.Time) int32 {
	if ttl == 0 {
		return 0
	}
	seconds := int64((ttl-1)/time.Second) + 2
	if seconds > relativeMost {
		seconds += now.Unix()
	}
	return int32(min(seconds, math.MaxInt32))
}
