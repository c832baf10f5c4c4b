package group

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func TestParallelGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		g := New(Options{MaxItems: 1, Parallel: 3}, nil, func(context.Context, []int) []error {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			return nil
		})
		before := time.Now()
		var all []<-chan error
		for i := range 9 {
			all = append(all, start(t.Context(), g, i))
		}
		for _, c := range all {
			<-c
		}
		if most.Load() != 3 || time.Since(before) != 3*time.Second {
			t.Errorf("%d groups at once, %v in all; want 3, 3s", most.Load(), time.Since(before))
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Options{MaxItems: 1, MaxQueue: 1}, nil, r.run)
		underWay := start(t.Context(), g, 1)
		waiting := start(t.Context(), g, 2)
		noSlot := start(t.Context(), g, 3)
		go g.Close()
		synctest.Wait()
		if err := <-noSlot; !errors.Is(err, fault.ErrClosed) {
			t.Errorf("err = %v, want closed for an item that had not entered", err)
		}
		if err := g.Do(t.Context(), 4); !errors.Is(err, fault.ErrClosed) {
			t.Errorf("err = %v, want closed after Close", err)
		}
		if err := errors.Join(<-underWay, <-waiting); err != nil {
			t.Errorf("Close took what was added before it: %v", err)
		}
		g.Close()
		if n := len(r.groups); n != 2 {
			t.Errorf("%d groups, want 2: Close returns when what was added has finished", n)
		}
	})
}

// TestNothingIsLostOrRunTwice drives callers that come, go and come again,
// and compares what they were told with what was run.
func TestNothingIsLostOrRunTwice(t *testing.T) {
	var mu sync.Mutex
	ran := map[int]int{}
	g := New(Options{MaxItems: 7, MaxSize: 40, Parallel: 2, MaxQueue: 9}, func(i int) int { return i % 13 },
		func(_ context.Context, items []int) []error {
			mu.Lock()
			for _, i := range items {
				ran[i]++
			}
			mu.Unlock()
			runtime.Gosched()
			if rand.IntN(50) == 0 {
				panic("now and then")
			}
			return nil
		})
	var wg sync.WaitGroup
	for c := range 16 {
		wg.Go(func() {
			for n := range 300 {
				item := c*1000 + n
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(200))*time.Microsecond)
				err := g.Do(ctx, item)
				cancel()
				mu.Lock()
				times := ran[item]
				mu.Unlock()
				if msg := contradiction(err, times); msg != "" {
					t.Errorf("item %d: %s", item, msg)
				}
			}
		})
	}
	wg.Wait()
	g.Close()
}

func contradiction(err error, times int) string {
	switch {
	case times > 1:
		return fmt.Sprintf("ran %d times", times)
	case err == nil && times != 1:
		return "succeeded and never ran"
	case fault.OutcomeOf(err) == fault.NotApplied && times != 0:
		return fmt.Sprintf("ran, and its caller was told %v", err)
	}
	return ""
}

func BenchmarkDo(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			g := New(Options{}, nil, func(context.Context, []int) []error { return nil })
			defer g.Close()
			b.ReportAllocs()
			b.SetParallelism(callers)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := g.Do(context.Background(), 1); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// Groups that are under way keep others from beginning until they have stood
// for Patience; then what waits passes them, and goes on passing them, and when
// they move again there are as many as before.
func TestAGroupThatStandsHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const patience = 10 * time.Millisecond
		var mu sync.Mutex
		var began []string
		stands := make(chan struct{})
		g := New(Options{Parallel: 2, Eager: 1, Patience: patience}, nil, func(_ context.Context, items []string) []error {
			mu.Lock()
			began = append(began, strings.Join(items, ""))
			mu.Unlock()
			if items[0] == "S" {
				<-stands
			} else {
				time.Sleep(time.Millisecond)
			}
			return nil
		})
		put := func(item string) {
			go g.Do(context.Background(), item)
			synctest.Wait()
		}
		check := func(want string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if got := strings.Join(began, " "); got != want {
				t.Errorf("began %q, want %q", got, want)
			}
		}
		put("S")
		put("a")
		put("b")
		time.Sleep(patience - 1)
		check("S")
		time.Sleep(time.Nanosecond)
		check("S ab")
		put("c")
		time.Sleep(time.Millisecond)
		check("S ab c")
		put("d")
		put("e")
		check("S ab c")
		time.Sleep(time.Millisecond)
		check("S ab c de")
		put("f")
		close(stands)
		time.Sleep(time.Millisecond)
		check("S ab c de f")
		put("g")
		put("h")
		put("i")
		check("S ab c de f")
		time.Sleep(time.Millisecond)
		check("S ab c de f ghi")
		g.Close()
	})
}

// What a group left behind, for it was large enough, passes it as well.
func TestWhatAGroupLeavesPassesItWhenItStands(t *testing.T) {
	for name, opts := range map[string]Options{
		"one stands":   {MaxItems: 2, Parallel: 2, Eager: 1},
		"three stand":  {MaxItems: 1, Parallel: 4, Eager: 2},
		"all are busy": {MaxItems: 1, Parallel: 3, Eager: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts.Patience = 10 * time.Millisecond
				var began atomic.Int32
				stands := make(chan struct{})
				g := New(opts, nil, func(context.Context, []int) []error {
					if int(began.Add(1)) < opts.Parallel {
						<-stands
					}
					return nil
				})
				go g.DoAll(context.Background(), make([]int, opts.MaxItems*(opts.Parallel+2)))
				time.Sleep(time.Duration(opts.Parallel) * opts.Patience)
				synctest.Wait()
				if got := int(began.Load()); got != opts.Parallel+2 {
					t.Errorf("%d groups began, want all %d", got, opts.Parallel+2)
				}
				close(stands)
				g.Close()
			})
		})
	}
}

// A lone caller does not wait for another's small group; a large one it waits
// for, to share the next.
func TestSmallGroupsKeepNobodyWaiting(t *testing.T) {
	for small, want := range map[int]string{0: "a", 2: "a b", 3: "a b"} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var began []string
			g := New(Options{Parallel: 2, Eager: 1, Small: small, Patience: time.Second}, nil, func(_ context.Context, items []string) []error {
				mu.Lock()
				began = append(began, strings.Join(items, ""))
				mu.Unlock()
				time.Sleep(10 * time.Millisecond)
				return nil
			})
			put := func(items ...string) {
				go g.DoAll(context.Background(), items)
				synctest.Wait()
			}
			put("a")
			put("b")
			soFar := func() string {
				synctest.Wait()
				mu.Lock()
				defer mu.Unlock()
				return strings.Join(began, " ")
			}
			if got := soFar(); got != want {
				t.Errorf("small is %d: %q began, want %q", small, got, want)
			}
			time.Sleep(time.Second)
			put("c", "d", "e")
			put("f")
			put("g")
			time.Sleep(time.Second)
			if got := soFar(); got != "a b cde fg" {
				t.Errorf("small is %d: past a group that is not, %q began", small, got)
			}
			g.Close()
		})
	}
}
