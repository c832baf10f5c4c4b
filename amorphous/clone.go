package amorphous

import "slices"

// CloneRows returns a copy of rows that shares no memory with them, in one
// piece; Order and Body are never nil in it. Drivers keep such a copy, because
// a caller may take its rows back before a group has written them.
func CloneRows(rows []Row) []Row {
	size := 0
	for i := range rows {
		size += len(rows[i].Order) + len(rows[i].Body)
	}
	out := slices.Clone(rows)
	memory := make([]byte, 0, size+1)
	keep := func(b []byte) []byte {
		start := len(memory)
		memory = append(memory, b...)
		return memory[start:len(memory):len(memory)]
	}
	for i := range out {
		out[i].Order, out[i].Body = keep(out[i].Order), keep(out[i].Body)
	}
	return out
}
