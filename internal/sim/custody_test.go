package sim

import "github.com/fourfold-dev/fourfold/internal/flow"

// A row is one envelope in custody.
type row struct {
	flow.Custody
	id       int
	key      int
	version  int64
	accepted int64
	poison   bool // its handler ends the process
	lane     flow.Lane
	parkedOn byte
	tasks    []flow.Task // that remain, as custody knows them
	plan     []int       // of each of these, its entry in the plan
}

// A custody is an outbox in flow's steps.
type custody struct {
	rows []*row
	// careless leaves out the fence: a planted bug.
	careless bool
}

func (c *custody) put(r *row) { c.rows = append(c.rows, r) }

// claimable are the rows that a process may claim. Parked ones are taken when
// their store is up, those with tasks that no program knew by one that does.
func (c *custody) claimable(now int64, p *process, up func(byte) bool) (out []*row) {
	for _, r := range c.rows {
		if r.Claimable(now, false) && (r.lane != flow.Parked || up(r.parkedOn)) && (r.lane != flow.Foreign || p.serves) {
			out = append(out, r)
		}
	}
	return out
}

// sweep frees what is held past its lease, and promotes what has become due.
func (c *custody) sweep(now int64) (freed int) {
	for _, r := range c.rows {
		if r.Over(now) {
			r.Custody = r.Free()
			freed++
		}
		r.Custody = r.Promote(now)
	}
	return freed
}

// mine is the fence.
func (c *custody) mine(r *row, owner, seq uint64) bool { return c.careless || r.Mine(owner, seq) }

func (c *custody) extend(r *row, owner uint64, now, lease int64) bool {
	r.Custody = r.Extend(now, owner, lease)
	return r.HeldBy(owner)
}

// progress records what remains and keeps the claim.
func (c *custody) progress(h *hold, owner uint64) bool {
	if !c.mine(h.row, owner, h.seq) {
		return false
	}
	h.row.Custody = h.row.Keep()
	h.row.remain(h)
	return true
}

// settle lets a row go.
func (c *custody) settle(h *hold, owner uint64, now int64, s flow.Settlement) bool {
	r := h.row
	if !c.mine(r, owner, h.seq) {
		return false
	}
	if r.Custody = r.Back(now, s.Due); s.Done {
		r.Custody = r.End()
	}
	r.lane, r.parkedOn = s.Lane, s.Store
	r.remain(h)
	return true
}

// remain keeps the tasks that are not done.
func (r *row) remain(h *hold) {
	r.tasks, r.plan = nil, nil
	for i, t := range h.run.Tasks {
		if t.State == flow.Waiting {
			r.tasks, r.plan = append(r.tasks, t), append(r.plan, h.plan[i])
		}
	}
}

// ordered reports whether an earlier object of the same key has not done with
// its first task, and wakes whoever waits for that.
func (w *world) ordered(r *row) (blocked bool) {
	for _, other := range w.custody.rows {
		if other.key == r.key && other.id < r.id && w.ended[[2]int{other.id, orderTask}] == "" {
			return true
		}
	}
	return false
}

// wake tells the next object of a key that the first task before it has ended.
func (w *world) wake(r *row) {
	for _, next := range w.custody.rows {
		if next.key == r.key && next.id > r.id && w.ended[[2]int{next.id, orderTask}] == "" {
			next.Custody = next.Wake(w.now)
			return
		}
	}
}
