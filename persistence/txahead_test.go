package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A starter has Tx tasks that begin with the row of their object's key, and count
// in it.
type starter struct {
	teller
	before func(ctx context.Context, tx *persistence.Tx, id string) error // what the function does first instead
}

func startWith(t *testing.T, rows transactional.Source) *starter {
	t.Helper()
	stores := embedded.Stores(t.TempDir())
	stores.Transactional = rows
	w := &starter{teller: teller{T: t}}
	w.layer = openStores(t, stores)
	w.tallies = persistence.Declare(w.layer, "tally", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	w.jobs = persistence.Declare(w.layer, "job", persistence.Plan[job]{
		{Priority: 1, Name: "start", Purpose: persistence.Transactional, Tx: w.start, MaxAttempts: 50},
	})
	if err := w.layer.CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *starter) start(ctx context.Context, tx *persistence.Tx, j job) error {
	if w.before != nil {
		if err := w.before(ctx, tx, j.ID); err != nil {
			return err
		}
	}
	return w.tell(ctx, tx, j.ID)
}

// run has jobs done that share transactions.
func (w *starter) run(from, to int) {
	w.Helper()
	for _, r := range w.put(from, to) {
		wait(w.T, r, nil)
	}
}

// counts holds the tally of a job to a number.
func (w *starter) counts(i, want int) {
	w.Helper()
	if n, err := w.tallies.Get(w.Context(), fmt.Sprint("j", i)); err != nil || n.N != want {
		w.Errorf("job %d counts %d, %v, want %d", i, n.N, err, want)
	}
}

// Tasks that begin with the row of their key have their rows read together, and
// those that do so no longer cost a few reads more, and then none.
func TestTxTasksHaveReadTogetherWhatTheyBeginWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const jobs = 64
		var reads atomic.Int64
		w := startWith(t, &wall{Source: embedded.Stores(t.TempDir()).Transactional, real: true, asked: func(query string) {
			if strings.Contains(query, "tally") {
				reads.Add(1)
			}
		}})
		serve(t, w.layer)
		w.run(0, 1) // from which it is known how they begin
		reads.Store(0)
		w.run(1, jobs)
		if n := reads.Load(); n > jobs/2 {
			t.Errorf("%d reads for %d tasks", n, jobs-1)
		}
		other := func(ctx context.Context, tx *persistence.Tx, id string) error {
			_, err := w.tallies.In(tx).Get(ctx, "of "+id)
			if !errors.Is(err, fault.ErrNotFound) {
				t.Errorf("%s: %v", id, err)
			}
			return nil
		}
		w.before = other
		w.run(jobs, 2*jobs)
		reads.Store(0)
		w.run(2*jobs, 3*jobs)
		if n := reads.Load(); n != 2*jobs {
			t.Errorf("%d tasks that read two rows each made %d reads", jobs, n)
		}
		for i := range 3 * jobs {
			w.counts(i, 1)
		}
	})
}

// What was read ahead is what Get would read: with what those before have put, also
// when it was written for SQL, rows that are there or not, and objects of one key.
func TestWhatIsReadAheadIsWhatGetReads(t *testing.T) {
	const jobs = 60
	for name, rows := range map[string]func(t *testing.T) transactional.Source{
		"in process": func(t *testing.T) transactional.Source {
			return &wall{Source: embedded.Stores(t.TempDir()).Transactional, real: true}
		},
		"on MariaDB": func(t *testing.T) transactional.Source {
			return transactional.URL(servers.Test(t, servers.MariaDB{}).URL())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := startWith(t, rows(t))
			for i := range jobs {
				if i%3 == 0 {
					continue
				}
				if _, err := w.tallies.Put(t.Context(), tally{User: fmt.Sprint("j", i), N: 100}); err != nil { // its row is there
					t.Fatal(err)
				}
			}
			serve(t, w.layer)
			w.run(jobs, jobs+1) // from which it is known how they begin
			w.before = func(ctx context.Context, tx *persistence.Tx, id string) error {
				var i int
				if _, err := fmt.Sscanf(id, "j%d", &i); err != nil {
					return err
				}
				err := w.tell(ctx, tx, id) // so it counts twice in its own row, and once in the next one
				if err == nil {
					err = w.tell(ctx, tx, fmt.Sprint("j", (i+1)%jobs))
				}
				if err == nil && i%2 == 0 {
					err = tx.Query(ctx, "SELECT 1", nil, func(func(...any) error) error { return nil })
				}
				return err
			}
			w.run(0, jobs)
			w.run(0, jobs) // the same keys again
			for i := range jobs {
				want := 2 * 3
				if i%3 > 0 {
					want += 100
				}
				w.counts(i, want)
			}
		})
	}
}

// Nobody locks a row that is not there. One that another transaction inserted after
// it was read ahead as absent is not written over, and a function that has read of
// it finds it.
func TestARowThatComesAfterItWasReadAheadIsSeen(t *testing.T) {
	const jobs = 60
	w := startWith(t, transactional.URL(servers.Test(t, servers.MariaDB{}).URL()))
	serve(t, w.layer)
	w.run(jobs, jobs+1) // from which it is known how they begin
	var came sync.Map
	w.before = func(ctx context.Context, tx *persistence.Tx, id string) error {
		switch n := id[len(id)-1]; {
		case n%2 == 0: // brings the row of the next one, once, and word of it
			if _, did := came.LoadOrStore(id, true); did {
				return nil
			}
			next := id[:len(id)-1] + string(n+1)
			return w.layer.Tx(context.WithoutCancel(t.Context()), func(ctx context.Context, side *persistence.Tx) error {
				return errors.Join(w.tell(ctx, side, next), w.tell(ctx, side, "word of "+next))
			})
		case n%4 == 1:
			if _, err := w.tallies.In(tx).Get(ctx, "word of "+id); err != nil {
				return nil // it came first
			}
			if _, err := w.tallies.In(tx).Get(ctx, id); err != nil {
				t.Errorf("job %s has read of its row, and not found it: %v", id, err)
			}
		}
		return nil
	}
	w.run(0, jobs)
	for i := range jobs {
		w.counts(i, 1+i%2)
	}
}
