package persistence

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/internal/flow"
)

// A listener is a custody that notes how many settlements it is told at a time,
// and when.
type listener struct {
	outboxCustody
	began time.Time
	sizes []int
	after []time.Duration
}

func (l *listener) settle(_ context.Context, told []settling) []error {
	l.sizes = append(l.sizes, len(told))
	l.after = append(l.after, time.Since(l.began))
	return make([]error, len(told))
}

func TestSettlementsGather(t *testing.T) {
	done, later := flow.Settlement{Done: true}, flow.Settlement{}
	tests := []struct {
		name  string
		holds int // envelopes under way when the first ends; negative: of a drain
		ends  []flow.Settlement
		sizes []int
		after time.Duration // until the last was told
	}{
		{"the only one waits a little", 1, []flow.Settlement{done}, []int{1}, settleLone},
		{"as many as are still under way", 5, []flow.Settlement{done, done, done}, []int{3}, settleLone},
		{"nothing comes after a drain", -5, []flow.Settlement{done, done, done}, []int{3}, 0},
		{"one of many waits, but not for long", 100, []flow.Settlement{done}, []int{1}, settleWithin},
		{"somebody waits for what is not done", 100, []flow.Settlement{done, later}, []int{2}, 0},
		{"enough are told", 1000, slices.Repeat([]flow.Settlement{done}, settleWorth), []int{settleWorth}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &engine{layer: &Layer{opts: Options{Lease: time.Minute}}}
				custody := &listener{began: time.Now()}
				e.settlers = []*settler{newSettler(e, custody)}
				e.draining.Store(test.holds < 0)
				test.holds = max(test.holds, -test.holds)
				holds := make([]*held, test.holds)
				for i := range holds {
					holds[i] = &held{custody: custody}
					e.keep(holds[i])
				}
				for i, end := range test.ends {
					e.settle(holds[i], end)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if !slices.Equal(custody.sizes, test.sizes) || custody.after[len(custody.after)-1] != test.after {
					t.Errorf("told %v after %v, want %v after %v", custody.sizes, custody.after, test.sizes, test.after)
				}
				if left := len(e.holding()); left != test.holds-len(test.ends) {
					t.Errorf("%d are held, want %d", left, test.holds-len(test.ends))
				}
			})
		})
	}
}

// Who asks what custody has is not told of what is done already.
func TestSettlementsThatWaitCanBeHurried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{layer: &Layer{opts: Options{Lease: time.Minute}}}
		custody := &listener{began: time.Now()}
		e.settlers = []*settler{newSettler(e, custody)}
		for range 10 {
			e.keep(&held{custody: custody})
		}
		e.settle(e.holding()[0], flow.Settlement{Done: true})
		e.settleAll()
		if !slices.Equal(custody.sizes, []int{1}) || custody.after[0] != 0 {
			t.Errorf("told %v after %v", custody.sizes, custody.after)
		}
	})
}
