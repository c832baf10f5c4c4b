package embedded_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// BenchmarkDerived writes rows that objects imply, and in turn the same rows
// raw, in groups of as many: "of-raw" is the part of the raw rows' rate that
// derived rows reach.
func BenchmarkDerived(b *testing.B) {
	for _, fan := range []int{1, 11, 100, 1000} {
		b.Run(fmt.Sprintf("rows=%d", fan), func(b *testing.B) { benchDerived(b, fan) })
	}
}

func benchDerived(b *testing.B, fan int) {
	raw, store := benchStore(b), benchStore(b)
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
	var inRaw, inDerived time.Duration
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
				Origin: amorphous.Origin{Key: fmt.Sprintf("o%d", n), Stamp: some[0].Stamp},
				Rows: func(yield func(amorphous.Row, error) bool) {
					for _, row := range some {
						if !yield(row, nil) {
							return
						}
					}
				},
			})
		}
		start := time.Now()
		err := errors.Join(derived.Put(b.Context(), all...)...)
		inDerived += time.Since(start)
		start = time.Now()
		// What Put holds in memory at a time is what is written at a time.
		for len(rows) > 0 {
			n := min(len(rows), 512)
			err = errors.Join(err, errors.Join(raw.Write(b.Context(), table, rows[:n]...)...))
			rows = rows[n:]
		}
		inRaw += time.Since(start)
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*objects*fan)/inDerived.Seconds(), "rows/s")
	b.ReportMetric(inRaw.Seconds()/inDerived.Seconds(), "of-raw")
}
