package persistence_test

import (
	"testing"
	"time"
)

// What is put while Work begins, and custody is being asked for the first time, waits for
// no second look, which comes a second later: that it is new is not forgotten when the
// first look, which did not see it, ends.
func TestWhatIsPutAsWorkBeginsIsTakenAtOnce(t *testing.T) {
	for range 60 {
		inDrill(t, func(d *drill) {
			d.serve() // begins in a goroutine
			d.within(500*time.Millisecond, d.put(d.visits, 3))
			d.clean()
		})
	}
}
