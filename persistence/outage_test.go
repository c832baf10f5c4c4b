package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// The tests of this file run in bubbles of virtual time: an outage of ten
// minutes costs milliseconds, and what must happen within five seconds is
// measured by the bubble's own clock.

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
		var err error
		d.layer, err = persistence.Open(t.Context(), d.faults.Wrap(stores), &persistence.Options{Observer: d.watch, Lease: 10 * time.Second})
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

// "amorphous: its tasks wait; siblings go on" and P8: "An unreachable store
// spends no retry budget. When the store returns, the backlog begins to drain
// within 5 s, by itself."
func TestAmorphousDown_F1_F4(t *testing.T) {
	for _, length := range []time.Duration{3 * time.Second, 10 * time.Minute} {
		t.Run(length.String(), func(t *testing.T) {
			inDrill(t, func(d *drill) {
				d.serve()
				d.faults.Down(persistence.Amorphous)
				d.custodies(func(h *persistence.Handle[visit], kind string) {
					rs := d.put(h, 20)
					siblings := []string{"tell"}
					if kind == "visit" {
						siblings = append(siblings, "count")
					}
					d.within(2*time.Second, rs, siblings...)
					time.Sleep(length)
					d.untouched(rs, "activity", "object")
					d.faults.Up(persistence.Amorphous)
					d.within(5*time.Second, rs)
					d.faults.Down(persistence.Amorphous)
				})
				d.faults.Up()
				for _, task := range []string{"visit/activity", "visit/object", "post/activity", "post/object"} {
					// MaxAttempts is 1: one spent attempt would have been the last.
					if spent, runs := d.watch.of(task); spent != 0 || runs == 0 {
						t.Errorf("%s: %d attempts spent in %d runs, want none", task, spent, runs)
					}
				}
				if n, err := d.tallies.Get(d.Context(), "ann"); err != nil || n.N != 20 {
					t.Errorf("counted %d of 20: %v", n.N, err)
				}
				d.clean()
			})
		})
	}
}

// An outage that comes in the middle of the work, and again and again, spends
// nothing either.
func TestAmorphousFlaps_F3(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		var rs []*persistence.Receipt
		for range 40 {
			d.faults.Down(persistence.Amorphous)
			rs = append(rs, d.put(d.visits, 3)...)
			rs = append(rs, d.put(d.posts, 3)...)
			time.Sleep(300 * time.Millisecond)
			d.faults.Up(persistence.Amorphous)
			time.Sleep(900 * time.Millisecond)
		}
		d.within(5*time.Second, rs)
		d.clean()
	})
}

// A store that is down when the program stops is no reason to lose anything,
// and no reason not to stop.
func TestStoppingDuringAnOutage_A26(t *testing.T) {
	inDrill(t, func(d *drill) {
		stop := persistencetest.Work(d.T, d.layer)
		d.faults.Down(persistence.Amorphous)
		rs := append(d.put(d.visits, 5), d.put(d.posts, 5)...)
		time.Sleep(2 * time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("Work took %v to stop while a store was down", took)
		}
		d.faults.Up(persistence.Amorphous)
		d.serve()
		d.within(5*time.Second, rs)
		d.clean()
	})
}

// "transactional: Put of a kind that needs it is refused, nothing is written
// anywhere; other kinds go on."
func TestTransactionalDown_F1(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		d.faults.Down(persistence.Transactional)
		for range 3 {
			r, err := d.visits.Put(d.Context(), visit{ID: "refused", User: "ann"})
			if !errors.Is(err, fault.ErrUnavailable) || fault.Accepted(err) || fault.Unknown(err) || r != nil {
				t.Fatalf("Put with its store down: %v, %v; want not applied, unavailable", r, err)
			}
			time.Sleep(time.Minute)
		}
		if err := d.layer.Tx(d.Context(), func(context.Context, *persistence.Tx) error { return nil }); !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("Tx with its store down: %v, want unavailable", err)
		}
		rs := d.put(d.posts, 10)
		d.within(2*time.Second, rs) // other kinds go on
		d.faults.Up(persistence.Transactional)
		d.within(5*time.Second, d.put(d.visits, 5))
		if _, err := d.visits.Get(d.Context(), "refused"); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("a refused object is there: %v", err)
		}
		for v, err := range d.visits.Find(d.Context(), persistence.Query{Task: "activity", Where: map[string]any{"User": "ann"}}) {
			if err != nil || v.ID == "refused" {
				t.Errorf("a refused object has an activity: %v", err)
			}
		}
		if n, err := d.tallies.Get(d.Context(), "ann"); err != nil || n.N != 5 {
			t.Errorf("counted %d, %v; want 5", n.N, err)
		}
		d.clean()
	})
}

