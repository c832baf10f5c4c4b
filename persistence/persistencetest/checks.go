package persistencetest

import (
	"fmt"
	"slices"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A taskOf names one task of one object.
type taskOf struct{ id, task string }

// CheckTotal: what goes in comes out. Every task of an accepted object had its
// effect or is a visible dead letter; every effect belongs to an object that
// was accepted, or whose outcome nobody knew. Effects that happened more than
// once are counted, not judged: see CheckOnce.
func CheckTotal(events []Event) Verdict {
	v := Verdict{Check: "total"}
	effects := map[taskOf]int{}
	outcome := map[string]fault.Outcome{}
	for _, e := range events {
		switch e.Verb {
		case Effect, Dead:
			effects[taskOf{e.ID, e.Task}]++
		case Put:
			if was, again := outcome[e.ID]; !again || was != fault.Applied {
				outcome[e.ID] = e.Outcome
			}
		}
	}
	var lost, ghosts, recovered, doubled int
	blame := func(n *int, e Event, why string) {
		if *n++; v.Evidence == "" {
			v.Evidence = fmt.Sprintf("%s: %v", why, e)
		}
	}
	for _, e := range events {
		if e.Verb != Put {
			continue
		}
		for _, task := range e.Tasks {
			n := effects[taskOf{e.ID, task}]
			switch {
			case n == 0 && e.Outcome == fault.Applied:
				e.Task = task
				blame(&lost, e, "lost")
			case n > 0 && e.Outcome == fault.OutcomeUnknown:
				recovered++
			}
		}
	}
	seen := map[taskOf]bool{}
	for _, e := range events {
		one := taskOf{e.ID, e.Task}
		if e.Verb != Effect && e.Verb != Dead || seen[one] {
			continue
		}
		seen[one] = true
		if effects[one] > 1 {
			doubled++
		}
		switch was, tried := outcome[e.ID]; {
		case !tried:
			blame(&ghosts, e, "ghost, never put")
		case was == fault.NotApplied:
			blame(&ghosts, e, "ghost, its Put was refused")
		}
	}
	v.Summary = fmt.Sprintf("%d lost, %d ghosts, %d repeated, %d recovered", lost, ghosts, doubled, recovered)
	return v
}

// CheckOnce: no task had its effect twice. It is for effects that are to happen
// exactly once, such as those of Tx tasks.
func CheckOnce(events []Event) Verdict {
	v := Verdict{Check: "once"}
	count := map[taskOf]int{}
	worst := 0
	for _, e := range events {
		if e.Verb != Effect {
			continue
		}
		one := taskOf{e.ID, e.Task}
		count[one]++
		if n := count[one]; n > 1 && n > worst {
			worst = n
			v.Evidence = fmt.Sprintf("%v happened %d times", e, n)
		}
	}
	return v
}

// CheckCounters: every value of a counter that was read lies between the sum of
// what was added and that sum with what may have been added. Adds that ended
// after the read, or at the same moment, may or may not be in it.
func CheckCounters(events []Event) Verdict {
	v := Verdict{Check: "counters"}
	type sums struct{ sure, maybe int64 }
	at, all := map[string]sums{}, map[string]sums{}
	note := func(m map[string]sums, e Event) {
		s := m[e.Key]
		switch e.Outcome {
		case fault.Applied:
			s.sure += e.N
			s.maybe += e.N
		case fault.OutcomeUnknown:
			s.maybe += e.N
		}
		m[e.Key] = s
	}
	for _, e := range events {
		if e.Verb == Added {
			note(all, e)
		}
	}
	for _, e := range events {
		switch e.Verb {
		case Added:
			note(at, e)
		case Counted:
			if low, high := at[e.Key].sure, all[e.Key].maybe; v.Evidence == "" && (e.N < low || e.N > high) {
				v.Evidence = fmt.Sprintf("%v: %d were added before it, and %d at most in all", e, low, high)
			}
		}
	}
	return v
}

// CheckVersions: the versions that were read of one key in one store, by
// whomever, never go down.
func CheckVersions(events []Event) Verdict {
	v := Verdict{Check: "versions"}
	type place struct{ store, key string }
	last := map[place]Event{}
	for _, e := range events {
		if e.Verb != Read {
			continue
		}
		at := place{e.Store, e.Key}
		if before, ok := last[at]; ok && e.Version < before.Version {
			if v.Evidence == "" {
				v.Evidence = fmt.Sprintf("%v, after %v", e, before)
			}
			continue
		}
		last[at] = e
	}
	return v
}

// CheckOrder: in each store the effects on one key are in the order of their
// Puts; one may be repeated at once, and none comes after a later one.
func CheckOrder(events []Event) Verdict {
	v := Verdict{Check: "order"}
	order := map[string]int{}
	for _, e := range events {
		if e.Verb == Put && e.Outcome != fault.NotApplied {
			if _, again := order[e.ID]; !again {
				order[e.ID] = len(order)
			}
		}
	}
	type place struct{ store, task, key string }
	last := map[place]Event{}
	for _, e := range events {
		if _, put := order[e.ID]; e.Verb != Effect || e.Key == "" || !put {
			continue
		}
		at := place{e.Store, e.Task, e.Key}
		if before, ok := last[at]; ok && order[e.ID] < order[before.ID] {
			if v.Evidence == "" {
				v.Evidence = fmt.Sprintf("%v, after %v, which was put later", e, before)
			}
			continue
		}
		last[at] = e
	}
	return v
}

// CheckAccounting: in every sample, accepted = done + superseded + pending +
// dead, give or take the open ones, and what is unknown is part of what is
// pending. Samples are to be taken while nothing is put and nothing runs: the
// figures of a layer at work are not those of one moment.
func CheckAccounting(events []Event) Verdict {
	v := Verdict{Check: "accounting"}
	n := 0
	for _, e := range events {
		if e.Verb != Sampled {
			continue
		}
		n++
		s := e.Sample
		if sum := s.Done + s.Superseded + s.Pending + s.Dead; (sum < s.Accepted || sum > s.Accepted+s.Open || s.Unknown > s.Pending) && v.Evidence == "" {
			v.Evidence = fmt.Sprintf("sample %d: accepted %d and open %d, and done %d + superseded %d + pending %d (%d of them unknown) + dead %d = %d",
				n, s.Accepted, s.Open, s.Done, s.Superseded, s.Pending, s.Unknown, s.Dead, sum)
		}
	}
	return v.need(n, 1, "samples")
}

// need makes a verdict unknown for want of events.
func (v Verdict) need(n, least int, what string) Verdict {
	if n < least && v.Evidence == "" {
		v.Unknown, v.Evidence = true, fmt.Sprintf("%d %s, and %d are needed", n, what, least)
	}
	return v
}

// samples returns what was sampled, from the first heal on if after.
func samples(events []Event, after bool) (out []Event) {
	healed := !after
	for _, e := range events {
		healed = healed || e.Verb == Heal
		if e.Verb == Sampled && healed {
			out = append(out, e)
		}
	}
	return out
}

// resources are the figures of a sample that must stay bounded.
var resources = []struct {
	name  string
	noise int64 // less is no growth
	of    func(*Sample) *int64
}{
	{"memory", 16 << 20, func(s *Sample) *int64 { return &s.Memory }},
	{"goroutines", 32, func(s *Sample) *int64 { return &s.Goroutines }},
	{"files", 16, func(s *Sample) *int64 { return &s.Files }},
	{"connections", 16, func(s *Sample) *int64 { return &s.Connections }},
}

// CheckResources: no sample exceeds what is allowed, where it is not zero, and
// none grows without end: the median of the last third of the samples exceeds
// that of the middle third by a quarter at most, or by what is noise: 16 MB, 32
// goroutines, 16 files or connections.
func CheckResources(allowed Sample) Check {
	return func(events []Event) Verdict {
		v := Verdict{Check: "resources"}
		all := samples(events, false)
		for _, r := range resources {
			figures := make([]int64, len(all))
			for i := range all {
				figures[i] = *r.of(&all[i].Sample)
				if most := *r.of(&allowed); most > 0 && figures[i] > most && v.Evidence == "" {
					v.Evidence = fmt.Sprintf("sample %d: %s %d, and %d is allowed", i+1, r.name, figures[i], most)
				}
			}
			third := len(figures) / 3
			if third == 0 || v.Evidence != "" {
				continue
			}
			if middle, last := median(figures[third:2*third]), median(figures[2*third:]); last > middle+max(middle/4, r.noise) {
				v.Evidence = fmt.Sprintf("%s grow: %d in the middle of the run, %d at its end", r.name, middle, last)
			}
		}
		return v.need(len(all), 3, "samples")
	}
}

func median(figures []int64) int64 {
	sorted := slices.Clone(figures)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}
