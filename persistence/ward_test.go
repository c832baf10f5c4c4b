package persistence_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A ward is a program over real servers, one of which is broken.
type ward struct {
	*testing.T
	layer *persistence.Layer
	sales *persistence.Handle[sale]  // transactional custody, a task in each store
	notes *persistence.Handle[note]  // transitory custody
	lies  *persistence.Handle[note]  // transitory custody, for waits
	rows  *persistence.Handle[note]  // transactional custody, for waits
	price *persistence.Handle[tally] // cached, its record transactional
	waits time.Duration              // for how long after a Put the tasks of lies and rows are not due
	old   int64                      // the newest version of price that was put before the cache broke
	dials *persistence.Handle[dial]  // a register in the transactional store
	sums  *persistence.Handle[tally]
	trace persistencetest.Trace

	mu     sync.Mutex
	done   map[string]int // by kind/task
	spent  map[string]int // most attempts that a run began with
	puts   map[string]int // that were accepted, by kind
	failed map[string]int
	unsure map[string]int // Puts whose outcome nobody knows, by kind
	tasks  map[string][]string
	ran    map[uint64]bool // tasks that were done, by the hash of their names
	again  int             // and that were done once more
	turns  int64           // the last N of the register
	errs   map[string]bool // that tasks met

	log book
}

func (w *ward) TaskDone(_ context.Context, e persistence.TaskEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := e.Kind + "/" + e.Task
	if e.Err != nil && len(w.errs) < 1000 {
		w.errs[e.Err.Error()] = true
	}
	if e.Attempts > w.spent[name] {
		w.spent[name] = e.Attempts
		w.Logf("%s of %s was tried %d times before: %s, %v", name, e.Key, e.Attempts, e.Result, e.Err)
	}
	if e.Result == "done" || e.Result == "superseded" || e.Result == "skipped" {
		w.done[name]++
		w.had(e)
	}
}

