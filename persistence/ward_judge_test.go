package persistence_test

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// traced reports whether an object is followed: one in ten, for the trace of
// minutes would be what grows.
func traced(id string) bool { return strings.HasSuffix(id, "0") }

// had notes that a task had its effect.
func (w *ward) had(e persistence.TaskEvent) {
	if w.tasks[e.Kind] == nil || e.Task == unseen {
		return
	}
	name := maphash.String(wardHash, e.Kind+"/"+e.Task+"/"+e.Key)
	if w.ran[name] {
		w.again++
	}
	w.ran[name] = true
	if traced(e.Key) {
		w.trace.Add(persistencetest.Event{Verb: persistencetest.Effect, ID: e.Kind + e.Key, Task: e.Task})
	}
}

// unseen is the task whose end nobody may see: where the answer to the commit of
// a transaction is lost, and custody cannot be read either, its envelope comes
// back without it. Its effects are read from the store.
const unseen = "count"

var wardHash = maphash.MakeSeed()

// sum counts how often the transaction of a sale had its effect.
func (w *ward) sum(ctx context.Context, tx *persistence.Tx, s sale) error {
	n, err := w.sums.In(tx).Get(ctx, s.ID)
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return err
	}
	_, err = w.sums.In(tx).Put(ctx, tally{User: s.ID, N: n.N + 1})
	return err
}

// turn writes a register and reads it, side by side, until the end.
func (w *ward) turn(end time.Time) {
	var both sync.WaitGroup
	often := func(do func(ctx context.Context, began time.Time)) {
		every := time.NewTicker(100 * time.Millisecond)
		defer every.Stop()
		for ; time.Now().Before(end); <-every.C {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			do(ctx, time.Now())
			cancel()
		}
	}
	both.Go(func() {
		often(func(ctx context.Context, began time.Time) {
			w.turns++
			_, err := w.dials.Put(ctx, dial{"dial", w.turns})
			w.trace.Add(persistencetest.Event{Verb: persistencetest.Wrote, Store: "transactional", Key: "dial",
				N: w.turns, Outcome: fault.OutcomeOf(err), Began: began})
		})
	})
	both.Go(func() {
		often(func(ctx context.Context, began time.Time) { w.readDial(ctx, began) })
	})
	both.Wait()
}

// readDial notes what the register says, if it says something. Its only writer
// counts up, so that what it holds is also a version.
func (w *ward) readDial(ctx context.Context, began time.Time) {
	d, err := w.dials.Get(ctx, "dial")
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return
	}
	w.trace.Add(persistencetest.Event{Verb: persistencetest.Saw, Store: "transactional", Key: "dial", N: d.N, Began: began})
	w.trace.Add(persistencetest.Event{Verb: persistencetest.Read, Store: "transactional", Key: "dial", Version: d.N})
}

// balance compares what Put said of tasks with what Stats says became of them,
// while nothing is put and nothing is pending.
func (w *ward) balance(name string) {
	w.Helper()
	stats, err := w.layer.Stats(context.Background())
	if err != nil {
		w.Errorf("%s: %v", name, err)
		return
	}
	var s persistencetest.Sample // Done counts what runs again, after a lease that was lost, once more
	for _, t := range stats.Tasks {
		if w.tasks[t.Kind] != nil && t.Task != unseen {
			s.Done, s.Superseded, s.Pending, s.Dead = s.Done+t.Done, s.Superseded+t.Superseded, s.Pending+t.Pending, s.Dead+t.Dead
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Open = int64(w.again)
	for kind, tasks := range w.tasks {
		n := len(tasks)
		if slices.Contains(tasks, unseen) {
			n--
		}
		s.Accepted += int64(w.puts[kind] * n)
		s.Open += int64(w.unsure[kind] * n)
	}
	if v := persistencetest.CheckAccounting([]persistencetest.Event{{Verb: persistencetest.Sampled, Sample: s}}); v.Passed() {
		w.Logf("%s: %v: %d tasks were accepted, %d perhaps, %d ran again", name, v, s.Accepted, s.Open-int64(w.again), w.again)
	} else {
		w.Errorf("%s: %v", name, v)
	}
}

// judge lets all checks look at what was noted, when everything is mended.
func (w *ward) judge() {
	w.Helper()
	w.readDial(context.Background(), time.Now())
	w.summed()
	w.trace.Judge(w, persistencetest.CheckTotal, persistencetest.CheckVersions, persistencetest.CheckRegister,
		persistencetest.CheckRecovery(2*time.Minute), onceSummed)
}

// summed notes the effects that the transactions have left.
func (w *ward) summed() {
	w.Helper()
	for _, e := range w.trace.Events() {
		id, sale := strings.CutPrefix(e.ID, "sale")
		if e.Verb != persistencetest.Put || !sale {
			continue
		}
		n, err := w.sums.Get(context.Background(), id)
		if err != nil && !errors.Is(err, fault.ErrNotFound) {
			w.Error(err)
		}
		for range n.N {
			w.trace.Add(persistencetest.Event{Verb: persistencetest.Effect, ID: e.ID, Task: unseen})
		}
	}
}

// onceSummed is CheckOnce of the transactions alone: handlers may run again.
func onceSummed(events []persistencetest.Event) persistencetest.Verdict {
	var effects []persistencetest.Event
	for _, e := range events {
		if e.Verb == persistencetest.Effect && e.Task == unseen {
			effects = append(effects, e)
		}
	}
	v := persistencetest.CheckOnce(effects)
	if len(effects) == 0 {
		v.Unknown, v.Evidence = true, "no transaction had its effect"
	}
	return v
}
