package transitorytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fourfold-dev/fourfold/internal/histories"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// RunModel compares a driver, operation by operation, with a model that is a
// list: results and classes of errors must agree. Delays and TTRs are so long
// that none ends while it runs, because a model cannot know what a server's
// clock says; Run is about those. Every run draws its own history; on a
// failure it prints the shortest that fails.
func RunModel(t *testing.T, harness func(t *testing.T) *Harness) {
	histories.Fewer(t, "40")
	rapid.Check(t, func(rt *rapid.T) {
		e := newEnv(t, harness)
		defer e.close()
		m := &model{env: e, held: map[transitory.ID]*modelJob{}, stale: []transitory.ID{"", "1", "x.y.z"}}
		actions := map[string]func(*rapid.T){
			"put": m.put, "reserve": m.reserve, "delete": m.delete, "release": m.release, "touch": m.touch,
			"stale": m.useStale, "reopen": m.reopen, "": m.check,
		}
		if e.h.Restart != nil && e.q.Features().Durability != fault.Memory {
			actions["restart"] = m.restart
		}
		rt.Repeat(actions)
	})
}

type model struct {
	*env
	jobs  []*modelJob // in the order of their puts
	held  map[transitory.ID]*modelJob
	stale []transitory.ID
	last  int
}

type modelJob struct {
	body     string
	tube     string
	priority uint32
	delayed  bool
	id       transitory.ID // of its reservation; empty: none
	had      []uint32      // the priorities of before
}

var modelTubes = []string{"a", "b", "c"}

func (m *model) put(t *rapid.T) {
	var jobs []transitory.Job
	var sound []*modelJob
	for range rapid.IntRange(1, 8).Draw(t, "jobs") {
		m.last++
		j := &modelJob{
			body: fmt.Sprint(m.last), tube: rapid.SampledFrom(modelTubes).Draw(t, "tube"),
			priority: rapid.SampledFrom([]uint32{0, 1, 2, 1<<32 - 1}).Draw(t, "priority"),
			delayed:  rapid.IntRange(0, 4).Draw(t, "delayed") == 0,
		}
		job := transitory.Job{Tube: j.tube, Priority: j.priority, TTR: time.Hour, Body: []byte(j.body)}
		if j.delayed {
			job.Delay = transitory.MaxDelay
		}
		if rapid.IntRange(0, 9).Draw(t, "faulty") == 0 {
			job.Tube, j = "not a tube", nil
		}
		jobs, sound = append(jobs, job), append(sound, j)
	}
	for i, err := range m.q.Put(m.ctx, jobs...) {
		if want := class(sound[i] == nil, fault.ErrInvalid); fault.ClassOf(err) != want {
			t.Fatalf("put of job %d: %v, want class %v", i, err, want)
		}
		if sound[i] != nil {
			m.jobs = append(m.jobs, sound[i])
		}
	}
}

func class(faulty bool, c error) error {
	if faulty {
		return c
	}
	return nil
}

// reserve asks only for what is there, so that it never waits.
func (m *model) reserve(t *rapid.T) {
	tubes := rapid.SliceOfNDistinct(rapid.SampledFrom(modelTubes), 1, 3, rapid.ID).Draw(t, "tubes")
	if m.next(tubes) == nil {
		return
	}
	most := rapid.IntRange(1, 6).Draw(t, "max")
	jobs, err := m.q.Reserve(m.ctx, tubes, most)
	if err != nil || len(jobs) == 0 || len(jobs) > most {
		t.Fatalf("reserve of at most %d: %d jobs, %v", most, len(jobs), err)
	}
	for i, job := range jobs {
		want := m.next(tubes)
		if want == nil {
			t.Fatalf("job %d of the reserve, %q, is not ready", i, job.Body)
		}
		got := m.find(job)
		if got == nil || got.id != "" || got.delayed || got.priority != want.priority || (got != want && m.ordered(got, want)) {
			t.Fatalf("job %d of the reserve is %q, want %+v", i, job.Body, want)
		}
		if m.held[job.ID] != nil {
			t.Fatalf("the id %q was given twice", job.ID)
		}
		got.id = job.ID
		m.held[job.ID] = got
	}
}

// ordered says whether the order of two jobs of equal priority is promised.
func (m *model) ordered(a, b *modelJob) bool {
	return m.q.Features().FIFO && a.tube == b.tube
}

func (m *model) next(tubes []string) *modelJob {
	var best *modelJob
	for _, j := range m.jobs {
		if j.id == "" && !j.delayed && slices.Contains(tubes, j.tube) && (best == nil || j.priority < best.priority) {
			best = j
		}
	}
	return best
}

func (m *model) find(job transitory.Job) *modelJob {
	for _, j := range m.jobs {
		if j.body == string(job.Body) && j.tube == job.Tube {
			return j
		}
	}
	return nil
}

// anyHeld draws a reservation; nil when there is none.
func (m *model) anyHeld(t *rapid.T) *modelJob {
	var held []*modelJob
	for _, j := range m.jobs {
		if j.id != "" {
			held = append(held, j)
		}
	}
	if len(held) == 0 {
		return nil
	}
	return rapid.SampledFrom(held).Draw(t, "held")
}

