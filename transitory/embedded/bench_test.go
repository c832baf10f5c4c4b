package embedded_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/embedded"
)

func openBench(b *testing.B, opts *embedded.Options) *transitory.Queue {
	b.Helper()
	driver, err := embedded.Dir(b.TempDir(), opts).OpenDriver(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	q := transitory.New(driver)
	b.Cleanup(func() { _ = q.Close() })
	return q
}

// spread runs b.N operations by a number of callers.
func spread(b *testing.B, callers int, do func()) {
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for range b.N/callers + min(1, max(0, b.N%callers-c)) {
				do()
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

func BenchmarkPut(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			q := openBench(b, nil)
			body := make([]byte, 300)
			spread(b, callers, func() {
				if err := q.Put(b.Context(), transitory.Job{Tube: "t", Priority: 5, Body: body})[0]; err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// BenchmarkCycle is the life of a job: put, reserve, delete.
func BenchmarkCycle(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			q := openBench(b, nil)
			body := make([]byte, 300)
			spread(b, callers, func() {
				if err := q.Put(b.Context(), transitory.Job{Tube: "t", Body: body})[0]; err != nil {
					b.Error(err)
				}
				reserveDelete(b, q, 1)
			})
		})
	}
}

// BenchmarkDrain takes jobs off a long queue, whose bodies lie in the file.
func BenchmarkDrain(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			q := openBench(b, &embedded.Options{BodyBytes: 1})
			jobs := make([]transitory.Job, 256)
			for i := range jobs {
				jobs[i] = transitory.Job{Tube: "t", TTR: time.Hour, Body: make([]byte, 300)}
			}
			for put := 0; put < b.N; put += len(jobs) {
				q.Put(b.Context(), jobs...)
			}
			spread(b, callers, func() { reserveDelete(b, q, 1) })
		})
	}
}

func reserveDelete(b *testing.B, q *transitory.Queue, most int) {
	jobs, err := q.Reserve(b.Context(), []string{"t"}, most)
	if err != nil {
		b.Error(err)
		return
	}
	for _, job := range jobs {
		if err := q.Delete(b.Context(), job.ID)[0]; err != nil {
			b.Error(err)
		}
	}
}
