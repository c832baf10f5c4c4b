package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

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
func TestBusyStores(t *testing.T) {
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

// A store that is slow for long, and answers its check, does not come to hold
// every worker either, however many objects wait for it.
func TestAStoreThatStaysSlowLeavesWorkersToSiblings_D23(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		d.faults.Slow(persistence.Amorphous, 1900*time.Millisecond)
		var rs []*persistence.Receipt
		for i := range 500 {
			r, err := d.visits.Put(d.Context(), visit{ID: fmt.Sprint("v", i), User: "ann", At: time.Unix(int64(i), 0)})
			if err != nil {
				t.Fatal(err)
			}
			rs = append(rs, r)
			d.within(500*time.Millisecond, rs[i:], "tell", "count")
			time.Sleep(10 * time.Millisecond)
		}
		d.faults.Slow(persistence.Amorphous, 0)
		d.within(10*time.Second, rs)
		d.clean()
	})
}

// The same where one object writes to the slow store and to another one at one
// priority: that it waits for the slow one holds up nobody else's writes there.
func TestAStoreThatStaysSlowBesideAnother_D23(t *testing.T) {
	inDrill(t, func(d *drill) {
		both := persistence.Declare(d.layer, "both", persistence.Plan[visit]{
			{Priority: 1, Name: "row", Purpose: persistence.Transactional},
			{Priority: 1, Name: "cell", Purpose: persistence.Amorphous},
		})
		lone := persistence.Declare(d.layer, "lone", persistence.Plan[visit]{{Priority: 2, Name: "row", Purpose: persistence.Transactional}})
		d.serve()
		d.faults.Slow(persistence.Amorphous, 1900*time.Millisecond)
		rs, siblings := []*persistence.Receipt{}, []*persistence.Receipt{}
		d.within(500*time.Millisecond, d.put(both, 40), "row") // it is done when it is, whatever the cell
		for range 20 {
			rs = append(rs, d.put(both, 40)...)
			siblings = append(siblings, d.put(lone, 1)...)
			d.within(500*time.Millisecond, siblings)
			siblings = siblings[:0]
		}
		d.faults.Slow(persistence.Amorphous, 0)
		d.within(30*time.Second, rs)
		d.clean()
	})
}

// What waits in custody is not held up by the backlog of a slow store that came
// before it, and is more than the process holds; nor are the less urgent tasks of
// the objects in that backlog. All of it is done in the end.
func TestTheBacklogOfASlowStoreIsPassed_D23(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		inDrillOf(t, persistence.Options{MaxHeld: 128, Workers: 8}, func(d *drill) {
			far := persistence.Declare(d.layer, "far", persistence.Plan[visit]{{Priority: 1, Name: "object", Purpose: persistence.Amorphous}}, opts)
			mixed := persistence.Declare(d.layer, "mixed", persistence.Plan[visit]{
				{Priority: 1, Name: "object", Purpose: persistence.Amorphous},
				{Priority: 2, Name: "tell", Purpose: persistence.Transitory, Do: nothing},
			}, opts)
			near := persistence.Declare(d.layer, "near", persistence.Plan[visit]{{Priority: 3, Name: "tell", Purpose: persistence.Transitory, Do: nothing}}, opts)
			backlog, passing := d.put(far, 400), d.put(mixed, 100)
			siblings := d.put(near, 30)
			d.faults.Slow(persistence.Amorphous, 1900*time.Millisecond)
			d.serve()
			d.within(5*time.Second, siblings)
			d.within(5*time.Second, passing, "tell")
			d.untouched(backlog[len(backlog)-100:], "object")
			d.faults.Slow(persistence.Amorphous, 0)
			d.within(20*time.Second, append(backlog, passing...))
			d.clean()
		})
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

// A store that is stopped answers nothing, and a write to it ends with an error
// long after, perhaps when the store is back: it is found to be down before that,
// and no attempt is spent.
func TestAStoreThatStoppedAndCameBack_D11(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		d.faults.Slow(persistence.Amorphous, 3*time.Second) // more than its check may take
		var hung atomic.Int64
		d.faults.Refuse(persistence.Amorphous, func(op persistencetest.Op) error {
			if op.Name != "write" {
				return nil
			}
			hung.Add(1)
			time.Sleep(5 * time.Second) // its time limit
			return fault.New(fault.ErrUnavailable, "amorphous", "write", "no answer in time")
		})
		rs := append(d.put(d.visits, 10), d.put(d.posts, 10)...)
		time.Sleep(4 * time.Second)
		later := append(d.put(d.visits, 10), d.put(d.posts, 10)...)
		d.within(2*time.Second, later, "tell")
		d.within(2*time.Second, later[:10], "count")
		d.faults.Slow(persistence.Amorphous, 0)
		time.Sleep(1500 * time.Millisecond) // it is asked once a second
		d.faults.Refuse(persistence.Amorphous, nil)
		began := hung.Load()
		d.within(5*time.Second, rs)
		d.within(5*time.Second, later)
		for _, task := range []string{"visit/activity", "visit/object", "post/activity", "post/object"} {
			if spent, runs := d.watch.of(task); spent != 0 || runs == 0 {
				t.Errorf("%s: %d attempts spent in %d runs, want none", task, spent, runs)
			}
		}
		if began == 0 || began > 12 {
			t.Errorf("%d writes were sent to a store that answered none", began)
		}
		d.clean()
	})
}

