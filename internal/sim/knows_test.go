package sim

import (
	"slices"
	"testing"
)

// A move changes what a process that begins would read: the store's clock is set,
// or the store keeps more of how far it went back.
type move struct {
	step int   // of the history
	by   int64 // it was set
	told int64 // the store keeps
}

// A question for the time, and what there was to see.
type question struct {
	step int
	at   int64
	skew int64 // of the store's clock
	kept int64
}

// excused reports whether a process with these questions could not know that a lease
// by the answer to another's is not over, although it seems so: the time has leapt
// ahead since, and each time either before the process began or between two of its
// questions, when the clock was set back as far, too.
func excused(moves []move, asks []question, leased question) bool {
	leaps := 0
	for _, m := range moves {
		known := false
		switch i := slices.IndexFunc(asks, func(q question) bool { return q.step > m.step }); {
		case m.told > 0 && m.told <= leased.kept, m.told == 0 && (m.by < 0 || m.step < leased.step):
			continue
		case m.told > 0:
			known = asks[0].kept < m.told
		case i > 0:
			known = asks[i].kept > asks[i-1].kept || asks[i].skew > asks[i-1].skew
		}
		if known {
			return false
		}
		leaps++
	}
	return leaps > 0
}

// What is excused: nothing that a process could have known.
func TestTheOracleExcusesOnlyWhatNobodyCouldKnow_A21(t *testing.T) {
	back, right, told := move{step: 2, by: -hour}, move{step: 6, by: hour}, move{told: hour}
	leased := question{step: 3, skew: -hour}
	for what, c := range map[string]struct {
		moves  []move
		asks   []question
		excuse bool
	}{
		"the clock was never set":                   {nil, []question{{step: 1}, {step: 7}}, false},
		"it was set before the lease":               {[]move{{step: 2, by: hour}}, []question{{step: 1}, {step: 7, skew: hour}}, false},
		"it went back since":                        {[]move{{step: 6, by: -hour}}, []question{{step: 1}, {step: 7, skew: -hour}}, false},
		"it saw it put right":                       {[]move{back, right}, []question{{step: 1}, {step: 4, skew: -hour}, {step: 7}}, false},
		"it did not ask before that":                {[]move{back, right}, []question{{step: 1}, {step: 7}}, true},
		"it asked, and then once more":              {[]move{back, right}, []question{{step: 1}, {step: 7}, {step: 9}}, true},
		"it began after it was put right":           {[]move{back, right}, []question{{step: 7}}, true},
		"it began before":                           {[]move{back, right}, []question{{step: 5, skew: -hour}, {step: 7}}, false},
		"it was told":                               {[]move{back, told}, []question{{step: 1}, {step: 7, skew: -hour, kept: hour}}, false},
		"it began after others were told":           {[]move{back, told}, []question{{step: 7, skew: -hour, kept: hour}}, true},
		"it could know of one of two":               {[]move{back, right, {step: 9, by: 2 * second}}, []question{{step: 7}, {step: 10, skew: 2 * second}}, false},
		"it was told that it went back even longer": {[]move{back, told, {told: 2 * hour}}, []question{{step: 7, skew: -hour, kept: hour}, {step: 8, skew: -hour, kept: 2 * hour}}, false},
	} {
		if excused(c.moves, c.asks, leased) != c.excuse {
			t.Errorf("%s: excused is not %t", what, c.excuse)
		}
	}
	if excused([]move{back, told}, []question{{step: 7, skew: -hour, kept: hour}}, question{step: 5, skew: -hour, kept: hour}) {
		t.Error("who leased knew that it had gone back, and it is excused")
	}
}
