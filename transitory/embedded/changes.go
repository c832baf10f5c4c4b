package embedded

import (
	"context"
	"slices"

	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
)

// changes are the operations of one group, by kind, that share one unit.
type changes struct {
	puts, deletes, releases []*op
	rewrites                []*op // rows of expelled jobs
}

// sort divides a group by kind, and adds the rows of jobs that were expelled
// from the tubes that are to be refilled: a refill would not find them.
func (c *core) sort(ops []*op) *changes {
	ch := &changes{}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range ops {
		switch o.kind {
		case opPut:
			ch.puts = append(ch.puts, o)
		case opDelete:
			ch.deletes = append(ch.deletes, o)
		case opRelease:
			ch.releases = append(ch.releases, o)
		case opRefill:
			if o.tube == nil {
				continue
			}
			for e := range o.tube.expelled {
				ch.rewrites = append(ch.rewrites, &op{entry: e, row: row{id: e.id, reserves: e.reserves}})
			}
		}
	}
	return ch
}

func (ch *changes) some() bool {
	return len(ch.puts)+len(ch.deletes)+len(ch.releases)+len(ch.rewrites) > 0
}

// write does the changes inside one unit. It may run twice: nothing but the
// table changes.
func (ch *changes) write(ctx context.Context, conn sqlitefile.Conn) error {
	if err := insert(ctx, conn, ch.puts); err != nil {
		return err
	}
	if err := remove(ctx, conn, ch.deletes); err != nil {
		return err
	}
	if err := update(ctx, conn, ch.releases); err != nil {
		return err
	}
	return rewrite(ctx, conn, ch.rewrites)
}

// apply tells the index what became of the changes.
func (ch *changes) apply(x *index, err error, now int64) {
	for _, o := range slices.Concat(ch.deletes, ch.releases) {
		o.settled = true
	}
	if err != nil {
		// After an unknown outcome the row may be gone although the job is
		// reserved again; then it is handed out once more at worst.
		for _, o := range slices.Concat(ch.deletes, ch.releases) {
			x.cancel(o.entry)
		}
		return
	}
	for _, o := range ch.puts {
		x.put(o.row, o.body, now)
	}
	for _, o := range ch.deletes {
		x.deleted(o.entry)
	}
	for _, o := range ch.releases {
		x.released(o.entry, o.row.priority, o.row.readyAt, now)
	}
	for _, o := range ch.rewrites {
		x.written(o.entry)
	}
}
