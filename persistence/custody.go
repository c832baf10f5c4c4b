package persistence

import (
	"context"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

func nowMicro() int64 { return time.Now().UnixMicro() }

func microTime(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// outboxCustody records envelopes as rows of the transactional store's outbox.
type outboxCustody struct {
	layer *Layer
	store *transactional.Store
}

func (c *outboxCustody) name() Custody { return TransactionalCustody }

func (c *outboxCustody) lease() time.Duration { return c.layer.lease() }

// record is the outbox row of an envelope.
func (c *outboxCustody) record(h *held, s flow.Settlement) transactional.Record {
	env := *h.env
	env.Tasks = nil
	return transactional.Record{
		ID: h.id(), Kind: h.kind.name, Key: env.Key,
		Lane: c.layer.laneName(h.kind, s, h), Priority: s.Priority, Due: c.dueAt(s.Due),
		Progress: envelope.AppendTasks(nil, h.env.Tasks), Body: env.Append(nil),
		Orders: h.orders(), Token: env.Token, Digest: env.Tie,
		Remember: c.layer.opts.Remember, AcceptedAt: env.Accepted,
	}
}

// dueAt is when the store is to hand an envelope out, by its own clock. It may be
// hours away from ours, by which tasks wait: what counts is for how long. What
// came back too early would be claimed and given back again and again.
func (c *outboxCustody) dueAt(us int64) time.Time {
	if us == 0 || !c.store.Features().SharedLog {
		return microTime(us)
	}
	return c.store.Now().Add(time.Until(microTime(us)))
}

// held opens an outbox row. A row that cannot be read is nil, and logged: it
// stays where it is, visible, and is never run.
func (c *outboxCustody) open(rec *transactional.Record) *held {
	o := &opened{}
	env, err := &o.of, o.open(rec.Body)
	if err == nil {
		env.Tasks, err = envelope.DecodeTasks(rec.Progress)
	}
	k := c.layer.kindOf(rec.Kind)
	if err == nil && (transactional.RecordID(env.ID) != rec.ID || env.Kind != rec.Kind || env.Key != rec.Key) {
		err = fault.New(fault.ErrCorrupt, "transactional", "claim", "the envelope is another one's")
	}
	if err != nil || k == nil {
		c.layer.log.Error("an envelope in the outbox cannot be read", "kind", rec.Kind, "key", rec.Key,
			"envelope", rec.ID.String(), "error", err)
		return nil
	}
	h := &o.held
	c.layer.holdIn(h, k, env)
	h.custody, h.seq, h.lost = c, rec.Seq, rec.Lost
	h.suspect = h.suspicious()
	h.receipt = c.layer.engine.followed(rec.ID)
	return h
}

// claimLanes is how many lanes one claim takes.
const claimLanes = 64

// claim takes at most most rows of every claimLanes lanes: each part must have
// its turn, or a backlog in one would hold up what is urgent in another.
func (c *outboxCustody) claim(ctx context.Context, lanes []string, most int) ([]*held, error) {
	var out []*held
	for part := range slices.Chunk(lanes, claimLanes) {
		crash.Point("claim.outbox.before")
		recs, err := c.store.Claim(ctx, transactional.ClaimRequest{
			Lanes: part, Max: most, Owner: c.layer.owner, Lease: c.lease(),
		})
		if err != nil {
			return out, err
		}
		crash.Point("claim.outbox.after")
		for i := range recs {
			if h := c.open(&recs[i]); h != nil {
				out = append(out, h)
			}
		}
	}
	return out, nil
}

// due reports whether something waits in the lanes and is due.
func (c *outboxCustody) due(ctx context.Context, lanes []string) (bool, error) {
	for part := range slices.Chunk(lanes, claimLanes) {
		if _, due, err := c.store.Urgent(ctx, part); due || err != nil {
			return due, err
		}
	}
	return false, nil
}

// settlement is the outbox's word for what flow decided.
func (c *outboxCustody) settlement(h *held, s flow.Settlement) transactional.Settlement {
	out := transactional.Settlement{ID: h.id(), Owner: c.layer.owner, Seq: h.seq, Done: s.Done}
	if s.Done {
		out.Mark = h.mark()
		return out
	}
	out.Progress = envelope.AppendTasks(nil, h.remaining())
	out.Lane, out.Priority, out.Due = c.layer.laneName(h.kind, s, h), s.Priority, c.dueAt(s.Due)
	out.Release = h.released()
	return out
}

func (c *outboxCustody) settle(ctx context.Context, told []settling) []error {
	units := make([]*transactional.Unit, len(told))
	for i := range told {
		s := &told[i]
		units[i] = &transactional.Unit{Settle: []transactional.Settlement{c.settlement(s.held, s.what)}, Bury: s.dead}
	}
	crash.Point("settle.outbox.before")
	_, errs := c.store.ApplyAll(ctx, units)
	crash.Point("settle.outbox.after")
	return errs
}

func (c *outboxCustody) count(ctx context.Context, h *held) error {
	err := c.progress(ctx, h)
	return err
}

// progress records what remains and keeps the claim.
func (c *outboxCustody) progress(ctx context.Context, h *held) error {
	crash.Point("progress.outbox.before")
	_, err := c.store.Apply(ctx, &transactional.Unit{Settle: []transactional.Settlement{c.hold(h)}})
	crash.Point("progress.outbox.after")
	if err == nil {
		h.seq++
	}
	return err
}

// hold is the settlement that records what remains and keeps the claim.
func (c *outboxCustody) hold(h *held) transactional.Settlement {
	return transactional.Settlement{
		ID: h.id(), Owner: c.layer.owner, Seq: h.seq, Hold: true,
		Progress: envelope.AppendTasks(nil, h.remaining()), Release: h.released(),
	}
}

// extend renews the leases. A lease that is lost is not fought for: the next
// settlement is refused, and the new owner's run counts. Nor is that worth a
// warning: most often the envelope came to its end while this was on its way.
func (c *outboxCustody) extend(ctx context.Context, hs []*held) {
	crash.Point("lease.outbox")
	ids := make([]transactional.RecordID, len(hs))
	for i, h := range hs {
		ids[i] = h.id()
	}
	for i, err := range c.store.Extend(ctx, c.layer.owner, c.layer.lease(), ids...) {
		switch {
		case fault.ClassOf(err) == fault.ErrConflict:
			hs[i].gone.Store(true)
		case err != nil && !fault.Retryable(err):
			c.layer.log.Warn("lease not renewed", "envelope", ids[i].String(), "error", err)
		}
	}
}

// reload reads how far the record is, after an outcome that nobody knows: the
// answer to a COMMIT was lost. mine is false when somebody else holds it, or
// it is done. That COMMIT may be under way still; whoever writes the record, as
// the renewal of the lease does, comes after it.
func (c *outboxCustody) reload(ctx context.Context, h *held) (mine bool, err error) {
	if err := c.fence(ctx, h.id()); err != nil {
		return false, err
	}
	return c.look(ctx, h)
}

// fence returns when no commit is under way any more that has changed the records.
func (c *outboxCustody) fence(ctx context.Context, ids ...transactional.RecordID) error {
	for _, err := range c.store.Extend(ctx, c.layer.owner, c.lease(), ids...) {
		if err != nil && fault.ClassOf(err) != fault.ErrConflict {
			return err
		}
	}
	return nil
}

// look is reload behind a fence.
func (c *outboxCustody) look(ctx context.Context, h *held) (mine bool, err error) {
	rec, mark, err := c.store.Find(ctx, h.id())
	switch {
	case fault.ClassOf(err) == fault.ErrNotFound || err == nil && mark != nil:
		return false, nil
	case err != nil:
		return false, err
	case rec.Owner != c.layer.owner:
		return false, nil
	}
	tasks, err := envelope.DecodeTasks(rec.Progress)
	if err != nil {
		return false, err
	}
	h.seq = rec.Seq
	h.catchUp(tasks)
	return true, nil
}

// catchUp marks the tasks done that custody no longer remembers.
func (h *held) catchUp(tasks []envelope.Task) {
	left := map[string]bool{}
	for _, t := range tasks {
		left[t.Name] = true
	}
	for i := range h.run.Tasks {
		if t := &h.run.Tasks[i]; t.State == flow.Waiting && !left[h.env.Tasks[i].Name] {
			t.State = flow.Done
		}
	}
}

// orders are the ordering keys of the tasks that remain.
func (h *held) orders() []transactional.Order {
	var out []transactional.Order
	for i, t := range h.tasks {
		if t != nil && t.ordering != nil && h.run.Tasks[i].State == flow.Waiting {
			if o, ok := h.order(t); ok {
				out = append(out, o)
			}
		}
	}
	return out
}

// released are the ordering keys that the envelope no longer needs: those of
// finished tasks, and of dead ones unless the task blocks.
func (h *held) released() []transactional.Order {
	var out []transactional.Order
	for i, t := range h.tasks {
		if t == nil || t.ordering == nil {
			continue
		}
		state := h.run.Tasks[i].State
		if state == flow.Waiting || state == flow.Dead && t.blocks {
			continue
		}
		if o, ok := h.order(t); ok {
			out = append(out, o)
		}
	}
	return out
}
