package transactionaltest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

func testSlots(t *testing.T, h Harness) {
	h.run(t, "Taken", testSlotsTaken)
	h.run(t, "Lease", testSlotsLease)
	h.run(t, "Concurrent", testSlotsConcurrent)
}

func (e *env) enter(name, key string, most int, lease time.Duration) (transactional.Slot, error) {
	return e.store.Enter(e.Context(), name, key, most, lease)
}

func testSlotsTaken(e *env) {
	first, err := e.enter("task", "k", 2, longLease)
	e.nil("a place that is free is taken", err)
	_, err = e.enter("task", "k", 2, longLease)
	e.nil("so is the last one", err)
	_, err = e.enter("task", "k", 2, longLease)
	e.class("when all are taken Enter is ErrBusy at once", err, fault.ErrBusy)
	_, err = e.enter("task", "k2", 1, longLease)
	e.nil("every key has its own places", err)
	_, err = e.enter("task2", "k", 1, longLease)
	e.nil("so has every name", err)
	e.nil("leave", e.store.Leave(e.Context(), first))
	again, err := e.enter("task", "k", 2, longLease)
	e.nil("a place that was left is free", err)
	e.nil("leaving twice is fine", e.store.Leave(e.Context(), first))
	e.nil("and does not free the place of who came after", e.store.Stay(e.Context(), again, longLease))
	for _, most := range []int{0, transactional.MaxSlots + 1} {
		_, err = e.enter("task", "k", most, longLease)
		e.class("a number of places that cannot be is ErrInvalid", err, fault.ErrInvalid)
	}
	_, err = e.enter("", "k", 1, longLease)
	e.class("so is a name that is empty", err, fault.ErrInvalid)
}

func testSlotsLease(e *env) {
	lost, err := e.enter("task", "k", 1, time.Microsecond)
	e.nil("enter", err)
	var next transactional.Slot
	e.until("a place is free when its lease is over", func() bool {
		next, err = e.enter("task", "k", 1, longLease)
		return err == nil
	})
	e.class("who lost a place is told", e.store.Stay(e.Context(), lost, longLease), fault.ErrConflict)
	e.nil("who holds it renews it", e.store.Stay(e.Context(), next, time.Microsecond))
	e.until("a sweep forgets a place whose lease is over", func() bool {
		_, err := e.store.Sweep(e.Context())
		e.nil("sweep", err)
		return fault.ClassOf(e.store.Stay(e.Context(), next, longLease)) == fault.ErrConflict
	})
}

func testSlotsConcurrent(e *env) {
	const most = 3
	var inside, highest, runs atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 10 {
				slot, err := e.store.Enter(background(), "task", "hot", most, longLease)
				if fault.ClassOf(err) == fault.ErrBusy {
					continue
				}
				if err != nil {
					e.Error(err)
					return
				}
				n := inside.Add(1)
				for h := highest.Load(); n > h && !highest.CompareAndSwap(h, n); h = highest.Load() {
				}
				runs.Add(1)
				inside.Add(-1)
				if err := e.store.Leave(background(), slot); err != nil {
					e.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if h := highest.Load(); h > most || runs.Load() == 0 {
		e.Errorf("%d were inside at a time, in %d runs; %d places", h, runs.Load(), most)
	}
}
