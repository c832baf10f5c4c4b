package persistence_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A drill is a layer whose stores fail on demand, and a check-in fan-out in
// small upon it, in either custody.
type drill struct {
	*testing.T
	faults  *persistencetest.Faults
	layer   *persistence.Layer
	tallies *persistence.Handle[tally]
	visits  *persistence.Handle[visit] // transactional custody
	posts   *persistence.Handle[visit] // transitory custody
	cached  *persistence.Handle[visit] // cached, its record amorphous, both before Put returns
	plain   *persistence.Handle[visit] // one amorphous write before Put returns
	watch   *watcher
}

// A watcher notes the attempts that were spent, by task.
type watcher struct {
	mu    sync.Mutex
	spent map[string]int // most attempts that a run of the task began with
	runs  map[string]int
	last  map[string]persistence.TaskEvent
}

func (w *watcher) TaskDone(_ context.Context, e persistence.TaskEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := e.Kind + "/" + e.Task
	w.spent[name] = max(w.spent[name], e.Attempts)
	w.runs[name]++
	w.last[name] = e
}

func (w *watcher) of(task string) (spent, runs int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.spent[task], w.runs[task]
}

// inDrill runs test in a bubble. without removes stores from the layer.
func inDrill(t *testing.T, test func(d *drill), without ...persistence.Purpose) {
	t.Helper()
	inDrillOf(t, persistence.Options{}, test, without...)
}

// inDrillOf is inDrill with options of the layer.
func inDrillOf(t *testing.T, opts persistence.Options, test func(d *drill), without ...persistence.Purpose) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := &drill{T: t, faults: persistencetest.NewFaults(),
			watch: &watcher{spent: map[string]int{}, runs: map[string]int{}, last: map[string]persistence.TaskEvent{}}}
		stores := embedded.Stores(dir)
		for _, p := range without {
			switch p {
			case persistence.Transactional:
				stores.Transactional = nil
			case persistence.Volatile:
				stores.Volatile = nil
			}
		}
		opts.Observer, opts.Lease = d.watch, 10*time.Second
		var err error
		d.layer, err = persistence.Open(t.Context(), d.faults.Wrap(stores), &opts)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := d.layer.Close(); err != nil {
				t.Error("close:", err)
			}
		}()
		d.declare(!slices.Contains(without, persistence.Transactional))
		test(d)
	})
}

func nothing(context.Context, visit) error { return nil }

func (d *drill) declare(rows bool) {
	one := persistence.KindOptions{Custody: persistence.TransitoryCustody}
	d.posts = persistence.Declare(d.layer, "post", persistence.Plan[visit]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, RealTime: true, MaxAttempts: 1, Do: nothing},
		{Priority: 2, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At", MaxAttempts: 1},
		{Priority: 3, Name: "object", Purpose: persistence.Amorphous, MaxAttempts: 1},
	}, one)
	d.plain = persistence.Declare(d.layer, "plain", persistence.Plan[visit]{{Purpose: persistence.Amorphous, MaxAttempts: 1}})
	if !rows {
		return
	}
	d.tallies = persistence.Declare(d.layer, "tally", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	g := &game{layer: d.layer, tallies: d.tallies}
	d.visits = persistence.Declare(d.layer, "visit", persistence.Plan[visit]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, RealTime: true, MaxAttempts: 1, Do: nothing},
		{Priority: 2, Name: "count", Purpose: persistence.Transactional, Tx: g.count},
		{Priority: 3, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At", MaxAttempts: 1},
		{Priority: 4, Name: "object", Purpose: persistence.Amorphous, MaxAttempts: 1},
	})
	d.cached = persistence.Declare(d.layer, "cached", persistence.Plan[visit]{
		{Priority: 0, Purpose: persistence.Volatile},
		{Priority: 0, Purpose: persistence.Amorphous},
	}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
}

// serve works until the drill ends.
func (d *drill) serve() {
	d.Helper()
	persistencetest.Work(d.T, d.layer)
}

// put puts n objects of user ann.
func (d *drill) put(h *persistence.Handle[visit], n int) (out []*persistence.Receipt) {
	d.Helper()
	for i := range n {
		r, err := h.Put(d.Context(), visit{ID: fmt.Sprint("v", i), User: "ann", At: time.Unix(int64(i), 0)})
		if err != nil {
			d.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// within fails unless the tasks of all receipts end in time.
func (d *drill) within(limit time.Duration, rs []*persistence.Receipt, tasks ...string) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), limit)
	defer cancel()
	for _, r := range rs {
		if err := r.Wait(ctx, tasks...); err != nil {
			d.Fatalf("after %v: %v: %v", limit, r, err)
		}
	}
}

// untouched fails if one of the tasks is final.
func (d *drill) untouched(rs []*persistence.Receipt, tasks ...string) {
	d.Helper()
	for _, r := range rs {
		for _, name := range tasks {
			if s, ok := r.State(name); !ok || s != persistence.TaskPending {
				d.Errorf("%v: task %s is %s, want pending", r, name, s)
			}
		}
	}
}

// clean fails when dead letters are there.
func (d *drill) clean() {
	d.Helper()
	if left, err := d.layer.Drain(d.Context()); err != nil || len(left) > 0 {
		d.Errorf("drain left %v, %v", left, err)
	}
	letters, err := d.layer.DeadLetters().List(d.Context(), persistence.DeadFilter{})
	if err != nil || len(letters) > 0 {
		d.Errorf("dead letters %+v, %v; want none", letters, err)
	}
	stats, err := d.layer.Stats(d.Context())
	if err != nil {
		d.Error(err)
	}
	for _, s := range stats.Tasks {
		if s.Pending > 0 {
			d.Errorf("%s/%s: %d pending", s.Kind, s.Task, s.Pending)
		}
	}
}

func (d *drill) custodies(test func(h *persistence.Handle[visit], kind string)) {
	test(d.visits, "visit")
	test(d.posts, "post")
}
