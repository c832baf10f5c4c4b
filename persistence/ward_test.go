package persistence_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"
)

// A ward is a program over real servers, one of which is broken.
type ward struct {
	*testing.T
	layer *persistence.Layer
	sales *persistence.Handle[sale] // transactional custody, a task in each store
	notes *persistence.Handle[note] // transitory custody
	trace persistencetest.Trace

	mu     sync.Mutex
	done   map[string]int // by kind/task
	spent  map[string]int // most attempts that a run began with
	puts   map[string]int // that were accepted, by kind
	failed map[string]int
}

func (w *ward) TaskDone(_ context.Context, e persistence.TaskEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := e.Kind + "/" + e.Task
	w.spent[name] = max(w.spent[name], e.Attempts)
	if e.Result == "done" || e.Result == "superseded" || e.Result == "skipped" {
		w.done[name]++
	}
}

func openWard(t *testing.T, stores persistence.Stores) *ward {
	t.Helper()
	w := &ward{T: t, done: map[string]int{}, spent: map[string]int{}, puts: map[string]int{}, failed: map[string]int{}}
	layer, err := persistence.Open(t.Context(), stores, &persistence.Options{
		Namespace: fmt.Sprintf("w%08x", rand.Uint32()), Observer: w, Lease: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { layer.Close() })
	w.layer = layer
	counts := persistence.Declare(layer, "count", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	plan := persistence.Plan[sale]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, RealTime: true, MaxAttempts: 2, Do: func(context.Context, sale) error { return nil }},
		{Priority: 2, Name: "near", Purpose: persistence.Volatile, RealTime: true, MaxAttempts: 2},
		{Priority: 3, Name: "count", Purpose: persistence.Transactional, MaxAttempts: 2, Tx: func(ctx context.Context, tx *persistence.Tx, s sale) error {
			_, err := counts.In(tx).Put(ctx, tally{User: s.ID, N: 1})
			return err
		}},
	}
	rest := persistence.Plan[note]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, MaxAttempts: 2, Do: func(context.Context, note) error { return nil }},
		{Priority: 2, Name: "near", Purpose: persistence.Volatile, MaxAttempts: 2},
	}
	if stores.Amorphous != nil {
		plan = append(plan, persistence.Task[sale]{Priority: 4, Name: "object", Purpose: persistence.Amorphous, MaxAttempts: 2})
		rest = append(rest, persistence.Task[note]{Priority: 3, Name: "object", Purpose: persistence.Amorphous, MaxAttempts: 2})
	}
	w.sales = persistence.Declare(layer, "sale", plan)
	w.notes = persistence.Declare(layer, "note", rest, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	if err := layer.CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	persistencetest.Work(t, layer)
	return w
}

// putRate is how many objects of each kind are put per second: far below what
// the stores take, so that a rate that falls is not the machine's.
const putRate = 40

// load puts both kinds for so long, at a steady rate, whatever becomes of it.
func (w *ward) load(phase string, d time.Duration) {
	var all sync.WaitGroup
	every := time.NewTicker(time.Second / putRate)
	defer every.Stop()
	end := time.Now().Add(d)
	for i := 0; time.Now().Before(end); i++ {
		<-every.C
		id := fmt.Sprint(phase, i)
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			_, err := w.sales.Put(ctx, sale{ID: id, User: "u", At: time.Unix(1, 0)})
			w.count("sale", id, err)
		})
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			_, err := w.notes.Put(ctx, note{ID: id, User: "u", At: time.Unix(1, 0)})
			w.count("note", id, err)
		})
	}
	all.Wait()
}

func (w *ward) count(kind, id string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		if w.puts[kind]++; w.puts[kind]%100 == 1 { // of each, minutes of trace would be what grows
			_ = w.trace.Put(kind+id, "", nil, nil)
		}
	} else {
		w.failed[kind]++
	}
}

// finished copies the counters.
func (w *ward) finished() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int{}
	for name, n := range w.done {
		out[name] = n
	}
	return out
}

// sample notes what the process holds and how much is pending, -1 if nobody knows.
func (w *ward) sample() persistencetest.Sample {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := persistencetest.Sample{Memory: int64(m.HeapAlloc), Goroutines: int64(runtime.NumGoroutine())}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		s.Files = int64(len(fds))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	stats, err := w.layer.Stats(ctx)
	for _, t := range stats.Tasks {
		s.Pending += int64(t.Pending)
	}
	if err != nil {
		s.Pending = -1
	}
	w.trace.Add(persistencetest.Event{Verb: persistencetest.Sampled, Sample: s})
	return s
}

// A patient is a server and the tasks that depend on it.
type patient struct {
	name    string
	server  *servers.Server
	purpose persistence.Purpose
	own     string // the task that waits for it
	refused string // the kind whose Put needs it
}

// A ward's row of the table.
type figures struct {
	ratio       float64 // of the slowest sibling's rate, during and before
	slowest     string
	spent       int
	begun, over time.Duration // after the heal
	rate        float64       // of the drain, tasks per second
	most        persistencetest.Sample
}

