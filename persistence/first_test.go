package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A firstDrill is Puts whose objects are written before they return, to a store
// that keeps every call until it is opened.
type firstDrill struct {
	*drill
	first *persistence.Handle[visit]
	open  chan struct{}
	calls atomic.Int64 // that the store keeps
	ends  chan error   // of Puts, in any order
}

// inFirstDrill runs test in a bubble; the store answers for a key what refuse says.
func inFirstDrill(t *testing.T, refuse func(key string) error, test func(d *firstDrill)) {
	inDrill(t, func(of *drill) {
		d := &firstDrill{drill: of, open: make(chan struct{}), ends: make(chan error, 100)}
		d.first = persistence.Declare(d.layer, "first", persistence.Plan[visit]{
			{Name: "row", Purpose: persistence.Transactional},
			{Name: "object", Purpose: persistence.Amorphous, MaxAttempts: 1},
			{Priority: 1, Name: "tell", Purpose: persistence.Transitory, Do: nothing},
		})
		d.faults.Refuse(persistence.Amorphous, func(op persistencetest.Op) error {
			if op.Name != "write" {
				return nil
			}
			d.calls.Add(1)
			<-d.open
			d.calls.Add(-1)
			return refuse(op.On[len(op.On)-1])
		})
		test(d)
	})
}

// put begins a Put, and returns when all that can happen has happened.
func (d *firstDrill) put(ctx context.Context, key string) {
	go func() {
		_, err := d.first.Put(ctx, visit{ID: key, User: "ann"})
		d.ends <- err
	}()
	synctest.Wait()
}

// finished drains, and makes sure that every object was written and told of once.
func (d *firstDrill) finished(puts, written int) {
	d.Helper()
	if left := drain(d.T, d.layer); len(left) != 0 {
		d.Errorf("drain left %v", left)
	}
	_, objects := d.watch.of("first/object")
	_, told := d.watch.of("first/tell")
	if objects != written || told != puts {
		d.Errorf("%d writes of objects and %d runs of the handler, want %d and %d", objects, told, written, puts)
	}
}

// Many callers whose objects are due in a store before Put returns ask it together:
// of 64 calls it would have ten in hand at most. Alone, a Put waits for none.
func TestWhatIsDueBeforePutReturnsIsWrittenTogether(t *testing.T) {
	const puts = 64
	inFirstDrill(t, func(string) error { return nil }, func(d *firstDrill) {
		for i := range puts {
			d.put(d.Context(), fmt.Sprint(i))
		}
		if n := d.calls.Load(); n < 2 || n > 10 {
			d.Errorf("the store has %d calls in hand for %d Puts, want a few", n, puts)
		}
		close(d.open)
		for range puts {
			if err := <-d.ends; err != nil {
				d.Error(err)
			}
		}
		d.finished(puts, puts)
	})
}

// A Put that leaves while a group has its write leaves it to the group: it is done,
// and only once.
func TestAPutLeavesItsWriteToItsGroup(t *testing.T) {
	inFirstDrill(t, func(string) error { return nil }, func(d *firstDrill) {
		ctx, leave := context.WithCancel(d.Context())
		d.put(d.Context(), "alone")
		d.put(d.Context(), "stays")
		d.put(ctx, "leaves")
		leave()
		synctest.Wait()
		if len(d.ends) == 0 {
			close(d.open)
			d.Fatal("a Put whose context has ended waits for its group")
		}
		if err := <-d.ends; !fault.Accepted(err) || !fault.Unknown(err) || !errors.Is(err, context.Canceled) {
			d.Errorf("a Put that left got %v, want that it is accepted, and unknown", err)
		}
		close(d.open)
		for range 2 {
			if err := <-d.ends; err != nil {
				d.Error(err)
			}
		}
		d.finished(3, 3)
	})
}

// Of objects that are written together, one that the store refuses fails alone. One
// for which it looks unreachable, and yet answers, is tried once more by itself.
func TestOneOfThoseWrittenTogetherFailsAlone(t *testing.T) {
	refused := fault.New(fault.ErrRefused, "amorphous", "write", "not this one")
	var odd atomic.Int64
	refuse := func(key string) error {
		switch {
		case key == "bad":
			return refused
		case key == "odd" && odd.Add(1) == 1:
			return fault.New(fault.ErrUnavailable, "amorphous", "write", "away")
		}
		return nil
	}
	inFirstDrill(t, refuse, func(d *firstDrill) {
		const others = 20 // enough of them that the last ones share a group
		for i := range others {
			d.put(d.Context(), fmt.Sprint(i))
		}
		d.put(d.Context(), "bad")
		d.put(d.Context(), "odd")
		close(d.open)
		var failed []error
		for range others + 2 {
			if err := <-d.ends; err != nil {
				failed = append(failed, err)
			}
		}
		if len(failed) != 1 || !errors.Is(failed[0], refused) || !fault.Accepted(failed[0]) {
			d.Errorf("the Puts failed with %v, want one that was refused", failed)
		}
		if n := odd.Load(); n != 2 {
			d.Errorf("the store was asked %d times for the object that looked unreachable, want 2", n)
		}
		d.finished(others+2, others+2)
	})
}
