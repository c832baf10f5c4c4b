package persistence_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// The tests of this file run in bubbles of virtual time: an outage of ten
// minutes costs milliseconds, and what must happen within five seconds is
// measured by the bubble's own clock.

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
// nothing either, and what is parked is not tried over and over.
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
		for _, task := range []string{"visit/activity", "visit/object", "post/activity", "post/object"} {
			// 120 objects; each is parked once or twice.
			spent, runs := d.watch.of(task)
			if spent != 0 || runs > 360 {
				t.Errorf("%s: %d attempts spent in %d runs of 120 objects", task, spent, runs)
			}
		}
		if _, struck := d.faults.Calls(persistence.Amorphous); struck < 40 || struck > 480 {
			t.Errorf("%d calls met the outage in 48 seconds, want one at least of each of 40, and ten a second at most", struck)
		}
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
