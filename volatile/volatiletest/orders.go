package volatiletest

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/volatile"
)

var allOrders = flag.Bool("volatiletest.orders", false, "have the suite of package volatile try every order of all actors, where it samples some")

// batchMost is how many worlds are played side by side. What befalls the server
// befalls them all at once: a restart takes longer than all that a world does.
const batchMost = 64

// explore tries every order of the few actors' steps, then samples orders of all
// actors.
func explore(t *testing.T, e *env, s scenario) {
	all := append(slices.Clone(s.few), s.others...)
	p := &play{env: e, scenario: s}
	if !s.silent || *allOrders {
		p.every(t, s.few)
	}
	switch {
	case len(s.others) == 0:
	case *allOrders && !s.silent:
		p.every(t, all)
	default:
		p.sample(t, all)
	}
}

// A play is a scenario that is played over one server.
type play struct {
	*env
	scenario
	drivers []volatile.Driver // of the worlds of a batch, and their actors
	runs    int
}

// every plays every order of the actors' steps: each order that was played names
// those that part from it.
func (p *play) every(t *testing.T, actors []actor) {
	runs := p.runs
	for paths := [][]int{nil}; len(paths) > 0 && !t.Failed(); {
		first := max(0, len(paths)-batchMost)
		var batch []*order
		for _, path := range paths[first:] {
			batch = append(batch, &order{path: path})
		}
		paths = paths[:first]
		p.batch(t, actors, batch)
		for _, o := range batch {
			paths = append(paths, o.others()...)
		}
	}
	t.Logf("all %d orders of %d actors", p.runs-runs, len(actors))
}

// sample plays random orders.
func (p *play) sample(t *testing.T, actors []actor) {
	seed := rand.Uint64()
	most := p.size(5_000, 300)
	if p.silent && !*allOrders {
		most = batchMost // what it waits for is a second
	}
	runs := p.runs
	for p.runs-runs < most && !t.Failed() {
		var batch []*order
		for range min(batchMost, most-(p.runs-runs)) {
			batch = append(batch, &order{random: rand.New(rand.NewPCG(seed, uint64(p.runs+len(batch))))})
		}
		p.batch(t, actors, batch)
	}
	t.Logf("%d sampled orders of %d actors, seed %d", p.runs-runs, len(actors), seed)
}

// An order says which of the waiting actors goes at each step: along a path in
// the tree of all orders and then always the first, or at random.
type order struct {
	path     []int
	taken    []int // who went, per step
	branches []int // of how many
	random   *rand.Rand
}

// choose takes the next step.
func (o *order) choose(waiting int) int {
	choice := 0
	switch step := len(o.taken); {
	case o.random != nil:
		choice = o.random.IntN(waiting)
	case step < len(o.path):
		choice = min(o.path[step], waiting-1)
	}
	o.taken, o.branches = append(o.taken, choice), append(o.branches, waiting)
	return choice
}

// others returns the paths that part from this order behind its own path: so
// every order is played once.
func (o *order) others() (paths [][]int) {
	for step := len(o.path); step < len(o.taken); step++ {
		for choice := 1; choice < o.branches[step]; choice++ {
			paths = append(paths, append(slices.Clone(o.taken[:step]), choice))
		}
	}
	return paths
}

// A shared step is taken by all worlds of a batch at once: the last to come does
// it.
type shared struct {
	mu   sync.Mutex
	left int
	done chan struct{}
	act  func()
	at   time.Time // when it was done
}

func (s *shared) take() {
	s.mu.Lock()
	s.left--
	last := s.left == 0
	s.mu.Unlock()
	if last {
		s.act()
		s.at = time.Now()
		close(s.done)
	}
	<-s.done
}

// batch plays the actors in some orders, side by side, each in a world of its
// own.
func (p *play) batch(t *testing.T, actors []actor, orders []*order) {
	var steps []*shared
	for _, act := range p.shared {
		steps = append(steps, &shared{left: len(orders), done: make(chan struct{}), act: func() { act(p.env) }})
	}
	worlds := make([]*world, len(orders))
	for i := range orders {
		worlds[i] = p.world(t, i, actors)
		worlds[i].shared = steps
		p.runs++
	}
	var playing sync.WaitGroup
	for i, w := range worlds {
		playing.Go(func() { w.play(actors, orders[i]) })
	}
	playing.Wait()
	if p.silent {
		p.settle(t, worlds, steps[len(steps)-1].at)
	}
	for _, w := range worlds {
		p.judge(t, w)
	}
}

