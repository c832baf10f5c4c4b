package transitorytest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/transitory"
)

var order = []check{
	{name: "Priority", run: priorityOrder, needs: []need{strict},
		promise: "the most urgent first: 0 before 2^32-1"},
	{name: "FIFO", run: fifoOrder, needs: []need{strict, fifo},
		promise: "jobs of equal priority come in the order of their Put, with one producer"},
	{name: "PriorityThenFIFO", run: priorityThenFIFO, needs: []need{strict, fifo},
		promise: "priority first, then the order of Put, over many jobs and interleaved puts"},
	{name: "UrgentOverTubes", run: urgentOverTubes, needs: []need{strict},
		promise: "Reserve returns the most urgent first over all the tubes"},
	{name: "OvertakesTheQueue", run: overtakes, needs: []need{strict},
		promise: "a more urgent job overtakes a long queue"},
	{name: "ReleaseUnchanged", run: releaseUnchanged,
		promise: "a job that was given back is the same job, also one with an empty body"},
	{name: "ReleasePriority", run: releasePriority, needs: []need{strict},
		promise: "Release gives a job back with a priority of its own"},
}

func priorityOrder(e *env) {
	priorities := []uint32{500, 1<<32 - 1, 0, 1024, 10, 1 << 31, 1<<31 - 1, 1023}
	for _, p := range priorities {
		e.put(transitory.Job{Tube: "t", Priority: p, Body: fmt.Append(nil, p)})
	}
	slices.Sort(priorities)
	var want []string
	for _, p := range priorities {
		want = append(want, fmt.Sprint(p))
	}
	if got := bodies(e.reserve(len(priorities), "t")); got != strings.Join(want, " ") {
		e.Errorf("got %s, want %s", got, strings.Join(want, " "))
	}
}

func fifoOrder(e *env) {
	const n = 200
	for i := range n / 2 {
		e.put(transitory.Job{Tube: "t", Body: fmt.Append(nil, i)})
	}
	var batch []transitory.Job
	for i := n / 2; i < n; i++ {
		batch = append(batch, transitory.Job{Tube: "t", Body: fmt.Append(nil, i)})
	}
	e.put(batch...)
	for i := range n {
		job := e.reserve(1, "t")[0]
		if string(job.Body) != fmt.Sprint(i) {
			e.Fatalf("job %s came where %d was due", job.Body, i)
		}
		e.remove(job)
	}
}

func priorityThenFIFO(e *env) {
	random := rand.New(rand.NewPCG(1, 2))
	var waiting []transitory.Job
	for i := range 600 {
		if len(waiting) == 0 || random.IntN(3) > 0 {
			job := transitory.Job{Tube: "t", Priority: random.Uint32N(8), Body: fmt.Append(nil, i)}
			e.put(job)
			at, _ := slices.BinarySearchFunc(waiting, job, func(a, b transitory.Job) int {
				if a.Priority <= b.Priority { // behind its equals
					return -1
				}
				return 1
			})
			waiting = slices.Insert(waiting, at, job)
			continue
		}
		job := e.reserve(1, "t")[0]
		if string(job.Body) != string(waiting[0].Body) {
			e.Fatalf("step %d: job %s came where %s was due", i, job.Body, waiting[0].Body)
		}
		e.remove(job)
		waiting = waiting[1:]
	}
}

func urgentOverTubes(e *env) {
	e.put(
		transitory.Job{Tube: "a", Priority: 1, Body: []byte("1")}, transitory.Job{Tube: "b", Priority: 2, Body: []byte("2")},
		transitory.Job{Tube: "c", Priority: 3, Body: []byte("3")}, transitory.Job{Tube: "a", Priority: 4, Body: []byte("4")},
		transitory.Job{Tube: "other", Priority: 0, Body: []byte("0")},
	)
	if got := bodies(e.reserve(4, "c", "b", "a")); got != "1 2 3 4" {
		e.Errorf("got %s, want 1 2 3 4", got)
	}
	e.nothing("its tube was not asked for", "a", "b", "c")
}

func overtakes(e *env) {
	var jobs []transitory.Job
	for range 1000 {
		jobs = append(jobs, transitory.Job{Tube: "t", Priority: 9, Body: []byte("late")})
	}
	e.put(jobs...)
	e.remove(e.reserve(3, "t")...)
	e.put(transitory.Job{Tube: "t", Priority: 8, Body: []byte("soon")})
	if got := bodies(e.reserve(1, "t")); got != "soon" {
		e.Errorf("got %q before the most urgent job", got)
	}
}

func releaseUnchanged(e *env) {
	for _, body := range []string{"", "x", string(make([]byte, 5000))} {
		e.put(transitory.Job{Tube: "t", Priority: 5, Body: []byte(body)})
		for range 3 {
			job := e.reserve(1, "t")[0]
			if string(job.Body) != body || job.Priority != 5 {
				e.Fatalf("a body of %d bytes came as %d bytes of priority %d", len(body), len(job.Body), job.Priority)
			}
			if err := e.q.Release(e.ctx, transitory.Release{ID: job.ID, Priority: 5})[0]; err != nil {
				e.Fatal(err)
			}
		}
		e.remove(e.reserve(1, "t")...)
	}
}

func releasePriority(e *env) {
	e.put(transitory.Job{Tube: "t", Priority: 1, Body: []byte("a")}, transitory.Job{Tube: "t", Priority: 2, Body: []byte("b")})
	a := e.reserve(1, "t")[0]
	if err := e.q.Release(e.ctx, transitory.Release{ID: a.ID, Priority: 3})[0]; err != nil {
		e.Fatal(err)
	}
	jobs := e.reserve(2, "t")
	if got := bodies(jobs); got != "b a" {
		e.Fatalf("after a was released behind b came %q", got)
	}
	if err := e.q.Release(e.ctx, transitory.Release{ID: jobs[1].ID, Priority: 0}, transitory.Release{ID: jobs[0].ID, Priority: 0}); err[0] != nil || err[1] != nil {
		e.Fatal(err)
	}
	e.put(transitory.Job{Tube: "t", Priority: 1, Body: []byte("c")})
	if got := bodies(e.reserve(3, "t")[2:]); got != "c" {
		e.Errorf("two jobs were released at priority 0; the third is %q, want c", got)
	}
}
