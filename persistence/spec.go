package persistence

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/transactional"
)

// maxBackoff is the longest wait between attempts in transactional custody.
const maxBackoff = 10 * time.Minute

// specOf is what the step functions need to know of a task.
func (t *task) specOf(k *kind) flow.Spec {
	s := flow.Spec{
		Priority: uint32(t.priority), RealTime: t.realTime, MaxAttempts: t.maxAttempts,
		Within: t.within.Microseconds(), Expire: t.late == Expire, External: t.external,
		MaxBackoff: maxBackoff.Microseconds(), Blocks: t.blocks,
	}
	if t.tx != nil || t.write == writeRow || t.write == writeCell || t.write == writeCount || t.write == writeDerived || t.write == writeJob {
		s.Store = byte(t.purpose)
	}
	if s.MaxAttempts == 0 {
		s.MaxAttempts = DefaultMaxAttempts
	}
	if k.custody == TransitoryCustody {
		s.MaxBackoff = maxQueueDelay.Microseconds()
	}
	return s
}

// envelopes reports whether a Put of the kind can need an envelope.
func (k *kind) envelopes() bool {
	return len(k.tasks) > 1 || k.tasks[0].priority > 0
}

// ordered reports whether a task of the envelope has an ordering key.
func (h *held) ordered() bool {
	for _, t := range h.tasks {
		if t != nil && t.ordering != nil {
			return true
		}
	}
	return false
}

// order is the ordering key of a task for the envelope's object; ok is false
// for a delete, whose object is not there.
func (h *held) order(t *task) (o transactional.Order, ok bool) {
	if h.env.Delete {
		return o, false
	}
	obj, err := h.object()
	if err != nil {
		return o, false
	}
	field, err := value(obj).FieldByIndexErr(t.ordering.Index)
	if err != nil {
		return o, false
	}
	text, err := record.Text(field)
	if err != nil {
		return o, false
	}
	return transactional.Order{Task: h.kind.name + "/" + t.name, Key: text}, true
}

// blocked reports whether an earlier envelope holds the ordering key.
func (e *engine) blocked(ctx context.Context, h *held, t *task) (bool, error) {
	if t.ordering == nil || e.outbox == nil {
		return false, nil
	}
	o, ok := h.order(t)
	if !ok {
		return false, nil
	}
	blocked, err := e.layer.rows.Blocked(ctx, h.id(), []transactional.Order{o})
	if err != nil {
		return false, err
	}
	return blocked[0], nil
}
