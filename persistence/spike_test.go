package persistence_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// Real-time tasks start although this process has more in hand than it may hold,
// and custody is slow to take the rest of it back (P9). How much that is has a
// bound all the same (P11), and what is over it waits in custody, real time too.
func TestASpikeDoesNotKeepRealTimeWaiting(t *testing.T) {
	const (
		most  = 2048
		spike = most + 1500 // and the settlements that may wait are 1,024
		bound = 2*most + 2500
		more  = 3 * most
	)
	inDrillOf(t, persistence.Options{MaxHeld: most, Workers: 8}, func(d *drill) {
		d.serve()
		d.faults.Slow(persistence.Amorphous, time.Second)
		heals := make(chan struct{})
		d.faults.Refuse(persistence.Transitory, func(op persistencetest.Op) error {
			if op.Name == "delete" || op.Name == "release" {
				<-heals
			}
			return nil
		})
		rs := d.put(d.posts, spike)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, runs := d.watch.of("post/tell"); runs != spike {
			t.Errorf("%d real-time tasks of %d have run", runs, spike)
		}
		for i := range more {
			r, err := d.posts.Put(d.Context(), visit{ID: fmt.Sprint("w", i), User: "bob", At: time.Unix(int64(i), 0)})
			if err != nil {
				t.Fatal(err)
			}
			rs = append(rs, r)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, runs := d.watch.of("post/tell"); runs > bound {
			t.Errorf("%d are held at a time, want at most %d", runs, bound)
		}
		close(heals)
		d.faults.Slow(persistence.Amorphous, 0)
		d.within(5*time.Minute, rs)
		d.clean()
	})
}

// While real-time objects are accepted more slowly than before, one group of
// background writes to a store is under way at a time, and as many as ever when they are
// not, or none comes, however slow the store is (P9).
func TestBackgroundWritesYieldToRealTime(t *testing.T) {
	inDrillOf(t, persistence.Options{}, func(d *drill) {
		far := persistence.Declare(d.layer, "far", persistence.Plan[visit]{{Priority: 1, Name: "object", Purpose: persistence.Amorphous}})
		var now, most, pace atomic.Int64
		d.faults.Refuse(persistence.Amorphous, func(op persistencetest.Op) error {
			if op.Name == "write" { // of each row, one after the other in each call
				defer now.Add(-1)
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(5 * time.Millisecond)
			}
			return nil
		})
		d.faults.Refuse(persistence.Transitory, func(op persistencetest.Op) error {
			if op.Name == "put" {
				time.Sleep(time.Duration(pace.Load()))
			}
			return nil
		})
		objs := make([]visit, 12000)
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
		d.serve()
		for _, phase := range []struct {
			name string
			puts int
			pace time.Duration
			want int64
		}{
			{"nothing is accepted", 0, 0, 16},
			{"acceptance takes its time", 8, 50 * time.Millisecond, 16},
			{"acceptance is slowed", 4, 300 * time.Millisecond, 1},
			{"nothing is accepted any more", 0, 0, 16},
		} {
			pace.Store(int64(phase.pace))
			rs = append(rs, d.put(d.posts, phase.puts)...)
			most.Store(0)
			rs = append(rs, d.put(d.posts, phase.puts)...)
			if phase.puts == 0 {
				time.Sleep(time.Second)
			}
			if n := most.Load(); n != phase.want {
				d.Errorf("%s: %d background writes at a time, want %d", phase.name, n, phase.want)
			}
		}
		d.within(5*time.Minute, rs)
		d.clean()
	})
}
