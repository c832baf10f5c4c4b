package embedded

import (
	"container/heap"
	"context"
	"encoding/json"
	"slices"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// The table has every job, whatever memory knows of it. What has a number below
// a page's last was put before, so one walk finds all that was there when it
// began.
const searchQuery = `SELECT id, tube, priority, ready_at, ttr, reserves, body FROM transitory_jobs
	WHERE id > ? AND tube IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT 256`

// Search walks over the table and removes what want asks for.
func (d *driver) Search(ctx context.Context, tubes []string, want func(transitory.Job) bool) (removed []transitory.Job, kept int, err error) {
	if err := d.ready(ctx, "search"); err != nil {
		return nil, 0, err
	}
	names, err := json.Marshal(tubes)
	if err != nil {
		return nil, 0, err
	}
	for after, rows := int64(0), 256; rows == 256; {
		var found []handed
		err := d.core.file.Read(ctx, func(conn sqlitefile.Conn) (err error) {
			found, rows, err = matching(ctx, conn, &after, string(names), want)
			return err
		})
		if err != nil {
			return removed, kept, fault.Wrap(fault.ErrUnavailable, "transitory", "search", err)
		}
		for _, h := range found {
			gone, err := d.remove(ctx, h)
			switch {
			case err != nil:
				return removed, kept, err
			case gone == nil:
				kept++
			case gone.ID != "":
				removed = append(removed, *gone)
			}
		}
	}
	return removed, kept, nil
}

// matching reads a page of jobs and returns those that are wanted.
func matching(ctx context.Context, conn sqlitefile.Conn, after *int64, tubes string, want func(transitory.Job) bool) (found []handed, rows int, err error) {
	from := *after
	err = conn.Query(ctx, searchQuery, []any{from, tubes}, func(scan func(...any) error) error {
		var r row
		var priority, reserves int64
		var body []byte
		if err := scan(&r.id, &r.tube, &priority, &r.readyAt, &r.ttr, &reserves, &body); err != nil {
			return err
		}
		rows++
		*after = r.id
		if want(transitory.Job{Tube: r.tube, Priority: uint32(priority), Body: body, Reserves: int(reserves)}) {
			found = append(found, handed{entry: &entry{id: r.id}, priority: uint32(priority), body: slices.Clone(body)})
		}
		return nil
	})
	return found, rows, err
}

// remove reserves a job by its id and deletes it. It returns nil for one that
// somebody has reserved, and a job without an ID for one that is gone.
func (d *driver) remove(ctx context.Context, h handed) (*transitory.Job, error) {
	grab := &op{kind: opGrab, row: row{id: h.entry.id}, owner: d.owner}
	if err := d.core.ops.Do(ctx, grab); err != nil {
		return nil, err
	}
	switch {
	case grab.busy:
		return nil, nil
	case grab.entry == nil:
		return &transitory.Job{}, nil
	}
	crash.Point("queue.search.grabbed")
	e, reserves := grab.entry, grab.row.reserves
	job := &transitory.Job{ID: d.idOf(e.id, reserves), Tube: e.tube.name, Priority: h.priority, Body: h.body, Reserves: reserves}
	switch err := d.Delete(ctx, []transitory.ID{job.ID})[0]; {
	case fault.ClassOf(err) == fault.ErrNotFound:
		return nil, nil // it took longer than the job's TTR
	case err != nil:
		d.core.do(func(x *index, _ int64) { x.untake(e, reserves) })
		return nil, err
	}
	return job, nil
}

// grab does an opGrab. Only run calls it, so no change of the table is under
// way, and what memory does not know is as its row says.
func (c *core) grab(ctx context.Context, o *op) error {
	var there bool
	err := c.file.Read(ctx, func(conn sqlitefile.Conn) error {
		rows, err := readRows(ctx, conn, rowQuery, o.row.id)
		if there = len(rows) == 1; there {
			o.row = rows[0]
		}
		return err
	})
	if err != nil || !there {
		return fault.Wrap(fault.ErrUnavailable, "transitory", "search", err)
	}
	c.do(func(x *index, now int64) {
		o.entry = x.grab(o.row, o.owner, now)
		if o.busy = o.entry == nil; !o.busy {
			o.row.reserves = o.entry.reserves
		}
	})
	return nil
}

const rowQuery = `SELECT id, tube, priority, ready_at, ttr, reserves FROM transitory_jobs WHERE id = ?`

// grab reserves a job, wherever in the queue it stands; nil: it is reserved.
func (x *index) grab(r row, o *owner, now int64) *entry {
	e := x.entries[r.id]
	switch {
	case e == nil:
		e = &entry{id: r.id, tube: x.tube(r.tube), priority: r.priority, readyAt: r.readyAt, ttr: r.ttr, reserves: r.reserves, cold: true, pos: -1}
		x.entries[r.id] = e
		if r.readyAt > 0 {
			e.tube.countDelayed--
		} else {
			e.tube.countReady--
		}
	case e.state == isReserved:
		return nil
	case e.state == isDelayed:
		x.delayed.remove(e)
		e.tube.countDelayed--
	case e.state == isExpelled:
		delete(e.tube.expelled, e)
		e.tube.countReady--
	default:
		heap.Remove(&e.tube.ready, slices.Index(e.tube.ready, e))
		e.tube.countReady--
	}
	e.tube.countReserved++
	e.state, e.owner, e.deadline = isReserved, o, now+e.ttr
	e.reserves++
	x.deadlines.add(e)
	x.woken = append(x.woken, e.tube) // its window may run dry
	return e
}
