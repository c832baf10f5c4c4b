package transactional

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A position is where a page of a scan ended: the value of the column that it
// is ordered by, and the id.
type position struct {
	value any // of Filter.By; nil is NULL, or no such column
	id    string
}

// cursorTag ties a cursor to the scan that it came from. Equal, From and To
// may differ from page to page without harm.
func cursorTag(table string, f *Filter) uint32 {
	h := fnv.New32a()
	h.Write([]byte(table + "\x00" + f.By))
	if f.Reverse {
		h.Write([]byte{0, 1})
	}
	return h.Sum32()
}

// The kinds of a position's value.
const (
	posNull byte = iota
	posInt
	posUint
	posFloat
	posBool
	posText
	posBytes
	posTime
)

// append encodes a position: four bytes of tag, the kind of the value, the
// value with its length where it has one, and the id as the rest.
func (p position) append(b []byte, tag uint32) []byte {
	b = binary.BigEndian.AppendUint32(b, tag)
	word := func(kind byte, n uint64) []byte { return binary.BigEndian.AppendUint64(append(b, kind), n) }
	bytes := func(kind byte, s string) []byte {
		return append(binary.AppendUvarint(append(b, kind), uint64(len(s))), s...)
	}
	switch v := p.value.(type) {
	case int64:
		b = word(posInt, uint64(v))
	case uint64:
		b = word(posUint, v)
	case float64:
		b = word(posFloat, math.Float64bits(v))
	case bool:
		n := uint64(0)
		if v {
			n = 1
		}
		b = word(posBool, n)
	case time.Time:
		b = word(posTime, uint64(v.UnixMicro()))
	case string:
		b = bytes(posText, v)
	case []byte:
		b = bytes(posBytes, string(v))
	default:
		b = append(b, posNull)
	}
	return append(b, p.id...)
}

// parseCursor decodes what append made. Anything else is fault.ErrInvalid.
func parseCursor(b []byte, tag uint32) (position, error) {
	var p position
	bad := fault.New(fault.ErrInvalid, purpose, "scan", "the cursor is not one of this scan")
	if len(b) < 5 || binary.BigEndian.Uint32(b) != tag {
		return p, bad
	}
	kind, rest := b[4], b[5:]
	switch kind {
	case posNull:
	case posText, posBytes:
		n, used := binary.Uvarint(rest)
		if used <= 0 || n > uint64(len(rest)-used) {
			return p, bad
		}
		data := rest[used : used+int(n)]
		rest = rest[used+int(n):]
		p.value = string(data)
		if kind == posBytes {
			p.value = append([]byte{}, data...)
		}
	default:
		if len(rest) < 8 {
			return p, bad
		}
		n := binary.BigEndian.Uint64(rest)
		rest = rest[8:]
		switch kind {
		case posInt:
			p.value = int64(n)
		case posUint:
			p.value = n
		case posFloat:
			p.value = math.Float64frombits(n)
		case posBool:
			p.value = n != 0
		case posTime:
			p.value = time.UnixMicro(int64(n)).UTC()
		default:
			return p, bad
		}
	}
	p.id = string(rest)
	return p, nil
}
