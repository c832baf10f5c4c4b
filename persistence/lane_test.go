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
