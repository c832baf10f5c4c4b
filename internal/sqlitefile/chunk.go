package sqlitefile

import (
	"iter"
	"math/bits"
)

// Chunks yields sizes whose sum is n, largest first: as often as it fits the
// largest power of two that is not over most, then smaller powers of two. A
// multi-row statement that is written for these sizes only has as many texts
// as most has bits, and all of them stay prepared. A most below 1 counts as 1.
func Chunks(n, most int) iter.Seq[int] {
	return func(yield func(int) bool) {
		size := 1 << (bits.Len(uint(max(most, 1))) - 1)
		for n > 0 {
			for size > n {
				size /= 2
			}
			if !yield(size) {
				return
			}
			n -= size
		}
	}
}