// world returns a world in which nothing has happened yet.
func (p *play) world(t *testing.T, n int, actors []actor) *world {
	w := &world{key: fmt.Sprintf("%d-%d", len(actors), p.runs), gate: newGate(), record: 1, mayFail: p.shared != nil, server: p.driver}
	if p.initial {
		p.serving(t, w.key)
		mustRaise(t, p.plain(t), w.key, versioned(1))
	}
	for i, a := range actors {
		c, err := volatile.New(gated{p.process(t, n, i, len(actors)), w.gate, a.name}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.caches = append(w.caches, c)
	}
	return w
}

// process returns the driver of an actor. Worlds share none, so that in none of
// them the connections are new because of what happened in another; the actors of
// a world share one, unless the server falls silent: what a process could not tell
// it, others cannot know.
func (p *play) process(t *testing.T, world, actor, actors int) volatile.Driver {
	n := world
	if p.silent {
		n = world*actors + actor
	}
	source := p.server.Source
	if p.silent {
		source = p.server.Impatient
	}
	for len(p.drivers) <= n {
		p.drivers = append(p.drivers, openFrom(t, source))
	}
	return p.drivers[n]
}

// play gives turns until all actors are done.
func (w *world) play(actors []actor, o *order) {
	var names []string
	for i, a := range actors {
		names = append(names, a.name)
		w.gate.run(func() { a.act(w, w.caches[i]) })
	}
	for waiting := w.gate.settle(names); len(waiting) > 0; waiting = w.gate.settle(names) {
		next := waiting[o.choose(len(waiting))]
		w.trace = append(w.trace, next)
		w.gate.give(next)
	}
	w.gate.end()
}

// pay tells the cache what it could not hear; false when something is still owed.
func (w *world) pay() bool {
	w.owed = slices.DeleteFunc(w.owed, func(tell func() error) bool { return tell() == nil })
	return len(w.owed) == 0
}

// payAll has all worlds pay, side by side as processes do.
func payAll(worlds []*world) {
	var paying sync.WaitGroup
	for _, w := range worlds {
		if len(w.owed) > 0 {
			paying.Go(func() { w.pay() })
		}
	}
	paying.Wait()
}

// settle waits for the second after the server's return in which old versions may
// be seen. Another second is allowed, and a hundred rounds, which on a machine that
// stands still take longer.
func (p *play) settle(t *testing.T, worlds []*world, returned time.Time) {
	c := p.plain(t)
	old := func(w *world) bool {
		left, ok, err := c.Get(p.ctx, w.key)
		return len(w.owed) > 0 || err != nil || ok && left.Stamp.Version < w.record
	}
	var last time.Duration
	for round := 0; last < 2*time.Second || round < 100; round++ {
		began := time.Since(returned)
		if payAll(worlds); slices.ContainsFunc(worlds, old) {
			last = began
		} else if began > time.Second {
			break
		}
		pass(20 * time.Millisecond)
	}
	t.Logf("in %d worlds an old version was seen until %v after the server's return", len(worlds), last)
}

// judge says what is wrong in a world whose actors are done.
func (p *play) judge(t *testing.T, w *world) {
	p.serving(t, w.key)
	p.eventually(t, restartWithin, "the cache hears what it could not", w.pay)
	left, ok, err := p.plain(t).Get(p.ctx, w.key)
	if err != nil {
		w.problem = err.Error()
	}
	if ok && left.Stamp.Version < w.record {
		w.problem = fmt.Sprintf("version %d is left in the cache, committed is %d", left.Stamp.Version, w.record)
	}
	if w.problem != "" {
		t.Errorf("%s\n%s", w.problem, strings.Join(w.trace, " → "))
	}
	p.driver.Delete(context.Background(), []string{"ff:" + w.key})
}

// serving waits until the driver is done with a server that restarted.
func (e *env) serving(t testing.TB, key string) {
	t.Helper()
	e.eventually(t, restartWithin, "the driver serves", func() bool {
		_, err := e.driver.Get(e.ctx, []string{key})
		return err == nil
	})
}

// plain is a cache over the driver itself; it is not closed, for the driver is
// the check's own.
func (e *env) plain(t testing.TB) *volatile.Cache {
	c, err := volatile.New(e.driver, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
