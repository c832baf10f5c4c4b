package persistencetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// An operation is a read or a write of a register.
type operation struct {
	event     Event
	began     time.Time
	end       time.Time
	unsettled bool // it may happen at any time after it began, or never
}

// registerSteps bounds the search for an order: what takes more is unknown.
const registerSteps = 300_000

// CheckRegister: each register, one key of one store, behaves as a single
// variable: there is an order of its writes and reads in which each happens at
// one moment between its beginning and its end, and each read sees the write
// before it, or 0. A write whose outcome is unknown may happen at any moment
// after its beginning, or never. The evidence is the first read that no order
// explains, and what it could have seen.
//
// The search is that of Wing and Gong with Lowe's memory of what was tried. It
// takes long where many writes are under way at once, and gives up as unknown
// then.
func CheckRegister(events []Event) Verdict {
	v := Verdict{Check: "register"}
	type register struct{ store, key string }
	of := map[register][]operation{}
	var names []register
	ops := 0
	for _, e := range events {
		if e.Verb != Saw && e.Verb != Wrote || e.Outcome == fault.NotApplied && e.Verb == Wrote {
			continue
		}
		at := register{e.Store, e.Key}
		if of[at] == nil {
			names = append(names, at)
		}
		o := operation{event: e, began: e.Began, end: e.At, unsettled: e.Verb == Wrote && e.Outcome == fault.OutcomeUnknown}
		if o.began.IsZero() {
			o.began = e.At
		}
		of[at] = append(of[at], o)
		ops++
	}
	for _, at := range names {
		evidence, known := unexplained(of[at])
		if evidence != "" {
			v.Evidence, v.Unknown = evidence, !known
		}
		if evidence != "" && known {
			break
		}
	}
	v.Summary = fmt.Sprintf("%d registers, %d operations", len(names), ops)
	return v.need(ops, 1, "operations")
}

// unexplained returns the evidence that there is no order, or empty. known is
// false when the search was given up, and the evidence says so.
func unexplained(ops []operation) (evidence string, known bool) {
	slices.SortStableFunc(ops, func(a, b operation) int { return a.end.Compare(b.end) })
	explained, known := linearizable(ops)
	if !known {
		return fmt.Sprintf("%d operations on %s %s: the search was given up", len(ops), ops[0].event.Store, ops[0].event.Key), false
	}
	if explained {
		return "", true
	}
	// Those that ended by some moment are a history of their own, and so the
	// first end that makes it impossible is found by halves.
	low, high := 0, len(ops) // the first low are explained, the first high are not
	for high-low > 1 {
		if ok, known := linearizable(until(ops, (low+high)/2)); ok && known {
			low = (low + high) / 2
		} else {
			high = (low + high) / 2
		}
	}
	worst := ops[high-1]
	return fmt.Sprintf("%v, and it could be %s only", worst.event, possible(until(ops, high), high-1)), true
}

// until is the history when n operations have ended: of those that had begun,
// writes may have happened.
func until(ops []operation, n int) []operation {
	out := slices.Clone(ops[:n])
	for _, o := range ops[n:] {
		if o.event.Verb == Wrote && o.began.Before(ops[n-1].end) {
			o.unsettled = true
			out = append(out, o)
		}
	}
	return out
}

// possible lists what the read at i could have seen.
func possible(ops []operation, i int) string {
	var values []string
	tried := map[int64]bool{}
	for _, n := range append([]int64{0}, written(ops)...) {
		ops[i].event.N = n
		if ok, _ := linearizable(ops); ok && !tried[n] {
			values = append(values, fmt.Sprint(n))
		}
		tried[n] = true
	}
	return strings.Join(values, " or ")
}

func written(ops []operation) (out []int64) {
	for _, o := range ops {
		if o.event.Verb == Wrote {
			out = append(out, o.event.N)
		}
	}
	return out
}

// linearizable searches an order.
func linearizable(ops []operation) (ok, known bool) {
	s := &orderSearch{ops: ops, done: make([]byte, len(ops)), tried: map[string]bool{}}
	for i := range ops {
		if !ops[i].unsettled {
			s.left++
		}
	}
	ok = s.next(0)
	return ok, ok || s.steps < registerSteps
}

// An orderSearch is an order that is being made.
type orderSearch struct {
	ops   []operation
	done  []byte // 1: it is part of the order
	left  int    // operations that must become part of it
	tried map[string]bool
	steps int
}

// next extends the order by each operation that may be next, until nothing is
// left that must be in it.
func (s *orderSearch) next(value int64) bool {
	if s.left == 0 {
		return true
	}
	state := fmt.Sprint(value, " ", string(s.done))
	if s.steps++; s.tried[state] || s.steps >= registerSteps {
		return false
	}
	s.tried[state] = true
	var first time.Time // the earliest end: what began after it cannot be next
	for i := range s.ops {
		if o := &s.ops[i]; s.done[i] == 0 && !o.unsettled && (first.IsZero() || o.end.Before(first)) {
			first = o.end
		}
	}
	for i := range s.ops {
		o := &s.ops[i]
		if s.done[i] != 0 || o.began.After(first) || o.event.Verb == Saw && o.event.N != value {
			continue
		}
		if o.unsettled {
			if s.seen(i, first) {
				return true
			}
			continue
		}
		after := value
		if o.event.Verb == Wrote {
			after = o.event.N
		}
		s.take(i, 1)
		if s.next(after) {
			return true
		}
		s.take(i, 0)
	}
	return false
}

// seen extends the order by a write that need not have happened, and a read that
// sees it: where none does, the order is one without it, too.
func (s *orderSearch) seen(i int, first time.Time) bool {
	n := s.ops[i].event.N
	s.take(i, 1)
	for j := range s.ops {
		if o := &s.ops[j]; s.done[j] == 0 && o.event.Verb == Saw && o.event.N == n && !o.began.After(first) {
			s.take(j, 1)
			if s.next(n) {
				return true
			}
			s.take(j, 0)
		}
	}
	s.take(i, 0)
	return false
}

func (s *orderSearch) take(i int, done byte) {
	s.done[i] = done
	switch {
	case s.ops[i].unsettled:
	case done == 1:
		s.left--
	default:
		s.left++
	}
}
