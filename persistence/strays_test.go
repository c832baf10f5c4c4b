package persistence

import (
	"math/rand/v2"
	"testing"
)

// Whatever is found in memory that is too small: each digest is in one slice,
// and a slice is never larger than it may be.
func TestPlacesInSlices(t *testing.T) {
	defer func(n int) { maxPlaces = n }(maxPlaces)
	maxPlaces = 100
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]uint64, 5000)
	for i := range all {
		all[i] = random.Uint64()
		if i%10 == 0 {
			all[i] = all[i/2] // a place that two objects imply
		}
	}
	covered, slices := map[uint64]int{}, 0
	for from := uint64(0); ; slices++ {
		set := &placeSet{from: from}
		for _, digest := range all {
			if set.add(digest); len(set.digests) > maxPlaces {
				t.Fatalf("%d digests in memory", len(set.digests))
			}
		}
		set.sort()
		for _, digest := range set.digests {
			covered[digest]++
		}
		for _, digest := range all {
			if set.has(digest) != set.covers(digest) {
				t.Fatalf("digest %x is in a slice from %x to %x: %v", digest, set.from, set.to, set.has(digest))
			}
			if set.covers(digest+1) && set.has(digest+1) {
				t.Fatalf("digest %x is nobody's", digest+1)
			}
		}
		if from = set.to; from == 0 {
			break
		}
	}
	for _, digest := range all {
		if covered[digest] != 1 {
			t.Errorf("digest %x is in %d slices", digest, covered[digest])
		}
	}
	if slices < 40 {
		t.Errorf("%d slices: nothing is proved", slices)
	}
}
