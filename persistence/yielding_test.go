package persistence

import (
	"testing"
	"testing/synctest"
	"time"
)

// A calm is a yielding in which acceptance by the outbox has been seen to take so long.
func calm(floor time.Duration) (*yielding, time.Time) {
	now := time.Unix(1e9, 0)
	y := newYielding(16, now)
	return y, accepted100(y, floor, now)
}

// accepted100 accepts a hundred objects, one in each step, and says what time it is.
func accepted100(y *yielding, took time.Duration, now time.Time) time.Time {
	for range 100 {
		now = accepted1(y, took, now)
	}
	return now
}

// accepted1 accepts one object in a step.
func accepted1(y *yielding, took time.Duration, now time.Time) time.Time {
	now = now.Add(yieldStep)
	y.begins()
	y.ends(ofOutbox, took, now)
	return now
}

func bound(t *testing.T, y *yielding, want int32, when string) {
	t.Helper()
	if got := y.bound.Load(); got != want {
		t.Errorf("%s: %d groups at a time, want %d", when, got, want)
	}
}

// The bound shrinks by as much as acceptance takes longer than it may, which is twice
// what it needs, and never below one.
func TestBackgroundYieldsToSlowedAcceptance(t *testing.T) {
	y, now := calm(20 * time.Millisecond)
	bound(t, y, 16, "as ever")
	now = accepted1(y, 40*time.Millisecond, now)
	bound(t, y, 16, "within what it may take")
	now = accepted1(y, 80*time.Millisecond, now)
	bound(t, y, 8, "twice that")
	now = accepted1(y, 10*time.Second, now)
	bound(t, y, 1, "stalled")
	accepted1(y, time.Minute, now)
	bound(t, y, 1, "worse")
}

// What counts is the average of a step: one of many that takes long is no spike.
func TestOneSlowAcceptanceIsNoReasonToYield(t *testing.T) {
	y, now := calm(20 * time.Millisecond)
	for range 9 {
		y.begins()
		y.ends(ofOutbox, 20*time.Millisecond, now)
	}
	accepted1(y, 200*time.Millisecond, now)
	bound(t, y, 16, "one of ten")
}

// A few milliseconds more are nothing, however quick acceptance is.
func TestAcceptanceHasSomeSlack(t *testing.T) {
	y, now := calm(100 * time.Microsecond)
	now = accepted1(y, yieldSlack, now)
	bound(t, y, 16, "within the slack")
	accepted1(y, 3*yieldSlack, now)
	bound(t, y, 5, "beyond it")
}

// The bound grows by an eighth of a group in a step while acceptance is not slowed, at
// once when nothing is accepted, and not at all while nobody knows.
func TestTheBoundGrowsAgain(t *testing.T) {
	y, now := calm(time.Millisecond)
	now = accepted1(y, time.Minute, now)
	for range 8 * 3 {
		now = accepted1(y, time.Millisecond, now)
	}
	bound(t, y, 4, "24 steps that were not slowed")
	now = accepted100(y, time.Millisecond, now)
	bound(t, y, 16, "a second and a quarter")

	now = accepted1(y, time.Minute, now)
	y.begins()
	now = now.Add(time.Second)
	y.step(now)
	bound(t, y, 1, "one that was not answered for a second")
	now = now.Add(yieldStep)
	y.ends(ofOutbox, time.Millisecond, now) // by an eighth
	for _, want := range []int32{2, 4, 9, 16, 16} {
		now = now.Add(yieldStep)
		y.step(now)
		bound(t, y, want, "at rest")
	}
	now = accepted1(y, time.Minute, now)
	y.step(now.Add(time.Hour))
	bound(t, y, 16, "at rest for an hour")
}

// Each custody has its own floor: that the queue is quick is nothing against the outbox.
func TestCustodiesAreNotCompared(t *testing.T) {
	y, now := calm(100 * time.Millisecond)
	for range 100 {
		y.begins()
		y.ends(ofQueue, 100*time.Microsecond, now)
		now = accepted1(y, 100*time.Millisecond, now)
	}
	bound(t, y, 16, "each as ever")
	y.begins()
	y.ends(ofQueue, 100*time.Millisecond, now)
	accepted1(y, 100*time.Millisecond, now)
	bound(t, y, 1, "the queue as slow as the outbox")
}

// What fails says nothing: a store that is away refuses at once.
func TestWhatIsNotAcceptedIsNotMeasured(t *testing.T) {
	y, now := calm(100 * time.Millisecond)
	for range 100 {
		y.begins()
		y.fails()
		now = now.Add(yieldStep)
		y.step(now)
	}
	accepted1(y, 100*time.Millisecond, now)
	bound(t, y, 16, "as ever")
	if y.under != 0 {
		t.Errorf("%d acceptances are under way", y.under)
	}
}

// A server that has become slower for good is not yielded to for ever.
func TestTheFloorIsForgotten(t *testing.T) {
	y, now := calm(time.Millisecond)
	for began := now; now.Sub(began) < floorPeriod; {
		now = accepted1(y, 50*time.Millisecond, now)
		bound(t, y, 1, "while it may be overloaded")
	}
	for began := now; now.Sub(began) < 2*floorPeriod; {
		now = accepted1(y, 50*time.Millisecond, now)
	}
	bound(t, y, 16, "two periods later")
}

// A lane gives a store no more groups than its bound, and others once that has grown,
// though none has ended; other stores have their own.
func TestALaneYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(1000*groupMost, 64)
		l.yields = newYielding(l.writers, time.Now())
		for _, took := range []time.Duration{time.Millisecond, time.Minute} {
			time.Sleep(yieldStep)
			l.yields.begins()
			l.yields.ends(ofOutbox, took, time.Now())
		}
		bound(t, l.yields, 1, "slowed")
		l.yields.begins() // which is not answered yet, so that nothing changes
		for range 40 * groupMost {
			l.push(&held{priority: 5, writes: cells})
		}
		began := time.Now()
		groups := make(chan []*held)
		for range 64 {
			go func() {
				group, _, _ := l.next(nil, nil, time.Time{})
				groups <- group
			}()
		}
		<-groups
		time.Sleep(time.Second)
		select {
		case <-groups:
			t.Error("a second group although acceptance is slowed")
		default:
		}
		l.push(&held{priority: 5, writes: rows})
		if group := <-groups; group[0].writes != rows || time.Since(began) != time.Second {
			t.Errorf("after %v, what writes to %v; want what writes to another store, at once", time.Since(began), group[0].writes)
		}
		l.yields.ends(ofOutbox, time.Millisecond, time.Now())
		began = time.Now()
		for range l.writers - 1 {
			<-groups
		}
		if took := time.Since(began); took > 10*stall {
			t.Errorf("as many as ever after %v at rest", took)
		}
		l.stop()
		for range 64 - l.writers - 1 {
			<-groups
		}
	})
}
