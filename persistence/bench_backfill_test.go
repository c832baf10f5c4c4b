package persistence_test

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
)

var backfillObjects = flag.Int("backfill.objects", 5000, "objects that BenchmarkBackfill fills a new layout from")

// BenchmarkBackfill fills a new layout from objects that exist, while two
// writers put, move and delete objects without a pause, and then compares the
// layout with the record. A million of them:
//
//	go test ./persistence -run '^$' -bench Backfill -benchtime 1x -timeout 1h -args -backfill.objects=1000000
func BenchmarkBackfill(b *testing.B) {
	for range b.N {
		benchBackfill(b, *backfillObjects)
	}
}

func benchBackfill(b *testing.B, n int) {
	b.StopTimer()
	ctx, dir := b.Context(), b.TempDir()
	open := func(plan persistence.Plan[stay]) (*persistence.Layer, *persistence.Handle[stay]) {
		layer, err := embedded.Open(ctx, dir, nil)
		if err != nil {
			b.Fatal(err)
		}
		return layer, persistence.Declare(layer, "visit", plan)
	}
	layer, h := open(staysBefore)
	const part = 10_000
	for from := 0; from < n; from += part {
		objects := make([]stay, min(part, n-from))
		for i := range objects {
			objects[i] = stayOf(from+i, fmt.Sprint("user", (from+i)%1000))
		}
		for _, r := range h.PutAll(ctx, objects) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	}
	if err := layer.Close(); err != nil {
		b.Fatal(err)
	}
	layer, h = open(staysAfter)
	defer layer.Close()
	working, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { layer.Work(working) })
	var writes atomic.Int64
	for w := range 2 {
		all.Go(func() { benchDisturb(working, h, n, w, &writes) })
	}
	b.StartTimer()
	done, err := h.Backfill(ctx, "activity", &persistence.BackfillOptions{Progress: func(p persistence.Backfilled) {
		if p.Seen%100_000 == 0 {
			b.Log(p)
		}
	}})
	b.StopTimer()
	stop()
	all.Wait()
	if err != nil || !done.Done {
		b.Fatal(done, err)
	}
	if _, err := layer.Drain(ctx); err != nil {
		b.Fatal(err)
	}
	v := h.Verify(&persistence.VerifyOptions{Young: -1})
	for d, err := range v.Differences(ctx) {
		b.Fatal("the layout differs from the record: ", d, err)
	}
	b.Logf("%v; %d writes went on meanwhile; %d objects and rows compared, none differs", done, writes.Load(), v.Looked())
	b.ReportMetric(float64(done.Seen)/done.Took.Seconds(), "objects/s")
	b.ReportMetric(float64(writes.Load())/done.Took.Seconds(), "writes/s")
}

// benchDisturb puts, moves and deletes until its context ends.
func benchDisturb(ctx context.Context, h *persistence.Handle[stay], n, w int, writes *atomic.Int64) {
	for i := w; ctx.Err() == nil; i += 2 {
		s := stayOf(i*7919%n, fmt.Sprint("moved", i%100))
		s.At = s.At.Add(24 * time.Hour)
		var err error
		switch i % 10 {
		case 0:
			_, err = h.Delete(ctx, s.ID)
		case 1:
			s.ID = fmt.Sprint("new", i)
			fallthrough
		default:
			_, err = h.Put(ctx, s)
		}
		if err == nil {
			writes.Add(1)
		}
	}
}
