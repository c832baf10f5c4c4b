package console

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
)

func TestNumbersHaveCommas(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", 1568536: "1,568,536", -12: "-12"} {
		if got := Comma(n); got != want {
			t.Errorf("%d is written %s, want %s", n, got, want)
		}
	}
}

func TestALineSaysWhatItWaitsFor(t *testing.T) {
	var a Away
	change := func(p persistence.Purpose, up bool, want string) {
		t.Helper()
		a.StoreChanged(t.Context(), persistence.StoreEvent{Purpose: p, Up: up})
		if got := a.Waiting(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	change(persistence.Volatile, false, "; waiting for the volatile store, which is down")
	change(persistence.Amorphous, false, "; waiting for stores that are down: volatile, amorphous")
	change(persistence.Volatile, true, "; waiting for the amorphous store, which is down")
	change(persistence.Amorphous, true, "")
}

// Into a file goes a line every two seconds, so that a run of a few seconds
// shows some.
func TestProgressThatIsCapturedHasLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := NewProgress("checkin", &out)
		for n := range 60 {
			p.Say("%d done", n)
			time.Sleep(100 * time.Millisecond)
		}
		if got, want := out.String(), "checkin: 20 done\ncheckin: 40 done\n"; got != want {
			t.Errorf("in six seconds it says %q, want %q", got, want)
		}
	})
}
