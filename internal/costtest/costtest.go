// Package costtest bounds what an operation allocates. Unlike time, that is the
// same on every machine, so a bound that is committed shows a regression where
// a benchmark would only print another number. Times are compared within one run,
// and never asserted.
package costtest

import (
	"runtime"
	"testing"
)

// A Bound is the most that one operation may allocate.
type Bound struct {
	Allocs float64 // objects on the heap
	Bytes  float64 // of all of them
}

func (b Bound) within(most Bound) bool { return b.Allocs <= most.Allocs && b.Bytes <= most.Bytes }

// Of returns what f allocates, on average over runs calls after a few more that
// warm up. What other goroutines allocate meanwhile counts too, so that f may
// be an operation that many of them work at.
func Of(runs int, f func()) Bound {
	for range 1 + runs/10 {
		f()
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return Bound{
		Allocs: float64(after.Mallocs-before.Mallocs) / float64(runs),
		Bytes:  float64(after.TotalAlloc-before.TotalAlloc) / float64(runs),
	}
}

// Check fails the test when one of n equal parts of f allocates more than most, three
// times in a row: on a busy machine timers go off and more goroutines have a part,
// which adds something and never takes any away.
func Check(t testing.TB, what string, n float64, most Bound, f func()) {
	t.Helper()
	var got Bound
	for range 3 {
		got = Of(200, f)
		got.Allocs, got.Bytes = got.Allocs/n, got.Bytes/n
		if got.within(most) {
			break
		}
	}
	if !got.within(most) {
		t.Errorf("%s: %.1f allocations and %.0f bytes, at most %.1f and %.0f are committed", what, got.Allocs, got.Bytes, most.Allocs, most.Bytes)
		return
	}
	t.Logf("%s: %.1f allocations and %.0f bytes of %.1f and %.0f", what, got.Allocs, got.Bytes, most.Allocs, most.Bytes)
}
