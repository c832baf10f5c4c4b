package persistence_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/transactional"
)

// What is claimed from custody is kept as long as its run takes, as what a Put
// handed over at once is: several leases, here twelve.
func TestClaimedRowsAreKeptWhileTheyRun(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		inDrill(t, func(d *drill) {
			var runs atomic.Int64
			longs := persistence.Declare(d.layer, "long", persistence.Plan[visit]{
				{Priority: 1, Name: "run", Purpose: persistence.Transitory, Timeout: time.Hour, Do: func(ctx context.Context, v visit) error {
					runs.Add(1)
					time.Sleep(2 * time.Minute)
					return ctx.Err()
				}},
			}, opts)
			rs := d.put(longs, 3) // nobody works yet: they wait in custody
			d.serve()
			d.within(3*time.Minute, rs)
			if n := runs.Load(); n != 3 {
				t.Errorf("3 long handlers ran %d times", n)
			}
			d.clean()
		})
	})
}

// A backlog that waits in this process's lanes for many leases is neither
// claimed twice nor charged: each task runs once, and none becomes suspect.
func TestALongBacklogKeepsItsClaims(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		inDrill(t, func(d *drill) {
			var mu sync.Mutex
			runs := map[string]int{}
			slow := persistence.Declare(d.layer, "slow", persistence.Plan[visit]{
				{Priority: 1, Name: "run", Purpose: persistence.Transitory, MaxAttempts: 1, Do: func(ctx context.Context, v visit) error {
					mu.Lock()
					runs[v.ID]++
					mu.Unlock()
					time.Sleep(30 * time.Second)
					return ctx.Err()
				}},
			}, opts)
			rs := d.put(slow, 200) // 64 at a time: two minutes, twelve leases
			d.serve()
			d.within(time.Hour, rs)
			for id, n := range runs {
				if n != 1 {
					t.Errorf("%s ran %d times", id, n)
				}
			}
			d.clean()
		})
	})
}

// An envelope that was lost twice, by kills or deploys that had nothing to do
// with it, still has all its attempts: what was never run alone is not charged.
func TestLossesAreNoAttempts(t *testing.T) {
	layer := openLayer(t, nil)
	var runs atomic.Int64
	pings := persistence.Declare(layer, "ping", persistence.Plan[ping]{
		{Priority: 1, Name: "answer", Purpose: persistence.Transitory, MaxAttempts: 1, Do: func(context.Context, ping) error {
			runs.Add(1)
			return nil
		}},
	}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
	if _, err := pings.Put(t.Context(), ping{ID: "p"}); err != nil {
		t.Fatal(err)
	}
	rows := layer.Transactional()
	for range 3 {
		recs, err := rows.Claim(t.Context(), transactional.ClaimRequest{
			Lanes: []string{"ff/ping/bg"}, Max: 1, Owner: 99, Lease: time.Microsecond,
		})
		if err != nil || len(recs) != 1 {
			t.Fatalf("claimed %v, %v; want the one envelope", recs, err)
		}
		if freed, err := rows.Sweep(t.Context()); err != nil || freed != 1 {
			t.Fatalf("freed %d, %v; want the one envelope", freed, err)
		}
	}
	if left := persistencetest.Drain(t, layer); len(left) > 0 || runs.Load() != 1 {
		t.Errorf("a task with one attempt, lost three times before it ran: %d runs, left %v; want one run", runs.Load(), left)
	}
	if letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{}); err != nil || len(letters) > 0 {
		t.Errorf("dead letters %+v, %v; want none", letters, err)
	}
}

// A Tx task whose claim was lost before it committed has no effect, spends no
// attempt, and nobody is told that it died. When the claim is free again it runs,
// once.
func TestATxTaskThatLostItsClaimIsNotCharged(t *testing.T) {
	inDrill(t, func(d *drill) {
		lost := true
		steal := func(ctx context.Context, _ visit) error {
			if !lost {
				return nil
			}
			lost = false
			rows := d.layer.Transactional()
			var id transactional.RecordID
			err := rows.Walk(ctx, func(rec transactional.Record) bool { id = rec.ID; return true })
			if err == nil {
				_, err = rows.Recover(ctx)
			}
			if err != nil {
				t.Error(err)
			}
			if recs, err := rows.ClaimByID(ctx, 99, time.Minute, id); err != nil || len(recs) != 1 {
				t.Errorf("somebody else claimed %d envelopes, %v: nothing is proved", len(recs), err)
			}
			return nil
		}
		g := &game{layer: d.layer, tallies: d.tallies}
		stolen := persistence.Declare(d.layer, "stolen", persistence.Plan[visit]{
			{Priority: 1, Name: "steal", Purpose: persistence.Transitory, Do: steal},
			{Priority: 2, Name: "count", Purpose: persistence.Transactional, MaxAttempts: 1, Tx: g.count},
		})
		rs := d.put(stolen, 1)
		d.serve()
		time.Sleep(30 * time.Second)
		d.watch.mu.Lock()
		if e := d.watch.last["stolen/count"]; lost || e.Result != "cancelled" || e.Attempts != 0 {
			t.Errorf("the run that lost its claim is told as %q with %d attempts: %v", e.Result, e.Attempts, e.Err)
		}
		d.watch.mu.Unlock()
		d.within(5*time.Minute, rs)
		if n, err := d.tallies.Get(d.Context(), "ann"); err != nil || n.N != 1 {
			t.Errorf("it had its effect %d times, %v", n.N, err)
		}
		synctest.Wait() // the observer is told after the receipt
		if _, runs := d.watch.of("stolen/count"); runs != 2 {
			t.Errorf("it ran %d times, want twice", runs)
		}
		d.clean()
	})
}
