package amorphous

import (
	"bytes"
	"encoding/binary"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// AppendTallies appends the counts of a Member in the form in which stores
// keep them: for each the length of its partition and the partition, the same
// of its order, and its number.
func AppendTallies(buf []byte, tallies []Tally) []byte {
	for _, t := range tallies {
		buf = append(binary.AppendUvarint(buf, uint64(len(t.Partition))), t.Partition...)
		buf = append(binary.AppendUvarint(buf, uint64(len(t.Order))), t.Order...)
		buf = binary.AppendVarint(buf, t.N)
	}
	return buf
}

// ParseTallies is the inverse of AppendTallies. What that did not make is
// fault.ErrCorrupt.
func ParseTallies(buf []byte) (out []Tally, err error) {
	for len(buf) > 0 {
		var parts [2][]byte
		for i := range parts {
			size, used := binary.Uvarint(buf)
			if used <= 0 || size > uint64(len(buf)-used) {
				return nil, errCounts()
			}
			parts[i], buf = buf[used:used+int(size)], buf[used+int(size):]
		}
		n, used := binary.Varint(buf)
		if used <= 0 {
			return nil, errCounts()
		}
		out = append(out, Tally{Partition: string(parts[0]), Order: bytes.Clone(parts[1]), N: n})
		buf = buf[used:]
	}
	return out, nil
}

func errCounts() error {
	return fault.New(fault.ErrCorrupt, "", "", "what a member counts as cannot be read")
}