// "of what was already accepted, the tasks of other purposes go on and are
// marked later", and P5: the effect of a Tx task stays one.
func TestTransactionalDownAfterAcceptance(t *testing.T) {
	inDrill(t, func(d *drill) {
		hold, held := make(chan struct{}), make(chan struct{})
		var tells atomic.Int64
		late := persistence.Declare(d.layer, "late", persistence.Plan[visit]{
			{Priority: 1, Name: "hold", Purpose: persistence.Transitory, RealTime: true, Do: func(context.Context, visit) error {
				if tells.Add(1) == 1 {
					close(held)
					<-hold
				}
				return nil
			}},
			{Priority: 2, Name: "object", Purpose: persistence.Amorphous},
			{Priority: 3, Name: "count", Purpose: persistence.Transactional, Tx: func(ctx context.Context, tx *persistence.Tx, v visit) error {
				return (&game{tallies: d.tallies}).count(ctx, tx, v)
			}},
		})
		d.serve()
		r, err := late.Put(d.Context(), visit{ID: "v", User: "bob"})
		if err != nil {
			t.Fatal(err)
		}
		<-held
		d.faults.Down(persistence.Transactional)
		close(hold)
		d.within(2*time.Second, []*persistence.Receipt{r}, "object")
		time.Sleep(5 * time.Minute)
		if got, err := late.Get(d.Context(), "v"); err != nil || got.User != "bob" {
			t.Errorf("while custody is away the object is not there: %+v, %v", got, err)
		}
		d.untouched([]*persistence.Receipt{r}, "count")
		d.faults.Up(persistence.Transactional)
		d.within(15*time.Second, []*persistence.Receipt{r}) // its lease may have to end first
		if n, err := d.tallies.Get(d.Context(), "bob"); err != nil || n.N != 1 {
			t.Errorf("counted %d, %v; want 1", n.N, err)
		}
		d.clean()
	})
}

// "transitory: transactional custody: accepted, and drains. Transitory
// custody: spills into the outbox when the layer has a transactional store."
func TestTransitoryDown_F1(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		before := d.put(d.posts, 5)
		d.within(2*time.Second, before)
		d.faults.Down(persistence.Transitory)
		rs := append(d.put(d.visits, 10), d.put(d.posts, 10)...)
		for _, r := range rs {
			if r.Custody != persistence.TransactionalCustody {
				t.Errorf("%v: custody is %s while the queue is down", r, r.Custody)
			}
		}
		d.within(2*time.Second, rs)
		time.Sleep(10 * time.Minute)
		d.faults.Up(persistence.Transitory)
		time.Sleep(5 * time.Second)
		after := d.put(d.posts, 5)
		for _, r := range after {
			if r.Custody != persistence.TransitoryCustody {
				t.Errorf("%v: custody is %s five seconds after the queue returned", r, r.Custody)
			}
		}
		d.within(5*time.Second, after)
		d.clean()
	})
}

// What a dead queue held in its own custody waits for it, and drains by itself
// when it returns.
func TestTransitoryHoldsWhatItHad_B15(t *testing.T) {
	inDrill(t, func(d *drill) {
		rs := d.put(d.posts, 10) // nobody works yet
		d.faults.Down(persistence.Transitory)
		d.serve()
		time.Sleep(time.Minute)
		d.untouched(rs, "tell", "activity", "object")
		d.faults.Up(persistence.Transitory)
		d.within(5*time.Second, rs)
		d.clean()
	})
}

