package persistence

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
)

// A counter counts what this layer did with one task.
type counter struct {
	queued     atomic.Int64 // in transitory custody: what this process put into the queue and has not seen the end of
	done       atomic.Int64
	superseded atomic.Int64
	skipped    atomic.Int64
	dead       atomic.Int64
	late       atomic.Int64 // of these: past Within
}

// queued counts the tasks of an envelope as put into the queue, or no longer,
// but for those of which a worker has seen the end.
func (h *held) queued(n int64) {
	for i, t := range h.tasks {
		if t == nil || h.run.Tasks[i].State != flow.Waiting {
			continue
		}
		if n < 0 {
			if state, ok := h.receipt.State(t.name); ok && state != TaskPending {
				continue
			}
		}
		t.counter.queued.Add(n)
	}
}

// unqueue counts the end of a task of an envelope, if it lay in the queue. Who
// put it may have been another process.
func (e *engine) unqueue(h *held, t *task) {
	if e.queue == nil || h.custody != custodian(e.queue) || e.spilled.has(h.id()) {
		return
	}
	for c := &t.counter.queued; ; {
		if n := c.Load(); n <= 0 || c.CompareAndSwap(n, n-1) {
			return
		}
	}
}

// ended counts a task that came to its end.
func (c *counter) ended(s flow.State) {
	switch s {
	case flow.Done, flow.Skipped:
		c.done.Add(1)
	case flow.Superseded:
		c.superseded.Add(1)
	}
}

// TaskStats counts one task. Done, Superseded, Skipped and Late count what this layer
// did since it opened, also what it did again after a lease was lost; Pending and
// Dead are what custody holds now, whoever accepted it. A queue cannot tell what
// its jobs hold, so in transitory custody Pending is what this layer accepted and
// has not seen the end of, and Unknown and Oldest are zero; in a layer without a
// transactional store Dead is what this layer gave up, and OldestDead is zero.
type TaskStats struct {
	Kind, Task string        // by name
	Accepted   int64         // Done + Superseded + Pending + Dead
	Done       int64         // including Skipped
	Superseded int64         // done: a newer version was there
	Skipped    int64         // cache writes that their dead store missed
	Pending    int64         // in custody
	Dead       int64         // dead letters
	Late       int64         // came to their end past Within in this layer, expired or not
	Unknown    int64         // of Pending: the last attempt ended with an unknown outcome
	Oldest     time.Duration // age of the oldest pending one; zero without
	OldestDead time.Duration // how long ago the oldest dead letter died; zero without
}

// Stats are the counts of a layer.
type Stats struct {
	Tasks   []TaskStats // by kind and task, in order of declaration
	Working bool        // Work runs in this process; without it tasks wait
	Held    int         // envelopes that this process holds
	// Stuck is how many handlers run for ten seconds longer than their Timeout
	// allows, here and now, and keep a worker whose place another has taken.
	Stuck int
}

// String is a table for a terminal.
func (s Stats) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-24s %10s %10s %10s %8s %8s %8s %10s %12s\n", "task", "accepted", "done", "pending", "dead", "skipped", "late", "oldest", "oldest dead")
	for _, t := range s.Tasks {
		fmt.Fprintf(&b, "%-24s %10d %10d %10d %8d %8d %8d %10v %12v\n", t.Kind+"/"+t.Task, t.Accepted,
			t.Done+t.Superseded, t.Pending, t.Dead, t.Skipped, t.Late, t.Oldest.Round(time.Millisecond), t.OldestDead.Round(time.Second))
	}
	if !s.Working {
		b.WriteString("nobody works in this process: tasks above priority 0 wait for Work or Drain\n")
	}
	if s.Stuck > 0 {
		fmt.Fprintf(&b, "%d handlers neither return nor look at their context: see the log\n", s.Stuck)
	}
	return b.String()
}

// Stats counts, per task, what was accepted and what became of it. It reads
// custody, so its cost grows with the backlog.
func (l *Layer) Stats(ctx context.Context) (Stats, error) {
	if err := l.open("stats"); err != nil {
		return Stats{}, err
	}
	out := Stats{Working: l.working(), Held: len(l.engine.holding()), Stuck: l.engine.crew.stuckNow()}
	index := map[[2]string]*TaskStats{}
	kinds := l.declared()
	for _, k := range kinds {
		for _, t := range k.tasks {
			out.Tasks = append(out.Tasks, TaskStats{Kind: k.name, Task: t.name,
				Done: t.counter.done.Load(), Superseded: t.counter.superseded.Load(), Skipped: t.counter.skipped.Load(), Late: t.counter.late.Load()})
		}
	}
	i := 0
	for _, k := range kinds {
		for _, t := range k.tasks {
			index[[2]string{k.name, t.name}] = &out.Tasks[i]
			if k.custody == TransitoryCustody {
				out.Tasks[i].Pending = max(t.counter.queued.Load(), 0)
			}
			i++
		}
	}
	if err := l.statsFromCustody(ctx, index); err != nil {
		return out, err
	}
	for i := range out.Tasks {
		t := &out.Tasks[i]
		t.Accepted = t.Done + t.Superseded + t.Pending + t.Dead
	}
	return out, nil
}

