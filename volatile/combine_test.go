package volatile

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever comes while one acts is acted for by the next, once, whoever leaves.
func TestCombiner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var acts [][]int
		c := newCombiner(func(ctx context.Context, _ string, asks []int) bool {
			acts = append(acts, append([]int(nil), asks...))
			return wait(ctx, time.Second) == nil
		})
		var wg sync.WaitGroup
		ask := func(n int, patience time.Duration, want error) {
			synctest.Wait() // they come one after another
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if err := c.do(ctx, "k", n); !errors.Is(err, want) {
					t.Errorf("%d: %v; want %v", n, err, want)
				}
			})
		}
		gone := context.DeadlineExceeded
		ask(1, time.Hour, nil)
		ask(2, 1500*time.Millisecond, gone) // leads from the first second on, and leaves in the midst
		ask(3, time.Hour, nil)              // is acted for by 2, in vain, and again
		ask(4, time.Millisecond, gone)      // leaves the line
		ask(5, time.Hour, nil)
		wg.Wait()
		if len(acts) < 3 || !slices.Equal(acts[0], []int{1}) || !slices.Equal(acts[1], []int{2, 3, 5}) {
			t.Fatalf("acted for %v; want 1, then 2, 3 and 5 in vain", acts)
		}
		rest := slices.Concat(acts[2:]...)
		if slices.Sort(rest); !slices.Equal(rest, []int{3, 5}) {
			t.Errorf("acted for %v; want 3 and 5 again, once", acts)
		}
		for i := range c.parts {
			if len(c.parts[i].lines) > 0 {
				t.Error("a line is left")
			}
		}
	})
}

// Who is told to lead and has left hands that on.
func TestCombinerHandsOn(t *testing.T) {
	part := &linePart[int]{}
	ln, first := part.join(1, "k", 1)
	if first != nil {
		t.Fatal("the first one is not alone")
	}
	_, second := part.join(1, "k", 2)
	_, third := part.join(1, "k", 3)
	part.mu.Lock()
	part.pass(ln)
	part.mu.Unlock()
	part.leave(ln, second) // it was told to lead at the same moment
	select {
	case told := <-third.told:
		if told != lead {
			t.Errorf("told %d; want to lead", told)
		}
	default:
		t.Error("nobody leads")
	}
}