// openWard opens a program whose laid tasks wait for so long.
func openWard(t *testing.T, stores persistence.Stores, waits time.Duration) *ward {
	t.Helper()
	w := &ward{T: t, waits: waits, done: map[string]int{}, spent: map[string]int{}, puts: map[string]int{}, failed: map[string]int{},
		unsure: map[string]int{}, tasks: map[string][]string{}, ran: map[uint64]bool{}, errs: map[string]bool{}}
	layer, err := persistence.Open(t.Context(), stores, &persistence.Options{
		Namespace: fmt.Sprintf("w%08x", rand.Uint32()), Observer: w, Lease: 5 * time.Second,
		Logger: slog.New(slog.NewTextHandler(&w.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.close() })
	w.layer = layer
	w.sums = persistence.Declare(layer, "count", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	w.dials = persistence.Declare(layer, "dial", persistence.Plan[dial]{{Purpose: persistence.Transactional}})
	plan := persistence.Plan[sale]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, RealTime: true, MaxAttempts: 2, Do: func(context.Context, sale) error { return nil }},
		{Priority: 2, Name: "near", Purpose: persistence.Volatile, RealTime: true, MaxAttempts: 2},
		{Priority: 3, Name: "count", Purpose: persistence.Transactional, MaxAttempts: 2, Tx: w.sum},
	}
	rest := persistence.Plan[note]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, MaxAttempts: 2, Do: func(context.Context, note) error { return nil }},
		{Priority: 2, Name: "near", Purpose: persistence.Volatile, MaxAttempts: 2},
	}
	if stores.Amorphous != nil {
		plan = append(plan, persistence.Task[sale]{Priority: 4, Name: "object", Purpose: persistence.Amorphous, MaxAttempts: 2})
		rest = append(rest, persistence.Task[note]{Priority: 3, Name: "object", Purpose: persistence.Amorphous, MaxAttempts: 2})
	}
	for i := range plan {
		w.tasks["sale"] = append(w.tasks["sale"], plan[i].Name)
	}
	for i := range rest {
		w.tasks["note"] = append(w.tasks["note"], rest[i].Name)
	}
	w.sales = persistence.Declare(layer, "sale", plan)
	w.notes = persistence.Declare(layer, "note", rest, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	late := persistence.Plan[note]{{Priority: 1, Name: "late", Purpose: persistence.Transitory, Delay: waits, Do: func(context.Context, note) error { return nil }}}
	w.lies = persistence.Declare(layer, "lies", late, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	w.rows = persistence.Declare(layer, "rows", late, persistence.KindOptions{Custody: persistence.TransactionalCustody})
	w.price = persistence.Declare(layer, "price", persistence.Plan[tally]{{Purpose: persistence.Transactional}, {Purpose: persistence.Volatile}})
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
	all.Go(func() { w.turn(end) })
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
	if traced(id) {
		_ = w.trace.Put(kind+id, "", w.tasks[kind], err)
	}
	switch {
	case err == nil || fault.Accepted(err):
		w.puts[kind]++
	case fault.Unknown(err):
		w.unsure[kind]++
		fallthrough
	default:
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
	w.lay(name)
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
	p.hurt(w.T, how)
	w.reprice(p, name)
	w.load(name+"-during-", d)
	after := w.finished()
	close(stop)
	sampling.Wait()
	p.heal(w.T, how)
	f := w.recover(p, how, before, during, after, float64(d)/float64(calm))
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

// laid is how many objects of each sort lie in the stores when one breaks.
const laid = 40

func laidIDs(name string) []string {
	ids := make([]string, laid)
	for i := range ids {
		ids[i] = fmt.Sprint(name, "-laid-", i)
	}
	return ids
}

// lay puts what waits in custody when a server breaks, and what its cache has.
func (w *ward) lay(name string) {
	w.Helper()
	notes, prices := make([]note, laid), make([]tally, laid)
	for i, id := range laidIDs(name) {
		notes[i], prices[i] = note{ID: id, User: "u", At: time.Unix(1, 0)}, tally{User: id, N: 1}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, r := range w.price.PutAll(ctx, prices) {
		if r.Err != nil {
			w.Fatal(r.Err)
		}
		w.old = max(w.old, r.Receipt.Version)
	}
	for kind, h := range map[string]*persistence.Handle[note]{"lies": w.lies, "rows": w.rows} {
		for i, r := range h.PutAll(ctx, notes) {
			if r.Err != nil {
				w.Error(r.Err)
			}
			w.count(kind, notes[i].ID, r.Err)
		}
	}
}

// reprice changes what the cache has, while it is broken.
func (w *ward) reprice(p patient, name string) {
	if p.purpose != persistence.Volatile {
		return
	}
	prices := make([]tally, laid)
	for i, id := range laidIDs(name) {
		prices[i] = tally{User: id, N: 2}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, r := range w.price.PutAll(ctx, prices) {
		if r.Err != nil {
			w.Errorf("a cached object while the cache is broken: %v", r.Err)
		}
	}
}

// drained is how much of what waited for a server is done. What waits for a cache
// is an invalidation, which is done when the entry is not the old one any more.
func (w *ward) drained(p patient, name string) int {
	if p.waits != "" {
		return w.finished()[p.waits]
	}
	n := 0
	for _, id := range laidIDs(name) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		entry, there, err := w.layer.Volatile().Get(ctx, "price:"+id)
		cancel()
		if err != nil {
			return n
		}
		if !there || entry.Stamp.Version > w.old {
			n++
		}
	}
	return n
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
func (w *ward) recover(p patient, how string, before, during, after map[string]int, longer float64) figures {
	w.Helper()
	healed := time.Now()
	w.trace.Add(persistencetest.Event{Verb: persistencetest.Heal})
	f := figures{ratio: 1e9, begun: -1}
	for task := range after {
		kind, name, _ := strings.Cut(task, "/")
		if name == p.own || kind == p.refused || kind != "sale" && kind != "note" ||
			how == "slow" && p.purpose == persistence.Transitory && kind == "note" { // its custody is what is slow
			continue
		}
		was, now := during[task]-before[task], after[task]-during[task]
		if r := float64(now) / longer / float64(max(was, 1)); r < f.ratio {
			f.ratio, f.slowest = r, task
		}
	}
	had, kind := after[p.waits], strings.TrimSuffix(p.waits, "/late")
	w.mu.Lock()
	if how == "slow" || kind != p.waits && had >= w.puts[kind] {
		w.Logf("%s %s: what lay there did not wait", p.name, how)
		f.begun = 0
	}
	w.mu.Unlock()
	patience, cancel := context.WithDeadline(w.Context(), healed.Add(time.Minute))
	defer cancel()
	for {
		n := w.drained(p, p.name+how)
		if f.begun < 0 && n > had {
			f.begun = time.Since(healed)
		}
		pending := w.sample().Pending
		if pending == 0 && f.begun >= 0 {
			f.over = time.Since(healed)
			f.rate = float64(n-had) / max((f.over-f.begun).Seconds(), 0.02)
			break
		}
		if patience.Err() != nil {
			w.Errorf("%s: a minute after it is back %d tasks are pending, and of what waited for it %d are done", p.name, pending, n-had)
			break
		}
		select {
		case <-patience.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	w.account(&f)
	w.balance(p.name)
	return f
}

// account compares what is done with what was accepted.
func (w *ward) account(f *figures) {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, n := range w.done {
		if kind, _, _ := strings.Cut(name, "/"); kind != "count" && kind != "price" && n < w.puts[kind] {
			w.Errorf("%s is done of %d objects, and %d were accepted", name, n, w.puts[kind])
		}
	}
	for name, n := range w.spent {
		if !strings.HasPrefix(name, "count/") {
			f.spent = max(f.spent, n)
		}
	}
}
