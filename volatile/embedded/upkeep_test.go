package embedded

import (
	"testing"
	"time"
)

// Upkeep runs inline except where otter may look for what has ended: for the first
// time in each of its ticks, and shortly before the next.
func TestUpkeepRunsInlineBetweenTicks(t *testing.T) {
	const tick = int64(1) << otterTick
	var now int64
	u := &upkeep{now: func() int64 { return now }}
	for _, c := range []struct {
		at     int64
		inline bool
	}{
		{tick, false}, {tick, true}, {tick + tick/2, true},
		{2*tick - int64(time.Microsecond), false}, {2*tick - 1, false},
		{2 * tick, false}, {2*tick + 1, true},
		{5*tick + 7, false}, {5*tick + 8, true},
	} {
		now = c.at
		if got := u.inline(); got != c.inline {
			t.Errorf("at tick %d and %d ns: inline %v, want %v", c.at/tick, c.at%tick, got, c.inline)
		}
	}
}
