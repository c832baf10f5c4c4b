package persistence

import (
	"context"
	"hash/fnv"

	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A task that another program serves must not wait for its siblings here, nor
// they for it. So it gets an envelope of its own: in transactional custody at
// acceptance, in the same commit; in transitory custody, where two jobs are not
// one commit, when this program lets go of what remains.

// apart is the envelope's id for one task that goes alone. It can be told from
// the id of the whole, so that a receipt finds it.
func apart(id envelope.ID, task string) envelope.ID {
	h := fnv.New64a()
	h.Write([]byte(task))
	sum := h.Sum(nil)
	for i := range sum {
		id[8+i] ^= sum[i]
	}
	return id
}

// split divides tasks into those that stay together and those that go alone:
// the external ones, unless nothing else is left, when the first of them stays.
func (k *kind) split(tasks []envelope.Task) (together, alone []envelope.Task) {
	for _, t := range tasks {
		if known := k.task(t.Name); known != nil && known.external {
			alone = append(alone, t)
		} else {
			together = append(together, t)
		}
	}
	if len(together) == 0 && len(alone) > 0 {
		return alone[:1], alone[1:]
	}
	return together, alone
}

// alone is a held envelope with one of the tasks of another one.
func (l *Layer) alone(h *held, t envelope.Task) *held {
	env := *h.env
	env.ID, env.Tasks = apart(env.ID, t.Name), []envelope.Task{t}
	out := l.hold(h.kind, &env)
	out.custody = h.custody
	return out
}

// separate takes the external tasks out of an envelope that the outbox is about
// to record.
func (e *engine) separate(a *accepting) {
	together, alone := a.kind.split(a.env.Tasks)
	if len(alone) == 0 {
		return
	}
	a.env.Tasks = together
	a.held = e.layer.hold(a.kind, &a.env)
	a.held.custody, a.held.receipt = e.outbox, a.receipt
	for _, t := range alone {
		a.external = append(a.external, e.layer.alone(a.held, t))
	}
}

// records are the outbox rows of an accepted object; the first is that of the
// envelope whose id the receipt has.
func (a *accepting) records(c *outboxCustody) []transactional.Record {
	out := []transactional.Record{a.record(c)}
	for _, h := range a.external {
		s := h.run.Settlement(nowMicro())
		rec := c.record(h, s)
		rec.Token, rec.Digest = "", 0 // the first row has it
		out = append(out, rec)
		c.layer.engine.sawForeign(h, s)
	}
	return out
}

// findExternal corrects a receipt for the tasks that went alone: they may be
// pending when the others are done.
func (l *Layer) findExternal(ctx context.Context, r *Receipt, k *kind, id envelope.ID) error {
	for i := range r.tasks {
		t := &r.tasks[i]
		if !k.task(t.Name).external || t.State != TaskDone {
			continue
		}
		_, mark, err := l.rows.Find(ctx, transactional.RecordID(apart(id, t.Name)))
		switch {
		case err == nil && mark == nil:
			t.State = TaskPending
		case err != nil && fault.ClassOf(err) != fault.ErrNotFound:
			return err
		}
	}
	return nil
}

// receiptOfExternal is the receipt of an envelope that custody has forgotten,
// if a task that went alone still waits.
func (l *Layer) receiptOfExternal(ctx context.Context, id envelope.ID) (*Receipt, error) {
	for _, k := range l.declared() {
		for _, t := range k.tasks {
			if !t.external {
				continue
			}
			rec, mark, err := l.rows.Find(ctx, transactional.RecordID(apart(id, t.name)))
			if err == nil && mark == nil && rec.Kind == k.name {
				return l.receiptOfRecord(ctx, &rec, id)
			}
			if err != nil && fault.ClassOf(err) != fault.ErrNotFound {
				return nil, err
			}
		}
	}
	return nil, nil
}
