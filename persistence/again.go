package persistence

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A settling is a settlement that the outbox did not take because it was away,
// or whose answer was lost. It is fenced, so that telling it again does nothing
// when it was heard the first time, or when somebody else has the envelope by
// now.
type settling struct {
	held *held
	what flow.Settlement
	dead []transactional.DeadLetter
}

// unsettled are the settlements that wait for the outbox to come back.
type unsettled struct {
	mu      sync.Mutex
	list    []settling
	telling bool
}

// tellEvery is how often an outbox that is away is told again: well inside the
// five seconds in which its backlog must begin to drain.
const tellEvery = tick / 2

// tellAgain keeps a settlement until the outbox takes it. Without that the
// envelope would wait for its lease to end, and run once more.
func (e *engine) tellAgain(s settling) {
	u := &e.unsettled
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = append(u.list, s)
	if !u.telling {
		u.telling = true
		e.layer.spawn(e.tell)
	}
}

func (e *engine) tell(ctx context.Context) {
	u := &e.unsettled
	for {
		pause(ctx, tellEvery)
		u.mu.Lock()
		list := u.list
		if u.telling = len(list) > 0 && ctx.Err() == nil; !u.telling {
			u.mu.Unlock()
			return
		}
		u.list = nil
		u.mu.Unlock()
		for part := range slices.Chunk(list, settleMost) {
			e.tellPart(ctx, part)
		}
		e.wake()
	}
}

// tellPart tells a part of what waits; what is not heard is told again.
func (e *engine) tellPart(ctx context.Context, part []settling) {
	for i, err := range e.outbox.settle(ctx, part) {
		if fault.Retryable(err) || fault.Unknown(err) {
			e.tellAgain(part[i])
		} else {
			e.settled(part[i], err)
		}
	}
}

// told reports whether every settlement was heard, or cannot be for now.
func (e *engine) told() bool {
	e.unsettled.mu.Lock()
	defer e.unsettled.mu.Unlock()
	return !e.unsettled.telling || e.health.isDown[Transactional].Load()
}

// An orphan is an envelope that was accepted as this process's own by a commit
// whose outcome is not known.
type orphan struct {
	held       *held
	born, next time.Time // next: when it is looked for again
	wait       time.Duration
	looks      int // so many times; of orphans.mu
}

// orphans are looked for by one goroutine, however many there are.
type orphans struct {
	mu      sync.Mutex
	list    []*orphan
	seeking bool
}

const (
	// adoptFor is how long a commit whose answer was lost is looked for: longer
	// than one can be under way.
	adoptFor    = 30 * time.Second
	adoptEvery  = tick / 20 // at first, and twice as long each time, up to
	adoptSlowly = 5 * tick
	orphansMost = 1000 // of more, the first ones are left to their lease's end
	adoptLooks  = 3    // that Drain waits for; in process no commit is under way for longer
)

// adopt looks for an envelope that was accepted as this process's own, by a
// commit whose outcome is not known, and goes on with it if it is there.
func (e *engine) adopt(h *held) {
	o := &e.orphans
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.list) == orphansMost {
		o.list = slices.Delete(o.list, 0, 1)
	}
	now := time.Now()
	o.list = append(o.list, &orphan{held: h, born: now, next: now.Add(adoptEvery), wait: adoptEvery})
	if !o.seeking {
		o.seeking = true
		e.layer.spawn(e.seek)
	}
}

// seek looks for orphans as long as there are any.
func (e *engine) seek(ctx context.Context) {
	o := &e.orphans
	for {
		pause(ctx, adoptEvery)
		if ctx.Err() != nil {
			return // the layer closes
		}
		now := time.Now()
		o.mu.Lock()
		o.list = slices.DeleteFunc(o.list, func(a *orphan) bool { return a.held == nil || now.Sub(a.born) > adoptFor })
		list := slices.Clone(o.list)
		o.seeking = len(list) > 0
		o.mu.Unlock()
		if len(list) == 0 {
			return
		}
		due := slices.DeleteFunc(list, func(a *orphan) bool { return now.Before(a.next) })
		for part := range slices.Chunk(due, settleMost) {
			if !e.health.isDown[Transactional].Load() {
				e.seekSome(ctx, part)
			}
		}
	}
}

// seekSome looks for orphans, all behind one write.
func (e *engine) seekSome(ctx context.Context, due []*orphan) {
	ask, cancel := context.WithTimeout(ctx, 2*tick)
	defer cancel()
	ids := make([]transactional.RecordID, len(due))
	for i, a := range due {
		ids[i] = a.held.id()
	}
	looked := make([]bool, len(due)) // custody has answered
	if err := e.outbox.fence(ask, ids...); err == nil {
		for i, a := range due {
			looked[i] = e.seekOne(ask, a)
		}
	}
	e.orphans.mu.Lock()
	defer e.orphans.mu.Unlock()
	for i, a := range due {
		a.wait = min(2*a.wait, adoptSlowly)
		a.next = time.Now().Add(a.wait)
		if looked[i] {
			a.looks++
		}
	}
}

func (e *engine) seekOne(ctx context.Context, a *orphan) (looked bool) {
	h := a.held
	mine, err := e.outbox.look(ctx, h)
	switch {
	case err != nil:
		return false
	case mine:
		a.held = nil
		e.keep(h)
		e.place(ctx, h, nowMicro())
	case a.looks+1 >= adoptLooks && !e.outbox.store.Features().SharedLog:
		a.held = nil
	}
	return true
}

// sought reports whether every orphan was looked for as often as Drain waits, or
// cannot be for now.
func (e *engine) sought() bool {
	o := &e.orphans
	o.mu.Lock()
	defer o.mu.Unlock()
	return e.health.isDown[Transactional].Load() ||
		!slices.ContainsFunc(o.list, func(a *orphan) bool { return a.looks < adoptLooks })
}
