package persistence

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
)

// A cursor is a place in what a query selects. It is untrusted input: it may
// come back from a browser.
type cursor struct {
	shape  uint64 // of the query that it belongs to
	bucket int64  // of a layout with buckets
	inner  []byte // the store's own cursor; nil: at the start of the bucket
}

const (
	cursorFormat = 1
	maxCursor    = 8 << 10 // bytes of its text
)

// String is the cursor as Query.After takes it.
func (c cursor) String() string {
	b := make([]byte, 0, 32+len(c.inner))
	b = append(b, cursorFormat)
	b = binary.BigEndian.AppendUint64(b, c.shape)
	b = binary.AppendVarint(b, c.bucket)
	b = append(b, c.inner...)
	return base64.RawURLEncoding.EncodeToString(b)
}

var errCursor = errors.New("the cursor in After is not one that FindPage returned")

// parseCursor is the inverse of String.
func parseCursor(s string) (cursor, error) {
	var c cursor
	if len(s) > maxCursor || strings.ContainsAny(s, "\r\n") {
		return c, errCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < 10 || b[0] != cursorFormat {
		return c, errCursor
	}
	c.shape = binary.BigEndian.Uint64(b[1:9])
	n := 0
	if c.bucket, n = binary.Varint(b[9:]); n <= 0 {
		return cursor{}, errCursor
	}
	if rest := b[9+n:]; len(rest) > 0 {
		c.inner = rest
	}
	return c, nil
}
