package sim

import (
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/internal/flow"
)

// begin claims a row and runs it.
func (w *world) begin(p *process, r *row) {
	answer := w.answer()
	if answer == down || answer == dropped {
		w.note("the claim of %d by process %d is not applied", r.id, p.owner)
		return
	}
	if r.Claimable(w.now, false) && r.Owner != 0 {
		w.violated("process %d may claim %d, which %d holds", p.owner, r.id, r.Owner)
	}
	if r.Custody = r.Claim(w.now, p.owner, lease); answer == lost {
		w.note("process %d claims %d, and is not told", p.owner, r.id)
		return
	}
	h := &hold{row: r, seq: r.Seq, plan: append([]int(nil), r.plan...)}
	h.run = flow.Run{Accepted: r.accepted, Seed: uint64(r.id), Horizon: horizon, Tasks: append([]flow.Task(nil), r.tasks...), Down: w.down()}
	for i, n := range h.plan {
		if h.run.Tasks[i].Spec = &plan[n]; n == newTask && !p.serves {
			h.run.Tasks[i].Spec = nil
		}
	}
	h.act = h.run.Begin(w.now, w.choose(2) == 1)
	if s := h.run.Settlement(w.now); h.act.Kind == flow.Settle && !s.Done && s.Lane <= flow.RealTime && s.Due <= w.now {
		w.violated("process %d claims %d for nothing, and would give it back at once", p.owner, r.id)
	}
	p.holds = append(p.holds, h)
	w.note("process %d claims %d", p.owner, r.id)
	w.started(h)
}

func (w *world) down() (out [8]bool) {
	for s := 1; s <= stores; s++ {
		out[s] = !w.up[s]
	}
	return out
}

// urgency orders tasks as the plan says: real time first, what is late last.
func urgency(t *flow.Task) [3]uint32 {
	switch {
	case t.Late:
		return [3]uint32{1, 0, 0}
	case t.Spec.RealTime:
		return [3]uint32{0, 0, t.Spec.Priority}
	}
	return [3]uint32{0, 1, t.Spec.Priority}
}

// started checks what begins: what may run, and nothing more urgent waits.
func (w *world) started(h *hold) {
	if h.act.Kind != flow.Start {
		return
	}
	h.left, h.begins = append([]int(nil), h.act.Tasks...), true
	top := urgency(&h.run.Tasks[h.left[0]])
	for _, i := range h.left {
		t := &h.run.Tasks[i]
		if t.State != flow.Waiting || t.NotBefore > w.now || urgency(t) != top {
			w.violated("task %d of %d starts, which is %d and not before %d", h.plan[i], h.row.id, t.State, t.NotBefore)
		}
	}
	for i := range h.run.Tasks {
		t := &h.run.Tasks[i]
		if h.run.Ready(t, w.now) && slices.Compare(asSlice(urgency(t)), asSlice(top)) < 0 {
			w.violated("task %d of %d waits, and is more urgent than what starts", h.plan[i], h.row.id)
		}
	}
}

func asSlice(u [3]uint32) []uint32 { return u[:] }

// step lets a process do one thing with an envelope, and reports whether it
// still holds it.
func (w *world) step(p *process, h *hold) bool {
	switch h.act.Kind {
	case flow.Start, flow.Wait:
		if h.gone || h.begins && !w.charge(p, h) {
			w.cancel(h)
			return true
		}
		h.begins = false
		i := h.left[0]
		h.left = h.left[1:]
		if h.row.poison && h.plan[i] == orderTask && h.run.Tasks[i].State == flow.Waiting {
			w.tries[[2]int{h.row.id, orderTask}]++
			w.note("the handler of %d ends process %d", h.row.id, p.owner)
			if w.deaths[h.row.id]++; w.deaths[h.row.id] > flow.Doubtful+plan[orderTask].MaxAttempts {
				w.violated("the handler of %d has ended %d processes", h.row.id, w.deaths[h.row.id])
			}
			w.kill(p)
			return false
		}
		h.act = h.run.Ended(w.now, w.attempt(p, h, i))
	case flow.Look:
		h.act = h.run.Looked(w.now, w.chance(4))
	case flow.Pass, flow.GiveBack:
		h.act = h.run.Begin(w.now, false)
	default:
		return !w.settle(p, h)
	}
	w.started(h)
	return true
}

