package persistence_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/costtest"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// applied is the answer of stores that do nothing: all of it is done.
var applied [1 << 10]error

// nothingQueue hands jobs through and keeps none.
type nothingQueue struct {
	mu      sync.Mutex
	jobs    []transitory.Job
	waiting []nothingWait
	spare   []chan struct{} // for the next that wait
}

// A nothingWait is a Reserve that found nothing.
type nothingWait struct {
	tubes []string
	some  chan struct{} // capacity 1: a job has come
}

func (q *nothingQueue) Put(_ context.Context, jobs []transitory.Job) []error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range jobs {
		j.ID = "job"
		q.jobs = append(q.jobs, j)
		q.waiting = slices.DeleteFunc(q.waiting, func(w nothingWait) bool {
			comes := slices.Contains(w.tubes, j.Tube)
			if comes {
				w.some <- struct{}{}
			}
			return comes
		})
	}
	return applied[:len(jobs)]
}

// take returns jobs, or what tells of the next one.
func (q *nothingQueue) take(tubes []string, most int) (out []transitory.Job, some chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := q.jobs[:0]
	for _, j := range q.jobs {
		if len(out) < most && slices.Contains(tubes, j.Tube) {
			out = append(out, j)
		} else {
			kept = append(kept, j)
		}
	}
	q.jobs = kept
	if len(out) == 0 {
		if len(q.spare) == 0 {
			q.spare = append(q.spare, make(chan struct{}, 1))
		}
		last := len(q.spare) - 1
		some, q.spare = q.spare[last], q.spare[:last]
		q.waiting = append(q.waiting, nothingWait{tubes, some})
	}
	return out, some
}

func (q *nothingQueue) Reserve(ctx context.Context, tubes []string, most int) ([]transitory.Job, error) {
	for {
		out, some := q.take(tubes, most)
		if len(out) > 0 {
			return out, nil
		}
		select {
		case <-ctx.Done():
			q.mu.Lock()
			defer q.mu.Unlock()
			q.waiting = slices.DeleteFunc(q.waiting, func(w nothingWait) bool { return w.some == some })
			return nil, ctx.Err()
		case <-some:
			q.mu.Lock()
			q.spare = append(q.spare, some)
			q.mu.Unlock()
		}
	}
}

func (q *nothingQueue) Delete(_ context.Context, ids []transitory.ID) []error {
	return applied[:len(ids)]
}

func (q *nothingQueue) Release(_ context.Context, r []transitory.Release) []error {
	return applied[:len(r)]
}

func (q *nothingQueue) Touch(_ context.Context, ids []transitory.ID) []error {
	return applied[:len(ids)]
}

func (q *nothingQueue) Stats(_ context.Context, tubes []string) ([]transitory.TubeStats, error) {
	return make([]transitory.TubeStats, len(tubes)), nil
}

func (q *nothingQueue) Close() error { return nil }

// Check says that the queue is there: where the machine stands still for a second
// it is asked.
func (q *nothingQueue) Check(context.Context) fault.Report { return fault.Report{Reachable: true} }

func (q *nothingQueue) Features() transitory.Features {
	return transitory.Features{Name: "nothing", Durability: fault.Written, MaxBody: 1 << 20, Resolution: time.Second}
}

// nothingCells takes every cell and keeps none.
type nothingCells struct{}

func (nothingCells) Write(_ context.Context, _ amorphous.Table, rows []amorphous.Row) []error {
	return applied[:len(rows)]
}

func (nothingCells) Read(context.Context, amorphous.Table, []amorphous.Address) ([]amorphous.Row, error) {
	return nil, nil
}

func (nothingCells) Scan(context.Context, amorphous.Table, amorphous.Range) (amorphous.Page, error) {
	return amorphous.Page{}, nil
}
func (nothingCells) Prepare(context.Context, []amorphous.Table) error      { return nil }
func (nothingCells) Schema([]amorphous.Table) []string                     { return nil }
func (nothingCells) CreateSchema(context.Context, []amorphous.Table) error { return nil }
func (nothingCells) Close() error                                          { return nil }
func (nothingCells) Check(context.Context) fault.Report                    { return fault.Report{Reachable: true} }
func (nothingCells) Features() amorphous.Features {
	return amorphous.Features{Name: "nothing", Durability: fault.Written, MaxBody: 1 << 20}
}

