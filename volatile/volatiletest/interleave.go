package volatiletest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/volatile"
)

var interleaveChecks = []check{
	{name: "Interleave/Replace_C4", promise: "In every interleaving of a slow reader, writers and an eviction, no version older than the newest one committed is left in the cache.",
		run: func(t *testing.T, e *env) { explore(t, e, replacing) }},
	{name: "Interleave/WriteAll", promise: "In every interleaving of a slow reader, grouped writers and an eviction, no version older than the newest one committed is left in the cache.",
		run: func(t *testing.T, e *env) { explore(t, e, grouped) }},
	{name: "Interleave/Invalidate_C4_C7", promise: "In every interleaving of a slow reader, invalidating writers and an eviction, no version older than the newest one committed is left in the cache.",
		run: func(t *testing.T, e *env) { explore(t, e, invalidating) }},
	{name: "Interleave/Raise", promise: "In every interleaving of a slow reader and raising writers, no version older than the newest one committed is left in the cache.",
		run: func(t *testing.T, e *env) { explore(t, e, raising) }},
	{name: "Interleave/Restart_C3", promise: "In every interleaving of a slow reader, a writer and a restart, no version older than the newest one committed is left in the cache.",
		needs: needsRestart, run: func(t *testing.T, e *env) { explore(t, e, restarting) }},
}

// A world is one store of record and one key in the cache, acted upon by
// actors whose every step waits for its turn.
type world struct {
	e         *env
	key       string
	gate      *gate
	record    int64 // the newest version committed
	announced int64 // the newest version committed whose writer has told the cache
	problem   string
}

// gate hands out turns: an actor waits before each step that others could see.
type gate struct {
	mu     sync.Mutex
	moved  *sync.Cond
	turns  map[string]chan struct{} // actors that wait for a turn
	active int                      // actors that run now
}

func newGate() *gate {
	g := &gate{turns: map[string]chan struct{}{}}
	g.moved = sync.NewCond(&g.mu)
	return g
}

// wait blocks the actor until it is given a turn.
func (g *gate) wait(actor string) {
	turn := make(chan struct{})
	g.mu.Lock()
	g.turns[actor] = turn
	g.active--
	g.moved.Broadcast()
	g.mu.Unlock()
	<-turn
}

// settle waits until every actor waits for a turn or is done, and returns who
// waits, sorted.
func (g *gate) settle(order []string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.active > 0 {
		g.moved.Wait()
	}
	var waiting []string
	for _, actor := range order {
		if g.turns[actor] != nil {
			waiting = append(waiting, actor)
		}
	}
	return waiting
}

// give lets one actor take its next step.
func (g *gate) give(actor string) {
	g.mu.Lock()
	turn := g.turns[actor]
	delete(g.turns, actor)
	g.active++
	g.mu.Unlock()
	close(turn)
}

// run starts an actor.
func (g *gate) run(act func()) {
	g.mu.Lock()
	g.active++
	g.mu.Unlock()
	go func() {
		defer func() {
			g.mu.Lock()
			g.active--
			g.moved.Broadcast()
			g.mu.Unlock()
		}()
		act()
	}()
}

// gated is a driver whose every call is one step of an actor.
type gated struct {
	volatile.Driver
	gate  *gate
	actor string
}

func (d gated) Features() volatile.Features { return d.Driver.(volatile.Featured).Features() }
func (d gated) Close() error                { return nil }

func (d gated) Get(ctx context.Context, keys []string) ([]volatile.Item, error) {
	d.gate.wait(d.actor)
	return d.Driver.Get(ctx, keys)
}

func (d gated) Swap(ctx context.Context, item volatile.Item) error {
	d.gate.wait(d.actor)
	return d.Driver.Swap(ctx, item)
}

// An actor is one process's part in a world.
type actor struct {
	name string
	act  func(w *world, c *volatile.Cache)
}

// reader fetches, with a load that is a step of its own. What it returns is at
// least what was announced before it began.
func reader(name string) actor {
	return actor{name, func(w *world, c *volatile.Cache) {
		w.gate.wait(name)
		announced := w.announced
		got, err := c.Fetch(context.Background(), w.key, time.Minute, func(context.Context) (volatile.Entry, error) {
			w.gate.wait(name)
			return versioned(w.record), nil
		})
		if err != nil || got.Stamp.Version < announced {
			w.problem = fmt.Sprintf("%s got version %d although %d was announced before it began (%v)", name, got.Stamp.Version, announced, err)
		}
	}}
}

// writer commits a version, then announces it to the cache.
func writer(name string, version int64, announce func(*volatile.Cache, string, int64) error) actor {
	return actor{name, func(w *world, c *volatile.Cache) {
		w.gate.wait(name)
		w.record = max(w.record, version)
		if err := announce(c, w.key, version); err != nil {
			w.problem = fmt.Sprintf("%s: %v", name, err)
		}
		w.announced = max(w.announced, version)
	}}
}

// once is an actor of one step.
func once(name string, act func(w *world)) actor {
	return actor{name, func(w *world, c *volatile.Cache) {
		w.gate.wait(name)
		act(w)
	}}
}

func byReplace(c *volatile.Cache, key string, version int64) error {
	_, err := c.Replace(context.Background(), key, versioned(version), time.Minute)
	return err
}

