package flow

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

const second = int64(time.Second / time.Microsecond)

func specs(s ...Spec) *Run {
	r := &Run{Seed: 7, Horizon: 3600 * second, Accepted: 0}
	for i := range s {
		if s[i].MaxAttempts == 0 {
			s[i].MaxAttempts = 3
		}
		if s[i].MaxBackoff == 0 {
			s[i].MaxBackoff = 600 * second
		}
		r.Tasks = append(r.Tasks, Task{Spec: &s[i]})
	}
	return r
}

func wantAction(t *testing.T, got Action, kind Kind, tasks ...int) {
	t.Helper()
	if got.Kind != kind || len(tasks) > 0 && !reflect.DeepEqual(got.Tasks, tasks) {
		t.Fatalf("got action %d %v, want %d %v", got.Kind, got.Tasks, kind, tasks)
	}
}

func TestClassesStartInOrderOfUrgency(t *testing.T) {
	r := specs(Spec{Priority: 4}, Spec{Priority: 1, RealTime: true}, Spec{Priority: 4}, Spec{Priority: 2, RealTime: true})
	wantAction(t, r.Begin(1, true), Start, 1)
	a := r.Ended(2, End{Task: 1})
	wantAction(t, a, Look)
	if a.Priority != 2 {
		t.Fatalf("looks for something more urgent than %d, want 2", a.Priority)
	}
	wantAction(t, r.Looked(2, false), Start, 3)
	wantAction(t, r.Ended(3, End{Task: 3}), Pass)
	wantAction(t, r.Begin(4, false), Start, 0, 2)
	wantAction(t, r.Ended(5, End{Task: 0}), Wait)
	wantAction(t, r.Ended(6, End{Task: 2}), Settle)
	if s := r.Settlement(6); !s.Done {
		t.Fatalf("settlement %+v, want done", s)
	}
}

func TestSomethingMoreUrgentPreempts(t *testing.T) {
	r := specs(Spec{Priority: 3}, Spec{Priority: 5})
	wantAction(t, r.Begin(1, false), Start, 0)
	wantAction(t, r.Ended(2, End{Task: 0}), Look)
	a := r.Looked(3, true)
	wantAction(t, a, GiveBack)
	if a.Priority != 5 {
		t.Fatalf("waits at %d, want its own class 5", a.Priority)
	}
	wantAction(t, r.Begin(9, false), Start, 1)
}

func TestAFailingTaskDoesNotHoldItsSiblings(t *testing.T) {
	r := specs(Spec{Priority: 1}, Spec{Priority: 2})
	wantAction(t, r.Begin(10, false), Start, 0)
	wantAction(t, r.Ended(11, End{Task: 0, Outcome: Refused, Reason: "no"}), Look)
	wantAction(t, r.Looked(11, false), Start, 1)
	wantAction(t, r.Ended(12, End{Task: 1}), Settle)
	s := r.Settlement(12)
	if s.Done || s.Lane != Background || s.Due <= 12 || r.Tasks[0].Attempts != 1 {
		t.Fatalf("settlement %+v, attempts %d: want a later retry of task 0", s, r.Tasks[0].Attempts)
	}
}

func TestAttemptsEndInADeadLetter(t *testing.T) {
	r := specs(Spec{Priority: 1, MaxAttempts: 3})
	now := int64(1)
	for range 3 {
		wantAction(t, r.Begin(now, false), Start, 0)
		wantAction(t, r.Ended(now, End{Task: 0, Outcome: Refused, Reason: "broken"}), Settle)
		now = r.Settlement(now).Due + 1
	}
	if r.Tasks[0].State != Dead || r.Tasks[0].Reason != "broken" || !r.Settlement(now).Done {
		t.Fatalf("task %+v: want dead after three refusals", r.Tasks[0])
	}
}

func TestAnOutageIsFree(t *testing.T) {
	const store = 4
	r := specs(Spec{Priority: 1})
	now := int64(1)
	for range 1000 {
		r.Down[store] = false
		wantAction(t, r.Begin(now, false), Start, 0)
		wantAction(t, r.Ended(now, End{Task: 0, Outcome: Outage, Store: store}), Settle)
		s := r.Settlement(now)
		if s.Lane != Parked || s.Store != store {
			t.Fatalf("settlement %+v, want parked on store %d", s, store)
		}
		now += second
	}
	if r.Tasks[0].Attempts != 0 {
		t.Fatalf("an outage spent %d attempts", r.Tasks[0].Attempts)
	}
	wantAction(t, r.Begin(now, false), Settle)
	r.Down[store] = false
	wantAction(t, r.Begin(now, false), Start, 0)
}

