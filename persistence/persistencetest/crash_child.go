package persistencetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// child is the program that is killed. It never returns when the order is for
// this test.
func (s *Scenario) child(test, text string) {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil || o.Test != test {
		return
	}
	out := &line{to: os.NewFile(3, "parent")}
	c := &child{order: o, scenario: s, out: out, passed: map[string]int{}}
	crash.Arm(c.point)
	if err := c.work(); err != nil {
		out.say("bad", err.Error())
		os.Exit(1)
	}
	c.mu.Lock()
	for name, n := range c.passed {
		out.say("count", name, strconv.Itoa(n))
	}
	out.say("phase", "done")
	os.Exit(0)
}

// A child is one start of the program.
type child struct {
	order
	scenario *Scenario
	out      *line

	mu     sync.Mutex
	passed map[string]int
}

// point counts, and ends the process at the one that was ordered.
func (c *child) point(name string) {
	c.mu.Lock()
	c.passed[name]++
	hit := c.passed[name]
	c.mu.Unlock()
	if name != c.Point || hit != c.Hit {
		return
	}
	c.out.say("kill", name+":"+strconv.Itoa(hit))
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill() // as kill -9: no deferred function runs, nothing is flushed
	}
	if err != nil {
		panic(err)
	}
	select {} // until it arrives
}

// work is the life of the program: it goes on from what it finds, takes more
// unless this is the last start, and finishes everything.
func (c *child) work() error {
	ctx := context.Background()
	c.out.say("phase", "open")
	layer, err := c.scenario.Open(ctx, c.Dir)
	if err != nil {
		return fmt.Errorf("the program does not open: %w", err)
	}
	stop := func() error { return nil }
	if c.Check == "" || c.Count {
		stop = serving(ctx, layer)
		c.out.say("phase", "load")
		r := &Recorder{Round: c.Round, Rand: rand.New(rand.NewPCG(c.Seed, uint64(c.Round))), out: c.out}
		if err := c.scenario.Load(ctx, layer, r); err != nil {
			return fmt.Errorf("load: %w", err)
		}
	}
	c.out.say("phase", "drain")
	left, err := c.drained(ctx, layer)
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	if len(left) > 0 && !c.scenario.Leaves {
		return fmt.Errorf("left in custody: %+v", left)
	}
	if c.Check != "" && !c.Count {
		if err := c.check(ctx, layer); err != nil {
			return err
		}
	}
	c.out.say("phase", "close")
	if err := stop(); err != nil {
		return fmt.Errorf("work: %w", err)
	}
	return layer.Close()
}

// serving lets the layer work until stop is called, which waits for it.
func serving(ctx context.Context, layer *persistence.Layer) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- layer.Work(ctx) }()
	return func() error {
		cancel()
		err := <-done
		if errors.Is(err, fault.ErrClosed) || errors.Is(err, fault.ErrConflict) {
			return nil // the scenario has closed the layer, or serves it itself
		}
		return err
	}
}

// How long a drain may make no progress at all: what is slow is no failure. It
// is longer than a queue lets a task wait for its next attempt. In a start that
// is disturbed a server may be on its way back for a while.
const (
	stall          = 75 * time.Second
	stallDisturbed = 3 * time.Minute
)

// drained drains until nothing is left, or nothing but what waits for more than
// time: another program, say, and where the scenario leaves tasks a store that
// is down. A store that does not answer is waited for.
func (c *child) drained(ctx context.Context, layer *persistence.Layer) (left []persistence.Left, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go c.watch(ctx, layer, cancel)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		before := left
		left, err = layer.Drain(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w\nleft by the last drain: %+v", context.Cause(ctx), before)
		}
		waits := fault.Outage(err) || slices.ContainsFunc(left, c.passes)
		if !waits {
			return left, err
		}
		select {
		case <-ctx.Done():
		case <-again.C:
		}
	}
}

// passes reports whether what was left needs nothing but time, or a store that
// is to come back.
func (c *child) passes(l persistence.Left) bool {
	begins := func(why string) bool { return strings.HasPrefix(l.Why, why) }
	down := begins("waits for the ") || begins("the transitory store is down")
	return begins("not due") || begins("waits behind") || begins("waits for a worker") || down && !c.scenario.Leaves
}

// watch ends a drain in which no task comes to its end for too long, and tells
// the parent of each step.
func (c *child) watch(ctx context.Context, layer *persistence.Layer, end context.CancelCauseFunc) {
	patience := stall
	if c.Disturbed {
		patience = stallDisturbed
	}
	look := time.NewTicker(250 * time.Millisecond)
	defer look.Stop()
	last, since := "", time.Now()
	for {
		stats, err := layer.Stats(ctx)
		for i := range stats.Tasks {
			stats.Tasks[i].Oldest, stats.Tasks[i].OldestDead = 0, 0 // they grow by themselves
		}
		switch now := fmt.Sprint(stats.Tasks); {
		case err == nil && now != last:
			last, since = now, time.Now()
			c.out.say("progress", now)
		case time.Since(since) > patience:
			end(fmt.Errorf("no task has come to its end for %v (%v):\n%s", patience, err, stats))
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

func (c *child) check(ctx context.Context, layer *persistence.Layer) error {
	c.out.say("phase", "check")
	var h History
	text, err := os.ReadFile(c.Check)
	if err == nil {
		err = json.Unmarshal(text, &h)
	}
	if err != nil {
		return err
	}
	return c.scenario.Check(ctx, layer, &h)
}