// end ends a reservation.
func (m *model) end(j *modelJob) {
	delete(m.held, j.id)
	m.stale = append(m.stale, j.id)
	j.id = ""
}

func (m *model) delete(t *rapid.T) {
	j := m.anyHeld(t)
	if j == nil {
		return
	}
	if err := m.q.Delete(m.ctx, j.id)[0]; err != nil {
		t.Fatalf("delete of %q: %v", j.body, err)
	}
	m.end(j)
	m.jobs = slices.DeleteFunc(m.jobs, func(other *modelJob) bool { return other == j })
}

func (m *model) release(t *rapid.T) {
	j := m.anyHeld(t)
	if j == nil {
		return
	}
	r := transitory.Release{ID: j.id, Priority: rapid.Uint32Range(0, 3).Draw(t, "priority")}
	if rapid.Bool().Draw(t, "delayed") {
		r.Delay = transitory.MaxDelay
	}
	if err := m.q.Release(m.ctx, r)[0]; err != nil {
		t.Fatalf("release of %q: %v", j.body, err)
	}
	m.end(j)
	j.had = append(j.had, j.priority)
	j.priority, j.delayed = r.Priority, r.Delay > 0
}

func (m *model) touch(t *rapid.T) {
	if j := m.anyHeld(t); j != nil {
		if err := m.q.Touch(m.ctx, j.id)[0]; err != nil {
			t.Fatalf("touch of %q: %v", j.body, err)
		}
	}
}

// useStale settles by an id whose reservation is gone.
func (m *model) useStale(t *rapid.T) {
	id := rapid.SampledFrom(m.stale).Draw(t, "stale id")
	for op, err := range map[string]error{
		"delete":  m.q.Delete(m.ctx, id)[0],
		"release": m.q.Release(m.ctx, transitory.Release{ID: id})[0],
		"touch":   m.q.Touch(m.ctx, id)[0],
	} {
		if fault.ClassOf(err) != fault.ErrNotFound {
			t.Fatalf("%s by the stale id %q: %v", op, id, err)
		}
	}
}

func (m *model) reopen(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
		return
	}
	m.env.reopen()
	m.forgetReservations()
}

func (m *model) restart(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
		return
	}
	m.env.restart()
	m.forgetReservations()
	m.learn()
}

// learn looks at the priorities that a kill has left: beanstalkd writes a
// release to its log only where it has a delay, so a job may be as urgent again
// as it was before its release. It may be nothing else.
func (m *model) learn() {
	for _, tube := range modelTubes {
		var jobs []transitory.Job
		if ready := m.stats(tube).Ready; ready > 0 {
			jobs = m.env.reserve(ready, tube)
		}
		for _, job := range jobs {
			j := m.find(job)
			if j == nil || j.delayed {
				m.Fatalf("after a restart job %q is ready", job.Body)
			}
			if job.Priority != j.priority && !slices.Contains(j.had, job.Priority) {
				m.Fatalf("after a restart job %q has priority %d, which it never had", job.Body, job.Priority)
			}
			j.priority = job.Priority
			if err := m.q.Release(m.ctx, transitory.Release{ID: job.ID, Priority: job.Priority})[0]; err != nil {
				m.Fatalf("release of %q: %v", job.Body, err)
			}
			m.stale = append(m.stale, job.ID)
		}
	}
}

func (m *model) forgetReservations() {
	for _, j := range m.jobs {
		if j.id != "" {
			m.end(j)
		}
	}
	// A server notices a connection's end in its own time.
	m.eventually("reservations of before are still counted", func() bool {
		ctx, cancel := context.WithTimeout(m.ctx, 5*time.Second)
		defer cancel()
		stats, err := m.q.Stats(ctx, modelTubes...)
		if err != nil && !fault.Retryable(err) && !fault.Unknown(err) && !errors.Is(err, context.DeadlineExceeded) {
			m.Fatalf("stats after a restart: %v", err)
		}
		return err == nil && stats[0].Reserved+stats[1].Reserved+stats[2].Reserved == 0
	})
}

// check compares the counts of every tube.
func (m *model) check(t *rapid.T) {
	stats, err := m.q.Stats(m.ctx, modelTubes...)
	if err != nil {
		t.Fatalf("stats: %v", err)
	}
	for i, tube := range modelTubes {
		want := transitory.TubeStats{Tube: tube}
		for _, j := range m.jobs {
			switch {
			case j.tube != tube:
			case j.id != "":
				want.Reserved++
			case j.delayed:
				want.Delayed++
			default:
				want.Ready++
			}
		}
		if next := m.next([]string{tube}); next != nil && m.q.Features().Urgent {
			want.Urgent = next.priority
		} else {
			stats[i].Urgent = 0
		}
		if stats[i] != want {
			t.Fatalf("stats of tube %s are %+v, want %+v", tube, stats[i], want)
		}
	}
}
