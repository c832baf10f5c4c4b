package persistence

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/internal/group"
	"github.com/fourfold-dev/fourfold/transactional"
)

// An engine is the moving part of a layer: the lanes that its workers take
// from, what it holds, and the health of the stores. Decisions are made in
// package flow; the engine carries them out.
type engine struct {
	layer *Layer
	see   observers

	outbox *outboxCustody // nil without a transactional store
	queue  *queueCustody  // nil without a transitory store

	txs *group.Group[*txTask] // Tx tasks that share transactions; nil where each has its own

	realTime   *lane
	background *lane
	suspected  *lane // envelopes that may be what ends the process
	inquiry    gate  // held while one of those runs
	health     *health

	mu         sync.Mutex
	held       []*held      // for the leases; each knows its place
	working    atomic.Int32 // 1 while Work or Drain serves the lanes
	draining   atomic.Bool  // who serves is Drain, and ends by itself
	serving    gate         // held by who serves, until everything has stopped
	news       atomic.Int64 // envelopes that other processes were not told of
	nudging    atomic.Bool  // a nudge to other processes is on its way
	nudgesLeft int          // before the queue is asked again whether somebody listens; of who has set nudging
	flight     atomic.Int64 // envelopes in workers' hands
	moves      atomic.Int64 // envelopes accepted, claimed or settled: tells Drain whether anything moved

	// What custody is to be told of what became of envelopes.
	settlers  []*settler
	crew      crew
	ending    atomic.Int64 // held envelopes that wait for that
	unsettled unsettled
	orphans   orphans
	spilled   spilled

	foreign sync.Map // lanes of tasks that this program does not serve, seen so far

	trackMu sync.Mutex
	track   map[transactional.RecordID]*Receipt              // of this process's Puts whose envelope comes back through custody
	tracked []transactional.RecordID                         // the same in order, for the bound
	faint   map[transactional.RecordID]weak.Pointer[Receipt] // of those over the bound, as long as somebody has the receipt
}

// A gate is a mutex for what may take long. Time goes on in a test's bubble
// while somebody waits for it, which it does not for a sync.Mutex.
type gate chan struct{}

func (g gate) Lock()   { g <- struct{}{} }
func (g gate) Unlock() { <-g }

func (g gate) TryLock() bool {
	select {
	case g <- struct{}{}:
		return true
	default:
		return false
	}
}

func newEngine(l *Layer) *engine {
	e := &engine{
		layer:      l,
		see:        observersOf(l.opts.Observer),
		realTime:   newLane(l.opts.MaxHeld, l.opts.RealTimeWorkers),
		background: newLane(l.opts.MaxHeld, l.opts.Workers),
		serving:    make(gate, 1),
		inquiry:    make(gate, 1),
		track:      map[transactional.RecordID]*Receipt{},
		faint:      map[transactional.RecordID]weak.Pointer[Receipt]{},
	}
	e.background.yields = newYielding(e.background.writers, time.Now())
	e.suspected = newLane(l.opts.MaxHeld, 1)
	e.realTime.stopped, e.background.stopped, e.suspected.stopped = true, true, true
	e.health = &health{layer: l, back: e.wake}
	if l.rows != nil {
		e.outbox = &outboxCustody{layer: l, store: l.rows}
		e.settlers = append(e.settlers, newSettler(e, e.outbox))
		if l.rows.Features().SharedLog {
			e.txs = newTxGroup(e)
		}
	}
	if l.queue != nil {
		e.queue = &queueCustody{layer: l, store: l.queue}
		e.settlers = append(e.settlers, newSettler(e, e.queue))
	}
	return e
}

// lease is how long a claim outlives its owner without being renewed. Where no
// other process can hold one, and a restart frees all of them at once, it is
// long, so that hardly any is ever renewed.
func (l *Layer) lease() time.Duration {
	if l.rows != nil && !l.rows.Features().SharedLog {
		return 10 * l.opts.Lease
	}
	return l.opts.Lease
}

// laneOf returns the lane that a settlement leads to.
func (e *engine) laneOf(realTime bool) *lane {
	if realTime {
		return e.realTime
	}
	return e.background
}

// keep adds envelopes to what this process holds; drop takes one out.
func (e *engine) keep(hs ...*held) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range hs {
		h.leased = now
		if !e.holds(h) {
			h.at = len(e.held)
			e.held = append(e.held, h)
		}
	}
}

// holds reports whether an envelope is held, for who has locked mu.
func (e *engine) holds(h *held) bool { return h.at < len(e.held) && e.held[h.at] == h }

func (e *engine) drop(h *held) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.holds(h) {
		return
	}
	last := len(e.held) - 1
	moved := e.held[last]
	e.held[h.at], moved.at, e.held[last] = moved, h.at, nil
	e.held = e.held[:last]
}

// holding returns what this process holds.
func (e *engine) holding() []*held {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.held)
}

// place puts a held envelope into the lane of its next task, or, when nothing
// of it is due or there is no room, back into custody.
func (e *engine) place(ctx context.Context, h *held, now int64) {
	if e.ready(ctx, h, now) {
		e.hand(h)
	}
}

