package amorphous

import (
	"context"
	"slices"
	"time"
)

// What is in this file is for those who compare derived rows with their
// origins, and mend what was damaged past everything that guards it.

// Walk returns some rows of all origins in an order of the store's own, at most
// limit, and the cursor behind them; nil is the end. A row whose bucket was
// split is in the partition that the bucket had before.
func (d *DerivedRows) Walk(ctx context.Context, after []byte, limit int) (rows []Row, next []byte, err error) {
	page, err := d.store.Scan(ctx, d.table, Range{Limit: limit, After: after})
	if err != nil {
		return nil, nil, err
	}
	if d.spread != nil {
		unsplit(page.Rows)
	}
	for row := range Grouped(page.Rows) {
		rows = append(rows, newestCell(row))
	}
	return rows, page.Next, nil
}

// Remove removes the rows at places up to a stamp, whoever wrote them. What an
// origin has registered stays registered.
func (d *DerivedRows) Remove(ctx context.Context, stamp Stamp, at ...Address) error {
	b := burial{rows: d, ctx: ctx, stamp: stamp, done: map[string]bool{}}
	b.add(at...)
	return locate(b.flush(), "remove", d.table.Name, "")
}

// Unlisted returns the places whose bucket the list of buckets does not have,
// so that no reader finds what lies there: none without Layout.Bucket.
func (d *DerivedRows) Unlisted(ctx context.Context, at ...Address) ([]Address, error) {
	if d.spread == nil || len(at) == 0 {
		return nil, nil
	}
	listed, err := d.spread.splits(ctx, distinct(at, func(a Address) string { return a.Partition }))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(at), func(a Address) bool {
		_, known := listed[a.Partition]
		return known
	}), nil
}

// Relist enters the buckets of places into the list of buckets, at a version
// that is above that of what removed them.
func (d *DerivedRows) Relist(ctx context.Context, version int64, at ...Address) error {
	if d.spread == nil {
		return nil
	}
	k := d.spread
	var rows []Row
	k.mu.Lock()
	for _, partition := range distinct(at, func(a Address) string { return a.Partition }) {
		var splits uint64
		if f := k.fillings[partition]; f != nil {
			splits = f.splits
		}
		row := k.cell(partition, splits, time.Now().Add(k.layout.TTL))
		row.Stamp.Version = max(row.Stamp.Version, version)
		rows = append(rows, row)
	}
	k.mu.Unlock()
	return locate(k.enter(ctx, rows), "relist", d.table.Name, "")
}

// Canonical returns the body that this program would write of a row: equal for
// equal rows, whichever program wrote them.
func (d *Derived[D]) Canonical(row Row) ([]byte, error) {
	obj, err := d.cells.decode([]Row{row})
	if err != nil {
		return nil, err
	}
	again, err := d.encode(&obj)
	return again.Body, err
}
