package persistence_test

import (
	"fmt"
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
