package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A teller has Tx tasks that count jobs by group, in a database that others
// reach too. Each job counts in two groups, whose rows it takes in its own order.
type teller struct {
	*testing.T
	layer   *persistence.Layer
	tallies *persistence.Handle[tally]
	jobs    *persistence.Handle[job]
	wall    *wall

	holdsUp func(id string) error // called by a job's function before it reads anything; nil: it does not

	mu      sync.Mutex
	trouble map[string]func() error // of the first run of a job, by its ID
}

const tellerGroups = 4

func (w *teller) open(stores persistence.Stores) {
	w.Helper()
	w.layer = openStores(w.T, stores)
	w.tallies = persistence.Declare(w.layer, "tally", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	w.jobs = persistence.Declare(w.layer, "job", persistence.Plan[job]{
		{Priority: 1, Name: "count", Purpose: persistence.Transactional, Tx: w.count, MaxAttempts: 50},
	})
	if err := w.layer.CreateSchema(w.Context()); err != nil {
		w.Fatal(err)
	}
}

func (w *teller) count(ctx context.Context, tx *persistence.Tx, j job) error {
	if w.holdsUp != nil {
		if err := w.holdsUp(j.ID); err != nil {
			return err
		}
	}
	n := int(j.ID[len(j.ID)-1] - '0')
	for i := range 2 {
		if err := w.tell(ctx, tx, fmt.Sprint("g", (n+i*(1+n%2))%tellerGroups)); err != nil {
			return err
		}
	}
	w.mu.Lock()
	trouble := w.trouble[j.ID]
	delete(w.trouble, j.ID)
	w.mu.Unlock()
	if trouble != nil {
		return trouble()
	}
	return w.tell(ctx, tx, "of "+j.ID)
}

func (w *teller) tell(ctx context.Context, tx *persistence.Tx, user string) error {
	n, err := w.tallies.In(tx).Get(ctx, user)
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return err
	}
	_, err = w.tallies.In(tx).Put(ctx, tally{User: user, N: n.N + 1})
	return err
}

// put puts jobs, and returns their receipts.
func (w *teller) put(from, to int) (out []*persistence.Receipt) {
	w.Helper()
	var jobs []job
	for i := from; i < to; i++ {
		jobs = append(jobs, job{ID: fmt.Sprint("j", i)})
	}
	for _, r := range w.jobs.PutAll(w.Context(), jobs) {
		if r.Err != nil {
			w.Fatal(r.Err)
		}
		out = append(out, r.Receipt)
	}
	return out
}

// exact holds the tallies to so many jobs, and more that were counted in g0 by
// the side.
func (w *teller) exact(jobs, more int) {
	w.Helper()
	sum := 0
	for g := range tellerGroups {
		n, err := w.tallies.Get(w.Context(), fmt.Sprint("g", g))
		if err != nil {
			w.Error(err)
		}
		sum += n.N
	}
	if sum != 2*jobs+more {
		w.Errorf("the groups count %d, want %d: an effect is there twice, or not at all", sum, 2*jobs+more)
	}
	for i := range jobs {
		if n, err := w.tallies.Get(w.Context(), fmt.Sprint("of j", i)); err != nil || n.N != 1 {
			w.Errorf("job %d counts %d times, %v", i, n.N, err)
		}
	}
	dead, err := w.layer.DeadLetters().List(w.Context(), persistence.DeadFilter{})
	if err != nil || len(dead) > 0 {
		w.Errorf("dead letters: %+v, %v", dead, err)
	}
}

// troubled has some jobs fail in their first run, each in its way.
func (w *teller) troubled(random *rand.Rand, jobs int) {
	w.trouble = map[string]func() error{}
	for i := range jobs {
		if id := fmt.Sprint("j", i); random.IntN(20) == 0 {
			w.trouble[id] = []func() error{
				func() error { return errors.New("not yet") },
				func() error { panic("not like this") },
				func() error { runtime.Goexit(); return nil },
				func() error { time.Sleep(time.Second); return nil }, // cut off, or without its last tally
				func() error { return fault.New(fault.ErrUnknown, "elsewhere", "call", "no answer") },
			}[random.IntN(5)]
		}
	}
	for id, trouble := range w.trouble { // whatever it is, the run comes to nothing
		w.trouble[id] = func() error { return errors.Join(trouble(), errors.New("the first run")) }
	}
}