// ready lets an envelope go of which nothing is left, and gives one of which
// nothing is due back into custody.
func (e *engine) ready(ctx context.Context, h *held, now int64) bool {
	h.run.Down = e.health.down()
	s := h.run.Settlement(now)
	switch {
	case s.Done:
		e.settle(h, s)
		return false
	case s.Lane > flow.RealTime || s.Due > now:
		e.release(ctx, h, s)
		return false
	}
	h.waits(s.Priority, s.Lane == flow.RealTime, now)
	e.pass(h, now)
	return true
}

// pass has an envelope go past the slow stores that crowd its lane, if something
// else of it is due that needs none of them.
func (e *engine) pass(h *held, now int64) {
	crowd := e.laneFor(h).crowd()
	if h.writes&crowd == 0 {
		return
	}
	down := h.run.Down
	h.past = crowd
	h.without(down)
	if s := h.run.Settlement(now); s.Lane <= flow.RealTime && s.Due <= now {
		h.waits(s.Priority, s.Lane == flow.RealTime, now)
		return
	}
	h.past, h.run.Down = 0, down
}

// hand puts envelopes of one lane into it; what has no room there goes back to
// custody.
func (e *engine) hand(hs ...*held) {
	for _, h := range e.laneFor(hs[0]).push(hs...) {
		e.evict(h)
	}
}

// laneFor is the lane in which an envelope waits.
func (e *engine) laneFor(h *held) *lane {
	if h.suspect {
		return e.suspected
	}
	return e.laneOf(h.realTime)
}

// evict gives an envelope back to custody for which there is no room.
func (e *engine) evict(h *held) {
	h.without(e.health.down())
	e.settle(h, h.run.Settlement(nowMicro()))
}

// settled notes what followed from a settlement.
func (e *engine) settled(s settling, err error) {
	h := s.held
	if s.what.Lane == flow.Foreign {
		e.sawForeign(h, s.what)
	}
	if h.ordered() {
		e.wake() // the next object with the same ordering key is due now
	}
	if err != nil {
		e.layer.log.Warn("custody did not take a settlement; the envelope returns when its lease ends",
			"kind", h.kind.name, "key", h.env.Key, "envelope", h.env.ID.String(), "error", err)
		return
	}
	for i := range s.dead {
		d := &s.dead[i]
		e.layer.log.Error("dead letter", "kind", d.Kind, "key", d.Key, "task", d.Task, "reason", d.Reason, "attempts", d.Attempts)
	}
	for i := range h.run.Tasks {
		if t := &h.run.Tasks[i]; t.State == flow.Dead && h.tasks[i] != nil && h.env.Tasks[i].Seen&envelope.SeenDead == 0 {
			h.tasks[i].counter.dead.Add(1)
			if t.Late {
				h.tasks[i].counter.late.Add(1)
			}
			e.unqueue(h, h.tasks[i])
			h.receipt.set(h.tasks[i].name, TaskDead)
		}
	}
	if s.what.Done && h.receipt != nil && !h.gone.Load() && !e.spilled.has(h.id()) {
		e.unfollow(h.id()) // it does not come back
	}
}

// sawForeign remembers a lane that this program fills but does not serve, so
// that Drain can say what it left there.
func (e *engine) sawForeign(h *held, s flow.Settlement) {
	e.foreign.Store(e.layer.laneName(h.kind, s, h), h.kind)
}

// letters makes the dead letters of an envelope.
func (e *engine) letters(h *held) []transactional.DeadLetter {
	var out []transactional.DeadLetter
	for i := range h.run.Tasks {
		t := &h.run.Tasks[i]
		if t.State != flow.Dead || h.env.Tasks[i].Seen&envelope.SeenDead != 0 {
			continue
		}
		out = append(out, h.letter(i, t))
	}
	return out
}

// maxTracked bounds the receipts that are followed through custody.
const maxTracked = 1 << 14

// follow makes a receipt follow its envelope, which comes back through
// custody. Over the bound the oldest is followed only as long as somebody else
// has it.
func (e *engine) follow(id transactional.RecordID, r *Receipt) {
	e.trackMu.Lock()
	defer e.trackMu.Unlock()
	e.track[id] = r
	e.tracked = append(e.tracked, id)
	for len(e.track) > maxTracked {
		e.fade(e.tracked[0])
		e.tracked = e.tracked[1:]
	}
	if len(e.tracked) > 2*maxTracked {
		e.tracked = e.tracked[:0]
		for id := range e.track {
			e.tracked = append(e.tracked, id)
		}
	}
}

// fade leaves a receipt to those who have it.
func (e *engine) fade(id transactional.RecordID) {
	r := e.track[id]
	if r == nil {
		return // it is finished
	}
	delete(e.track, id)
	e.faint[id] = weak.Make(r)
	runtime.AddCleanup(r, e.unfollow, id)
}

// followed returns the receipt that follows an envelope, or nil.
func (e *engine) followed(id transactional.RecordID) *Receipt {
	e.trackMu.Lock()
	defer e.trackMu.Unlock()
	if r := e.track[id]; r != nil {
		return r
	}
	return e.faint[id].Value()
}

// unfollow forgets the receipt of a finished envelope.
func (e *engine) unfollow(id transactional.RecordID) {
	e.trackMu.Lock()
	defer e.trackMu.Unlock()
	delete(e.track, id)
	delete(e.faint, id)
}
