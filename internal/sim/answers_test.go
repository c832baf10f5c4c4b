package sim

import (
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/internal/flow"
)

// attempt is one run of a task, with one of the answers that a store can give.
func (w *world) attempt(p *process, h *hold, i int) flow.End {
	t, task := &h.run.Tasks[i], h.plan[i]
	store := byte(plan[task].Store)
	e := flow.End{Task: i, Reason: "refused", After: time.Second, Store: store, Counted: h.counted && handles(task)}
	if t.State == flow.Dead { // it was charged for its last attempt
		e.Outcome, e.Reason = flow.Permanent, t.Reason
		return e
	}
	w.tries[[2]int{h.row.id, task}]++
	if store != 0 && !w.up[store] {
		what := "outage"
		if e.Outcome = flow.Outage; task == cacheTask {
			e.Outcome, what = flow.Skip, "skip"
		}
		w.note("%d: task %d of %d: %s of %d", p.owner, task, h.row.id, what, store)
		return e
	}
	answer := 0
	if !w.calm {
		answer = w.choose(12)
	}
	switch {
	case task == orderTask && w.ordered(h.row):
		e.Outcome = flow.Blocked
	case store == 0:
		e.Outcome = []flow.Outcome{flow.OK, flow.OK, flow.OK, flow.OK, flow.OK, flow.Cancelled, flow.Refused, flow.Refused,
			flow.Snoozed, flow.Busy, flow.Uncertain, flow.OK}[answer]
	case task == txTask:
		e.Outcome = w.transaction(p, h, i, answer)
	default:
		e.Outcome = w.defaultWrite(h, int(store), answer)
	}
	if answer == 7 && w.chance(6) && e.Outcome == flow.Refused {
		e.Outcome, e.Reason = flow.Permanent, "permanent"
	}
	w.note("%d: task %d of %d: outcome %d", p.owner, task, h.row.id, e.Outcome)
	return e
}

// defaultWrite writes the object's version; the answer may be lost, and a write
// that was given up may land late.
func (w *world) defaultWrite(h *hold, store, answer int) flow.Outcome {
	key, version := h.row.key, h.row.version
	switch answer {
	case 6:
		return flow.Refused
	case 7:
		return flow.Refused
	case 8:
		return flow.Busy
	case 9: // it is applied, and nobody hears of it
		w.write(store, key, version)
		return flow.Uncertain
	case 10: // nothing arrives
		return flow.Uncertain
	case 11: // it arrives after everybody has given it up
		w.late = append(w.late, lateWrite{at: w.now + w.pausedFor(), store: store, key: key, version: version,
			description: fmt.Sprintf("version %d of key %d in store %d", version-1_000_000*second, key, store)})
		return flow.Uncertain
	}
	if w.write(store, key, version) {
		return flow.Stale
	}
	return flow.OK
}

// transaction has its effect and records what remains in one commit. When the
// answer is lost, custody is read before anything is repeated.
func (w *world) transaction(p *process, h *hold, i, answer int) flow.Outcome {
	switch answer {
	case 6, 7:
		return flow.Refused
	case 8:
		return flow.Busy
	case 10: // COMMIT is lost
		return flow.Uncertain
	}
	t := &h.run.Tasks[i]
	t.State = flow.Done
	committed := w.custody.progress(h, p.owner)
	if committed {
		w.recorded(h)
	}
	t.State = flow.Waiting
	if !committed {
		h.gone = true
		return flow.Cancelled
	}
	h.seq++
	if w.effects[h.row.id]++; w.effects[h.row.id] > 1 {
		w.violated("the transaction of %d had its effect %d times", h.row.id, w.effects[h.row.id])
	}
	return flow.OK // also when the answer was lost (9, 11): custody says that it is done
}