// charge counts the attempts of a suspect's handlers before they run. It is
// false when that could not be recorded, and nothing may run.
func (w *world) charge(p *process, h *hold) bool {
	handler := slices.ContainsFunc(h.left, func(i int) bool { return handles(h.plan[i]) })
	if h.row.Lost < flow.Doubtful || !handler {
		return true
	}
	for _, i := range h.left {
		if handles(h.plan[i]) {
			h.run.Tasks[i].Charge()
		}
	}
	h.counted = true
	switch w.answer() {
	case applied:
		if w.custody.progress(h, p.owner) {
			h.seq++
			w.recorded(h)
			w.note("process %d charges %d", p.owner, h.row.id)
			return true
		}
		h.gone = true
	case lost:
		if w.custody.progress(h, p.owner) {
			w.recorded(h)
			for _, i := range h.left {
				w.tries[[2]int{h.row.id, h.plan[i]}]++
			}
		}
	}
	for _, i := range h.left {
		if handles(h.plan[i]) {
			h.run.Tasks[i].Refund()
		}
	}
	return false
}

// cancel ends the class of a claim that is lost.
func (w *world) cancel(h *hold) {
	for _, i := range h.left {
		h.act = h.run.Ended(w.now, flow.End{Task: i, Outcome: flow.Cancelled})
	}
	h.left = nil
}

// settle tells custody what became of an envelope, again until it answers, and
// reports whether the process has let it go.
func (w *world) settle(p *process, h *hold) bool {
	if h.told == nil {
		h.run.Down = w.down()
		s := h.run.Settlement(w.now)
		h.told = &s
	}
	s, answer := *h.told, w.answer()
	if answer == down || answer == dropped {
		w.note("process %d: settlement of %d is not heard", p.owner, h.row.id)
		return false
	}
	holder, seq := h.row.Owner, h.row.Seq
	if !w.custody.settle(h, p.owner, w.now, s) {
		w.note("process %d: settlement of %d refused", p.owner, h.row.id)
		return true
	}
	if !w.custody.careless && (holder != p.owner || seq != h.seq) {
		w.violated("process %d settles %d since %d, which %d holds since %d", p.owner, h.row.id, h.seq, holder, seq)
	}
	w.recorded(h)
	w.note("process %d settles %d: done %t, lane %d, due %d, answer %d", p.owner, h.row.id, s.Done, s.Lane, s.Due, answer)
	return answer == applied
}

// recorded notes the tasks whose end custody has been told.
func (w *world) recorded(h *hold) {
	for i := range h.run.Tasks {
		t, n := &h.run.Tasks[i], h.plan[i]
		spec := &plan[n]
		if t.State == flow.Waiting {
			continue
		}
		before := w.ended[[2]int{h.row.id, n}]
		w.ended[[2]int{h.row.id, n}] = ending(t)
		if n == orderTask && before == "" {
			w.wake(h.row)
		}
		early := t.Attempts < spec.MaxAttempts
		switch age := w.now - h.row.accepted; {
		case t.State != flow.Dead || t.Reason == "permanent":
		case strings.HasPrefix(t.Reason, "the process ended") && w.tries[[2]int{h.row.id, n}] < spec.MaxAttempts:
			w.violated("task %d of %d died for processes that it did not end: it ran %d times", n, h.row.id, w.tries[[2]int{h.row.id, n}])
		case !early:
		case t.Reason == "expired" && spec.Expire && age > spec.Within, strings.HasPrefix(t.Reason, "older") && age > horizon:
		default:
			w.violated("task %d of %d died after %d of %d attempts: %s", n, h.row.id, t.Attempts, spec.MaxAttempts, t.Reason)
		}
	}
}

func ending(t *flow.Task) string {
	switch t.State {
	case flow.Dead:
		return "dead: " + t.Reason
	case flow.Skipped:
		return "skipped"
	}
	return "done"
}