func byInvalidate(c *volatile.Cache, key string, version int64) error {
	return c.Invalidate(context.Background(), key, stamp(version))
}

func byRaise(c *volatile.Cache, key string, version int64) error {
	_, err := c.Raise(context.Background(), key, versioned(version), time.Minute)
	return err
}

// byGroup announces among other writes, which are each on their own.
func byGroup(c *volatile.Cache, key string, version int64) error {
	var errs []error
	for _, w := range c.WriteAll(context.Background(), []volatile.Write{
		{Key: key + ".other", Entry: versioned(version), TTL: time.Minute, Mode: volatile.Invalidating},
		{Key: key, Entry: versioned(version), TTL: time.Minute, Mode: volatile.Replacing},
	}) {
		errs = append(errs, w.Err)
	}
	return errors.Join(errs...)
}

func evict(w *world) { w.e.driver.Delete(context.Background(), []string{"ff:" + w.key}) }

// A scenario is a set of actors. The few are tried in every order of their
// steps; with the others the orders are too many for every run, and are
// sampled, unless FOURFOLD_ALL_ORDERS is set.
type scenario struct {
	few     []actor
	others  []actor
	initial bool // the cache starts with the committed version
}

func writers(announce func(*volatile.Cache, string, int64) error) scenario {
	return scenario{
		few:    []actor{reader("reader"), writer("second", 2, announce), once("eviction", evict)},
		others: []actor{writer("third", 3, announce)},
	}
}

var (
	replacing    = writers(byReplace)
	grouped      = scenario{few: writers(byGroup).few}
	invalidating = writers(byInvalidate)
	// A raise writes where nothing is, and cannot know what was evicted: that
	// is what Replace is for.
	raising = scenario{
		few:    []actor{reader("reader"), writer("second", 2, byRaise)},
		others: []actor{writer("third", 3, byRaise)},
	}
	restarting = scenario{
		initial: true,
		few: []actor{reader("reader"), writer("second", 2, byReplace),
			once("restart", func(w *world) { w.e.server.Restart() })},
	}
)

// explore tries every order of the few actors' steps, depth first, then
// samples orders of all actors.
func explore(t *testing.T, e *env, s scenario) {
	every := func(actors []actor) {
		var order order
		for more := true; more; more = order.next() {
			e.play(t, s, actors, &order)
		}
		t.Logf("all %d orders of %d actors", order.runs, len(actors))
	}
	every(s.few)
	if len(s.others) == 0 {
		return
	}
	all := append(slices.Clone(s.few), s.others...)
	if os.Getenv("FOURFOLD_ALL_ORDERS") != "" {
		every(all)
		return
	}
	seed := rand.Uint64()
	sampled := order{random: rand.New(rand.NewPCG(seed, 0))}
	for range e.size(5_000, 300) {
		e.play(t, s, all, &sampled)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		sampled.next()
	}
	t.Logf("%d sampled orders of %d actors", sampled.runs, len(all))
}

// An order says which of the waiting actors goes at each step: a path in the
// tree of all orders, counted up like a number, or random.
type order struct {
	path     []int
	branches []int // how many could have gone, per step of this run
	runs     int
	random   *rand.Rand
}

// choose takes the next step of the path.
func (o *order) choose(waiting int) int {
	step := len(o.branches)
	o.branches = append(o.branches, waiting)
	switch {
	case o.random != nil:
		return o.random.IntN(waiting)
	case step == len(o.path):
		o.path = append(o.path, 0)
	}
	return o.path[step]
}

// next goes to the next path; false when there is none.
func (o *order) next() bool {
	o.runs++
	last := len(o.branches) - 1
	for last >= 0 && o.random == nil && o.path[last] == o.branches[last]-1 {
		last--
	}
	o.branches = o.branches[:0]
	if last < 0 {
		return false
	}
	if o.random == nil {
		o.path = o.path[:last+1]
		o.path[last]++
	}
	return true
}

// play runs the actors in one order.
func (e *env) play(t *testing.T, s scenario, actors []actor, o *order) {
	w := &world{e: e, key: fmt.Sprintf("%d-%d", len(actors), o.runs), gate: newGate(), record: 1}
	if s.initial {
		e.serving(t, w.key)
		mustRaise(t, e.plain(t), w.key, versioned(1))
	}
	var names, trace []string
	for _, a := range actors {
		names = append(names, a.name)
		c, err := volatile.New(gated{e.driver, w.gate, a.name}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.gate.run(func() { a.act(w, c) })
	}
	for waiting := w.gate.settle(names); len(waiting) > 0; waiting = w.gate.settle(names) {
		next := waiting[o.choose(len(waiting))]
		trace = append(trace, next)
		w.gate.give(next)
	}
	e.serving(t, w.key)
	left, ok, err := e.plain(t).Get(e.ctx, w.key)
	if err != nil {
		w.problem = err.Error()
	}
	if ok && left.Stamp.Version < w.record {
		w.problem = fmt.Sprintf("version %d is left in the cache, committed is %d", left.Stamp.Version, w.record)
	}
	if w.problem != "" {
		t.Errorf("order %d: %s\n%s", o.runs, w.problem, strings.Join(trace, " → "))
	}
	e.driver.Delete(e.ctx, []string{"ff:" + w.key})
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