// routedTasks is how many tasks one Put of the wide plan causes.
const routedTasks = 16

func noTask(context.Context, visit) error { return nil }

// widePlan has routedTasks tasks in four classes: three handlers to one default
// write. What an envelope costs is shared by many.
func widePlan() (plan persistence.Plan[visit]) {
	for i := range routedTasks {
		t := persistence.Task[visit]{Name: "t" + strconv.Itoa(i), Priority: 1 + i/4, Purpose: persistence.Transitory, Do: noTask}
		if i%4 == 3 {
			t.Purpose, t.Do = persistence.Amorphous, nil
			if i < routedTasks-1 {
				t.PartitionBy = "User"
			}
		}
		plan = append(plan, t)
	}
	return plan
}

// checkinPlan is that of the check-in: six tasks, each a class of its own, three
// of them in real time.
func checkinPlan() persistence.Plan[visit] {
	return persistence.Plan[visit]{
		{Priority: 1, Name: "distribute", Purpose: persistence.Transitory, RealTime: true, Do: noTask},
		{Priority: 2, Name: "venue", Purpose: persistence.Transitory, RealTime: true, Do: noTask},
		{Priority: 3, Name: "nearby", Purpose: persistence.Transitory, RealTime: true, Do: noTask},
		{Priority: 4, Name: "badges", Purpose: persistence.Transitory, Do: noTask},
		{Priority: 5, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		{Priority: 6, Name: "object", Purpose: persistence.Amorphous},
	}
}

// routing opens a layer over stores that do nothing, and a kind.
func routing(tb testing.TB, plan persistence.Plan[visit]) *persistence.Handle[visit] {
	layer, err := persistence.Open(tb.Context(), persistence.Stores{
		Transitory: transitory.SourceFunc(func(context.Context) (transitory.Driver, error) {
			return &nothingQueue{}, nil
		}),
		Amorphous: amorphous.SourceFunc(func(context.Context) (amorphous.Driver, error) { return nothingCells{}, nil }),
	}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	h := persistence.Declare(layer, "visit", plan)
	ctx, stop := context.WithCancel(context.Background())
	var working sync.WaitGroup
	working.Go(func() { _ = layer.Work(ctx) })
	tb.Cleanup(func() { stop(); working.Wait(); layer.Close() })
	for range 256 {
		route(tb, h) // tasks that were never run are not known to be quick, and each worker makes memory that it keeps
	}
	return h
}

func route(tb testing.TB, h *persistence.Handle[visit]) {
	r, err := h.Put(tb.Context(), visit{ID: "v", User: "ann", Venue: "pier"})
	if err == nil {
		err = r.Wait(tb.Context())
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkRouting is what a task costs beside its store: encoding, custody,
// lanes, workers, step functions, receipts.
func BenchmarkRouting(b *testing.B) {
	for name, plan := range map[string]persistence.Plan[visit]{"checkin": checkinPlan(), "wide": widePlan()} {
		b.Run(name, func(b *testing.B) {
			h := routing(b, plan)
			// Also of one Put at a time, which shares its claims with no other.
			costtest.Check(b, "a task", float64(len(plan)), costtest.Bound{Allocs: 3, Bytes: 660}, func() { route(b, h) })
			b.ReportAllocs()
			b.ResetTimer()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					route(b, h)
				}
			})
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(plan)), "ns/task")
		})
	}
}

// TestRoutingCosts bounds the memory of routing, which unlike its time is the
// same on every machine. The race detector empties pools, for up to one allocation
// more; BenchmarkRouting, which runs without it, commits to three for each task.
func TestRoutingCosts(t *testing.T) {
	for _, c := range []struct {
		what string
		plan persistence.Plan[visit]
		most costtest.Bound
	}{
		{"a task of sixteen", widePlan(), costtest.Bound{Allocs: 2.5, Bytes: 780}},
		{"a task of six, in as many classes", checkinPlan(), costtest.Bound{Allocs: 3.9, Bytes: 860}},
	} {
		h := routing(t, c.plan)
		costtest.Check(t, c.what, float64(len(c.plan)), c.most, func() { route(t, h) })
	}
}
