package persistence_test

import (
	"testing"

	"github.com/fourfold-dev/fourfold/persistence"
)

func TestLeftSaysWhatItKnows(t *testing.T) {
	for want, left := range map[string]persistence.Left{
		"3 object of checkin: not due": {Kind: "checkin", Task: "object", Why: "not due", N: 3},
		"2 of visit: reserved":         {Kind: "visit", Why: "reserved", N: 2},
		"the queue is down":            {Why: "the queue is down"},
	} {
		if got := left.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