func TestLateTasks(t *testing.T) {
	t.Run("RunLate goes after everything that is not late", func(t *testing.T) {
		r := specs(Spec{Priority: 1, RealTime: true, Within: second}, Spec{Priority: 9})
		wantAction(t, r.Begin(5*second, true), Start, 1)
	})
	t.Run("what has become late gives way, once", func(t *testing.T) {
		r := specs(Spec{Priority: 1, Within: second})
		a := r.Begin(5*second, false)
		wantAction(t, a, Look)
		if a = r.Looked(5*second, true); a.Kind != GiveBack || a.Priority != LatePriority {
			t.Fatalf("action %+v, want to wait as late", a)
		}
		wantAction(t, r.Begin(6*second, false), Start, 0)
		r = specs(Spec{Priority: 1, Within: second})
		wantAction(t, r.Begin(5*second, false), Look)
		wantAction(t, r.Looked(5*second, false), Start, 0)
		r = specs(Spec{Priority: 1, RealTime: true, Within: second})
		if a := r.Begin(5*second, true); a.Kind != Pass || a.Priority != LatePriority {
			t.Fatalf("action %+v, want a background worker to have it", a)
		}
	})
	t.Run("Expire is a dead letter", func(t *testing.T) {
		r := specs(Spec{Priority: 1, Within: second, Expire: true})
		wantAction(t, r.Begin(5*second, false), Settle)
		if r.Tasks[0].State != Dead || r.Tasks[0].Reason != "expired" {
			t.Fatalf("task %+v, want dead: expired", r.Tasks[0])
		}
	})
	t.Run("past the horizon nothing runs by itself", func(t *testing.T) {
		r := specs(Spec{Priority: 1})
		wantAction(t, r.Begin(3601*second, false), Settle)
		if r.Tasks[0].State != Dead {
			t.Fatalf("task %+v, want dead", r.Tasks[0])
		}
	})
}

func TestUnknownAndExternalTasksWaitInTheirOwnLane(t *testing.T) {
	r := specs(Spec{Priority: 1}, Spec{Priority: 2, External: true})
	r.Tasks = append(r.Tasks, Task{})
	wantAction(t, r.Begin(1, false), Start, 0)
	wantAction(t, r.Ended(1, End{Task: 0}), Settle)
	if s := r.Settlement(1); s.Lane != Foreign || s.Task != 1 {
		t.Fatalf("settlement %+v, want the lane of task 1", s)
	}
}

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	last := int64(0)
	for n := 1; n < 12; n++ {
		d := backoff(n, 600*second, 3)
		most := min(second<<(n-1), 600*second)
		if d > most || d < most-most/4 {
			t.Fatalf("attempt %d waits %d, want within a quarter below %d", n, d, most)
		}
		if d < last*3/4 {
			t.Fatalf("attempt %d waits less than the one before: %d after %d", n, d, last)
		}
		last = d
	}
}

// TestEveryHistoryEnds drives runs with seeded answers and checks at each step
// what must always hold; the same seed gives the same history.
func TestEveryHistoryEnds(t *testing.T) {
	for seed := range uint64(2000) {
		first, again := history(t, seed), history(t, seed)
		if first != again {
			t.Fatalf("seed %d: two runs of one seed differ:\n%s\n%s", seed, first, again)
		}
	}
}

func history(t *testing.T, seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 1))
	r := specs()
	for range 1 + rng.IntN(6) {
		spec := &Spec{Priority: 1 + uint32(rng.IntN(4)), RealTime: rng.IntN(3) == 0, MaxAttempts: 1 + rng.IntN(4),
			MaxBackoff: 60 * second, Expire: rng.IntN(2) == 0}
		if rng.IntN(4) == 0 {
			spec.Within = 5 * second
		}
		r.Tasks = append(r.Tasks, Task{Spec: spec})
	}
	r.Seed = seed
	out, now, steps := "", int64(1), 0
	for {
		act := r.Begin(now, rng.IntN(2) == 0)
		for act.Kind != Settle && act.Kind != Pass && act.Kind != GiveBack {
			out += fmt.Sprintln(now, act.Kind, act.Tasks, act.Priority)
			if steps++; steps > 10_000 {
				t.Fatalf("seed %d does not end", seed)
			}
			now += rng.Int64N(1000)
			act = step(t, r, rng, now, act)
		}
		if act.Kind == Settle {
			s := r.Settlement(now)
			if s.Done {
				return out
			}
			now = max(now, s.Due) + second
			r.Down = [8]bool{}
		}
	}
}

