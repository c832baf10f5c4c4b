package persistence

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/internal/costtest"
	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/internal/flow"
)

// TestGroupAssemblyCosts bounds what it takes to form groups: lanes, classes
// and the parts of a bulk keep their memory.
func TestGroupAssemblyCosts(t *testing.T) {
	tasks := []*task{{name: "a", write: writeCell, purpose: Amorphous}, {name: "b", write: writeRow, purpose: Transactional}}
	var group []*held
	for range groupMost {
		h := &held{kind: &kind{}, env: &envelope.Envelope{}, tasks: tasks}
		h.run.Tasks = []flow.Task{{Spec: &flow.Spec{Priority: 3}}, {Spec: &flow.Spec{Priority: 3}}}
		h.waits(3, false, nowMicro())
		group = append(group, h)
	}
	ln, taken := newLane(1000, 64), make([]*held, 0, groupMost)
	for _, h := range group {
		ln.push(h)
	}
	taken, _, _ = ln.next(nil, taken, time.Time{})
	costtest.Check(t, "an envelope back into its lane and out again", groupMost, costtest.Bound{Allocs: 0.05, Bytes: 8}, func() {
		ln.wrote(taken[0].writes)
		taken, _, _ = ln.next(taken, taken[:0], time.Time{})
	})
	if len(taken) != groupMost {
		t.Fatalf("a group of %d, want %d", len(taken), groupMost)
	}
	var b bulk
	costtest.Check(t, "an envelope's two writes into a bulk", groupMost, costtest.Bound{Allocs: 0.05, Bytes: 8}, func() {
		for _, h := range group {
			b.add(h, []int{0, 1})
		}
		b.clear()
	})
}

func TestAGroupIsOfOneClassAndKeepsItsOrder(t *testing.T) {
	ln := newLane(1000, 64)
	add := func(priority uint32, writes storeSet, n int) {
		for range n {
			ln.push(&held{priority: priority, writes: writes})
		}
	}
	next := func() string {
		var back []*held
		got, _, _ := ln.next(nil, back, time.Time{})
		return fmt.Sprintf("%d of %d", len(got), got[0].priority)
	}
	row, cell := storeSet(0).with(Transactional), storeSet(0).with(Amorphous)
	add(5, cell, groupMost+10)
	add(2, 0, 2)
	add(3, cell, 3)
	add(3, 0, 1)
	add(3, cell, 1)
	add(3, row, 2)
	for _, want := range []string{"1 of 2", "1 of 2", "1 of 3", "2 of 3", "4 of 3", "64 of 5", "10 of 5"} {
		if got := next(); got != want {
			t.Fatalf("the next group is %s, want %s", got, want)
		}
	}
}

func TestWhatGoesOnComesBeforeWhatWaits(t *testing.T) {
	ln := newLane(1000, 64)
	held := func(n int) *held { return &held{priority: 4, writes: storeSet(0).with(Amorphous), lost: n} }
	for n := range 3 {
		ln.push(held(n))
	}
	group, _, _ := ln.next(nil, nil, time.Time{})
	ln.push(held(3))
	again, _, _ := ln.next(group, nil, time.Time{})
	for n, h := range again {
		if h.lost != n {
			t.Fatalf("envelope %d comes at place %d", h.lost, n)
		}
	}
	if len(again) != 4 {
		t.Fatalf("%d envelopes, want 4", len(again))
	}
}

func TestALaneThatIsFullGivesTheLeastUrgentBack(t *testing.T) {
	ln := newLane(2, 64)
	ln.push(&held{priority: 1})
	ln.push(&held{priority: 9})
	_, evicted, _ := ln.next([]*held{{priority: 5}, {priority: 6}}, nil, time.Time{})
	if len(evicted) != 1 || evicted[0].priority != 9 {
		t.Fatalf("evicted %v, want the one of priority 9", evicted)
	}
	ln.stop()
	if group, evicted, _ := ln.next([]*held{{priority: 5}}, nil, time.Time{}); len(group) != 0 || len(evicted) != 1 {
		t.Fatalf("a stopped lane gives %d and gives %d back", len(group), len(evicted))
	}
}

// Of equally urgent ones that is the one that came last, whatever they write.
func TestALaneThatIsFullGivesTheLatestBack(t *testing.T) {
	for _, order := range [][]storeSet{{cells, rows, 0}, {rows, cells, 0}, {0, rows, cells}, {cells, 0, rows}} {
		ln := newLane(3, 64)
		for _, s := range order {
			ln.push(&held{priority: 9, writes: s})
		}
		for i := len(order) - 1; i >= 0; i-- {
			if evicted := ln.push(&held{priority: 1}); len(evicted) != 1 || evicted[0].writes != order[i] {
				t.Fatalf("of those that came to write to %v, %v was evicted, want the one to %v", order, evicted, order[i])
			}
		}
	}
}

func TestWhatComesTogetherWaitsTogether(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			ln := newLane(1000, 64)
			first := make(chan uint32)
			go func() {
				group, _, _ := ln.next(nil, nil, time.Time{})
				first <- group[0].priority
			}()
			synctest.Wait() // it waits
			ln.push(&held{priority: 9}, &held{priority: 5}, &held{priority: 1})
			if got := <-first; got != 1 {
				t.Fatalf("a worker that waited begins with priority %d, want 1, which came together with it", got)
			}
		})
	}
}