// "…else Put returns 'unavailable' and nothing is written."
func TestTransitoryDownWithoutOutbox(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		d.faults.Down(persistence.Transitory)
		r, err := d.posts.Put(d.Context(), visit{ID: "refused", User: "ann"})
		if !errors.Is(err, fault.ErrUnavailable) || fault.Accepted(err) || r != nil {
			t.Fatalf("Put with its custody down: %v, %v; want not applied, unavailable", r, err)
		}
		time.Sleep(time.Minute)
		d.faults.Up(persistence.Transitory)
		d.within(5*time.Second, d.put(d.posts, 5))
		if _, err := d.posts.Get(d.Context(), "refused"); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("a refused object is there: %v", err)
		}
	}, persistence.Transactional)
}

// "volatile: writes are counted and skipped, reads fall through to the store of
// record; when it returns, nothing it remembers from before can be served as
// fresh."
func TestVolatileDown_F1_C6(t *testing.T) {
	inDrill(t, func(d *drill) {
		at := time.Unix(1, 0).UTC()
		put := func(venue string) {
			d.Helper()
			if _, err := d.cached.Put(d.Context(), visit{ID: "v", User: "ann", Venue: venue, At: at}); err != nil {
				d.Fatal(err)
			}
		}
		want := func(venue, when string) {
			d.Helper()
			if v, err := d.cached.Get(d.Context(), "v"); err != nil || v.Venue != venue {
				d.Errorf("%s: got %q, %v; want %q", when, v.Venue, err, venue)
			}
			all, err := d.cached.GetAll(d.Context(), "v")
			if err != nil || all["v"].Venue != venue {
				d.Errorf("%s: GetAll has %q, %v; want %q", when, all["v"].Venue, err, venue)
			}
		}
		put("pier")
		want("pier", "before")
		d.faults.Down(persistence.Volatile)
		want("pier", "while the cache is down")
		put("fair")
		want("fair", "written while the cache is down")
		skipped := int64(0)
		stats, err := d.layer.Stats(d.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stats.Tasks {
			skipped += s.Skipped
		}
		if skipped == 0 {
			t.Error("a skipped cache write is not counted")
		}
		// The cache comes back with what it had: the entry of "pier".
		d.faults.Up(persistence.Volatile)
		want("fair", "at once after its return")
		time.Sleep(time.Second)
		want("fair", "a second after its return")
		entry, there, err := d.layer.Volatile().Get(d.Context(), "cached:v")
		if err == nil && there && strings.Contains(string(entry.Value), "pier") {
			t.Error("another process would still be served the old entry after a second")
		}
		if _, err := d.cached.Delete(d.Context(), "v"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.cached.Get(d.Context(), "v"); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("deleted, and served: %v", err)
		}
	})
}

// Priority 0: "if one is not done, Put returns the receipt and an error for
// which fault.Accepted is true, and the task goes on."
func TestPriorityZeroOnADeadStore(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		d.faults.Down(persistence.Amorphous)
		for name, h := range map[string]*persistence.Handle[visit]{"with an envelope": d.cached, "without an envelope": d.plain} {
			r, err := h.Put(d.Context(), visit{ID: "v", User: "ann"})
			if !fault.Accepted(err) || !fault.Outage(err) || r == nil {
				t.Fatalf("%s: Put returned %v, %v; want a receipt and an accepted error", name, r, err)
			}
			if r.ID == "" || r.Custody == persistence.AutoCustody {
				t.Errorf("%s: the receipt %v names no custody", name, r)
			}
			again, err := d.layer.Receipt(d.Context(), r.ID)
			if err != nil || again.Key != "v" {
				t.Errorf("%s: asked for its receipt, custody says %v, %v", name, again, err)
			}
			if _, err := h.Get(d.Context(), "v"); h == d.plain && !errors.Is(err, fault.ErrUnavailable) {
				t.Errorf("%s: reading from the dead store: %v, want unavailable", name, err)
			}
			time.Sleep(time.Minute)
			d.faults.Up(persistence.Amorphous)
			d.within(5*time.Second, []*persistence.Receipt{r})
			if v, err := h.Get(d.Context(), "v"); err != nil || v.User != "ann" {
				t.Errorf("%s: after the store's return: %+v, %v", name, v, err)
			}
			d.faults.Down(persistence.Amorphous)
		}
		d.faults.Up()
		d.clean()
	})
}

