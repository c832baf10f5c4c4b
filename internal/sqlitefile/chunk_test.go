package sqlitefile

import (
	"fmt"
	"slices"
	"testing"
)

func ExampleChunks() {
	fmt.Println(slices.Collect(Chunks(300, 100)))
	// Output: [64 64 64 64 32 8 4]
}

func TestChunks(t *testing.T) {
	for n := range 200 {
		for most := range 70 {
			sum := 0
			for size := range Chunks(n, most) {
				if size <= 0 || size&(size-1) != 0 || size > max(most, 1) {
					t.Fatalf("n=%d most=%d: a chunk of %d", n, most, size)
				}
				sum += size
			}
			if sum != n {
				t.Fatalf("n=%d most=%d: %d in all", n, most, sum)
			}
		}
	}
}
