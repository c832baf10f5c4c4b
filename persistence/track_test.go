package persistence

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/fourfold-dev/fourfold/transactional"
)

// A receipt "follows the tasks as long as they are done by this layer": however
// many there are, for those who still have it; what nobody has is bounded.
func TestEveryReceiptThatSomebodyHasIsFollowed(t *testing.T) {
	e := newEngine(&Layer{opts: Options{MaxHeld: 1}})
	number := func(i int) (id transactional.RecordID) {
		binary.BigEndian.PutUint64(id[:], uint64(i))
		return id
	}
	kept := make([]*Receipt, maxTracked+100)
	for i := range kept {
		kept[i] = &Receipt{}
		e.follow(number(i), kept[i])
	}
	for i := range kept {
		if e.followed(number(i)) != kept[i] {
			t.Fatalf("receipt %d of %d is not followed", i, len(kept))
		}
	}
	runtime.KeepAlive(kept)
	if len(e.track) > maxTracked {
		t.Errorf("%d receipts are held, want %d at most", len(e.track), maxTracked)
	}
	kept = nil
	runtime.GC()
	if e.followed(number(0)) != nil {
		t.Error("a receipt over the bound that nobody has is held")
	}
}
