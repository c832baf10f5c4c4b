package embedded_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/costtest"
)

// BenchmarkDerived writes rows that objects imply, and in turn the same rows
// raw, in groups of as many: by the store, and by hand (see BenchmarkRaw).
// "of-raw" and "of-hand" are the parts of their rates that derived rows reach, by
// the median of all turns, and "cpu-of-raw" is that of CPU. The origins' keys
// rise, or are scattered, as random ones are.
func BenchmarkDerived(b *testing.B) {
	rising := func(n int) string { return fmt.Sprintf("o%d", n) }
	for _, fan := range []int{1, 11, 100, 1000} {
		b.Run(fmt.Sprintf("rows=%d", fan), func(b *testing.B) { benchDerived(b, fan, rising) })
	}
	scattered := func(n int) string { return fmt.Sprintf("o%016x", uint64(n)*0x9e3779b97f4a7c15) }
	for _, fan := range []int{1, 11} {
		b.Run(fmt.Sprintf("scattered/rows=%d", fan), func(b *testing.B) { benchDerived(b, fan, scattered) })
	}
}

func benchDerived(b *testing.B, fan int, key func(n int) string) {
	raw, store, byHand := benchStore(b), benchStore(b), rawInsert(b)
	table := amorphous.Table{Name: "bench"}
	derived, err := amorphous.NewDerivedRows(store, "bench", nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(raw.Prepare(b.Context(), table), store.Prepare(b.Context(), derived.Tables()...)); err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	objects := max(512/fan, 1)
	var times, cpu [3][]time.Duration // of derived rows, the store's, those by hand
	for i := 0; b.Loop(); i++ {
		var all []amorphous.Implication
		var rows []amorphous.Row
		for o := range objects {
			n := i*objects + o
			some := benchRows(random, n*fan, fan)
			for j := range some {
				some[j].Stamp = amorphous.Stamp{Version: int64(n + 1), Tie: 1}
			}
			rows = append(rows, some...)
			all = append(all, amorphous.Implication{
				Origin: amorphous.Origin{Key: key(n), Stamp: some[0].Stamp},
				Rows: func(yield func(amorphous.Row, error) bool) {
					for _, row := range some {
						if !yield(row, nil) {
							return
						}
					}
				},
			})
		}
		// What Put holds in memory at a time is what is written at a time.
		inGroups := func(write func(rows []amorphous.Row) error) error {
			var err error
			for group := range slices.Chunk(rows, 512) {
				err = errors.Join(err, write(group))
			}
			return err
		}
		for way, do := range []func() error{
			func() error { return errors.Join(derived.Put(b.Context(), all...)...) },
			func() error {
				return inGroups(func(group []amorphous.Row) error { return errors.Join(raw.Write(b.Context(), table, group...)...) })
			},
			func() error { return inGroups(byHand) },
		} {
			start, used := time.Now(), costtest.CPU()
			if err := do(); err != nil {
				b.Fatal(err)
			}
			times[way], cpu[way] = append(times[way], time.Since(start)), append(cpu[way], costtest.CPU()-used)
		}
	}
	inDerived := median(times[0])
	b.ReportMetric(float64(objects*fan)/inDerived, "rows/s")
	b.ReportMetric(median(times[1])/inDerived, "of-raw")
	b.ReportMetric(median(times[2])/inDerived, "of-hand")
	b.ReportMetric(median(cpu[1])/max(median(cpu[0]), 1e-9), "cpu-of-raw")
}

// median is the median in seconds.
func median(times []time.Duration) float64 {
	slices.Sort(times)
	return times[len(times)/2].Seconds()
}
