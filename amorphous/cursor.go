package amorphous

import (
	"encoding/binary"
	"hash/crc32"
)

// cursorFormat is the first byte of a cursor; another one is another format.
const cursorFormat = 1

// Cursor returns the cursor that continues a Range after the row at an
// address. Drivers make Page.Next of it: a cursor is a place, not a handle, so
// it survives restarts and concurrent writes and costs the server nothing.
func (a Address) Cursor() []byte {
	buf := make([]byte, 0, 12+len(a.Partition)+len(a.Order)+len(a.ID))
	buf = append(buf, cursorFormat)
	buf = appendPart(buf, a.Partition)
	buf = appendPart(buf, a.Order)
	buf = appendPart(buf, a.ID)
	return binary.BigEndian.AppendUint32(buf, crc32.ChecksumIEEE(buf))
}

// ParseCursor returns the address in a cursor. A cursor is untrusted input: it
// may come back from a browser. What Cursor did not make, or what does not
// belong to the partition (empty: any), is fault.ErrInvalid. A forged cursor
// with a correct checksum is harmless, since it only names a place to go on
// from.
func ParseCursor(cursor []byte, partition string) (Address, error) {
	var a Address
	n := len(cursor)
	if n < 5 || n > 4096 || cursor[0] != cursorFormat ||
		crc32.ChecksumIEEE(cursor[:n-4]) != binary.BigEndian.Uint32(cursor[n-4:]) {
		return a, invalid("the cursor was not made by this store")
	}
	rest := cursor[1 : n-4]
	var parts [3][]byte
	for i := range parts {
		size, used := binary.Uvarint(rest)
		if used <= 0 || size > uint64(len(rest)-used) {
			return a, invalid("the cursor is damaged")
		}
		parts[i], rest = rest[used:used+int(size)], rest[used+int(size):]
	}
	a = Address{Partition: string(parts[0]), Order: append([]byte{}, parts[1]...), ID: string(parts[2])}
	if len(rest) > 0 || validateAddress(Table{}, &a) != nil {
		return Address{}, invalid("the cursor is damaged")
	}
	if partition != "" && a.Partition != partition {
		return Address{}, invalid("the cursor belongs to another partition")
	}
	return a, nil
}

func appendPart[T string | []byte](buf []byte, part T) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(part)))
	return append(buf, part...)
}
