package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A narrow is a store that takes so many operations a second and no more: what
// comes above that is refused, and would be refused for ever if those who were
// refused came back at once.
type narrow struct {
	mu       sync.Mutex
	capacity float64 // operations a second; 0: not limited yet
	tokens   float64
	at       time.Time
	taken    int
	refused  int
}

func (n *narrow) refuse(op persistencetest.Op) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.capacity == 0 {
		n.taken++
		return nil
	}
	now := time.Now()
	n.tokens = min(n.capacity, n.tokens+now.Sub(n.at).Seconds()*n.capacity)
	n.at = now
	if n.tokens < 1 {
		n.refused++
		return fault.New(fault.ErrBusy, "amorphous", op.Name, "too many at once")
	}
	n.tokens--
	n.taken++
	return nil
}

func (n *narrow) passed() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.taken
}

// limit sets the capacity.
func (n *narrow) limit(perSecond float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.capacity, n.tokens, n.at = perSecond, perSecond, time.Now()
}

// away is a store's outage under load; see TestRetriesDoNotKeepAStoreDown_F5.
type away struct {
	*drill
	store *narrow
	far   *persistence.Handle[visit]
	rs    []*persistence.Receipt
}

// load puts objects for some seconds, four in each, and returns how many
// operations a second that was to the store, and how many of them it took.
func (a *away) load(seconds int) (offered, taken float64) {
	a.Helper()
	const perSecond = 4
	calls, _ := a.faults.Calls(persistence.Amorphous)
	before := a.store.passed()
	for range seconds * perSecond {
		r, err := a.far.Put(a.Context(), visit{ID: fmt.Sprint("f", len(a.rs)), User: "ann"})
		if err != nil {
			a.Fatal(err)
		}
		a.rs = append(a.rs, r)
		time.Sleep(time.Second / perSecond)
	}
	after, _ := a.faults.Calls(persistence.Amorphous)
	return float64(after-calls) / float64(seconds), float64(a.store.passed()-before) / float64(seconds)
}

// A store that is away for 8 s under nine tenths of the load that it can bear is
// not kept down by those who try again. While it is away it is offered a tenth
// more than before at most; within 10 s of its return it takes what it can bear
// again; and the backlog is gone in twice the time that it needs.
func TestRetriesDoNotKeepAStoreDown_F5(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		inDrill(t, func(d *drill) {
			a := &away{drill: d, store: &narrow{}}
			d.faults.Refuse(persistence.Amorphous, a.store.refuse)
			a.far = persistence.Declare(d.layer, "far", persistence.Plan[visit]{
				{Priority: 1, Name: "object", Purpose: persistence.Amorphous, MaxAttempts: 1}}, opts)
			d.serve()
			usual, _ := a.load(4)
			a.store.limit(usual / 0.9)
			d.faults.Down(persistence.Amorphous)
			if offered, _ := a.load(8); offered > 1.1*usual {
				t.Errorf("a store that is away is offered %.1f operations a second, and %.1f before", offered, usual)
			}
			d.faults.Up(persistence.Amorphous)
			recovered := 0
			for s := 1; s <= 10 && recovered == 0; s++ {
				if _, taken := a.load(1); taken >= 0.9*usual {
					recovered = s
				}
			}
			if recovered == 0 {
				t.Error("ten seconds after its return the store does not do what it did before")
			}
			began, pending := time.Now(), 0
			for _, r := range a.rs {
				if state, _ := r.State("object"); state == persistence.TaskPending {
					pending++
				}
			}
			needed := time.Duration(float64(pending) / usual * 0.9 * float64(time.Second))
			d.within(2*needed+5*time.Second, a.rs)
			t.Logf("it takes its load again %d s after its return, and the %d that waited are gone after %v, %v at best; it refused %d",
				recovered, pending, time.Since(began), needed, a.store.refused)
			if spent, _ := d.watch.of("far/object"); spent != 0 {
				t.Errorf("%d attempts were spent", spent)
			}
			d.faults.Refuse(persistence.Amorphous, nil)
			d.clean()
		})
	})
}

// A stormy is a layer to which far more is put than its custody takes.
type stormy struct {
	*drill
	far *persistence.Handle[visit]
	n   atomic.Int64

	mu      sync.Mutex
	rs      []*persistence.Receipt
	refused int
}

// blow puts so many objects in a second, each by a caller who waits for a second,
// and returns how many were accepted. It returns when nobody waits any more.
func (s *stormy) blow(perSecond int) (accepted int) {
	before := len(s.rs)
	var all sync.WaitGroup
	for range 20 {
		for range perSecond / 20 {
			all.Go(s.put)
		}
		time.Sleep(time.Second / 20)
	}
	all.Wait()
	return len(s.rs) - before
}

func (s *stormy) put() {
	ctx, cancel := context.WithTimeout(s.Context(), time.Second)
	defer cancel()
	r, err := s.far.Put(ctx, visit{ID: fmt.Sprint("s", s.n.Add(1)), User: "ann"})
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.rs = append(s.rs, r)
	case fault.Cancelled(err) || errors.Is(err, fault.ErrBackpressure):
		s.refused++
	default:
		s.Errorf("over the limit: %v, want the context's error or back-pressure", err)
	}
}

// Ten times as much is put as custody takes: what it takes goes on being taken,
// the rest is refused when its context ends, nothing of it stays behind in memory,
// and when the storm is over the layer takes what it did before.
func TestAStormOfPuts_A30(t *testing.T) {
	inDrill(t, func(d *drill) {
		s := &stormy{drill: d}
		s.far = persistence.Declare(d.layer, "far", persistence.Plan[visit]{
			{Priority: 1, Name: "tell", Purpose: persistence.Transitory, Do: nothing}},
			persistence.KindOptions{Custody: persistence.TransactionalCustody})
		// A commit in a third of a second: a group of 512 at most, at a time.
		d.faults.Slow(persistence.Transactional, 330*time.Millisecond)
		const usual, storm = 100, 4000
		before := s.blow(usual)
		held, goroutines := heapNow(), runtime.NumGoroutine()
		during := s.blow(storm)
		refused := s.refused
		grown, more := heapNow()-held, runtime.NumGoroutine()-goroutines
		after := s.blow(usual)
		t.Logf("of %d a second %d were accepted before the storm and %d after it; in it %d of %d, and %d refused; %d KB and %d goroutines more are held",
			usual, before, after, during, storm, refused, grown>>10, more)
		if refused < storm/2 || during < usual {
			t.Errorf("%d were accepted and %d refused: that was no storm, or nothing was done in it", during, refused)
		}
		if grown > 16<<20 || more > 100 {
			t.Errorf("after the storm %d KB and %d goroutines more are held", grown>>10, more)
		}
		if after < before*9/10 {
			t.Errorf("after the storm %d are accepted where %d were before", after, before)
		}
		d.faults.Slow(persistence.Transactional, 0)
		d.serve()
		d.within(time.Minute, s.rs)
		d.clean()
	})
}

func heapNow() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