// Any two stores down together: what needs neither goes on, what was accepted is
// done when they are back, and a Put says whether it was.
func TestPairsOfStoresDown_F1(t *testing.T) {
	all := []persistence.Purpose{persistence.Transitory, persistence.Volatile, persistence.Transactional, persistence.Amorphous}
	inDrill(t, func(d *drill) {
		d.serve()
		counted := 0
		for i, p := range all {
			for _, q := range all[i+1:] {
				d.faults.Down(p, q)
				down := map[persistence.Purpose]bool{p: true, q: true}
				var rs []*persistence.Receipt
				for n := range 5 {
					v := visit{ID: fmt.Sprint(p, q, n), User: "ann", At: time.Unix(int64(n), 0)}
					for _, h := range []*persistence.Handle[visit]{d.visits, d.posts} {
						r, err := h.Put(d.Context(), v)
						needs := down[persistence.Transactional] && (h == d.visits || down[persistence.Transitory])
						if needs != errors.Is(err, fault.ErrUnavailable) || !needs && err != nil || needs && fault.OutcomeOf(err) != fault.NotApplied {
							d.Errorf("%v and %v are down, and Put says %v", p, q, err)
						}
						if err == nil {
							rs = append(rs, r)
						}
						if err == nil && h == d.visits {
							counted++
						}
					}
				}
				if !down[persistence.Transactional] || !down[persistence.Transitory] {
					d.within(3*time.Second, rs, "tell")
				}
				time.Sleep(30 * time.Second)
				d.faults.Up(p, q)
				d.within(15*time.Second, rs)
			}
		}
		time.Sleep(15 * time.Second) // what custody could not be told is told
		if n, err := d.tallies.Get(d.Context(), "ann"); err != nil || n.N != counted || counted == 0 {
			d.Errorf("counted %d of %d: %v", n.N, counted, err)
		}
		for _, task := range []string{"visit/activity", "visit/object", "post/activity", "post/object"} {
			if spent, _ := d.watch.of(task); spent != 0 {
				d.Errorf("%s: %d attempts were spent", task, spent)
			}
		}
		d.clean()
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

// The backlog of a store that is back drains in as many writes at a time as
// Options.Workers says, a quarter of the workers, however much has gathered: that
// bounds its rate.
func TestADrainIsBounded_F1(t *testing.T) {
	inDrillOf(t, persistence.Options{Workers: 8}, func(d *drill) {
		far := persistence.Declare(d.layer, "far", persistence.Plan[visit]{{Priority: 1, Name: "object", Purpose: persistence.Amorphous}})
		d.serve()
		d.faults.Down(persistence.Amorphous)
		objs := make([]visit, 300)
		for i := range objs {
			objs[i] = visit{ID: fmt.Sprint("v", i), User: "ann"}
		}
		var rs []*persistence.Receipt
		for _, r := range far.PutAll(d.Context(), objs) {
			if r.Err != nil {
				d.Fatal(r.Err)
			}
			rs = append(rs, r.Receipt)
		}
		time.Sleep(time.Minute)
		var now, most atomic.Int64
		d.faults.Refuse(persistence.Amorphous, func(op persistencetest.Op) error {
			if op.Name == "write" { // of each row, one after the other in each call
				defer now.Add(-1)
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(5 * time.Millisecond)
			}
			return nil
		})
		d.faults.Up(persistence.Amorphous)
		d.within(20*time.Second, rs)
		if n := most.Load(); n != 2 {
			d.Errorf("%d writes at a time, want a quarter of 8 workers", n)
		}
		d.clean()
	})
}