// examine breaks a server for d, under load, after a calm, and measures.
func (w *ward) examine(p patient, how string, calm, d time.Duration) figures {
	w.Helper()
	name := p.name + how
	before := w.finished()
	w.load(name+"-before-", calm)
	during := w.finished()
	stop := make(chan struct{})
	var held persistencetest.Trace
	var sampling sync.WaitGroup
	sampling.Go(func() {
		for every := time.NewTicker(d / 30); ; {
			select {
			case <-stop:
				every.Stop()
				return
			case <-every.C:
				s := w.sample()
				held.Add(persistencetest.Event{Verb: persistencetest.Sampled, Sample: s})
			}
		}
	})
	w.trace.Add(persistencetest.Event{Verb: persistencetest.Fault, ID: name})
	if how == "killed" {
		p.server.Kill()
	} else if err := p.server.Pause(); err != nil {
		w.Error(err)
	}
	w.load(name+"-during-", d)
	after := w.finished()
	close(stop)
	sampling.Wait()
	if how == "killed" {
		if err := p.server.Restart(context.Background()); err != nil {
			w.Error(err)
		}
	} else if err := p.server.Resume(); err != nil {
		w.Error(err)
	}
	f := w.recover(p, before, during, after, float64(d)/float64(calm))
	allowed := persistencetest.Sample{Goroutines: 4000, Memory: 256 << 20, Files: 1000}
	if f.most = most(held.Events()); d < time.Minute { // seconds say nothing of growth
		if f.most.Goroutines > allowed.Goroutines || f.most.Memory > allowed.Memory || f.most.Files > allowed.Files {
			w.Errorf("%s %s: %+v is more than is allowed", p.name, how, f.most)
		}
	} else if v := persistencetest.CheckResources(allowed)(held.Events()); !v.Passed() {
		w.Errorf("%s %s: %v", p.name, how, v)
	}
	return f
}

// most is the most that was held of each.
func most(events []persistencetest.Event) (m persistencetest.Sample) {
	for _, e := range events {
		m.Goroutines, m.Memory, m.Files = max(m.Goroutines, e.Sample.Goroutines), max(m.Memory, e.Sample.Memory), max(m.Files, e.Sample.Files)
	}
	return m
}

// recover waits until everything is done again. The fault lasted so many times
// longer than the calm before.
func (w *ward) recover(p patient, before, during, after map[string]int, longer float64) figures {
	w.Helper()
	healed := time.Now()
	w.trace.Add(persistencetest.Event{Verb: persistencetest.Heal})
	f := figures{ratio: 1e9, begun: -1}
	for name := range after {
		kind, task, _ := strings.Cut(name, "/")
		if task == p.own || kind == p.refused || kind == "count" {
			continue
		}
		was, now := during[name]-before[name], after[name]-during[name]
		if r := float64(now) / longer / float64(max(was, 1)); r < f.ratio {
			f.ratio, f.slowest = r, name
		}
	}
	waited := "sale/" + p.own
	if p.purpose != persistence.Amorphous {
		waited = "" // nothing waits: it was refused, skipped, or spilled
	}
	for deadline := healed.Add(time.Minute); ; {
		if f.begun < 0 && (waited == "" || w.finished()[waited] > after[waited]) {
			f.begun = time.Since(healed)
		}
		if pending := w.sample().Pending; pending == 0 {
			break
		} else if time.Now().After(deadline) {
			w.Errorf("%s: %d tasks are pending a minute after it is back", p.name, pending)
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	f.over = time.Since(healed)
	f.rate = float64(w.finished()[waited]-after[waited]) / max(f.over.Seconds(), 0.001)
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, n := range w.done {
		if kind, _, _ := strings.Cut(name, "/"); kind != "count" && n < w.puts[kind] {
			w.Errorf("%s: %s is done of %d objects, and %d were accepted", p.name, name, n, w.puts[kind])
		}
	}
	for name, n := range w.spent {
		if !strings.HasPrefix(name, "count/") {
			f.spent = max(f.spent, n)
		}
	}
	return f
}

// admit starts servers and a program over them, until the test ends.
func admit(t *testing.T, kinds map[persistence.Purpose]servers.Kind) (*ward, []patient) {
	t.Helper()
	started := map[persistence.Purpose]*servers.Server{}
	for p, kind := range kinds {
		started[p] = servers.Test(t, kind)
	}
	patients := []patient{
		{"beanstalkd", started[persistence.Transitory], persistence.Transitory, "", ""},
		{"memcached", started[persistence.Volatile], persistence.Volatile, "near", ""},
		{"mariadb", started[persistence.Transactional], persistence.Transactional, "count", "sale"},
		{"cassandra", started[persistence.Amorphous], persistence.Amorphous, "object", ""},
	}
	patients = slices.DeleteFunc(patients, func(p patient) bool { return p.server == nil })
	return openWard(t, wardStores(started)), patients
}

// wardStores are the sources of what was started.
func wardStores(started map[persistence.Purpose]*servers.Server) (out persistence.Stores) {
	for p, s := range started {
		switch p {
		case persistence.Transitory:
			out.Transitory = transitory.URL(s.URL())
		case persistence.Volatile:
			out.Volatile = volatile.URL(s.URL())
		case persistence.Transactional:
			out.Transactional = transactional.URL(s.URL())
		case persistence.Amorphous:
			out.Amorphous = amorphous.URL(s.URL())
		}
	}
	return out
}
