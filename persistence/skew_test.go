package persistence

import (
	"testing"
	"time"
)

// This machine's own clock that leaps is found out at once, and not when the
// store is asked again; when it is put right, Put goes on at once.
func TestOurOwnClockLeaps_A21(t *testing.T) {
	l := &Layer{opts: Options{MaxSkew: time.Second}}
	if err := l.skewed(); err != nil {
		t.Errorf("the store's clock is not known yet: %v", err)
	}
	now := time.Now()
	for off, refused := range map[time.Duration]bool{0: false, 900 * time.Millisecond: false, time.Hour: true, -time.Hour: false} {
		r := &reading{theirs: now.Add(-off), at: now}
		if got := r.ahead(now.Add(7*time.Second), 7*time.Second); got != off {
			t.Errorf("seven seconds after a reading the clock is %v ahead, want %v", got, off)
		}
		if got := r.ahead(now.Add(time.Hour), 0); got != off+time.Hour {
			t.Errorf("%v ahead, and an hour more at once: %v", off, got)
		}
		if l.skew.Store(r); (l.skewed() != nil) != refused {
			t.Errorf("%v ahead: %v", off, l.skewed())
		}
	}
}
