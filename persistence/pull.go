package persistence

import (
	"context"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// pullOutbox claims due rows whenever the lane has room.
func (e *engine) pullOutbox(ctx context.Context, realTime bool) {
	ln := e.laneOf(realTime)
	ln.mayHold.Store(true)
	for ctx.Err() == nil {
		hungry := ln.hungry[ofOutbox]
		if !ln.mayHold.Load() {
			hungry = nil
		}
		wait := tick
		switch {
		case !ln.mayHold.Load():
		case realTime && e.overfull():
			wait = tick / 10 // nobody tells when it is no more
		case ln.room() > 0:
			ln.mayHold.Store(false) // until the claim, or whoever adds something meanwhile, says so
			if e.claim(ctx, ln, realTime) {
				ln.mayHold.Store(true)
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-hungry:
		case <-ln.woken:
		case <-time.After(wait):
			ln.mayHold.Store(true)
		}
	}
}

const (
	claimMost   = 256             // rows that one claim takes
	claimWithin = 2 * time.Second // in which a claim ends whose Work has ended
)

// outlasting returns a context that ends a while after ctx. Of a claim that is
// cut in its COMMIT nobody knows what it took, which then waits for the end of a
// lease that nobody has: it is better to wait for the claim.
func outlasting(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(while):
			cancel()
		case <-out.Done():
		}
	})
	return out, func() { stop(); cancel() }
}

// claim takes rows from the outbox into a lane, and reports whether there may
// be more.
func (e *engine) claim(ctx context.Context, ln *lane, realTime bool) bool {
	lanes := e.lanes(nil, realTime, e.shut(), anyKind)
	if len(lanes) == 0 {
		return false
	}
	most := min(ln.room(), claimMost)
	// In flight, so that Drain does not take what is claimed and not yet held
	// for nothing.
	e.flight.Add(1)
	defer e.flight.Add(-1)
	ending, cancel := outlasting(ctx, claimWithin)
	hs, err := e.outbox.claim(ending, lanes, most)
	cancel()
	e.took(ctx, hs)
	if err != nil {
		if fault.Outage(err) {
			e.health.failed(Transactional, err)
		}
		if ctx.Err() == nil && !fault.Outage(err) {
			e.layer.log.Warn("claiming from the outbox failed", "error", err)
		}
		return false
	}
	return len(hs) >= most
}

// took puts what was claimed into the lanes, or back into custody. It uses hs.
func (e *engine) took(ctx context.Context, hs []*held) {
	e.moves.Add(int64(len(hs)))
	e.keep(hs...)
	due, now := hs[:0], nowMicro()
	for _, h := range hs {
		if e.ready(ctx, h, now) {
			due = append(due, h)
		}
	}
	e.handAll(due)
}

// handAll is hand for envelopes of any lane. It uses hs.
func (e *engine) handAll(hs []*held) {
	for len(hs) > 0 {
		ln := e.laneFor(hs[0])
		if !slices.ContainsFunc(hs, func(h *held) bool { return e.laneFor(h) != ln }) {
			e.hand(hs...)
			return
		}
		mine := slices.DeleteFunc(slices.Clone(hs), func(h *held) bool { return e.laneFor(h) != ln })
		hs = slices.DeleteFunc(hs, func(h *held) bool { return e.laneFor(h) == ln })
		e.hand(mine...) // from here on they are a worker's
	}
}

// pullQueue reserves jobs whenever the lane has room.
func (e *engine) pullQueue(ctx context.Context, realTime bool) {
	ln := e.laneOf(realTime)
	queued := func(k *kind) bool { return k.custody == TransitoryCustody }
	var wait shortWait
	defer wait.end()
	var lanes []string
	for ctx.Err() == nil {
		lanes = e.lanes(lanes[:0], realTime, e.shut(), queued)
		if len(lanes) == 0 || e.health.isDown[Transitory].Load() {
			pause(ctx, tick/10)
			continue
		}
		room := ln.room()
		if room == 0 || realTime && e.overfull() {
			select {
			case <-ctx.Done():
			case <-ln.hungry[ofQueue]:
			case <-time.After(tick / 10): // what was slow is no more, and told nobody
			}
			continue
		}
		// Drain counts reserved jobs, so none is overlooked between here and took.
		hs, err := e.queue.claim(wait.within(ctx), lanes, min(room, claimMost))
		if err != nil && !fault.Cancelled(err) {
			e.layer.log.Warn("reserving from the queue failed", "error", err)
			if fault.Outage(err) {
				e.health.failed(Transitory, err)
			}
			pause(ctx, tick/10)
		}
		e.took(ctx, hs)
	}
}

// A shortWait is the context of waits for jobs. They end now and then, so that
// tubes of kinds declared later and of stores that came back are taken from as
// well. Waits that are over at once, as they are under load, share one context.
type shortWait struct {
	ctx    context.Context
	cancel context.CancelFunc
	began  time.Time
}

// within returns a context that ends in half a tick at the earliest and in a tick
// at the latest.
func (s *shortWait) within(ctx context.Context) context.Context {
	if s.ctx == nil || time.Since(s.began) > tick/2 {
		s.end()
		s.began = time.Now()
		s.ctx, s.cancel = context.WithTimeout(ctx, tick)
	}
	return s.ctx
}

func (s *shortWait) end() {
	if s.cancel != nil {
		s.cancel()
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// shut are the stores from whose parked tasks nothing is taken: those that are
// down, and slow ones that crowd a lane already.
func (e *engine) shut() [8]bool {
	out, crowd := e.health.down(), e.realTime.crowd()|e.background.crowd()
	for p := Transitory; p <= Amorphous; p++ {
		out[p] = out[p] || crowd.has(p)
	}
	return out
}

// lanes appends the names of the lanes in custody that feed a lane of this process,
// but for what is parked on stores that are shut.
func (e *engine) lanes(out []string, realTime bool, shut [8]bool, want func(*kind) bool) []string {
	for _, k := range e.layer.declared() {
		if !want(k) || len(k.tasks) == 0 {
			continue
		}
		for _, lanes := range k.served {
			if realTime {
				out = append(out, lanes.realTime)
				continue
			}
			out = append(out, lanes.background)
			for p := Transitory; p <= Amorphous; p++ {
				if !shut[p] && e.layer.has(p) {
					out = append(out, lanes.parked[p])
				}
			}
		}
		if !realTime {
			out = append(out, k.foreign...)
		}
	}
	return out
}