func step(t *testing.T, r *Run, rng *rand.Rand, now int64, act Action) Action {
	if act.Kind == Look {
		return r.Looked(now, rng.IntN(3) == 0)
	}
	tasks := append([]int(nil), act.Tasks...)
	top := rank(&r.Tasks[tasks[0]])
	for i := range r.Tasks {
		if x := &r.Tasks[i]; r.Ready(x, now) && rank(x) < top {
			t.Fatalf("task %d is more urgent than what starts", i)
		}
	}
	for n, i := range tasks {
		e := End{Task: i, Outcome: Outcome(rng.IntN(11)), Store: 3, After: time.Second, Reason: "r"}
		if e.Outcome == Cancelled {
			e.Outcome = OK
		}
		act = r.Ended(now, e)
		if last := n == len(tasks)-1; (act.Kind == Wait) == last {
			t.Fatalf("after %d of %d ends the action is %d", n+1, len(tasks), act.Kind)
		}
	}
	return act
}

func TestABusyStoreIsAskedSoonAfterAnOutage(t *testing.T) {
	const store = 4
	r := specs(Spec{Priority: 1})
	now := int64(1)
	for range 600 { // ten minutes
		r.Down[store] = false
		wantAction(t, r.Begin(now, false), Start, 0)
		wantAction(t, r.Ended(now, End{Task: 0, Outcome: Outage, Store: store}), Settle)
		now += second
	}
	r.Down[store] = false
	wantAction(t, r.Begin(now, false), Start, 0)
	wantAction(t, r.Ended(now, End{Task: 0, Outcome: Busy}), Settle)
	if s := r.Settlement(now); s.Due > now+second {
		t.Errorf("one busy answer after an outage waits %d µs", s.Due-now)
	}
	last := int64(0)
	for range 20 { // the longer it is busy, the rarer it is asked
		now = r.Tasks[0].NotBefore
		wantAction(t, r.Begin(now, false), Start, 0)
		wantAction(t, r.Ended(now, End{Task: 0, Outcome: Busy}), Settle)
		if wait := r.Tasks[0].NotBefore - now; wait < last {
			t.Errorf("waits %d after %d", wait, last)
		} else {
			last = wait
		}
	}
	if last < second {
		t.Errorf("after 20 busy answers it still waits %d µs only", last)
	}
}

func TestABlockedTaskIsNotAskedAgainByWhoGivesWay(t *testing.T) {
	r := specs(Spec{Priority: 1}, Spec{Priority: 2})
	wantAction(t, r.Begin(1, false), Start, 0)
	wantAction(t, r.Ended(1, End{Task: 0, Outcome: Blocked}), Look)
	wantAction(t, r.Looked(1, true), GiveBack)
	wantAction(t, r.Begin(2, false), Start, 1)
	wantAction(t, r.Ended(2, End{Task: 1}), Settle)
	if s := r.Settlement(2); s.Done || s.Due <= 2 {
		t.Fatalf("settlement %+v, want it to wait for who holds the key", s)
	}
	wantAction(t, r.Begin(3, false), Start, 0) // it comes from custody again
}

func TestWhatSpendsNothingIsNotChargedBeforeTheRunEither(t *testing.T) {
	for _, o := range []Outcome{Outage, Busy, Snoozed, Cancelled, Blocked} {
		r := specs(Spec{Priority: 1})
		wantAction(t, r.Begin(1, false), Start, 0)
		r.Tasks[0].Attempts++ // counted, because a run was lost before
		r.Ended(1, End{Task: 0, Outcome: o, Store: 4, Counted: true})
		if r.Tasks[0].Attempts != 0 {
			t.Errorf("outcome %d spent %d attempts", o, r.Tasks[0].Attempts)
		}
	}
}

// What comes too early, because the clock of a queue's server is ahead, waits
// for its time all the same.
func TestATaskIsNotStartedEarly_B22(t *testing.T) {
	r := specs(Spec{Priority: 1})
	r.Tasks[0].NotBefore = 10 * second
	wantAction(t, r.Begin(2*second, false), Settle)
	if s := r.Settlement(2 * second); s.Due != 10*second || s.Done {
		t.Errorf("it goes back until %d µs (done: %t), want its own time", s.Due, s.Done)
	}
	wantAction(t, r.Begin(10*second, false), Start, 0)
}
