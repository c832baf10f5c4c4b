package persistence

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// tick is how often custody is asked for rows that nobody told us of: those of
// other processes, of a caller's own transaction, and those that are due again.
const tick = time.Second

// Work runs tasks until ctx ends: real-time tasks on Options.RealTimeWorkers
// workers of their own, all others on Options.Workers. Then it takes no more,
// lets handlers finish for Options.Grace, cancels those that are left, and
// gives everything unfinished back to custody. It returns nil after such a
// stop, and an error only when it could not start: fault.ErrClosed,
// fault.ErrConflict when the layer works already.
func (l *Layer) Work(ctx context.Context) error {
	if err := l.open("work"); err != nil {
		return err
	}
	stop, err := l.engine.start(true)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-l.closing:
	}
	stop()
	return nil
}

// working reports whether this process serves tasks.
func (l *Layer) working() bool { return l.engine.working.Load() > 0 }

// Wake tells the layer that there may be work: after the commit of a
// transaction that was joined. Without it the work is found within a second.
func (l *Layer) Wake() { l.engine.offer() }

// start opens the lanes and starts everything that serves them. The returned
// function stops it all, at two speeds, and waits.
func (e *engine) start(wait bool) (stop func(), err error) {
	for !e.serving.TryLock() {
		if wait && e.draining.Load() {
			time.Sleep(time.Millisecond) // Drain ends by itself
			continue
		}
		return nil, fault.New(fault.ErrConflict, "", "work", "the layer works already")
	}
	if e.outbox != nil {
		e.layer.rows.Watched()
	}
	e.working.Store(1)
	e.realTime.start()
	e.background.start()
	e.suspected.start()
	handlers, cancelHandlers := context.WithCancel(context.Background())
	workers := e.workers(handlers, e.layer.opts.RealTimeWorkers, e.layer.opts.Workers)
	services, cancelServices := context.WithCancel(context.Background())
	serving := e.serve(services)
	serving.Go(func() { e.replaceStuck(services, handlers, workers) })
	workers.Go(func() { e.interrogate(handlers) })
	if e.queue != nil {
		workers.Go(func() { e.summon(services, handlers) })
	}
	return func() {
		cancelServices()
		serving.Wait()
		e.working.Store(0)
		e.giveBack(slices.Concat(e.realTime.stop(), e.background.stop(), e.suspected.stop()))
		e.waitGrace(workers, cancelHandlers)
		cancelHandlers()
		e.settleAll()
		e.serving.Unlock()
	}, nil
}

// stopped waits until nobody serves, and keeps it so.
func (e *engine) stopped() {
	e.serving.Lock()
	e.settleAll()
}

// waitGrace waits for the workers, and cancels their handlers when it takes
// too long. Nothing can end a function that does not look at its context, so
// that is said instead of waiting in silence.
func (e *engine) waitGrace(workers *sync.WaitGroup, cancel func()) {
	done := make(chan struct{})
	go func() { workers.Wait(); close(done) }()
	select {
	case <-done:
		return
	case <-time.After(e.layer.opts.Grace):
		cancel()
	}
	for wait := 2 * tick; ; wait = min(2*wait, time.Minute) {
		select {
		case <-done:
			return
		case <-time.After(wait):
			for _, h := range e.holding() {
				e.layer.log.Warn("a handler goes on after its context has ended; Work and Close wait for it",
					"kind", h.kind.name, "key", h.env.Key, "tasks", len(h.tasks))
			}
		}
	}
}

// giveBack returns what waited in the lanes to custody.
func (e *engine) giveBack(rest []*held) {
	for _, h := range rest {
		crash.Point("work.giveback")
		e.evict(h)
	}
}

// wake makes the pullers look into custody.
func (e *engine) wake() {
	for _, l := range []*lane{e.realTime, e.background} {
		l.mayHold.Store(true)
		select {
		case l.woken <- struct{}{}:
		default:
		}
	}
}

// offer tells whoever may work, here and elsewhere, that custody has something
// new.
func (e *engine) offer() {
	e.wake()
	if e.working.Load() == 0 {
		e.nudge()
	}
}

// serve starts what feeds the lanes and keeps the claims.
func (e *engine) serve(ctx context.Context) *sync.WaitGroup {
	var wg sync.WaitGroup
	for _, realTime := range []bool{true, false} {
		if e.outbox != nil {
			wg.Go(func() { e.pullOutbox(ctx, realTime) })
		}
		if e.queue != nil {
			wg.Go(func() { e.pullQueue(ctx, realTime) })
		}
	}
	if e.nudges() {
		wg.Go(func() { e.listen(ctx) })
	}
	wg.Go(func() { e.renew(ctx) })
	if e.outbox != nil {
		wg.Go(func() { e.sweep(ctx) })
	}
	return &wg
}

// renew keeps the claims of what this process holds for long.
func (e *engine) renew(ctx context.Context) {
	every := time.NewTicker(e.layer.opts.Lease / 3)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		by := map[custodian][]*held{}
		for _, h := range e.holding() {
			if time.Since(h.leased) > h.custody.lease()/4 {
				h.leased = time.Now()
				by[h.custody] = append(by[h.custody], h)
			}
		}
		for c, hs := range by {
			c.extend(ctx, hs)
		}
	}
}

// sweepPurge is how often what is past its time is removed.
const sweepPurge = 10 * time.Minute

// sweep frees what crashed owners held, every second.
func (e *engine) sweep(ctx context.Context) {
	purged := time.Now()
	for ctx.Err() == nil {
		pause(ctx, tick)
		if e.health.isDown[Transactional].Load() {
			continue
		}
		crash.Point("sweep.before")
		freed, err := e.layer.rows.Sweep(ctx)
		crash.Point("sweep.after")
		if err != nil && ctx.Err() == nil {
			e.layer.log.Debug("sweep failed", "error", err)
		}
		if freed > 0 {
			e.wake()
		}
		if time.Since(purged) > sweepPurge {
			purged = time.Now()
			e.layer.purge(ctx)
		}
	}
}
