package persistence

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/internal/stack"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A bulk is the default writes of a group of envelopes, by task: one call of a
// store for each part.
type bulk struct {
	parts []*taskWrites
	spare []*taskWrites
	calls [][]*taskWrites // the parts, by the call that writes them
	joint []*taskWrites   // those of one of them
}

// A taskWrites is one task's default write of several envelopes.
type taskWrites struct {
	task  *task
	held  []*held
	index []int     // of the task, in each envelope
	vs    []version // aligned, with the answers
	began time.Time
	ended time.Time
}

// add adds default writes of an envelope.
func (b *bulk) add(h *held, tasks []int) {
	for _, i := range tasks {
		p := b.part(h.tasks[i])
		p.held, p.index = append(p.held, h), append(p.index, i)
	}
}

func (b *bulk) part(t *task) *taskWrites {
	for _, p := range b.parts {
		if p.task == t {
			return p
		}
	}
	if len(b.spare) == 0 {
		b.spare = append(b.spare, &taskWrites{})
	}
	last := len(b.spare) - 1
	p := b.spare[last]
	b.spare, p.task = b.spare[:last], t
	b.parts = append(b.parts, p)
	return p
}

// clear forgets everything but the memory.
func (b *bulk) clear() {
	for _, p := range b.parts {
		clear(p.held)
		clear(p.vs)
		*p = taskWrites{held: p.held[:0], index: p.index[:0], vs: p.vs[:0]}
	}
	b.spare = append(b.spare, b.parts...)
	b.parts, b.calls, b.joint = b.parts[:0], b.calls[:0], b.joint[:0]
}

// writeBulk does the default writes of the group, each store beside the
// others, so that a slow one holds up its own tasks only, and ends the class.
// What one store has written is done when it has, but where a Put waits for all of
// it: there this goroutine does a part itself.
func (w *worker) writeBulk(ctx context.Context) {
	parts := w.bulk.parts
	if len(parts) == 0 {
		return
	}
	crash.Point("bulk.before")
	for _, p := range parts {
		w.parts[p.task.purpose].Add(1)
		p.began = w.now
		for _, h := range p.held {
			p.vs = append(p.vs, w.engine.versionOf(h, p.task))
		}
	}
	w.bulk.divide(w.engine)
	calls := w.bulk.calls
	last := len(calls)
	if last == 1 || parts[0].held[0].put != nil {
		last--
	}
	for _, call := range calls[:last] {
		go func() {
			stack.Grow()
			w.writeParts(ctx, call)
			w.written <- call
		}()
	}
	for _, call := range calls[last:] {
		w.writeParts(ctx, call)
		w.endParts(ctx, call)
	}
	for range last {
		w.endParts(ctx, <-w.written)
	}
	w.bulk.clear()
}

// writeParts does the writes of one call of a store.
func (w *worker) writeParts(ctx context.Context, call []*taskWrites) {
	crash.Point("bulk.write.before")
	first := call[0]
	watched := w.engine.health.watch(first.task.purpose)
	if len(call) > 1 {
		w.engine.writeJointly(ctx, call)
	} else {
		w.engine.writeAll(ctx, first.held[0].kind, first.task, first.vs)
	}
	watched.answered()
	ended := time.Now()
	for _, p := range call {
		p.ended = ended
	}
	// Another worker may write to this store, while others keep this one waiting.
	if of := first.task.purpose; w.parts[of].Add(-int32(len(call))) == 0 && w.writes.has(of) {
		w.lane.wrote(storeSet(0).with(of))
		w.wrote[of] = true
	}
	crash.Point("bulk.write.after")
}

// wroteAll tells the lane of the stores that it has not been told of.
func (w *worker) wroteAll() {
	rest := w.writes
	for p, told := range w.wrote {
		if told {
			rest &^= storeSet(0).with(Purpose(p))
		}
	}
	if rest != 0 {
		w.lane.wrote(rest)
	}
	w.writes, w.wrote = 0, [Amorphous + 1]bool{}
}

func (w *worker) endParts(ctx context.Context, call []*taskWrites) {
	for _, p := range call {
		w.endPart(ctx, p)
	}
}

// endPart reports the end of each write to its envelope.
func (w *worker) endPart(ctx context.Context, p *taskWrites) {
	apart := w.apart(ctx, p)
	if apart {
		w.now = time.Now() // a store was asked
	}
	for n, h := range p.held {
		i, v := p.index[n], &p.vs[n]
		if apart && v.err != nil && !fault.Permanent(v.err) {
			h.alone = true
			w.follow(ctx, h, h.run.Ended(w.now.UnixMicro(), flow.End{Task: i, Outcome: flow.Snoozed}))
			continue
		}
		e := end{End: flow.End{Task: i}, attempts: h.run.Tasks[i].Attempts, began: p.began, ended: p.ended, err: v.err}
		switch {
		case v.err != nil:
			w.judge(ctx, h, p.task, &e)
		case v.stale:
			e.Outcome = flow.Stale
		}
		w.follow(ctx, h, w.finish(ctx, h, e))
	}
}

// apart reports whether the failed writes of a part are to be tried again one
// by one, at no charge: their store looks unreachable, and yet answers, so one
// of them may be what it does not bear.
func (w *worker) apart(ctx context.Context, p *taskWrites) bool {
	if len(p.held) == 1 || p.task.write == writeCache {
		return false
	}
	for n := range p.vs {
		err := p.vs[n].err
		if err == nil || fault.Permanent(err) || ctx.Err() != nil {
			continue
		}
		if store := w.engine.storeOf(p.task, err); looksAway(err, store) {
			health := w.engine.health
			return w.engine.layer.has(store) && !health.cameBack(store, p.began) && health.answers(ctx, store)
		}
	}
	return false
}
