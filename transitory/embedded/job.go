package embedded

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

var errForeign = fault.New(fault.ErrNotFound, "transitory", "job", "the id was not made by this opening of the queue")

// idOf names a reservation: which opening, which job, which of its reserves.
func (d *driver) idOf(id int64, reserves int) transitory.ID {
	b := make([]byte, 0, len(d.owner.epoch)+24)
	b = append(b, d.owner.epoch...)
	b = append(b, '.')
	b = strconv.AppendInt(b, id, 36)
	b = append(b, '.')
	b = strconv.AppendInt(b, int64(reserves), 36)
	return transitory.ID(b)
}

func (d *driver) parse(id transitory.ID) (claim, bool) {
	epoch, rest, _ := strings.Cut(string(id), ".")
	number, reserves, ok := strings.Cut(rest, ".")
	if !ok || epoch != d.owner.epoch {
		return claim{}, false
	}
	n, err := strconv.ParseInt(number, 36, 64)
	if err != nil {
		return claim{}, false
	}
	r, err := strconv.ParseInt(reserves, 36, 32)
	return claim{id: n, reserves: int(r)}, err == nil
}

// refuse is the last line before the table: the portable Queue has said it
// before, in better words.
func refuse(job transitory.Job) error {
	if err := transitory.ValidTube(job.Tube); err != nil {
		return err
	}
	if len(job.Body) > MaxBody {
		return fault.New(fault.ErrTooLarge, "transitory", "put", fmt.Sprintf("the body has %d bytes; embedded takes %d", len(job.Body), MaxBody))
	}
	if job.Delay < 0 || job.Delay > transitory.MaxDelay || job.TTR < 0 || job.TTR > transitory.MaxTTR {
		return fault.New(fault.ErrInvalid, "transitory", "put", "the delay or the TTR is out of range")
	}
	return nil
}

// rowOf is the row of a new job, with its delay in place of the moment at
// which that ends.
func rowOf(job transitory.Job) row {
	ttr := job.TTR
	if ttr == 0 {
		ttr = transitory.DefaultTTR
	}
	return row{tube: job.Tube, priority: job.Priority, readyAt: micros(job.Delay), ttr: micros(ttr)}
}

// micros rounds a duration up to the resolution.
func micros(d time.Duration) int64 {
	return ((d + resolution - 1) / resolution * resolution).Microseconds()
}

// bytesOf copies a body, which its caller may change after Put.
func bytesOf(body []byte) []byte {
	if len(body) == 0 {
		return []byte{}
	}
	return bytes.Clone(body)
}

// deliver makes jobs of what was taken, with the bodies that memory did not
// have. When they cannot be read, or ctx ends, all go back. A job whose row is
// gone (an earlier delete had an unknown outcome, and was applied) is dropped.
func (d *driver) deliver(ctx context.Context, taken []handed) ([]transitory.Job, error) {
	if err := d.readBodies(ctx, taken); err != nil {
		d.core.do(func(x *index, _ int64) {
			for _, h := range taken {
				x.untake(h.entry, h.reserves)
			}
		})
		return nil, err
	}
	d.core.tally.add(taken, d.core.untold)
	crash.Point("queue.deliver")
	jobs := make([]transitory.Job, 0, len(taken))
	for _, h := range taken {
		if h.body == nil {
			d.core.vanish(h, d.owner)
			continue
		}
		e := h.entry
		jobs = append(jobs, transitory.Job{
			ID: d.idOf(e.id, h.reserves), Tube: e.tube.name, Priority: h.priority,
			TTR: time.Duration(e.ttr) * time.Microsecond, Body: h.body, Reserves: h.reserves,
		})
	}
	return jobs, nil
}

// readBodies reads the cold bodies; one whose row is gone stays nil.
func (d *driver) readBodies(ctx context.Context, taken []handed) error {
	var loads []*load
	for _, h := range taken {
		if h.cold {
			loads = append(loads, &load{id: h.entry.id})
		}
	}
	if len(loads) == 0 {
		return nil
	}
	for _, err := range d.core.loads.DoAll(ctx, loads) {
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err() // nothing was changed: the outcome is known
			}
			return err
		}
	}
	for i := range taken {
		if taken[i].cold {
			if loads[0].found {
				if taken[i].body = loads[0].body; taken[i].body == nil {
					taken[i].body = []byte{} // nil is for rows that are gone
				}
			}
			loads = loads[1:]
		}
	}
	return nil
}

// untold appends the tally of the jobs whose rows do not say it yet.
func (c *core) untold(buf []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.index.entries {
		if e.reserves > 0 && (e.dirty || e.state == isReserved) {
			buf = appendTally(buf, e.id, e.reserves)
		}
	}
	return buf
}

// vanish ends a reserved job that has no row.
func (c *core) vanish(h handed, o *owner) {
	c.do(func(x *index, _ int64) {
		if e, err := x.begin(claim{h.entry.id, h.reserves}, o); err == nil {
			x.deleted(e)
		}
	})
}

// Explain implements transitory.Explainer. A job that is deleted before it is
// written down is not inserted.
func (d *driver) Explain(transitory.Job) []string { return []string{insertRows[1]} }
