package persistence

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// tubes are those that may hold objects of the kind.
func (e *erasing) tubes() (out []string) {
	k := e.kind
	if k.custody == TransitoryCustody {
		out = e.layer.tubesOf(k)
		for _, lanes := range k.served {
			out = append(out, lanes.realTime, lanes.background, lanes.suspect)
			for p := Transitory; p <= Amorphous; p++ {
				out = append(out, lanes.parked[p])
			}
		}
		out = append(out, k.foreign...)
	}
	for _, t := range k.tasks {
		if t.write == writeJob {
			out = append(out, k.name+"."+t.name)
		}
		for _, name := range k.names() {
			if t.external && k.custody == TransitoryCustody {
				out = append(out, e.layer.foreignLane(name, t.name))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// searchQueue looks for jobs that hold the key's object, older than a version,
// and with remove takes out those that nobody has in hand. ok is false for a
// queue that cannot be searched.
func (e *erasing) searchQueue(ctx context.Context, before int64, remove bool) (wanted, kept int, ok bool, err error) {
	tubes := e.tubes()
	if e.layer.queue == nil || len(tubes) == 0 {
		return 0, 0, true, nil
	}
	seen := map[string]bool{} // a page that is read again is counted once
	removed, kept, err := e.layer.queue.Search(ctx, tubes, func(job transitory.Job) bool {
		if !e.holds(&job, before) {
			return false
		}
		seen[string(job.Body)] = true
		return remove
	})
	if fault.ClassOf(err) == fault.ErrUnsupported {
		return 0, 0, false, nil
	}
	for i := range removed {
		e.layer.engine.endErased(&removed[i])
	}
	return len(seen), kept, true, err
}

// holds reports whether a job holds the key's object in an older version. What
// cannot be read holds nobody knows what, and is left to whoever takes it.
func (e *erasing) holds(job *transitory.Job, before int64) bool {
	for _, t := range e.kind.tasks {
		if t.write == writeJob && job.Tube == e.kind.name+"."+t.name {
			obj := e.kind.make()
			if t.set.Decode(job.Body, value(obj)) != nil {
				return false
			}
			key, err := e.kind.typ.KeyOf(value(obj))
			return err == nil && key == e.key
		}
	}
	env, err := envelope.Decode(job.Body)
	return err == nil && env.Key == e.key && !env.Delete && env.Version < before && slices.Contains(e.kind.names(), env.Kind)
}

// endErased tells receipts and counters of the end of a job that was removed.
func (e *engine) endErased(job *transitory.Job) {
	env, err := envelope.Decode(job.Body)
	if err != nil {
		return // it is no envelope
	}
	h := e.layer.hold(e.layer.kindOf(env.Kind), env)
	h.custody, h.receipt = e.queue, e.followed(h.id())
	e.dropErased(h)
	e.unfollow(h.id())
}

// removeJobs removes the key's jobs from a queue that can be searched. One that
// a worker has in hand is waited for: its tasks are not begun any more.
func (e *erasing) removeJobs(ctx context.Context) error {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		_, kept, _, err := e.searchQueue(ctx, e.stamp.Version, true)
		if err != nil || kept == 0 {
			return err
		}
		e.layer.engine.settleAll()
		if err := sleep(ctx, wait); err != nil {
			return fmt.Errorf("%d jobs are in a worker's hands: %w", kept, err)
		}
	}
}

// lookQueue adds what a queue has that can be searched.
func (e *erasing) lookQueue(ctx context.Context, first bool, add func(string, ...any)) error {
	before := e.stamp.Version
	if first {
		before = int64(^uint64(0) >> 1)
	}
	wanted, _, _, err := e.searchQueue(ctx, before, false)
	if wanted > 0 {
		add("the queue: %d jobs", wanted)
	}
	return err
}

// unsearchedJobs says what lies in a queue that cannot be searched.
func (e *erasing) unsearchedJobs(ctx context.Context) (out []string, err error) {
	tubes := e.tubes()
	if e.layer.queue == nil || len(tubes) == 0 || e.layer.queue.Features().Search {
		return nil, nil
	}
	stats, err := e.layer.queue.Stats(ctx, tubes...)
	for _, s := range stats {
		if n := s.Ready + s.Delayed + s.Reserved; n > 0 {
			out = append(out, fmt.Sprintf("tube %s: %d jobs, which this queue does not let be looked into; those of this key among them are dropped when a worker takes them, and never run", s.Tube, n))
		}
	}
	return out, err
}
