package volatile

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"time"
	"unsafe"
)

// A Stamp orders the versions of one entry: by Version, then by Tie.
type Stamp struct {
	Version int64  // the larger is the newer
	Tie     uint64 // decides between equal versions, such as a digest of the value
}

// Compare returns -1 when s is older than t, 0 when they are equal, and 1 when
// s is newer.
func (s Stamp) Compare(t Stamp) int {
	if c := cmp.Compare(s.Version, t.Version); c != 0 {
		return c
	}
	return cmp.Compare(s.Tie, t.Tie)
}

// Less reports whether s is older than t.
func (s Stamp) Less(t Stamp) bool { return s.Compare(t) < 0 }

// An Entry is a versioned value.
type Entry struct {
	Value   []byte    // nil and empty are the same; empty when Absent
	Stamp   Stamp     // newest wins
	Absent  bool      // a remembered absence: the store of record had nothing at this stamp
	Written time.Time // when the entry was written, UTC, milliseconds
}

// A stored entry is what lies in the cache under one key. Beside values it can
// be a placeholder, which readers see as a miss: a barrier that an
// invalidation left (hollow, no lease), or the lease of a reader that is
// rebuilding (lease, and hollow unless it still offers the old value). The
// stamp of a placeholder is a floor: no older version may be filled in.
type stored struct {
	Entry
	hollow bool
	parts  bool   // the value lies elsewhere, and this one finds it
	lease  uint64 // who is rebuilding; zero: nobody
}

// The layout of a stored entry: format, flags, checksum, version, tie,
// written, then the lease when its flag is set, then the value. The checksum
// covers the key too, so that an answer for another key is never believed,
// whoever mixed it up.
const (
	entryFormat = 1
	headerSize  = 1 + 1 + 4 + 8 + 8 + 8
	leaseSize   = 8
	// entryOverhead is what an entry needs beside its value.
	entryOverhead = headerSize + leaseSize

	flagAbsent = 1 << 0
	flagHollow = 1 << 1
	flagLease  = 1 << 2
	flagParts  = 1 << 3
	flagsKnown = flagAbsent | flagHollow | flagLease | flagParts
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *stored) flags() byte {
	var flags byte
	if s.Absent {
		flags |= flagAbsent
	}
	if s.hollow {
		flags |= flagHollow
	}
	if s.lease != 0 {
		flags |= flagLease
	}
	if s.parts {
		flags |= flagParts
	}
	return flags
}

// encode returns the bytes of s under key.
func (s *stored) encode(key string) []byte {
	size := headerSize + len(s.Value)
	if s.lease != 0 {
		size += leaseSize
	}
	b := make([]byte, headerSize, size)
	b[0], b[1] = entryFormat, s.flags()
	binary.BigEndian.PutUint64(b[6:], uint64(s.Stamp.Version))
	binary.BigEndian.PutUint64(b[14:], s.Stamp.Tie)
	binary.BigEndian.PutUint64(b[22:], uint64(s.Written.UnixMilli()))
	if s.lease != 0 {
		b = binary.BigEndian.AppendUint64(b, s.lease)
	}
	b = append(b, s.Value...)
	binary.BigEndian.PutUint32(b[2:], checksum(key, b))
	return b
}

// decode parses what lies under key into a zero s; false for bytes that are no
// entry (a counter, another program's value, a later format, damage), after
// which s is of no use. The value shares memory with data.
func (s *stored) decode(key string, data []byte) bool {
	return sound(key, data) && s.parse(data)
}

// sound reports whether data have the checksum of an entry under key.
func sound(key string, data []byte) bool {
	return len(data) >= headerSize && binary.BigEndian.Uint32(data[2:]) == checksum(key, data)
}

// parse is decode of sound data.
func (s *stored) parse(data []byte) bool {
	if data[0] != entryFormat || data[1]&^flagsKnown != 0 {
		return false
	}
	s.Absent = data[1]&flagAbsent != 0
	s.hollow = data[1]&flagHollow != 0
	s.parts = data[1]&flagParts != 0
	s.Stamp.Version = int64(binary.BigEndian.Uint64(data[6:]))
	s.Stamp.Tie = binary.BigEndian.Uint64(data[14:])
	s.Written = time.UnixMilli(int64(binary.BigEndian.Uint64(data[22:]))).UTC()
	rest := data[headerSize:]
	if data[1]&flagLease != 0 {
		if len(rest) < leaseSize {
			return false
		}
		s.lease = binary.BigEndian.Uint64(rest)
		rest = rest[leaseSize:]
		if s.lease == 0 {
			return false
		}
	}
	if (s.hollow || s.Absent) && (len(rest) != 0 || s.parts) {
		return false
	}
	s.Value = rest[:len(rest):len(rest)]
	return true
}

// checksum covers the key and everything of an encoded entry but the checksum
// itself.
func checksum(key string, b []byte) uint32 {
	// The bytes of a string may be read through a slice, and crc32 only reads;
	// a conversion would allocate on every Get.
	sum := crc32.Update(0, castagnoli, unsafe.Slice(unsafe.StringData(key), len(key)))
	// Two bytes by hand take a tenth of what a call does.
	sum = ^sum
	for _, c := range b[:2] {
		sum = castagnoli[byte(sum)^c] ^ sum>>8
	}
	return crc32.Update(^sum, castagnoli, b[6:])
}
