package amorphous

import (
	"context"
	"errors"
)

// A burial removes rows up to a stamp, each place once.
type burial struct {
	rows  *DerivedRows
	ctx   context.Context
	stamp Stamp
	done  map[string]bool // places that stay, or were buried
	batch []Row
	err   error
}

func (b *burial) add(places ...Address) {
	for _, at := range places {
		key := placeKey(at)
		if b.done[key] {
			continue
		}
		b.done[key] = true
		b.batch = append(b.batch, Row{Partition: at.Partition, Order: at.Order, ID: at.ID, Stamp: b.stamp, Deleted: true})
		if len(b.batch) >= deriveRows {
			b.flush()
		}
	}
}

// addOwn buries the places of the origin itself, which are in memory when they
// fit into one chunk, and else are asked for again.
func (b *burial) addOwn(o *implied) {
	if o.chunks <= 1 {
		b.add(o.own...)
		return
	}
	for row, err := range o.all() {
		if err != nil {
			b.err = errors.Join(b.err, err)
			return
		}
		b.add(row.Address())
	}
}

func (b *burial) flush() error {
	rows := b.batch
	b.batch = b.batch[:0]
	if b.rows.spread != nil && len(rows) > 0 {
		var err error
		if rows, err = b.rows.spread.everywhere(b.ctx, rows); err != nil {
			b.err = errors.Join(b.err, err)
			return b.err
		}
	}
	for _, err := range b.rows.store.Write(b.ctx, b.rows.table, rows...) {
		if err != nil && !errors.Is(err, ErrSuperseded) && b.err == nil {
			b.err = err
		}
	}
	return b.err
}