// touches reports whether an operation touches a name.
func touches(name string) func(persistencetest.Op) bool {
	return func(op persistencetest.Op) bool {
		if slices.Contains(op.On, name) {
			return op.Name != "read" && op.Name != "scan" && op.Name != "exec" && op.Name != "query"
		}
		return op.Name == "run" && slices.ContainsFunc(op.SQL, func(q string) bool {
			return strings.Contains(q, name) && !strings.HasPrefix(q, "SELECT")
		})
	}
}

// P6: "An unknown outcome is reported as itself, is retried only where a repeat
// is harmless, and never passes for a failure or a success." Here the answer to
// the COMMIT of acceptance is lost, or the COMMIT itself.
func TestUnknownAcceptance(t *testing.T) {
	for name, applied := range map[string]bool{"the answer is lost": true, "the commit is lost": false} {
		t.Run(name, func(t *testing.T) {
			inDrill(t, func(d *drill) {
				d.serve()
				lose := d.faults.Dropped
				if applied {
					lose = d.faults.Unknown
				}
				lose(persistence.Transactional, 1, touches("lost"))
				r, err := d.visits.Put(d.Context(), visit{ID: "lost", User: "ann"})
				if !fault.Unknown(err) || fault.Accepted(err) || fault.Retryable(err) || fault.Permanent(err) || r != nil {
					t.Fatalf("Put returned %v, %v; want unknown and nothing else", r, err)
				}
				time.Sleep(15 * time.Second)
				_, err = d.visits.Get(d.Context(), "lost")
				if there := err == nil; there != applied {
					t.Errorf("all or nothing: the object is there: %v (%v), the commit was applied: %v", there, err, applied)
				}
				n, err := d.tallies.Get(d.Context(), "ann")
				if applied && (err != nil || n.N != 1) || !applied && !errors.Is(err, fault.ErrNotFound) {
					t.Errorf("counted %d, %v", n.N, err)
				}
				d.clean()
			})
		})
	}
}

// The same with a token: the caller asks again and gets the first acceptance.
func TestUnknownAcceptanceWithToken(t *testing.T) {
	for name, applied := range map[string]bool{"the answer is lost": true, "the commit is lost": false} {
		t.Run(name, func(t *testing.T) {
			inDrill(t, func(d *drill) {
				d.serve()
				lose := d.faults.Dropped
				if applied {
					lose = d.faults.Unknown
				}
				lose(persistence.Transactional, 1, touches("lost"))
				v := visit{ID: "lost", User: "ann"}
				if _, err := d.visits.Put(d.Context(), v, persistence.Token("t1")); !fault.Unknown(err) {
					t.Fatalf("Put returned %v, want unknown", err)
				}
				r, err := d.visits.Put(d.Context(), v, persistence.Token("t1"))
				if err != nil {
					t.Fatal("the repeat:", err)
				}
				d.within(15*time.Second, []*persistence.Receipt{r})
				if n, err := d.tallies.Get(d.Context(), "ann"); err != nil || n.N != 1 {
					t.Errorf("counted %d, %v; want 1", n.N, err)
				}
				d.clean()
			})
		})
	}
}

// P5: "A transactional task has its effect exactly once", also when the answer
// to its COMMIT is lost, or the COMMIT itself, many times over.
func TestUnknownTxTask_A5_D1(t *testing.T) {
	for name, applied := range map[string]bool{"the answer is lost": true, "the commit is lost": false} {
		t.Run(name, func(t *testing.T) {
			inDrill(t, func(d *drill) {
				lose := d.faults.Dropped
				if applied {
					lose = d.faults.Unknown
				}
				lose(persistence.Transactional, 5, touches("ff_tally"))
				d.serve()
				rs := d.put(d.visits, 10)
				d.within(2*time.Minute, rs)
				if _, struck := d.faults.Calls(persistence.Transactional); struck != 5 {
					t.Fatalf("%d commits were lost, want 5: the test proves nothing", struck)
				}
				if n, err := d.tallies.Get(d.Context(), "ann"); err != nil || n.N != 10 {
					t.Errorf("counted %d, %v; want 10", n.N, err)
				}
				d.clean()
			})
		})
	}
}

