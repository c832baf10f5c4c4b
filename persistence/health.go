package persistence

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// probeEvery is how often a store that is down is asked whether it is back:
// well inside the five seconds in which its backlog must begin to drain.
const probeEvery = time.Second

// mute is how long a write may be under way before its store is asked whether
// it is there at all. One that was stopped answers nothing, and the write itself
// ends only with the driver's time limit.
const mute = time.Second

// health knows which stores are down. A store goes down when an attempt says
// so, or when it answers neither a write nor its own Check, and comes back when
// its Check reaches it.
type health struct {
	layer  *Layer
	isDown [Amorphous + 1]atomic.Bool
	asked  [Amorphous + 1]atomic.Bool               // because of a write without an answer
	since  [Amorphous + 1]atomic.Pointer[time.Time] // when it came back last; nil: it never did
	back   func()                                   // called when a store came back

	mu       sync.Mutex
	watchers []*watcher // that watch nothing
}

// down returns the stores that are down, by purpose.
func (h *health) down() (out [8]bool) {
	for p := Transitory; p <= Amorphous; p++ {
		out[p] = h.isDown[p].Load()
	}
	return out
}

// failed records that an attempt found the store out of reach, and starts to
// probe it.
func (h *health) failed(p Purpose, err error) {
	if p == 0 || h.isDown[p].Swap(true) {
		return
	}
	h.layer.log.Warn("store is down; its tasks wait in custody", "purpose", p.String(), "error", err)
	h.tell(p, false, err)
	h.layer.spawn(func(ctx context.Context) { h.probe(ctx, p) })
}

// A watcher looks after one write at a time.
type watcher struct {
	health  *health
	purpose Purpose
	timer   *time.Timer
}

// watch looks after a write that has no answer for long, until it is answered.
func (h *health) watch(p Purpose) *watcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := len(h.watchers) - 1
	if last < 0 {
		w := &watcher{health: h, purpose: p}
		w.timer = time.AfterFunc(mute, w.ask)
		return w
	}
	w := h.watchers[last]
	h.watchers = h.watchers[:last]
	w.purpose = p
	w.timer.Reset(mute)
	return w
}

// answered ends the watch. Nobody uses a watcher again that may be asking.
func (w *watcher) answered() {
	if !w.timer.Stop() {
		return
	}
	w.health.mu.Lock()
	defer w.health.mu.Unlock()
	w.health.watchers = append(w.health.watchers, w)
}

func (w *watcher) ask() {
	h, p := w.health, w.purpose
	if !h.layer.has(p) || h.isDown[p].Load() || h.asked[p].Swap(true) {
		return
	}
	h.layer.spawn(func(ctx context.Context) {
		defer h.asked[p].Store(false)
		if !h.reachable(ctx, p) && ctx.Err() == nil {
			h.failed(p, errMute)
		}
	})
}

var errMute = fault.New(fault.ErrUnavailable, "", "", "neither a write nor a check of the store is answered")

// cameBack reports whether the store was away and came back since then.
func (h *health) cameBack(p Purpose, then time.Time) bool {
	since := h.since[p].Load()
	return since != nil && since.After(then)
}

// probe asks until the store answers.
func (h *health) probe(ctx context.Context, p Purpose) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(probeEvery):
		}
		if !h.reachable(ctx, p) {
			continue
		}
		now := time.Now()
		h.since[p].Store(&now)
		h.isDown[p].Store(false)
		h.layer.log.Info("store is back", "purpose", p.String())
		h.tell(p, true, nil)
		h.back()
		return
	}
}

// answers reports whether a store that an attempt could not reach can be reached
// all the same. One that is known to be down is not asked again.
func (h *health) answers(ctx context.Context, p Purpose) bool {
	return !h.isDown[p].Load() && h.reachable(ctx, p)
}

// reachable asks the store itself, apart from the work that failed.
func (h *health) reachable(ctx context.Context, p Purpose) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return h.layer.check(ctx, p).Reachable
}

func (h *health) tell(p Purpose, up bool, err error) {
	if see := h.layer.engine.see.store; see != nil {
		h.layer.observe(func() { see.StoreChanged(context.Background(), StoreEvent{Purpose: p, Up: up, Err: err}) })
	}
}

// check asks one store.
func (l *Layer) check(ctx context.Context, p Purpose) fault.Report {
	switch p {
	case Transitory:
		return l.queue.Check(ctx)
	case Volatile:
		return l.cache.Check(ctx)
	case Transactional:
		return l.rows.Check(ctx)
	}
	return l.cells.Check(ctx)
}
