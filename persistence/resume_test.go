package persistence_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A sleeper is a machine that is suspended: time goes on, and nothing reaches a
// store before it is resumed. It counts what is under way at each store, whose
// answers take two milliseconds.
type sleeper struct {
	asleep atomic.Pointer[chan struct{}]

	mu   sync.Mutex
	now  map[any]int // under way, by store; handlers are "handlers"
	most map[any]int
	all  map[any]int
	runs map[string]int // of handlers, by key

	begun map[string]time.Time // when it ran last
	open  map[string]bool      // it was under way, or not settled, when the machine was suspended
}

// during holds up whoever comes while the machine is suspended.
func (s *sleeper) during(what any, d time.Duration) {
	if c := s.asleep.Load(); c != nil {
		<-*c
	}
	s.mu.Lock()
	s.now[what]++
	s.all[what]++
	s.most[what] = max(s.most[what], s.now[what])
	s.mu.Unlock()
	time.Sleep(d)
	if c := s.asleep.Load(); c != nil {
		<-*c
	}
	s.mu.Lock()
	s.now[what]--
	s.mu.Unlock()
}

// suspend suspends the machine; what is counted begins when it is resumed.
func (s *sleeper) suspend(d time.Duration) {
	c := make(chan struct{})
	s.asleep.Store(&c)
	s.mu.Lock()
	for venue, at := range s.begun {
		s.open[venue] = s.open[venue] || time.Since(at) < time.Second/2
	}
	s.mu.Unlock()
	time.Sleep(d)
	s.mu.Lock()
	clear(s.most)
	clear(s.all)
	s.mu.Unlock()
	s.asleep.Store(nil)
	close(c)
}

// tell is a handler that takes a fifth of a second.
func (s *sleeper) tell(_ context.Context, v visit) error {
	s.mu.Lock()
	s.runs[v.Venue]++
	s.begun[v.Venue] = time.Now()
	s.mu.Unlock()
	s.during("handlers", time.Second/5)
	return nil
}

// A sleepy is a database on a machine that is suspended. No transaction is under
// way while it is.
type sleepy struct {
	transactional.Driver
	*sleeper
}

func (d sleepy) Run(ctx context.Context, unit func(transactional.Conn) error) error {
	d.during(persistence.Transactional, 2*time.Millisecond)
	return d.Driver.Run(ctx, unit)
}

func (d sleepy) View(ctx context.Context, unit func(transactional.Conn) error) error {
	d.during(persistence.Transactional, 2*time.Millisecond)
	return d.Driver.View(ctx, unit)
}

// A night is a layer on a machine that is suspended with work in hand.
type night struct {
	*testing.T
	*sleeper
	layer                   *persistence.Layer
	log                     bytes.Buffer
	later, kept, rows, jobs *persistence.Handle[visit]
}

const nights, nightWorkers, nightRebuilds, nightReads, nightTasks = 2, 8, 12, 50, 100

