package persistence

import (
	"context"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/crash"
)

// An object often has rows in several tables of cells: itself, and where it lies
// for its readers. Side by side they would be as many requests, and two of them cost
// the server half as much again as one for both rows, and this process too. Those
// that need nothing but that one write share a call: none of them waits for another
// store, so a store that is down holds up its own tasks only.

// divide divides the parts into the calls that write them. What shares one comes
// last.
func (b *bulk) divide(e *engine) {
	for i, p := range b.parts {
		if len(b.parts) > 1 && e.joins(p) {
			b.joint = append(b.joint, p)
		} else {
			b.calls = append(b.calls, b.parts[i:i+1])
		}
	}
	if len(b.joint) > 0 {
		b.calls = append(b.calls, b.joint)
	}
}

// joinsAny reports whether some tasks of an envelope may share a call.
func (e *engine) joinsAny(h *held, tasks []int) bool {
	n := 0
	for _, i := range tasks {
		if t := h.tasks[i]; e.joinsCells(h.kind, t) && h.onlyWrites(t) {
			n++
		}
	}
	return n > 1
}

// joins reports whether a part may share its call.
func (e *engine) joins(p *taskWrites) bool {
	if !e.joinsCells(p.held[0].kind, p.task) {
		return false
	}
	for _, h := range p.held {
		if !h.onlyWrites(p.task) {
			return false
		}
	}
	return true
}

// joinsCells reports whether a task writes to a table of cells, and does nothing
// before or after that for all of its objects.
func (e *engine) joinsCells(k *kind, t *task) bool {
	return t.write == writeCell && t.bucket == 0 && book(t.book.Load()) != unknownBook && !t.table().Placed &&
		!k.refreshedBy(t) && e.layer.cells.JoinsTables()
}

// onlyWrites reports whether it does nothing else for this one: its place is
// registered, and nothing of it lies elsewhere.
func (h *held) onlyWrites(t *task) bool {
	if !t.registered() {
		return true
	}
	known := h.placedOf(t)
	return known != nil && len(known.Former) == 0
}

// writeJointly writes parts in one call.
func (e *engine) writeJointly(ctx context.Context, parts []*taskWrites) {
	writes := make([]amorphous.TableRows, len(parts))
	of := make([][]*version, len(parts))
	for n, p := range parts {
		writes[n], of[n] = p.cells()
	}
	crash.Point("write.joint.before")
	results := e.layer.cells.WriteAll(ctx, writes)
	crash.Point("write.joint.after")
	for n, errs := range results {
		for i, v := range of[n] {
			v.err = errs[i]
			v.superseded()
		}
	}
}

// cells are the rows of a part, and whose they are. A version is stale whose
// register knows a newer one.
func (p *taskWrites) cells() (amorphous.TableRows, []*version) {
	out := amorphous.TableRows{Table: p.task.table(), Rows: make([]amorphous.Row, 0, len(p.vs))}
	of := make([]*version, 0, len(p.vs))
	for i := range p.vs {
		v := &p.vs[i]
		switch {
		case v.err != nil:
			continue
		case p.task.registered():
			if v.stale = v.known.Stamp.Newer(v.stamp); v.stale || v.deleted {
				continue
			}
		}
		row, err := p.task.cellRow(p.held[i].kind, v)
		if err != nil {
			v.err = Permanent(err)
			continue
		}
		out.Rows, of = append(out.Rows, row), append(of, v)
	}
	return out, of
}
