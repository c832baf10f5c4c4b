package persistence

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/internal/flow"
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

// A receipt is followed until its envelope is done, unless the envelope may come
// back all the same: its job was not this process's to delete any more.
func TestAFinishedEnvelopeIsNotFollowed(t *testing.T) {
	for _, back := range []bool{false, true} {
		e := newEngine(&Layer{opts: Options{MaxHeld: 1}})
		h := &held{kind: &kind{}, env: &envelope.Envelope{}, receipt: &Receipt{}}
		h.gone.Store(back)
		e.follow(h.id(), h.receipt)
		e.settled(settling{held: h, what: flow.Settlement{}}, nil)
		if e.followed(h.id()) == nil {
			t.Error("a receipt is not followed although its envelope is not done")
		}
		e.settled(settling{held: h, what: flow.Settlement{Done: true}}, nil)
		if got := e.followed(h.id()) != nil; got != back {
			t.Errorf("the envelope is done, and may come back: %v; its receipt is followed: %v", back, got)
		}
	}
}