// An unknown outcome of a default write is repeated, which is harmless: the
// same version is written again.
func TestUnknownDefaultWrites(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		d.faults.Unknown(persistence.Amorphous, 3)
		d.faults.Dropped(persistence.Amorphous, 3)
		// MaxAttempts is 1 for posts and visits, so the kind here has the
		// default.
		kept := persistence.Declare(d.layer, "kept", persistence.Plan[visit]{
			{Priority: 1, Name: "object", Purpose: persistence.Amorphous},
			{Priority: 1, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		})
		rs := d.put(kept, 5)
		d.within(time.Minute, rs)
		n := 0
		for _, err := range kept.Find(d.Context(), persistence.Query{Task: "activity", Where: map[string]any{"User": "ann"}}) {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
		if n != 5 {
			t.Errorf("%d activities of 5 objects", n)
		}
		d.clean()
	})
}

// Queue answers that are lost: in transitory custody a task may repeat, none is
// lost, and Put says what it does not know.
func TestUnknownQueue(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		d.faults.Unknown(persistence.Transitory, 1, func(op persistencetest.Op) bool { return op.Name == "put" })
		r, err := d.posts.Put(d.Context(), visit{ID: "lost", User: "ann"})
		if !fault.Unknown(err) || fault.Accepted(err) || r != nil {
			t.Fatalf("Put returned %v, %v; want unknown", r, err)
		}
		d.faults.Unknown(persistence.Transitory, 4, func(op persistencetest.Op) bool { return op.Name == "delete" })
		rs := d.put(d.posts, 10)
		d.within(time.Minute, rs)
		time.Sleep(time.Minute)
		if v, err := d.posts.Get(d.Context(), "lost"); err != nil || v.User != "ann" {
			t.Errorf("what was applied is not there: %+v, %v", v, err)
		}
		d.clean()
	})
}

// P8: "An object that only looks like an outage (every attempt times out, while
// an independent probe succeeds) is charged", and its siblings go on.
func TestABadObjectThatLooksLikeAnOutage(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		d.faults.Refuse(persistence.Amorphous, func(op persistencetest.Op) error {
			if op.Name == "write" && slices.Contains(op.On, "bad") {
				return fault.New(fault.ErrUnavailable, "amorphous", "write", "connection reset")
			}
			return nil
		})
		for _, h := range []*persistence.Handle[visit]{d.visits, d.posts} {
			bad, err := h.Put(d.Context(), visit{ID: "bad", User: "bob"})
			if err != nil {
				t.Fatal(err)
			}
			d.within(2*time.Second, d.put(h, 10)) // the others do not wait for it
			ctx, cancel := context.WithTimeout(d.Context(), time.Minute)
			if err := bad.Wait(ctx, "object"); !errors.Is(err, fault.ErrRefused) {
				t.Errorf("waiting for the bad object: %v, want a dead letter", err)
			}
			cancel()
		}
		letters, err := d.layer.DeadLetters().List(d.Context(), persistence.DeadFilter{})
		if err != nil || len(letters) != 4 {
			t.Errorf("%d dead letters, %v; want two tasks of two objects", len(letters), err)
		}
		for _, l := range letters {
			if l.Key != "bad" || l.Attempts != 1 || !strings.Contains(l.Reason, "connection reset") {
				t.Errorf("dead letter %+v", l)
			}
		}
	})
}

// "A handler's error which says that a store of the layer is unreachable parks
// its task on that store, whatever the purpose, and spends no attempt."
func TestAHandlersOutageParksItsTask(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		inDrill(t, func(d *drill) {
			var runs atomic.Int64
			asks := persistence.Declare(d.layer, "ask", persistence.Plan[visit]{
				{Priority: 1, Name: "ask", Purpose: persistence.Transitory, MaxAttempts: 1, Do: func(ctx context.Context, v visit) error {
					runs.Add(1)
					if a := persistence.Current(ctx).Attempt; a != 1 {
						t.Errorf("attempt %d after an outage", a)
					}
					_, err := d.plain.Get(ctx, "v0")
					return err
				}},
				{Priority: 2, Name: "after", Purpose: persistence.Transitory, Do: nothing},
			}, opts)
			d.put(d.plain, 1)
			d.serve()
			d.faults.Down(persistence.Amorphous)
			rs := d.put(asks, 3)
			d.within(2*time.Second, rs, "after")
			time.Sleep(10 * time.Minute)
			d.untouched(rs, "ask")
			if n := runs.Load(); n > 3*(600+2) {
				t.Errorf("%d runs in ten minutes of outage", n)
			}
			d.faults.Up(persistence.Amorphous)
			d.within(5*time.Second, rs)
			d.clean()
		})
	})
}

