package hlc

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestNeverBackward_A21 drives the step function with wall clocks that jump, and
// with crashes that lose everything but the durable ceiling.
func TestNeverBackward_A21(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 7))
		durable, last, wall := int64(0), int64(0), int64(1_700_000_000_000_000)
		s := Restart(durable)
		for range 500 {
			wall += rng.Int64N(10_000_000) - 4_000_000
			if rng.IntN(50) == 0 {
				s = Restart(durable)
			}
			next, version, want, ok := s.Next(wall)
			s = next
			if !ok {
				if want == 0 {
					t.Fatalf("seed %d: no version and no ceiling asked for", seed)
				}
				durable = max(durable, want)
				s = s.Raised(durable)
				continue
			}
			if version <= last {
				t.Fatalf("seed %d: version %d after %d", seed, version, last)
			}
			if version > durable {
				t.Fatalf("seed %d: version %d above the durable ceiling %d", seed, version, durable)
			}
			last = version
		}
	}
}

// TestRestartsDoNotDriveTheClockAhead: a thousand restarts in a thousand
// milliseconds leave the clock no further ahead than one.
func TestRestartsDoNotDriveTheClockAhead(t *testing.T) {
	durable, wall := int64(0), int64(1_700_000_000_000_000)
	for range 1000 {
		wall += 1000
		s := Restart(durable)
		for {
			next, _, want, ok := s.Next(wall)
			s = next
			if want > durable {
				durable = want
				s = s.Raised(durable)
			}
			if ok {
				break
			}
		}
	}
	if ahead := durable - wall; ahead > 5*Ahead {
		t.Errorf("the ceiling is %d µs ahead of the wall clock; a single start is %d ahead", ahead, Ahead)
	}
}

func TestClockAsksAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wanted int64
		c := New(0, func(ceiling int64) { wanted = ceiling })
		if _, ok := c.Now(); ok || wanted == 0 {
			t.Fatalf("a version without a durable ceiling, or none asked for (%d)", wanted)
		}
		if c.Roomy() {
			t.Error("roomy without a ceiling")
		}
		c.Raised(wanted)
		first, ok := c.Now()
		second, again := c.Now()
		if !ok || !again || second <= first || !c.Roomy() {
			t.Errorf("%d, %v then %d, %v", first, ok, second, again)
		}
		c.Observe(second + 1_000_000)
		if third, ok := c.Now(); ok && third <= second+1_000_000 {
			t.Errorf("%d is not above what was observed", third)
		}
		time.Sleep(time.Hour)
		if _, ok := c.Now(); ok {
			t.Error("a version above the ceiling an hour later")
		}
	})
}
