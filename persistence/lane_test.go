package persistence

import (
	"testing"
	"testing/synctest"
	"time"
)

// While enough groups of default writes are under way, what arrives gathers for
// the next; a handler waits for none of them, nor does a full group; and when a
// store hangs, what has gathered begins without it.
func TestWritesGatherWhileOthersAreUnderWay(t *testing.T) {
	writes := func() *held { return &held{priority: 5, bulk: true} }
	for _, c := range []struct {
		name  string
		push  func(l *lane)
		after time.Duration // in which a worker comes
		want  int
	}{
		{"a write, when one group less is under way", func(l *lane) { l.wrote(); l.push(writes()) }, 0, 1},
		{"two writes", func(l *lane) { l.push(writes()); l.push(writes()) }, stall, 2},
		{"a handler", func(l *lane) { l.push(&held{priority: 5}) }, 0, 1},
		{"a full group", func(l *lane) {
			for range groupMost {
				l.push(writes())
			}
		}, 0, groupMost},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLane(1000)
			for range writersAtOnce {
				l.push(writes())
				l.next(nil, nil)
			}
			began, taken := time.Now(), make(chan int)
			var took time.Duration
			go func() {
				group, _ := l.next(nil, nil)
				took = time.Since(began)
				taken <- len(group)
			}()
			synctest.Wait()
			c.push(l)
			if got := <-taken; got != c.want || took != c.after {
				t.Errorf("%s: a worker took %d after %v, want %d after %v", c.name, got, took, c.want, c.after)
			}
		})
	}
}

// A worker that comes back from a handler keeps the bound too, and a handler
// does not wait behind writes that gather.
func TestAHandlerPassesWritesThatGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(1000)
		for range writersAtOnce {
			l.push(&held{priority: 5, bulk: true})
			l.next(nil, nil)
		}
		handler := &held{priority: 9}
		l.push(&held{priority: 5, bulk: true}, handler, &held{priority: 5, bulk: true})
		if group, _ := l.next(nil, nil); len(group) != 1 || group[0] != handler {
			t.Fatalf("a worker took %d envelopes, want the handler", len(group))
		}
		began := time.Now()
		if group, _ := l.next(nil, nil); len(group) != 2 || time.Since(began) != stall {
			t.Errorf("back from it, it took %d writes after %v, want both after a stall", len(group), time.Since(began))
		}
	})
}

// Workers that are all busy when a write arrives come back to it, however many
// handlers wait: an urgent one does not wait behind those for as long as a store
// hangs.
func TestWritesPassHandlersInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(1000)
		for range writersAtOnce {
			l.push(&held{priority: 5, bulk: true})
			l.next(nil, nil)
		}
		for range 60 {
			l.push(&held{priority: 9})
		}
		l.push(&held{priority: 1, bulk: true})
		began, handled := time.Now(), 0
		for {
			group, _ := l.next(nil, nil)
			if group[0].bulk {
				break
			}
			handled++
			time.Sleep(stall / 4) // it runs
		}
		if took := time.Since(began); took > 2*stall || handled == 0 {
			t.Errorf("the write was taken after %v and %d handlers, want within two stalls", took, handled)
		}
	})
}

// When no write ends, each further group waits twice as long as the one before,
// and the first that ends makes an end of that.
func TestAStoreThatHangsGetsEverFewerWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(1000)
		take := func() time.Duration {
			began := time.Now()
			l.push(&held{priority: 5, bulk: true})
			l.next(nil, nil)
			return time.Since(began)
		}
		for i, want := range []time.Duration{0, 0, 0, 0, 1, 2, 4, 4, 4} {
			if got := take(); got != want*stall {
				t.Errorf("group %d began after %v, want %v", i, got, want*stall)
			}
		}
		l.wrote()
		if got := take(); got != stall {
			t.Errorf("after a write that ended: %v, want %v", got, stall)
		}
	})
}
