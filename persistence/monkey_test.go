package persistence_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

var (
	monkeyFor  = flag.Duration("monkey", 5*time.Second, "how long, by the clock of its bubble, TestMonkey lets a monkey at the four stores")
	monkeySeed = flag.Uint64("monkey.seed", 0, "the seed of TestMonkey; 0: one by chance, which it prints")
)

// A monkey breaks the stores of a drill, one way after the other, while objects
// of two kinds are put and one is read.
type monkey struct {
	*drill
	rng    *rand.Rand // of the faults
	trace  persistencetest.Trace
	counts *persistence.Handle[tally] // how often the Tx task of a sale had its effect
	sales  *persistence.Handle[sale]  // transactional custody
	notes  *persistence.Handle[note]  // transitory custody

	floor atomic.Int64 // the highest number that a Put of the cached object returned
	read  atomic.Int64 // how often it was read

	mu   sync.Mutex
	told map[string]bool // whose handler ran
}

var saleTasks, noteTasks = []string{"tell", "count", "activity", "object"}, []string{"tell", "activity", "object"}

func (m *monkey) declare() {
	m.counts = persistence.Declare(m.layer, "count", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	m.sales = persistence.Declare(m.layer, "sale", persistence.Plan[sale]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, RealTime: true, Do: func(_ context.Context, s sale) error { return m.tell(s.ID) }},
		{Priority: 2, Name: "count", Purpose: persistence.Transactional, Tx: m.count},
		{Priority: 3, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		{Priority: 4, Name: "object", Purpose: persistence.Amorphous},
	})
	m.notes = persistence.Declare(m.layer, "note", persistence.Plan[note]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, RealTime: true, Do: func(_ context.Context, n note) error { return m.tell(n.ID) }},
		{Priority: 2, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		{Priority: 3, Name: "object", Purpose: persistence.Amorphous},
	}, persistence.KindOptions{Custody: persistence.TransitoryCustody})
}

func (m *monkey) tell(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told[id] = true
	return nil
}

func (m *monkey) count(ctx context.Context, tx *persistence.Tx, s sale) error {
	n, err := m.counts.In(tx).Get(ctx, s.ID)
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return err
	}
	_, err = m.counts.In(tx).Put(ctx, tally{User: s.ID, N: n.N + 1})
	return err
}

// mischief breaks something, for a while, and says what.
func (m *monkey) mischief() string {
	p := persistence.Transitory + persistence.Purpose(m.rng.IntN(4))
	n, d := 1+m.rng.IntN(10), time.Duration(50+m.rng.IntN(1000))*time.Millisecond
	switch m.rng.IntN(7) {
	case 0:
		m.faults.Down(p)
		time.AfterFunc(d, func() { m.faults.Up(p) })
		return fmt.Sprint(p, " down for ", d)
	case 1:
		m.faults.Down()
		time.AfterFunc(d, func() { m.faults.Up() })
		return fmt.Sprint("all down for ", d)
	case 2:
		m.faults.Slow(p, d)
		time.AfterFunc(2*d, func() { m.faults.Slow(p, 0) })
		return fmt.Sprint(p, " slower by ", d)
	case 3:
		m.faults.Slow(p, 5*time.Second) // the calls under way are done late, whatever their callers think
		time.AfterFunc(d, func() { m.faults.Slow(p, 0) })
		return fmt.Sprint(p, " takes calls and answers none, for ", d)
	case 4:
		m.faults.Busy(p, n)
		return fmt.Sprint(p, " refuses ", n)
	case 5:
		m.faults.Unknown(p, n)
		return fmt.Sprint(p, " loses ", n, " answers")
	}
	m.faults.Dropped(p, n)
	return fmt.Sprint(p, " loses ", n, " changes")
}

// put puts an object every 100 ms until stop is closed.
func (m *monkey) put(stop <-chan struct{}, kind string, tasks []string, put func(ctx context.Context, id string) error) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-time.After(100 * time.Millisecond):
		}
		id := kind + strconv.Itoa(i)
		ctx, cancel := context.WithTimeout(m.Context(), 3*time.Second)
		_ = m.trace.Put(id, "", tasks, put(ctx, id))
		cancel()
	}
}

// overwrite puts one cached object again and again, each time with a higher
// number. What it returned without an error everybody reads from then on, or what
// is newer: see watchHot.
func (m *monkey) overwrite(ctx context.Context, n string) error {
	at, err := strconv.ParseInt(n[len("hot"):], 10, 64)
	if err != nil {
		return err
	}
	_, err = m.cached.Put(ctx, visit{ID: "hot", User: "ann", At: time.Unix(at, 0).UTC()})
	if err == nil {
		m.floor.Store(at)
	}
	return err
}

func (m *monkey) watchHot(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(70 * time.Millisecond):
		}
		ctx, cancel := context.WithTimeout(m.Context(), 3*time.Second)
		low := m.floor.Load()
		v, err := m.cached.Get(ctx, "hot")
		cancel()
		if err != nil {
			continue
		}
		m.read.Add(1)
		if at := v.At.Unix(); at < low {
			m.Errorf("number %d was put, and %d is read after it", low, at)
		}
	}
}

