package costtest

import (
	"slices"
	"testing"
	"time"
)

// Ratio compares two operations, in batches of n of each.
func Ratio(b *testing.B, n int, raw, ours func() error) {
	b.Helper()
	repeat := func(op func() error) func() {
		return func() {
			for range n {
				if err := op(); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	RatioOfBatches(b, n, repeat(raw), repeat(ours))
}

// RatioOfBatches runs batches of n operations of both kinds alternately, so that
// what else the machine does meets both, and reports the medians and their ratio.
func RatioOfBatches(b *testing.B, n int, raw, ours func()) {
	b.Helper()
	times := [2][]float64{}
	for b.Loop() {
		for which, batch := range []func(){raw, ours} {
			began := time.Now()
			batch()
			times[which] = append(times[which], float64(time.Since(began).Nanoseconds())/float64(n))
		}
	}
	slices.Sort(times[0])
	slices.Sort(times[1])
	median := func(which int) float64 { return times[which][len(times[which])/2] }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(0), "raw-ns")
	b.ReportMetric(median(1), "ours-ns")
	b.ReportMetric(median(1)/median(0), "ratio")
}
