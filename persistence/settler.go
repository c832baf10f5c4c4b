package persistence

import (
	"context"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

const (
	settleMost    = 512            // envelopes that custody is told of in one call
	settleWorth   = 256            // of these, which no longer wait for more
	settleWithin  = tick / 10      // how long they wait for others at most
	settleLone    = tick / 50      // and when nothing else is under way
	unsettledMost = 2 * settleMost // envelopes whose settlement waits; over it workers wait too
)

// A settler tells one custody what became of envelopes. Workers do not wait for
// its commits: what comes while one is under way is told together in the next.
// Until it is told, custody takes the envelope for claimed; should the process
// end, its tasks run once more, as after any crash behind a task's end.
//
// Nobody waits for an envelope that is done, and a commit costs the server as
// much for one as for many. So such settlements gather; when as many wait as
// envelopes are still under way here, they wait a little for the next one of a
// lone caller, whose Put would share the processors with their commit, and then
// for no more. A drain, after which nothing comes, waits for none.
type settler struct {
	engine  *engine
	custody custodian

	mu      sync.Mutex
	changed sync.Cond     // there is room, or custody was told of more
	more    chan struct{} // capacity 1: to look again whether to tell now
	waiting []settling
	added   uint64 // settlements, since the beginning
	told    uint64 // of these
	hurry   bool   // somebody waits for what waits
	leads   bool   // a goroutine tells
	waited  bool   // and has waited for a lone caller's next Put
}

func newSettler(e *engine, c custodian) *settler {
	s := &settler{engine: e, custody: c, more: make(chan struct{}, 1)}
	s.changed.L = &s.mu
	return s
}

// add takes a settlement, when there is room for it if the caller waits for that. The
// goroutine is woken for what it would tell now, and otherwise by its timers.
func (s *settler) add(told settling, waits bool) {
	s.take(told, waits)
	if s.worth() {
		s.look()
	}
}

func (s *settler) take(told settling, waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for waits && len(s.waiting) >= unsettledMost {
		s.changed.Wait()
	}
	s.waiting = append(s.waiting, told)
	s.added++
	s.hurry = s.hurry || !told.patient()
	s.engine.ending.Add(1)
	if !s.leads {
		s.leads = true
		go s.lead()
	}
}

// patient reports whether nobody waits for the settlement: not the one who does
// what is left, nor the next object of the same ordering key.
func (s *settling) patient() bool { return s.what.Done && len(s.dead) == 0 && !s.held.ordered() }

// look makes the goroutine look again, if there is one.
func (s *settler) look() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// lead tells group after group, until nothing waits.
func (s *settler) lead() {
	var part []settling
	for {
		s.gather()
		s.mu.Lock()
		n := min(len(s.waiting), settleMost)
		part = append(part[:0], s.waiting[:n]...)
		rest := copy(s.waiting, s.waiting[n:])
		clear(s.waiting[rest:])
		s.waiting = s.waiting[:rest]
		s.hurry = s.hurry && rest > 0
		s.leads = n > 0
		s.changed.Broadcast()
		s.mu.Unlock()
		if n == 0 {
			return
		}
		s.engine.tellCustody(context.Background(), s.custody, part)
		s.engine.ending.Add(-int64(n))
		clear(part)
		s.mu.Lock()
		s.told += uint64(n)
		s.mu.Unlock()
	}
}

// gather waits until what waits is worth a commit.
func (s *settler) gather() {
	if s.worth() {
		return
	}
	late, lone := time.NewTimer(settleWithin), time.NewTimer(settleLone)
	defer late.Stop()
	defer lone.Stop()
	defer s.hasWaited(false)
	for !s.worth() {
		select {
		case <-s.more:
		case <-lone.C:
			s.hasWaited(true)
		case <-late.C:
			return
		}
	}
}

func (s *settler) hasWaited(waited bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waited = waited
}

// worth reports whether what waits is worth a commit.
func (s *settler) worth() bool {
	s.mu.Lock()
	n, hurry, waited := len(s.waiting), s.hurry, s.waited
	s.mu.Unlock()
	if n == 0 || hurry || n >= settleWorth {
		return true
	}
	return (waited || s.engine.draining.Load()) && int64(n) >= s.engine.underWay()
}

// underWay counts the envelopes that this process holds and has not done with.
func (e *engine) underWay() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return int64(len(e.held)) - e.ending.Load()
}

// wait returns when custody was told of everything that waits now.
func (s *settler) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for until := s.added; s.told < until; s.changed.Wait() {
		s.hurry = true
		s.look()
	}
}

// settleAll waits until custody was told of all envelopes that are done by now.
func (e *engine) settleAll() {
	for _, s := range e.settlers {
		s.wait()
	}
}

// settle lets an envelope go, and sees to it that custody is told what became
// of it. It waits while too much does.
func (e *engine) settle(h *held, what flow.Settlement) { e.settleFor(h, what, true) }

// settleFor is settle for one who waits or does not, and then sees to it that
// there will not be more and more: a real-time worker has others to serve.
func (e *engine) settleFor(h *held, what flow.Settlement, waits bool) {
	told := e.settlingOf(h, what)
	for _, s := range e.settlers {
		if s.custody == h.custody {
			s.add(told, waits)
			return
		}
	}
}

// overfull reports whether so much waits to be settled, by this process or in its
// background lane, that nothing new should be held for real-time workers, who do
// not wait for that: it is safe in custody meanwhile.
func (e *engine) overfull() bool {
	if e.background.overfull() {
		return true
	}
	for _, s := range e.settlers {
		if s.overfull() {
			return true
		}
	}
	return false
}

// overfull reports whether twice as many settlements wait as whoever can waits for.
func (s *settler) overfull() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting) >= 2*unsettledMost
}

// release is settle for those who want custody to know when it returns. Nor
// does it give up when the caller's context ends.
func (e *engine) release(ctx context.Context, h *held, what flow.Settlement) {
	e.tellCustody(context.WithoutCancel(ctx), h.custody, []settling{e.settlingOf(h, what)})
	for _, s := range e.settlers {
		s.look() // one less is under way
	}
}

func (e *engine) settlingOf(h *held, what flow.Settlement) settling {
	if !what.Done && h.receipt != nil {
		e.follow(h.id(), h.receipt) // it comes back, perhaps at once
	}
	return settling{held: h, what: what, dead: e.letters(h)}
}

// tellCustody records what became of envelopes and lets them go. An outbox that
// does not answer is told again; a queue that does not has given the envelope
// back by itself, and somebody will run what this run did once more.
func (e *engine) tellCustody(ctx context.Context, c custodian, told []settling) {
	ctx, cancel := context.WithTimeout(ctx, e.layer.opts.Lease)
	defer cancel()
	for i, err := range c.settle(ctx, told) {
		if c == e.outbox && (fault.Retryable(err) || fault.Unknown(err)) {
			if fault.Outage(err) {
				e.health.failed(Transactional, err)
			}
			e.tellAgain(told[i])
		} else {
			e.settled(told[i], err)
		}
		e.drop(told[i].held)
		e.moves.Add(1)
	}
}
