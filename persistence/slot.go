package persistence

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// enter waits until a task may run for a key, and returns the context of the
// run and the function that makes room for the next one. Concurrency is this
// process's own. PerKey holds over all processes: where others share the
// outbox, the places lie in its database. When all of them are taken the error
// is fault.ErrBusy, so that the envelope waits in its custody and no worker
// does.
func (e *engine) enter(ctx context.Context, k *kind, t *task, key string) (context.Context, func(), error) {
	leave, err := t.limit.enter(ctx, key)
	if err != nil || t.perKey == 0 || e.outbox == nil || !e.layer.rows.Features().SharedLog {
		return ctx, leave, err
	}
	slot, err := e.layer.rows.Enter(ctx, k.name+"/"+t.name, key, t.perKey, e.layer.opts.Lease)
	if err != nil {
		leave()
		return ctx, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stayed := make(chan struct{})
	go func() {
		defer close(stayed)
		e.stay(ctx, slot, cancel)
	}()
	return ctx, func() {
		cancel()
		<-stayed
		e.leave(ctx, slot)
		leave()
	}, nil
}

// stay renews the lease of a place until the run ends. A run that lost its
// place is cancelled: somebody else may be in it by now.
func (e *engine) stay(ctx context.Context, slot transactional.Slot, lost func()) {
	renew := time.NewTicker(e.layer.opts.Lease / 3)
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-renew.C:
		}
		if err := e.layer.rows.Stay(ctx, slot, e.layer.opts.Lease); fault.ClassOf(err) == fault.ErrConflict {
			e.layer.log.Warn("a run lost its place among those of its key, and is cancelled", "task", slot.Name, "key", slot.Key)
			lost()
		}
	}
}

// leave frees a place; one that cannot be reached frees itself when its lease
// is over.
func (e *engine) leave(ctx context.Context, slot transactional.Slot) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.layer.opts.Lease)
	defer cancel()
	if err := e.layer.rows.Leave(ctx, slot); err != nil {
		e.layer.log.Debug("a place among those of a key is left to its lease", "task", slot.Name, "key", slot.Key, "error", err)
	}
}