func newNight(t *testing.T, s *sleeper, stores persistence.Stores) *night {
	t.Helper()
	rows := stores.Transactional
	stores.Transactional = transactional.SourceFunc(func(ctx context.Context) (transactional.Driver, error) {
		d, err := rows.OpenDriver(ctx)
		return sleepy{d, s}, err
	})
	faults := persistencetest.NewFaults()
	for _, p := range []persistence.Purpose{persistence.Transitory, persistence.Volatile, persistence.Amorphous} {
		faults.Refuse(p, func(persistencetest.Op) error {
			s.during(p, 2*time.Millisecond)
			return nil
		})
	}
	n := &night{T: t, sleeper: s}
	layer, err := persistence.Open(t.Context(), faults.Wrap(stores), &persistence.Options{
		Logger:  slog.New(slog.NewTextHandler(&n.log, nil)),
		Workers: nightWorkers - 1, RealTimeWorkers: 1, Rebuilds: nightRebuilds, Lease: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	n.layer = layer
	in := func(kind string, custody persistence.Custody, task persistence.Task[visit]) *persistence.Handle[visit] {
		return persistence.Declare(layer, kind, persistence.Plan[visit]{task}, persistence.KindOptions{Custody: custody})
	}
	tell := persistence.Task[visit]{Priority: 1, Name: "tell", Purpose: persistence.Transitory, Timeout: time.Hour, MaxAttempts: 1, Do: n.tell}
	n.rows = in("row", persistence.TransactionalCustody, tell)
	n.jobs = in("job", persistence.TransitoryCustody, tell)
	n.later = in("later", persistence.TransactionalCustody, persistence.Task[visit]{Priority: 2, Name: "object",
		Purpose: persistence.Amorphous, Delay: 5 * time.Minute, MaxAttempts: 1})
	n.kept = persistence.Declare(layer, "kept", persistence.Plan[visit]{
		{Purpose: persistence.Transactional}, {Purpose: persistence.Volatile, TTL: 5 * time.Minute}})
	if err := layer.CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *night) put(h *persistence.Handle[visit], kind string, count int) (out []*persistence.Receipt) {
	n.Helper()
	objs := make([]visit, count)
	for i := range objs {
		objs[i] = visit{ID: fmt.Sprint(i), Venue: fmt.Sprint(kind, i), User: "ann", At: time.Unix(1, 0)}
	}
	for _, r := range h.PutAll(n.Context(), objs) {
		if r.Err != nil {
			n.Fatal(r.Err)
		}
		out = append(out, r.Receipt)
	}
	return out
}

// morning reads everything that is cached, all at once, and checks what was asked
// of the stores within a second after the machine was resumed.
func (n *night) morning() {
	const services = 8 // pullers, sweeper, renewals, settlers
	var all sync.WaitGroup
	for i := range nightReads {
		all.Go(func() {
			if _, err := n.kept.Get(n.Context(), fmt.Sprint(i)); err != nil {
				n.Error(err)
			}
		})
	}
	all.Wait()
	time.Sleep(time.Second)
	n.mu.Lock()
	defer n.mu.Unlock()
	for what, most := range map[any]int{
		"handlers": nightWorkers, persistence.Transitory: nightWorkers + services,
		persistence.Transactional: nightWorkers + services + nightRebuilds,
		persistence.Volatile:      nightReads + services, persistence.Amorphous: nightWorkers,
	} {
		if n.most[what] > most {
			n.Errorf("%v: %d at once after the machine was resumed, want %d at most", what, n.most[what], most)
		}
	}
	if n.most[persistence.Transactional] < nightRebuilds || n.all["handlers"] < nightWorkers {
		n.Errorf("%v at once, %v altogether: nothing is proved", n.most, n.all)
	}
}

// judge checks that no claim was lost, and how often handlers ran. In transitory
// custody what was under way when the machine was suspended, or done and not
// settled, may run again, and what workers take before the queue has told that
// it hands out all of it anew; nothing else does.
func (n *night) judge() {
	n.mu.Lock()
	defer n.mu.Unlock()
	waited, again := 0, 0
	for venue, times := range n.runs {
		if !n.open[venue] {
			waited++
		}
		switch {
		case times > 1 && venue[:3] == "row":
			n.Errorf("the handler of %s ran %d times", venue, times)
		case times > 1 && !n.open[venue]:
			again++
		}
	}
	if again > nights*nightWorkers {
		n.Errorf("%d handlers that waited ran again, want one for each worker and night at most", again)
	}
	if len(n.runs) != 2*nightTasks || waited < nightTasks {
		n.Errorf("%d handlers ran, of which %d only waited: nothing is proved", len(n.runs), waited)
	}
	if lost := strings.Count(n.log.String(), "no longer holds"); lost > 0 {
		n.Errorf("%d settlements were refused for a claim that was lost", lost)
	}
}

// A machine that was suspended for many leases, twice, has all its leases, cache
// entries and delays end in one instant. Its stores are not asked for more at a
// time than the workers and Rebuilds say; what it held goes on as its own and is
// not claimed anew; what waited in a lane runs once; and no attempt is spent.
func TestResumeIsNoStorm_A22(t *testing.T) {
	stores := embedded.Stores(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		s := &sleeper{now: map[any]int{}, most: map[any]int{}, all: map[any]int{}, runs: map[string]int{}, begun: map[string]time.Time{}, open: map[string]bool{}}
		n := newNight(t, s, stores)
		defer closeAll(t, []*persistence.Layer{n.layer})
		rs := n.put(n.later, "later", 200)
		n.put(n.kept, "kept", nightReads)
		rs = append(rs, n.put(n.rows, "row", nightTasks)...)
		rs = append(rs, n.put(n.jobs, "job", nightTasks)...)
		persistencetest.Work(t, n.layer)
		for range nights {
			time.Sleep(1200 * time.Millisecond) // it has swept
			s.suspend(7 * time.Minute)
			n.morning()
		}
		for _, r := range rs {
			if err := r.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		n.judge()
	})
}
