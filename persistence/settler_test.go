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

// What is not worth a commit yet wakes nobody: there is one for every Put of a lone
// caller.
func TestSettlementsThatWaitWakeNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{layer: &Layer{opts: Options{Lease: time.Minute}}}
		custody := &listener{began: time.Now()}
		s := newSettler(e, custody)
		s.leads = true // nobody looks
		for range 10 {
			e.keep(&held{custody: custody})
		}
		wakes := func(waited bool, what flow.Settlement) bool {
			s.waited = waited
			s.add(settling{held: &held{custody: custody}, what: what}, false)
			woken := len(s.more) > 0
			for len(s.more) > 0 {
				<-s.more
			}
			return woken
		}
		done := flow.Settlement{Done: true}
		for n := range 7 {
			if want := n >= 4; wakes(true, done) != want { // the fifth of ten
				t.Errorf("settlement %d of ten after the wait: woke %v, want %v", n+1, !want, want)
			}
			if wakes(false, done) != false {
				t.Errorf("settlement %d before it has waited woke somebody", n+1)
			}
			s.waiting = s.waiting[:len(s.waiting)-1] // the second was another's
			e.ending.Add(-1)
		}
		if !wakes(false, flow.Settlement{}) {
			t.Error("what somebody waits for woke nobody")
		}
	})
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
