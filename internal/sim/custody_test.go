package sim

import "github.com/fourfold-dev/fourfold/internal/flow"

// A row is one envelope in custody.
type row struct {
	id       int
	key      int
	version  int64
	accepted int64
	due      int64
	lane     flow.Lane
	parkedOn byte
	owner    int // process incarnation that holds it; 0: nobody
	until    int64
	seq      int
	lost     int
	tasks    []flow.Task // that remain, as custody knows them
	done     bool
}

// A custody is the outbox as its contract says: the step function of claims and
// settlements.
type custody struct {
	rows []*row
	// careless leaves out the fence: a planted bug.
	careless bool
}

func (c *custody) put(r *row) { c.rows = append(c.rows, r) }

// claim makes owner hold a row that is due and that nobody holds.
func (c *custody) claim(r *row, owner int, now, lease int64) (tasks []flow.Task, seq int) {
	r.owner, r.until = owner, now+lease
	return append([]flow.Task(nil), r.tasks...), r.seq
}

// claimable are the rows that a claim may take. Parked ones are taken when
// their store is up.
func (c *custody) claimable(now int64, up func(byte) bool) (out []*row) {
	for _, r := range c.rows {
		if !r.done && r.owner == 0 && r.due <= now && (r.lane != flow.Parked || up(r.parkedOn)) {
			out = append(out, r)
		}
	}
	return out
}

// sweep frees what is held past its lease.
func (c *custody) sweep(now int64) (freed int) {
	for _, r := range c.rows {
		if r.owner != 0 && r.until <= now {
			r.owner, r.lost = 0, r.lost+1
			freed++
		}
	}
	return freed
}

// mine is the fence: owner holds the row, and nothing was settled since.
func (c *custody) mine(r *row, owner, seq int) bool {
	return c.careless || !r.done && r.owner == owner && r.seq == seq
}

func (c *custody) extend(r *row, owner int, now, lease int64) bool {
	if r.done || r.owner != owner {
		return false
	}
	r.until = now + lease
	return true
}

// progress records what remains and keeps the claim.
func (c *custody) progress(r *row, owner, seq int, tasks []flow.Task) bool {
	if !c.mine(r, owner, seq) {
		return false
	}
	r.seq++
	r.tasks = remaining(tasks)
	return true
}

// settle lets a row go.
func (c *custody) settle(r *row, owner, seq int, s flow.Settlement, tasks []flow.Task) bool {
	if !c.mine(r, owner, seq) {
		return false
	}
	r.seq++
	r.owner, r.done, r.tasks = 0, s.Done, remaining(tasks)
	r.lane, r.parkedOn, r.due = s.Lane, s.Store, s.Due
	return true
}

func remaining(tasks []flow.Task) (out []flow.Task) {
	for _, t := range tasks {
		if t.State == flow.Waiting {
			out = append(out, t)
		}
	}
	return out
}
