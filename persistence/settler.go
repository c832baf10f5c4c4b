package persistence

import (
	"context"
	"sync"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

const (
	settleMost    = 128  // envelopes that custody is told of in one call
	unsettledMost = 1024 // envelopes whose tasks are over and whose settlement waits; then workers wait too
)

// A settler tells one custody what became of envelopes. Workers do not wait for
// its commits: what comes while one is under way is told together in the next.
// Until it is told, custody takes the envelope for claimed; should the process
// end, its tasks run once more, as after any crash behind a task's end.
type settler struct {
	engine  *engine
	custody custodian

	mu      sync.Mutex
	changed sync.Cond // there is room, or nothing is under way any more
	waiting []settling
	leads   bool // a goroutine tells
}

func newSettler(e *engine, c custodian) *settler {
	s := &settler{engine: e, custody: c}
	s.changed.L = &s.mu
	return s
}

// add takes a settlement, when there is room for it.
func (s *settler) add(told settling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting) >= unsettledMost {
		s.changed.Wait()
	}
	s.waiting = append(s.waiting, told)
	if !s.leads {
		s.leads = true
		go s.lead()
	}
}

// lead tells group after group, until nothing waits.
func (s *settler) lead() {
	part := make([]settling, 0, settleMost)
	for {
		s.mu.Lock()
		n := min(len(s.waiting), settleMost)
		part = append(part[:0], s.waiting[:n]...)
		rest := copy(s.waiting, s.waiting[n:])
		clear(s.waiting[rest:])
		s.waiting = s.waiting[:rest]
		s.leads = n > 0
		s.changed.Broadcast()
		s.mu.Unlock()
		if n == 0 {
			return
		}
		s.engine.tellCustody(context.Background(), s.custody, part)
		clear(part)
	}
}

// wait returns when nothing is under way.
func (s *settler) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.leads {
		s.changed.Wait()
	}
}

// settle lets an envelope go, and sees to it that custody is told what became
// of it.
func (e *engine) settle(h *held, what flow.Settlement) {
	told := e.settlingOf(h, what)
	for _, s := range e.settlers {
		if s.custody == h.custody {
			s.add(told)
			return
		}
	}
}

// release is settle for those who want custody to know when it returns. Nor
// does it give up when the caller's context ends.
func (e *engine) release(ctx context.Context, h *held, what flow.Settlement) {
	e.tellCustody(context.WithoutCancel(ctx), h.custody, []settling{e.settlingOf(h, what)})
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