// proves reports whether the object in the cache was put and read.
func (m *monkey) proves() bool { return m.read.Load() > 0 && m.floor.Load() > 0 }

// rampage runs everything for so long, and until something was put that could be read.
func (m *monkey) rampage(d time.Duration) {
	stop := make(chan struct{})
	at := time.Unix(1, 0).UTC()
	var all sync.WaitGroup
	all.Go(func() {
		m.put(stop, "sale", saleTasks, func(ctx context.Context, id string) error {
			_, err := m.sales.Put(ctx, sale{ID: id, User: "u", At: at})
			return err
		})
	})
	all.Go(func() {
		m.put(stop, "note", noteTasks, func(ctx context.Context, id string) error {
			_, err := m.notes.Put(ctx, note{ID: id, User: "u", At: at})
			return err
		})
	})
	all.Go(func() { m.put(stop, "hot", nil, m.overwrite) })
	all.Go(func() { m.watchHot(stop) })
	for end := time.Now().Add(d); time.Now().Before(end) || !m.proves() && time.Since(end) < time.Minute; {
		time.Sleep(time.Duration(50+m.rng.IntN(450)) * time.Millisecond)
		what := m.mischief()
		m.trace.Add(persistencetest.Event{Verb: persistencetest.Fault, ID: what})
		m.Log(what)
	}
	close(stop)
	all.Wait()
	time.Sleep(5 * time.Second) // what was to end by itself has ended
	m.faults.Heal()
	m.trace.Add(persistencetest.Event{Verb: persistencetest.Heal})
}

// look notes what is there in the end.
func (m *monkey) look() {
	m.Helper()
	effect := func(id, task string) {
		m.trace.Add(persistencetest.Event{Verb: persistencetest.Effect, ID: id, Task: task})
	}
	for _, e := range m.trace.Events() {
		if e.Verb != persistencetest.Put || e.Tasks == nil {
			continue
		}
		get := func() error { _, err := m.notes.Get(m.Context(), e.ID); return err }
		if e.ID[:4] == "sale" {
			get = func() error { _, err := m.sales.Get(m.Context(), e.ID); return err }
			n, err := m.counts.Get(m.Context(), e.ID)
			if err != nil && !errors.Is(err, fault.ErrNotFound) {
				m.Error(err)
			}
			for range n.N {
				effect(e.ID, "count")
			}
		}
		if err := get(); err == nil {
			effect(e.ID, "object")
		} else if !errors.Is(err, fault.ErrNotFound) {
			m.Error(err)
		}
		m.mu.Lock()
		told := m.told[e.ID]
		m.mu.Unlock()
		if told {
			effect(e.ID, "tell")
		}
	}
	query := persistence.Query{Task: "activity", Where: map[string]any{"User": "u"}}
	for s, err := range m.sales.Find(m.Context(), query) {
		if effect(s.ID, "activity"); err != nil {
			m.Error(err)
		}
	}
	for n, err := range m.notes.Find(m.Context(), query) {
		if effect(n.ID, "activity"); err != nil {
			m.Error(err)
		}
	}
}

// settled waits until nothing is pending.
func (m *monkey) settled() {
	m.Helper()
	for {
		stats, err := m.layer.Stats(m.Context())
		if err != nil {
			m.Fatal(err)
		}
		var s persistencetest.Sample
		for _, t := range stats.Tasks {
			s.Accepted += t.Accepted
			s.Done += t.Done
			s.Superseded += t.Superseded
			s.Pending += t.Pending
			s.Dead += t.Dead
		}
		m.trace.Add(persistencetest.Event{Verb: persistencetest.Sampled, Sample: s})
		if s.Pending == 0 || len(m.trace.Events()) > 100_000 {
			return
		}
		time.Sleep(time.Second)
	}
}

// Random faults of all kinds, a new one every 50 to 500 ms and many at a time,
// lose nothing that was accepted, do nothing that was refused, no transaction
// twice, hide from nobody what a Put has returned, and are over soon
// after the last of them: a task whose answers were lost waits for a minute or two.
//
//	go test ./persistence -run Monkey -v -args -monkey=10m -monkey.seed=1
func TestMonkey_F12(t *testing.T) {
	seed := *monkeySeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	inDrill(t, func(d *drill) {
		t.Logf("-monkey.seed=%d replays these faults", seed)
		m := &monkey{drill: d, rng: rand.New(rand.NewPCG(seed, 12)), told: map[string]bool{}}
		m.declare()
		d.serve()
		m.rampage(*monkeyFor)
		m.settled()
		m.look()
		m.trace.Judge(t, persistencetest.CheckTotal, onceCounted, persistencetest.CheckRecovery(5*time.Minute))
		if !m.proves() {
			t.Error("nothing was read, or nothing written: nothing is proved of the cache")
		}
		d.clean()
	})
}

// onceCounted is CheckOnce of the Tx tasks.
func onceCounted(events []persistencetest.Event) persistencetest.Verdict {
	var counted []persistencetest.Event
	for _, e := range events {
		if e.Task == "count" {
			counted = append(counted, e)
		}
	}
	return persistencetest.CheckOnce(counted)
}
