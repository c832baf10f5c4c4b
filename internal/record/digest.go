package record

import (
	"encoding/binary"
	"math/bits"
)

// The primes of XXH64.
const (
	prime1 uint64 = 0x9E3779B185EBCA87
	prime2 uint64 = 0xC2B2AE3D27D4EB4F
	prime3 uint64 = 0x165667B19E3779F9
	prime4 uint64 = 0x85EBCA77C2B2AE63
	prime5 uint64 = 0x27D4EB2F165667C5
)

// Digest returns the XXH64 of data with seed zero: well mixed, published, the
// same in every process, version and language, because it stands in stores as
// Tie and Shape. It is no protection against somebody who wants a collision.
func Digest(data []byte) uint64 {
	n := uint64(len(data))
	h := prime5
	if len(data) >= 32 {
		h, data = stripes(data)
	}
	h += n
	for ; len(data) >= 8; data = data[8:] {
		h ^= round(0, binary.LittleEndian.Uint64(data))
		h = bits.RotateLeft64(h, 27)*prime1 + prime4
	}
	if len(data) >= 4 {
		h ^= uint64(binary.LittleEndian.Uint32(data)) * prime1
		h = bits.RotateLeft64(h, 23)*prime2 + prime3
		data = data[4:]
	}
	for _, c := range data {
		h ^= uint64(c) * prime5
		h = bits.RotateLeft64(h, 11) * prime1
	}
	h ^= h >> 33
	h *= prime2
	h ^= h >> 29
	h *= prime3
	return h ^ h>>32
}

// stripes digests whole stripes of 32 bytes and returns what is left.
func stripes(data []byte) (h uint64, rest []byte) {
	p1 := prime1 // a variable, because the sums below wrap
	a, b, c, d := p1+prime2, prime2, uint64(0), -p1
	for ; len(data) >= 32; data = data[32:] {
		a = round(a, binary.LittleEndian.Uint64(data))
		b = round(b, binary.LittleEndian.Uint64(data[8:]))
		c = round(c, binary.LittleEndian.Uint64(data[16:]))
		d = round(d, binary.LittleEndian.Uint64(data[24:]))
	}
	h = bits.RotateLeft64(a, 1) + bits.RotateLeft64(b, 7) + bits.RotateLeft64(c, 12) + bits.RotateLeft64(d, 18)
	for _, lane := range [...]uint64{a, b, c, d} {
		h = (h^round(0, lane))*prime1 + prime4
	}
	return h, data
}

func round(lane, input uint64) uint64 {
	return bits.RotateLeft64(lane+input*prime2, 31) * prime1
}
