package group

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A recorder is a run that notes its groups and takes a second for each.
type recorder struct {
	mu     sync.Mutex
	groups [][]int
	answer func(items []int) []error
}

func (r *recorder) run(_ context.Context, items []int) []error {
	time.Sleep(time.Second)
	r.mu.Lock()
	r.groups = append(r.groups, slices.Clone(items))
	r.mu.Unlock()
	if r.answer != nil {
		return r.answer(items)
	}
	return nil
}

func (r *recorder) sizes() (sizes []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.groups {
		sizes = append(sizes, len(g))
	}
	return sizes
}

// start adds item in a goroutine of its own and waits until it waits.
func start(ctx context.Context, g *Group[int], item int) <-chan error {
	out := make(chan error, 1)
	go func() { out <- g.Do(ctx, item) }()
	synctest.Wait()
	return out
}

func TestLoneItemNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Options{}, nil, r.run)
		before := time.Now()
		if err := g.Do(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(before); took != time.Second {
			t.Errorf("a lone item took %v, and its run alone takes 1s: it waited for something", took)
		}
	})
}

func TestWhatArrivesMeanwhileFormsTheNextGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Options{MaxItems: 4}, nil, r.run)
		var all []<-chan error
		for i := range 8 {
			all = append(all, start(t.Context(), g, i))
		}
		for _, c := range all {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		if got := r.sizes(); !slices.Equal(got, []int{1, 4, 3}) {
			t.Errorf("groups of %v, want 1, then MaxItems of what waited, then the rest", got)
		}
		if !slices.Equal(slices.Concat(r.groups...), []int{0, 1, 2, 3, 4, 5, 6, 7}) {
			t.Errorf("order %v: items are taken in the order of their arrival", r.groups)
		}
	})
}

// Callers that an answer, or a lock, wakes together share a group: the first of
// them does not travel alone while the others are about to come. The scheduler
// may run us before them now and then, and does so more often under the race
// detector.
func TestWhoCanRunSharesTheGroup(t *testing.T) {
	for name, do := range map[string]func(*Group[int], context.Context, []int) []error{
		"DoAll": (*Group[int]).DoAll, "DoAllHere": (*Group[int]).DoAllHere,
	} {
		t.Run(name, func(t *testing.T) { whoCanRun(t, do) })
	}
}

func whoCanRun(t *testing.T, do func(*Group[int], context.Context, []int) []error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const rounds, callers = 40, 20
	groups := 0
	g := New(Options{}, nil, func(context.Context, []int) []error { groups++; return nil })
	defer g.Close()
	for range rounds {
		var done sync.WaitGroup
		for i := range callers {
			done.Go(func() {
				if errs := do(g, t.Context(), []int{i}); errs != nil {
					t.Error(errs)
				}
			})
		}
		done.Wait()
	}
	if groups > rounds*3/2 {
		t.Errorf("%d times %d callers came in %d groups, want about one each time", rounds, callers, groups)
	}
}

func TestMaxSizeBoundsAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Options{MaxSize: 10}, func(i int) int { return i }, r.run)
		var all []<-chan error
		for _, size := range []int{1, 4, 6, 1, 25, 3} {
			all = append(all, start(t.Context(), g, size))
		}
		for _, c := range all {
			<-c
		}
		want := [][]int{{1}, {4, 6}, {1}, {25}, {3}}
		if !slices.EqualFunc(r.groups, want, slices.Equal) {
			t.Errorf("groups %v, want %v: the sum stays within 10, and what is larger alone travels alone", r.groups, want)
		}
	})
}

func TestEachItemGetsItsOwnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		odd := errors.New("odd")
		r := &recorder{answer: func(items []int) []error {
			errs := make([]error, len(items))
			for i, item := range items {
				if item%2 == 1 {
					errs[i] = odd
				}
			}
			return errs
		}}
		g := New(Options{}, nil, r.run)
		errs := g.DoAll(t.Context(), []int{0, 1, 2, 3})
		if !slices.Equal(errs, []error{nil, odd, nil, odd}) {
			t.Errorf("answers %v are not aligned with the items", errs)
		}
		if errs := g.DoAll(t.Context(), []int{0, 2}); errs != nil {
			t.Errorf("answers %v, want nil when all succeeded", errs)
		}
		if got := r.sizes(); !slices.Equal(got, []int{4, 2}) {
			t.Errorf("groups of %v: items that come together share one group", got)
		}
	})
}

func TestWithdrawnWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Options{}, nil, r.run)
		first := start(t.Context(), g, 1)
		ctx, cancel := context.WithCancel(t.Context())
		second := start(ctx, g, 2)
		third := start(t.Context(), g, 3)
		cancel()
		if err := <-second; err != context.Canceled {
			t.Errorf("err = %v, want ctx's own: no group had taken the item", err)
		}
		if err := errors.Join(<-first, <-third); err != nil {
			t.Errorf("a caller that left took others with it: %v", err)
		}
		if got := slices.Concat(r.groups...); !slices.Equal(got, []int{1, 3}) {
			t.Errorf("ran %v, want 1 and 3: the item was withdrawn", got)
		}
	})
}

func TestLeavingATakenItemIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Options{}, nil, r.run)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		err := g.Do(ctx, 1)
		if !errors.Is(err, context.DeadlineExceeded) || !fault.Unknown(err) {
			t.Errorf("err = %v, want both ctx's and unknown: the group goes on", err)
		}
		g.Close()
		if got := r.sizes(); !slices.Equal(got, []int{1}) {
			t.Errorf("groups %v: the group of a caller that left must go on", got)
		}
	})
}

func TestDoAllLeavesInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Options{MaxItems: 1}, nil, r.run)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		errs := g.DoAll(ctx, []int{1, 2, 3})
		if errs[0] != nil {
			t.Errorf("done item: %v, want nil", errs[0])
		}
		if !fault.Unknown(errs[1]) || !fault.Cancelled(errs[1]) {
			t.Errorf("item under way: %v, want ctx's and unknown", errs[1])
		}
		if errs[2] != context.DeadlineExceeded {
			t.Errorf("waiting item: %v, want ctx's own", errs[2])
		}
		g.Close()
	})
}

func TestAnEndedContextAddsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Options{}, nil, r.run)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.Do(ctx, 1); err != context.Canceled {
			t.Errorf("err = %v, want context.Canceled", err)
		}
		g.Close()
		if len(r.groups) != 0 {
			t.Errorf("ran %v for a caller that was gone", r.groups)
		}
	})
}

func TestMaxQueueWaitsForTheContext_A30(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Options{MaxQueue: 2, MaxItems: 2}, nil, r.run)
		var all []<-chan error
		for i := range 3 { // one under way, two wait
			all = append(all, start(t.Context(), g, i))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := g.Do(ctx, 9); err != context.DeadlineExceeded {
			t.Errorf("err = %v, want ctx's own: over MaxQueue a caller waits until its context ends", err)
		}
		patient := start(t.Context(), g, 3)
		for _, c := range append(all, patient) {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		if got := slices.Concat(r.groups...); !slices.Equal(got, []int{0, 1, 2, 3}) {
			t.Errorf("ran %v", got)
		}
	})
}

func TestDoAllLargerThanTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Options{MaxQueue: 3}, nil, r.run)
		if errs := g.DoAll(t.Context(), make([]int, 10)); errs != nil {
			t.Errorf("%v", errs)
		}
		if n := len(slices.Concat(r.groups...)); n != 10 {
			t.Errorf("ran %d of 10", n)
		}
	})
}

func TestAPanicFailsItsGroupOnly(t *testing.T) {
	bad := map[string]func(){
		"panic":            func() { panic("boom") },
		"goexit":           func() { runtime.Goexit() },
		"answers in error": nil,
	}
	for name, f := range bad {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{answer: func(items []int) []error {
					if items[0] != 13 {
						return nil
					}
					if f != nil {
						f()
					}
					return make([]error, 7)
				}}
				g := New(Options{}, nil, r.run)
				first := start(t.Context(), g, 13)
				second := start(t.Context(), g, 1)
				if err := <-first; !fault.Unknown(err) {
					t.Errorf("err = %v, want unknown: nobody can say what the run had done", err)
				}
				if err := <-second; err != nil {
					t.Errorf("the next group: %v", err)
				}
				g.Close()
			})
		})
	}
}

func TestAPanicNamesItsValue(t *testing.T) {
	g := New(Options{}, nil, func(context.Context, []int) []error { panic("the reason") })
	if err := g.Do(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("err = %v, want the value of the panic in it", err)
	}
}
