package volatile

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// A mark is what a roster knows of one member: when it was last seen, or when
// it left. Departures are kept like members until they decay, so that a late
// and older arrival does not bring the member back.
type mark struct {
	id   string
	seen int64 // Unix milliseconds
	left bool
}

// newer reports whether m is the later news of the two; a departure beats an
// arrival of the same instant.
func (m mark) newer(other mark) bool {
	return m.seen > other.seen || m.seen == other.seen && m.left && !other.left
}

// A roster is the members of one key, or of one shard of it, by id; or, when
// they are many, where their shards are.
type roster struct {
	marks []mark // sorted by id
	split uint64 // the shards' own name; zero: not split
}

const (
	rosterFormat      = 1
	rosterSplitFormat = 2
)

// find returns where a member is, or belongs.
func (r *roster) find(id string) (int, bool) {
	return slices.BinarySearchFunc(r.marks, id, func(m mark, id string) int { return strings.Compare(m.id, id) })
}

// merge takes news in; false when it is no news.
func (r *roster) merge(m mark) bool {
	i, found := r.find(m.id)
	switch {
	case !found:
		r.marks = slices.Insert(r.marks, i, m)
	case m.newer(r.marks[i]):
		r.marks[i] = m
	default:
		return false
	}
	return true
}

// mergeAll is merge for many, in any order.
func (r *roster) mergeAll(marks []mark) {
	all := append(r.marks, marks...)
	slices.SortFunc(all, func(a, b mark) int {
		if c := strings.Compare(a.id, b.id); c != 0 {
			return c
		}
		if a.newer(b) {
			return -1
		}
		if b.newer(a) {
			return 1
		}
		return 0
	})
	r.marks = slices.CompactFunc(all, func(a, b mark) bool { return a.id == b.id })
}

// prune forgets what was not heard of since a time.
func (r *roster) prune(since time.Time) {
	r.marks = slices.DeleteFunc(r.marks, func(m mark) bool { return m.seen < since.UnixMilli() })
}

// encode returns the bytes of the roster.
func (r *roster) encode() []byte {
	if r.split != 0 {
		return binary.BigEndian.AppendUint64([]byte{rosterSplitFormat}, r.split)
	}
	b := []byte{rosterFormat}
	for _, m := range r.marks {
		b = binary.AppendUvarint(b, uint64(len(m.id)))
		b = append(b, m.id...)
		seen := m.seen << 1
		if m.left {
			seen |= 1
		}
		b = binary.AppendVarint(b, seen)
	}
	return b
}

// size is how many bytes encode returns, or a bit more.
func (r *roster) size() int {
	size := 1
	for _, m := range r.marks {
		size += len(m.id) + 2 + 8
	}
	return size
}

// decodeRoster parses; ok is false for bytes that are no roster.
func decodeRoster(b []byte) (r roster, ok bool) {
	if len(b) == 9 && b[0] == rosterSplitFormat {
		r.split = binary.BigEndian.Uint64(b[1:])
		return r, r.split != 0
	}
	if len(b) == 0 || b[0] != rosterFormat {
		return roster{}, false
	}
	for b = b[1:]; len(b) > 0; {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return roster{}, false
		}
		id := string(b[n : n+int(size)])
		b = b[n+int(size):]
		seen, n := binary.Varint(b)
		if n <= 0 || len(r.marks) > 0 && r.marks[len(r.marks)-1].id >= id {
			return roster{}, false
		}
		r.marks = append(r.marks, mark{id: id, seen: seen >> 1, left: seen&1 != 0})
		b = b[n:]
	}
	return r, true
}