// statsFromCustody adds what waits in the outbox and the dead letters.
func (l *Layer) statsFromCustody(ctx context.Context, index map[[2]string]*TaskStats) error {
	if l.rows == nil {
		for _, k := range l.declared() {
			for _, t := range k.tasks {
				index[[2]string{k.name, t.name}].Dead = t.counter.dead.Load()
			}
		}
		return nil
	}
	now, untold := time.Now(), l.engine.untold()
	err := l.rows.Walk(ctx, func(rec transactional.Record) bool {
		tasks, err := envelope.DecodeTasks(rec.Progress)
		if err != nil {
			return true
		}
		for _, t := range tasks {
			s := l.statOf(index, rec.Kind, t.Name)
			if s == nil || t.Seen&envelope.SeenDead != 0 || untold[rec.ID].ended(t.Name) {
				continue
			}
			s.Pending++
			s.Oldest = max(s.Oldest, now.Sub(rec.AcceptedAt))
			if t.Seen&envelope.SeenUnknown != 0 {
				s.Unknown++
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	dead, err := l.rows.CountDead(ctx)
	if err != nil {
		return err
	}
	for at, n := range dead {
		if s := l.statOf(index, at[0], at[1]); s != nil {
			s.Dead += int64(n)
		}
	}
	oldest, err := l.rows.OldestDead(ctx)
	for at, died := range oldest {
		if s := l.statOf(index, at[0], at[1]); s != nil {
			s.OldestDead = max(s.OldestDead, now.Sub(died))
		}
	}
	return err
}

// untold are the envelopes that this process holds: custody may still have
// tasks of them as pending that are in the counters already.
func (e *engine) untold() map[transactional.RecordID]*held {
	out := map[transactional.RecordID]*held{}
	for _, h := range e.holding() {
		out[h.id()] = h
	}
	e.unsettled.mu.Lock()
	defer e.unsettled.mu.Unlock()
	for i := range e.unsettled.list {
		h := e.unsettled.list[i].held
		out[h.id()] = h
	}
	return out
}

// ended reports whether the end of a task is in the counters. Of no envelope
// it is not.
func (h *held) ended(task string) bool {
	if h == nil {
		return false
	}
	i := slices.Index(h.tasks, h.kind.task(task))
	return i >= 0 && h.ends.Load()&(1<<i) != 0
}

// statOf finds the entry of a task by its present or former names.
func (l *Layer) statOf(index map[[2]string]*TaskStats, kind, task string) *TaskStats {
	k := l.kindOf(kind)
	if k == nil {
		return nil
	}
	t := k.task(task)
	if t == nil {
		return nil
	}
	return index[[2]string{k.name, t.name}]
}

// countLeft adds the tasks of one outbox row to what Drain left.
func (l *Layer) countLeft(count map[Left]int, rec *transactional.Record) {
	tasks, err := envelope.DecodeTasks(rec.Progress)
	if err != nil {
		count[Left{Kind: rec.Kind, Why: "cannot be read"}]++
		return
	}
	k := l.kindOf(rec.Kind)
	for _, t := range tasks {
		why := l.why(k, t)
		if why == whyBehind && rec.Owner != 0 {
			why = "waits for a worker that holds it, or for the end of its lease"
		}
		count[Left{Kind: rec.Kind, Task: t.Name, Why: why}]++
	}
}

// why says in words what a task waits for.
func (l *Layer) why(k *kind, t envelope.Task) string {
	switch {
	case k == nil || k.task(t.Name) == nil:
		return "nobody here serves it"
	case k.task(t.Name).external:
		return "served by another program"
	case t.Seen&envelope.SeenDead != 0:
		return "a dead letter that keeps its ordering key"
	case t.Parked != 0:
		return "waits for the " + Purpose(t.Parked).String() + " store"
	case t.NotBefore > nowMicro():
		return "not due"
	}
	return whyBehind
}

const whyBehind = "waits behind another task of its object"

// leftInQueue adds what waits in the queue, which can only be counted by tube.
func (l *Layer) leftInQueue(ctx context.Context, count map[Left]int) ([]Left, error) {
	inQueue := slices.ContainsFunc(l.declared(), func(k *kind) bool { return k.custody == TransitoryCustody })
	if inQueue && l.engine.health.isDown[Transitory].Load() {
		count[Left{Why: "the transitory store is down: what it holds waits for it"}] = 0
	} else if l.queue != nil {
		for _, k := range l.declared() {
			if k.custody != TransitoryCustody {
				continue
			}
			stats, err := l.queue.Stats(ctx, l.tubesOf(k)...)
			if err != nil {
				return nil, err
			}
			countTubes(count, k, stats)
		}
	}
	out := make([]Left, 0, len(count))
	for left, n := range count {
		left.N = n
		out = append(out, left)
	}
	slices.SortFunc(out, func(a, b Left) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Task, b.Task), cmp.Compare(a.Why, b.Why))
	})
	return out, nil
}

// tubesOf are all tubes in which the kind's envelopes may wait.
func (l *Layer) tubesOf(k *kind) []string {
	out := []string{k.lane.realTime, k.lane.background, k.lane.suspect}
	for p := Transitory; p <= Amorphous; p++ {
		out = append(out, k.lane.parked[p])
	}
	l.engine.foreign.Range(func(lane, of any) bool {
		if of == k {
			out = append(out, lane.(string))
		}
		return true
	})
	return out
}

func countTubes(count map[Left]int, k *kind, stats []transitory.TubeStats) {
	for _, s := range stats {
		why := "not due"
		if s.Ready > 0 {
			why = "waits in tube " + s.Tube
		}
		if n := s.Ready + s.Delayed; n > 0 {
			count[Left{Kind: k.name, Why: why}] += n
		}
	}
}
