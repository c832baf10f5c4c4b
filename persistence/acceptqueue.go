package persistence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
)

// acceptQueue records the envelope as one job. What a queue does not take, or
// may not have taken, spills into the outbox, when the layer has one.
func (e *engine) acceptQueue(ctx context.Context, a *accepting) (*Receipt, error) {
	h := e.open(a, e.queue)
	a.receipt.Durability = e.layer.queue.Features().Durability
	job := e.queue.job(h, a.settlement(), a.env.Tasks)
	if len(job.Body) > MaxTransitory {
		return nil, &fault.Error{Op: "put", Class: fault.ErrTooLarge,
			Err: fmt.Errorf("the envelope has %d bytes, and transitory custody takes %d: use transactional custody", len(job.Body), MaxTransitory)}
	}
	crash.Point("accept.queue.before")
	began := e.yieldTo(a.kind)
	id, err := e.enqueue(ctx, h, job)
	e.yielded(began, ofQueue, err)
	crash.Point("accept.queue.after")
	if err != nil {
		return e.spill(ctx, a, err)
	}
	h.job, h.tube = id, job.Tube
	e.moves.Add(1)
	if !a.urgent() {
		a.over = true
		return a.receipt, nil
	}
	err = e.first(ctx, h)
	if e.finished(h) {
		crash.Point("accept.queue.delete")
		e.queue.store.Delete(ctx, h.job) // a worker that has it finds every task done, or repeats a write of the same version
		e.unfollow(h.id())
	}
	if err != nil {
		return a.receipt, acceptedError(err)
	}
	return a.receipt, nil
}

// enqueue puts the job of an envelope into the queue, and counts its tasks as
// queued.
func (e *engine) enqueue(ctx context.Context, h *held, job transitory.Job) (transitory.ID, error) {
	// Followed before it is put: a worker may have it before the queue answers.
	e.follow(h.id(), h.receipt)
	h.queued(1)
	id, err := e.queue.put(ctx, job)
	if err != nil {
		e.unfollow(h.id())
		if fault.Unknown(err) {
			e.spilled.add(h.id())
		}
		h.queued(-1)
	}
	return id, err
}

// spill accepts in the outbox what the queue did not take. When nobody knows
// whether it did, a task may run for the job as well, as any task of transitory
// custody may run again; the caller knows that it is accepted.
func (e *engine) spill(ctx context.Context, a *accepting, cause error) (*Receipt, error) {
	unknown := fault.Unknown(cause)
	if e.outbox == nil || ctx.Err() != nil || !unknown && !fault.Outage(cause) {
		return nil, cause
	}
	if !unknown {
		e.health.failed(Transitory, cause)
	}
	crash.Point("accept.spill")
	r, err := e.acceptUnit(ctx, a)
	if r == nil && unknown { // the queue may have it all the same
		return nil, &fault.Error{Class: fault.ErrUnknown, Err: errors.Join(cause, err)}
	}
	return r, err
}

// spilled are the envelopes that the queue may hold although nobody was told so:
// the end of such a job is not the end of something that is counted as queued, and
// a task that ends for the job as well as for the outbox is counted once.
type spilled struct {
	some atomic.Bool // there ever was one
	mu   sync.Mutex
	ids  map[transactional.RecordID][]*task // whose end was counted
}

const spilledMost = 10_000 // of more, some are counted twice

func (s *spilled) add(id transactional.RecordID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.some.Store(true)
	if s.ids == nil {
		s.ids = map[transactional.RecordID][]*task{}
	}
	if len(s.ids) == spilledMost {
		for some := range s.ids {
			delete(s.ids, some)
			break
		}
	}
	s.ids[id] = nil
}

func (s *spilled) has(id transactional.RecordID) bool {
	if !s.some.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.ids[id]
	return ok
}

// first reports whether the end of a task was not counted before.
func (s *spilled) first(id transactional.RecordID, t *task) bool {
	if !s.some.Load() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	counted, ok := s.ids[id]
	if slices.Contains(counted, t) {
		return false
	}
	if ok {
		s.ids[id] = append(counted, t)
	}
	return true
}

// finished reports whether no task remains.
func (e *engine) finished(h *held) bool {
	for i := range h.run.Tasks {
		if s := h.run.Tasks[i].State; s == flow.Waiting || s == flow.Dead {
			return false
		}
	}
	return true
}

// doneBefore marks the tasks done that Put did before it returned: the job in
// the queue was put before that and cannot be changed.
func (e *engine) doneBefore(h *held) {
	if h.receipt == nil {
		return
	}
	h.receipt.mu.Lock()
	defer h.receipt.mu.Unlock()
	for i := range h.run.Tasks {
		if s, ok := h.receipt.state(h.env.Tasks[i].Name); ok && s != TaskPending && s != TaskDead {
			h.run.Tasks[i].State = flow.Done
		}
	}
}
