package group

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

type hereKey struct{}

// A lone caller runs its items itself, under its own context; what comes meanwhile
// forms the next group, for which no caller's context counts, and Close waits for
// both.
func TestALoneCallerRunsItsItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		var whose []any
		g := New(Options{}, nil, func(ctx context.Context, items []int) []error {
			whose = append(whose, ctx.Value(hereKey{}))
			return r.run(ctx, items)
		})
		ctx := context.WithValue(t.Context(), hereKey{}, "the caller's")
		out := make(chan []error, 3)
		for _, items := range [][]int{{1, 2}, {3}, {4, 5}} {
			go func() { out <- g.DoAllHere(ctx, items) }()
			synctest.Wait()
		}
		g.Close()
		for range cap(out) {
			if errs := <-out; errs != nil {
				t.Error(errs)
			}
		}
		if s := r.sizes(); len(s) != 2 || s[0] != 2 || s[1] != 3 {
			t.Errorf("groups of %v; want the lone caller's two items, then three", s)
		}
		if len(whose) != 2 || whose[0] != "the caller's" || whose[1] != nil {
			t.Errorf("the contexts were %v; want the lone caller's, then nobody's", whose)
		}
		if errs := g.DoAllHere(ctx, []int{6}); !errors.Is(errs[0], fault.ErrClosed) {
			t.Errorf("after Close: %v", errs)
		}
	})
}

// With others under way a caller that leaves is told at once, as ever, and its items
// go on; alone its run answers.
func TestALoneCallersContextEndsItsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := errors.New("cut off")
		ran := 0
		g := New(Options{}, nil, func(ctx context.Context, items []int) []error {
			ran += len(items)
			if <-ctx.Done(); ctx.Done() != nil {
				return []error{cut}
			}
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		out := make(chan []error, 1)
		go func() { out <- g.DoAllHere(ctx, []int{1}) }()
		synctest.Wait()
		cancel()
		if errs := <-out; !errors.Is(errs[0], cut) {
			t.Errorf("%v; want what the run says", errs)
		}
		if errs := g.DoAllHere(ctx, []int{2}); !errors.Is(errs[0], context.Canceled) || fault.Unknown(errs[0]) || ran != 1 {
			t.Errorf("with an ended context: %v, %d items were run", errs, ran)
		}
	})
}

// What is no group for one caller is several, as ever.
func TestALoneCallersItemsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Options{MaxItems: 3, MaxSize: 10}, func(item int) int { return item }, r.run)
		for _, items := range [][]int{{1, 1, 1, 1}, {9, 9}, {50}} {
			if errs := g.DoAllHere(t.Context(), items); errs != nil {
				t.Error(errs)
			}
		}
		if s := r.sizes(); len(s) != 5 || s[0] != 3 || s[1] != 1 || s[2] != 1 || s[3] != 1 || s[4] != 1 {
			t.Errorf("groups of %v; want 3, 1, 1, 1, 1", s)
		}
	})
}

// A run that panics leaves the lone caller with an unknown outcome, and the group
// as good as new.
func TestALoneCallersRunPanics(t *testing.T) {
	bad := true
	g := New(Options{}, nil, func(context.Context, []int) []error {
		if bad {
			panic("boom")
		}
		return nil
	})
	if errs := g.DoAllHere(t.Context(), []int{1, 2}); !fault.Unknown(errs[0]) || !fault.Unknown(errs[1]) {
		t.Errorf("%v; want unknown", errs)
	}
	bad = false
	if errs := g.DoAllHere(t.Context(), []int{1}); errs != nil {
		t.Errorf("the next: %v", errs)
	}
	g.Close()
}
