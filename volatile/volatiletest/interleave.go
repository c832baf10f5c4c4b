package volatiletest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/volatile"
)

var interleaveChecks = []check{
	{name: "Interleave/Replace", promise: "In every interleaving of a slow reader, writers and an eviction, no version older than the newest one committed is left in the cache.",
		run: func(t *testing.T, e *env) { explore(t, e, replacing) }},
	{name: "Interleave/Invalidate", promise: "In every interleaving of a slow reader, invalidating writers and an eviction, no version older than the newest one committed is left in the cache.",
		run: func(t *testing.T, e *env) { explore(t, e, invalidating) }},
	{name: "Interleave/Raise", promise: "In every interleaving of a slow reader and raising writers, no version older than the newest one committed is left in the cache.",
		run: func(t *testing.T, e *env) { explore(t, e, raising) }},
	{name: "Interleave/Restart", promise: "In every interleaving of a slow reader, a writer and a restart, no version older than the newest one committed is left in the cache.",
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

func evict(w *world) { w.e.driver.Delete(context.Background(), []string{"ff:" + w.key}) }

// A scenario is a set of actors, small enough to try every order of their
// steps.
type scenario struct {
	actors  func(small bool) []actor
	initial bool // the cache starts with the committed version
}

func writers(announce func(*volatile.Cache, string, int64) error) func(small bool) []actor {
	return func(small bool) []actor {
		actors := []actor{reader("reader"), writer("second", 2, announce), once("eviction", evict)}
		if !small {
			actors = append(actors, writer("third", 3, announce))
		}
		return actors
	}
}

var (
	replacing    = scenario{actors: writers(byReplace)}
	invalidating = scenario{actors: writers(byInvalidate)}
	raising      = scenario{actors: func(small bool) []actor {
		return []actor{reader("reader"), writer("second", 2, byRaise), writer("third", 3, byRaise)}
	}}
	restarting = scenario{initial: true, actors: func(small bool) []actor {
		return []actor{reader("reader"), writer("second", 2, byReplace), once("restart", func(w *world) { w.e.server.Restart() })}
	}}
)

// explore tries every order of the actors' steps, depth first: the path says
// which of the waiting actors went at each step, and is counted up like a
// number.
func explore(t *testing.T, e *env, s scenario) {
	most := e.size(1<<20, 400)
	var path []int
	runs := 0
	for ; runs < most; runs++ {
		branches, trace, problem := play(t, e, s, path, runs)
		if problem != "" {
			t.Fatalf("order %d: %s\n%s", runs, problem, strings.Join(trace, " → "))
		}
		for len(path) < len(branches) {
			path = append(path, 0)
		}
		last := len(branches) - 1
		for last >= 0 && path[last] == branches[last]-1 {
			last--
		}
		if last < 0 {
			t.Logf("all %d orders", runs+1)
			return
		}
		path = path[:last+1]
		path[last]++
	}
	t.Logf("%d orders, not all", runs)
}

// play runs one order and returns how many actors could have gone at each
// step.
func play(t *testing.T, e *env, s scenario, path []int, run int) (branches []int, trace []string, problem string) {
	w := &world{e: e, key: fmt.Sprintf("k%d", run), gate: newGate(), record: 1}
	if s.initial {
		mustRaise(t, e.plain(t), w.key, versioned(1))
	}
	var order []string
	for _, a := range s.actors(e.harness.Small) {
		order = append(order, a.name)
		c, err := volatile.New(gated{e.driver, w.gate, a.name}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.gate.run(func() { a.act(w, c) })
	}
	for {
		waiting := w.gate.settle(order)
		if len(waiting) == 0 {
			break
		}
		choice := 0
		if len(branches) < len(path) {
			choice = path[len(branches)]
		}
		branches = append(branches, len(waiting))
		trace = append(trace, waiting[choice])
		w.gate.give(waiting[choice])
	}
	if w.problem != "" {
		return branches, trace, w.problem
	}
	left, ok, err := e.plain(t).Get(e.ctx, w.key)
	if err != nil {
		return branches, trace, err.Error()
	}
	if ok && left.Stamp.Version < w.record {
		return branches, trace, fmt.Sprintf("version %d is left in the cache, committed is %d", left.Stamp.Version, w.record)
	}
	e.driver.Delete(e.ctx, []string{"ff:" + w.key})
	return branches, trace, ""
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
