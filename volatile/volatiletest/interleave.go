package volatiletest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
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
	{name: "Interleave/Restart_C3", promise: "In every interleaving of a slow reader, two writers and a restart, no version older than the newest one committed is left in the cache.",
		needs: needsRestart, run: func(t *testing.T, e *env) { explore(t, e, restarting) }},
	{name: "Interleave/Silence_C5", promise: "In every interleaving of a slow reader, two writers and a server that falls silent and comes back, each in a process of its own, what it could not hear is told again, and nothing older than the newest version committed is in the cache a second after its return.",
		needs: needsSilence, waits: true, run: func(t *testing.T, e *env) { explore(t, e, silence) }},
}

// A world is one store of record and one key in the cache, acted upon by
// actors whose every step waits for its turn.
type world struct {
	key       string
	gate      *gate
	caches    []*volatile.Cache // of the actors
	server    volatile.Driver   // for what is done to the cache itself
	shared    []*shared         // the steps that all worlds of a batch take at once
	mayFail   bool              // the cache may not hear what a writer says, who then owes it
	owed      []func() error    // told again until there is no error
	record    int64             // the newest version committed
	announced int64             // the newest version committed of which the cache has heard
	problem   string
	trace     []string
}

// gate hands out turns: an actor waits before each step that others could see.
type gate struct {
	mu     sync.Mutex
	moved  *sync.Cond
	turns  map[string]chan struct{} // actors that wait for a turn
	active int                      // actors that run now
	over   bool                     // nobody waits any more
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
	if g.over {
		g.mu.Unlock()
		return
	}
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

// end lets everybody do what they like.
func (g *gate) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
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
		switch err := announce(c, w.key, version); {
		case err == nil:
			w.announced = max(w.announced, version)
		case w.mayFail && (fault.ClassOf(err) == fault.ErrUnavailable || fault.Unknown(err)):
			w.owed = append(w.owed, func() error { return announce(c, w.key, version) })
		default:
			w.problem = fmt.Sprintf("%s: %v", name, err)
		}
	}}
}

// once is an actor of one step after the other.
func once(name string, acts ...func(w *world)) actor {
	return actor{name, func(w *world, c *volatile.Cache) {
		for _, act := range acts {
			w.gate.wait(name)
			act(w)
		}
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

func evict(w *world) { w.server.Delete(context.Background(), []string{"ff:" + w.key}) }

// A scenario is a set of actors. The few are tried in every order of their
// steps; with the others the orders are too many for every run, and are
// sampled, unless -volatiletest.orders is set.
type scenario struct {
	few     []actor
	others  []actor
	initial bool // the cache starts with the committed version
	// shared are steps that befall the server, and thus all worlds of a batch.
	shared []func(e *env)
	// silent says that the server may not answer: every actor is a process of
	// its own, impatient, and its words may be lost. Then the few are sampled too.
	silent bool
}

func writers(announce func(*volatile.Cache, string, int64) error) scenario {
	return scenario{
		few:    []actor{reader("reader"), writer("second", 2, announce), once("eviction", evict)},
		others: []actor{writer("third", 3, announce)},
	}
}

// together is the step that all worlds of a batch take at once.
func together(step int) func(w *world) { return func(w *world) { w.shared[step].take() } }

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
		few:     []actor{reader("reader"), writer("second", 2, byReplace), once("restart", together(0))},
		others:  []actor{writer("third", 3, byReplace)},
		shared:  []func(e *env){func(e *env) { e.server.Restart() }},
	}
	silence = scenario{
		initial: true, silent: true,
		few:    []actor{reader("reader"), writer("second", 2, byReplace), once("server", together(0), together(1))},
		others: []actor{writer("third", 3, byInvalidate)},
		shared: []func(e *env){func(e *env) { e.server.Pause() }, func(e *env) { e.server.Resume() }},
	}
)