// A store that is busy refuses for the moment: no attempt is spent, and nothing
// is lost.
func TestBusyStores_F5(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		d.faults.Busy(persistence.Amorphous, 30)
		d.faults.Busy(persistence.Transactional, 30, touches("ff_tally"))
		rs := append(d.put(d.visits, 10), d.put(d.posts, 10)...)
		d.within(2*time.Minute, rs)
		if spent, _ := d.watch.of("visit/object"); spent != 0 {
			t.Errorf("a busy store spent %d attempts", spent)
		}
		if n, err := d.tallies.Get(d.Context(), "ann"); err != nil || n.N != 10 {
			t.Errorf("counted %d, %v; want 10", n.N, err)
		}
		d.clean()
	})
}

// A slow store holds up its own tasks only (P3).
func TestASlowStoreHoldsUpItsOwnTasksOnly_A13_D23(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		d.faults.Slow(persistence.Amorphous, 20*time.Second)
		rs := append(d.put(d.visits, 10), d.put(d.posts, 10)...)
		d.within(2*time.Second, rs, "tell")
		d.within(2*time.Second, rs[:10], "count")
		d.faults.Slow(persistence.Amorphous, 0)
		d.within(2*time.Minute, rs)
		d.clean()
	})
}

// A transactional store that takes every call and answers none, as a server that
// is stopped, holds up the kinds that need it, and no others: not even for their
// versions, whose high-water mark it keeps.
func TestAMuteTransactionalStoreHoldsUpItsOwn_D11(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		d.faults.Slow(persistence.Transactional, time.Minute)
		var slowest time.Duration
		for i := range 200 {
			began := time.Now()
			if _, err := d.posts.Put(d.Context(), visit{ID: fmt.Sprint("v", i), User: "ann", At: time.Unix(1, 0)}); err != nil {
				t.Fatal(err)
			}
			slowest = max(slowest, time.Since(began))
			time.Sleep(100 * time.Millisecond)
		}
		if slowest > 2*time.Second {
			t.Errorf("a Put that does not need the mute store waited %v", slowest)
		}
		d.faults.Slow(persistence.Transactional, 0)
	})
}

// Everything down at once and back in the other order: what was accepted is
// done.
func TestAllStoresDown_F1_F2(t *testing.T) {
	inDrill(t, func(d *drill) {
		rs := append(d.put(d.visits, 10), d.put(d.posts, 10)...)
		d.faults.Down()
		d.serve()
		for _, p := range []persistence.Purpose{persistence.Amorphous, persistence.Volatile, persistence.Transitory, persistence.Transactional} {
			time.Sleep(30 * time.Second)
			d.faults.Up(p)
		}
		d.within(15*time.Second, rs)
		d.clean()
	})
}

// A handler that runs for longer than any lease keeps its envelope, in either
// custody: nobody else runs it meanwhile.
func TestLongHandlersKeepTheirClaim(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		inDrill(t, func(d *drill) {
			var runs atomic.Int64
			longs := persistence.Declare(d.layer, "long", persistence.Plan[visit]{
				{Priority: 1, Name: "run", Purpose: persistence.Transitory, Timeout: time.Hour, Do: func(ctx context.Context, v visit) error {
					runs.Add(1)
					time.Sleep(20 * time.Minute)
					return ctx.Err()
				}},
			}, opts)
			d.serve()
			d.within(21*time.Minute, d.put(longs, 3))
			if n := runs.Load(); n != 3 {
				t.Errorf("3 long handlers ran %d times", n)
			}
			d.clean()
		})
	})
}
