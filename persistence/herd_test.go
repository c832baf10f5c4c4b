package persistence_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
)

// A relay is programs that share an outbox and a queue. The first one puts, the
// second one gets stuck, and the others start all at once.
type relay struct {
	*testing.T
	walls  [5]*wall
	layers [5]*persistence.Layer
	notes  [5]*persistence.Handle[note]
	stuck  chan struct{} // closed: what the second one runs goes on

	mu   sync.Mutex
	runs map[string]int
}

const relayLease = time.Second

func openRelay(t *testing.T, stores persistence.Stores, real bool) *relay {
	t.Helper()
	h := &relay{T: t, runs: map[string]int{}, stuck: make(chan struct{})}
	for i := range h.layers {
		h.walls[i] = &wall{Source: stores.Transactional, real: real}
		layer, err := persistence.Open(t.Context(), persistence.Stores{Transitory: stores.Transitory, Transactional: h.walls[i]},
			&persistence.Options{Lease: relayLease, Workers: 4, RealTimeWorkers: 1, MaxHeld: 64})
		if err != nil {
			t.Fatal(err)
		}
		h.layers[i] = layer
		h.notes[i] = persistence.Declare(layer, "note", persistence.Plan[note]{
			{Priority: 1, Name: "run", Purpose: persistence.Transitory, MaxAttempts: 2, Timeout: time.Hour, Do: func(ctx context.Context, v note) error {
				h.mu.Lock()
				h.runs[v.ID]++
				h.mu.Unlock()
				if i == 1 {
					<-h.stuck
				}
				return nil
			}},
		}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
	}
	if err := h.layers[0].CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *relay) close() { closeAll(h.T, h.layers[:]) }

// ran is how many handlers ran, and how often the most frequent of them.
func (h *relay) ran() (n, most int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, times := range h.runs {
		n, most = n+times, max(most, times)
	}
	return n, most
}

// nudges is how many jobs lie in the queue.
func (h *relay) nudges() int {
	h.Helper()
	stats, err := h.layers[0].Transitory().Stats(h.Context(), "ff/nudge")
	if err != nil {
		h.Fatal(err)
	}
	return stats[0].Ready + stats[0].Reserved + stats[0].Delayed
}

// units is how many transactions the programs from the first to before the last
// have begun.
func (h *relay) units(first, last int) (n int64) {
	for _, w := range h.walls[first:last] {
		n += w.units.Load()
	}
	return n
}

// backlog lets a backlog lie for so long behind a program that is stuck, which is
// then cut off from the outbox, and starts the others on it.
func (h *relay) backlog(lies time.Duration) {
	h.Helper()
	const n = 100
	var rs []*persistence.Receipt
	for i := range n {
		r, err := h.notes[0].Put(h.Context(), note{ID: fmt.Sprint("n", i), User: "u", At: time.Unix(1, 0)})
		if err != nil {
			h.Fatal(err)
		}
		rs = append(rs, r)
		pass(5 * time.Millisecond) // for as long as a nudge is on its way no other follows
	}
	if jobs := h.nudges(); jobs < 1 || jobs > 65 {
		h.Errorf("%d jobs tell of %d envelopes, and nobody listens; want 64 at most", jobs, n)
	}
	stop := persistencetest.Work(h.T, h.layers[1])
	defer stop()
	defer close(h.stuck)
	eventually(h, 30*time.Second, "the second program is stuck", func() bool { ran, _ := h.ran(); return ran == 4 })
	before := h.units(1, 2)
	pass(lies)
	if ran, _ := h.ran(); ran != 4 {
		h.Errorf("%d of 4 stuck handlers ran while their claims were %v old", ran, lies)
	}
	if jobs := h.nudges(); jobs > 65 {
		h.Errorf("%d jobs in the queue after %v", jobs, lies)
	}
	if units := h.units(1, 2) - before; units > int64(lies/relayLease+1)*8 {
		h.Errorf("%d transactions in %v in which nothing moves", units, lies)
	}
	h.walls[1].down.Store(true)
	before = h.units(2, 5)
	for _, l := range h.layers[2:] {
		defer persistencetest.Work(h.T, l)()
	}
	ctx, cancel := context.WithTimeout(h.Context(), 30*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for _, r := range rs {
		all.Go(func() {
			if err := r.Wait(ctx); err != nil {
				h.Errorf("%v: %v", r, err)
			}
		})
	}
	all.Wait()
	if ran, most := h.ran(); ran > n+4 || most > 2 {
		h.Errorf("%d handlers ran for %d envelopes of which 4 were lost by a program, one of them %d times", ran, n, most)
	}
	if units := h.units(2, 5) - before; units > 2*n {
		h.Errorf("three programs that started at once made %d transactions for %d envelopes", units, n)
	}
}

// A backlog that lies for 30 leases, as a quarter of an hour of the default: no copy of anything piles up,
// who holds the backlog claims nothing anew, and those who start on it at once do
// each envelope once.
func TestALongBacklogAndAHerd(t *testing.T) {
	stores := embedded.Stores(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		h := openRelay(t, stores, false)
		defer h.close()
		h.backlog(30 * relayLease)
	})
}

// The same over real servers, for seconds.
func TestDegradationOfABacklog(t *testing.T) {
	if *degradation == 0 {
		t.Skip("the campaign that -args -degradation=1s asks for: a backlog and a herd over real servers, NOT TESTED here")
	}
	queue, rows := servers.Test(t, servers.Beanstalkd{}), servers.Test(t, servers.MariaDB{})
	h := openRelay(t, persistence.Stores{
		Transitory: transitory.URL(queue.URL()), Transactional: transactional.URL(rows.URL()),
	}, true)
	defer h.close()
	h.backlog(10 * relayLease)
}
