package beanstalkd_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/beanstalkd"
)

// benchQueue is a queue on a server with a log.
func benchQueue(b *testing.B) *transitory.Queue {
	b.Helper()
	return open(b, beanstalkd.Options{}, start(b, "-b", b.TempDir()))
}

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
			q := benchQueue(b)
			body := make([]byte, 300)
			spread(b, callers, func() {
				if err := q.Put(b.Context(), transitory.Job{Tube: "t", Body: body})[0]; err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// BenchmarkPutBatch puts 64 jobs with one call.
func BenchmarkPutBatch(b *testing.B) {
	q := benchQueue(b)
	jobs := make([]transitory.Job, 64)
	for i := range jobs {
		jobs[i] = transitory.Job{Tube: "t", Body: make([]byte, 300)}
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range q.Put(b.Context(), jobs...) {
			if err != nil {
				b.Error(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*64/b.Elapsed().Seconds(), "jobs/s")
}

// BenchmarkDrain reserves and deletes, one job or 32 at a time.
func BenchmarkDrain(b *testing.B) {
	for _, most := range []int{1, 32} {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("max=%d/callers=%d", most, callers), func(b *testing.B) {
				q := benchQueue(b)
				jobs := make([]transitory.Job, 64)
				for i := range jobs {
					jobs[i] = transitory.Job{Tube: "t", TTR: time.Hour, Body: make([]byte, 300)}
				}
				for put := 0; put < b.N+callers*most; put += len(jobs) {
					q.Put(b.Context(), jobs...)
				}
				var mu sync.Mutex
				left := b.N
				take := func() bool {
					mu.Lock()
					defer mu.Unlock()
					return left > 0
				}
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for take() {
							n := drainOnce(b, q, most)
							mu.Lock()
							left -= n
							mu.Unlock()
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
			})
		}
	}
}

func drainOnce(b *testing.B, q *transitory.Queue, most int) int {
	jobs, err := q.Reserve(b.Context(), []string{"t"}, most)
	if err != nil {
		b.Error(err)
		return most
	}
	ids := make([]transitory.ID, len(jobs))
	for i, job := range jobs {
		ids[i] = job.ID
	}
	for _, err := range q.Delete(b.Context(), ids...) {
		if err != nil {
			b.Error(err)
		}
	}
	return len(jobs)
}