// "A transactional task has its effect exactly once": also when it shares a
// transaction with others that fail, panic, end their goroutine or take long, when
// the database is busy, and when answers to commits are lost, or the commits.
func TestTxTasksThatShareATransactionHaveTheirEffectOnce(t *testing.T) {
	const jobs = 60
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 0))
				stores, faults := embedded.Stores(t.TempDir()), persistencetest.NewFaults()
				w := &teller{T: t, wall: &wall{Source: stores.Transactional, real: true}}
				stores.Transactional = w.wall
				w.open(faults.Wrap(stores))
				w.troubled(random, jobs)
				receipts := w.put(0, jobs)
				before := w.wall.units.Load()
				if seed > 0 { // the first is without faults of the database
					faults.Unknown(persistence.Transactional, 1+random.IntN(2), touches("g0"))
					faults.Dropped(persistence.Transactional, 1+random.IntN(2), touches("g1"))
					faults.Busy(persistence.Transactional, 1+random.IntN(2), touches("g2"))
				} else {
					w.trouble = nil
				}
				serve(t, w.layer)
				for _, r := range receipts {
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					if err := r.Wait(ctx); err != nil {
						t.Errorf("%v: %v", r, err)
					}
					cancel()
				}
				w.exact(jobs, 0)
				if _, struck := faults.Calls(persistence.Transactional); seed > 0 && struck == 0 {
					t.Error("no fault struck")
				}
				if n := w.wall.units.Load() - before; seed == 0 && n > jobs/2 {
					t.Errorf("%d tasks took %d transactions", jobs, n)
				}
			})
		})
	}
}

// A function that does not come to its end, and looks at no context, holds up those
// that share its transaction for a moment only, and from then on nobody.
func TestASlowTxFunctionLeavesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const jobs = 20
		stores := embedded.Stores(t.TempDir())
		stores.Transactional = &wall{Source: stores.Transactional, real: true}
		w, release := &teller{T: t}, make(chan struct{})
		defer close(release)
		var calls atomic.Int64
		w.holdsUp = func(id string) error {
			if id == "j7" && calls.Add(1) == 1 {
				<-release
			}
			return nil
		}
		w.open(stores)
		receipts, began := w.put(0, jobs), time.Now()
		serve(t, w.layer)
		for _, r := range receipts {
			wait(t, r, nil)
		}
		if took := time.Since(began); took > time.Second || calls.Load() != 2 {
			t.Errorf("all was done after %v, and the slow one was called %d times", took, calls.Load())
		}
		w.exact(jobs, 0)
	})
}

// On a real database, where locks are waited for and deadlocks are broken, each
// effect is there once also beside transactions that take the same rows in another
// order.
func TestTxTasksTogetherOnMariaDB(t *testing.T) {
	const jobs, beside = 100, 20
	stores := embedded.Stores(t.TempDir())
	stores.Transactional = transactional.URL(servers.Test(t, servers.MariaDB{}).URL())
	w := &teller{T: t}
	w.open(stores)
	receipts := w.put(0, jobs)
	serve(t, w.layer)
	var side sync.WaitGroup
	for i := range beside {
		side.Go(func() {
			err := w.layer.Tx(t.Context(), func(ctx context.Context, tx *persistence.Tx) error {
				for k := range 3 {
					if err := w.tell(ctx, tx, fmt.Sprint("g", (i+3*k)%tellerGroups)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("a transaction beside them: %v", err)
			}
		})
	}
	side.Wait()
	for _, r := range receipts {
		wait(t, r, nil)
	}
	w.exact(jobs, 3*beside)
}
