package persistence

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A debtBook is where debts are written down that must outlive this process:
// a table of the transactional store, else one of the amorphous store.
type debtBook interface {
	// note writes a debt, newest wins.
	note(ctx context.Context, key string, d debt) error
	// strike removes debts that are paid, but not newer ones of their keys.
	strike(ctx context.Context, paid map[string]debt) error
	// list returns the debts: all, or those that are new.
	list(ctx context.Context, all bool) (map[string]debt, error)
	// commits grows when a debt may have been noted, by whomever; false where
	// that cannot be known without a look.
	commits() (n uint64, ok bool)
	// tidy is called when nothing is owed any more.
	tidy(ctx context.Context)
}

// debtBook returns the layer's, or nil where a debt need not, or cannot,
// outlive the process: a cache of the process's own ends with it.
func (l *Layer) debtBook() debtBook {
	switch {
	case l.cache == nil || !l.cache.Features().Shared:
		return nil
	case l.rows != nil:
		return rowBook{l.rows}
	case l.cells != nil:
		return cellBook{l.cells}
	}
	return nil
}

// debtsName is the table of debts. No table of a kind, of one of its tasks, or
// of their buckets has a name of such three parts.
const debtsName = "owed__by__cache"

// debtID is a debt's id: a cache key may be too long for one.
func debtID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// A rowBook keeps debts in the transactional store.
type rowBook struct{ rows *transactional.Store }

var debtRows = &transactional.Table{Name: debtsName, Columns: []transactional.Column{
	{Name: "entry", Type: transactional.Bytes}, {Name: "noted", Type: transactional.Int}}}

func (b rowBook) note(ctx context.Context, key string, d debt) error {
	crash.Point("owed.note.before")
	_, err := b.rows.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{{Table: debtRows,
		Row: transactional.Row{ID: debtID(key), Stamp: d.stamp, Values: []any{[]byte(key), d.at}}}}})
	crash.Point("owed.note.after")
	return err
}

func (b rowBook) strike(ctx context.Context, paid map[string]debt) error {
	u := &transactional.Unit{}
	for key, d := range paid {
		stamp := d.stamp
		if stamp.Tie++; stamp.Tie == 0 {
			stamp.Version++
		}
		u.Writes = append(u.Writes, transactional.Write{Table: debtRows,
			Row: transactional.Row{ID: debtID(key), Stamp: stamp, Deleted: true}})
	}
	_, err := b.rows.Apply(ctx, u)
	return err
}

func (b rowBook) list(ctx context.Context, _ bool) (map[string]debt, error) {
	found := map[string]debt{}
	f := transactional.Filter{Limit: 1000}
	for {
		rows, next, err := b.rows.Scan(ctx, debtRows, f)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			key, _ := r.Values[0].([]byte)
			at, _ := r.Values[1].(int64)
			found[string(key)] = debt{stamp: r.Stamp, at: max(at, 1), known: true}
		}
		if next == nil || len(found) >= maxOwed {
			return found, nil
		}
		f.After = next
	}
}

func (b rowBook) commits() (uint64, bool) { return b.rows.Commits() }

// tidy removes the tombstones, which every look would walk over. A debt that is
// written late, below its tombstone, is paid twice and does no harm.
func (b rowBook) tidy(ctx context.Context) {
	_, _ = b.rows.PurgeTombstones(ctx, debtRows, math.MaxInt64)
}

// A cellBook keeps debts in the amorphous store, in a partition per day and by
// the time at which they were written down: a look at what is new does not
// walk over the tombstones of what was.
type cellBook struct{ cells *amorphous.Store }

var debtCells = amorphous.Table{Name: debtsName}

const (
	day = 24 * time.Hour
	// debtDays is how far back a process looks when it starts.
	debtDays = 7
	// debtRecent is how far back it looks from then on: more than clocks differ.
	debtRecent = 2 * time.Minute
)

func debtPartition(at time.Time) string { return at.UTC().Format(time.DateOnly) }

func debtOrder(at int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(at)) }

func (d debt) cell(key string) amorphous.Row {
	return amorphous.Row{Partition: debtPartition(time.UnixMicro(d.at)), Order: debtOrder(d.at), ID: debtID(key),
		Shape: 1, Stamp: amorphous.Stamp(d.stamp), Body: []byte(key)}
}

func (b cellBook) note(ctx context.Context, key string, d debt) error {
	if err := b.cells.Prepare(ctx, debtCells); err != nil {
		return err
	}
	crash.Point("owed.note.cell.before")
	return b.write(ctx, d.cell(key))
}

func (b cellBook) strike(ctx context.Context, paid map[string]debt) error {
	rows := make([]amorphous.Row, 0, len(paid))
	for key, d := range paid {
		row := d.cell(key)
		row.Deleted, row.Shape, row.Body = true, 0, nil
		rows = append(rows, row)
	}
	return b.write(ctx, rows...)
}

func (b cellBook) write(ctx context.Context, rows ...amorphous.Row) error {
	var errs []error
	for _, err := range b.cells.Write(ctx, debtCells, rows...) {
		if !errors.Is(err, amorphous.ErrSuperseded) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (b cellBook) list(ctx context.Context, all bool) (map[string]debt, error) {
	if err := b.cells.Prepare(ctx, debtCells); err != nil {
		return nil, err
	}
	now := time.Now()
	days, from := debtDays, []byte(nil)
	if !all {
		recent := now.Add(-debtRecent)
		days, from = 1, debtOrder(recent.UnixMicro())
		if debtPartition(recent) != debtPartition(now) {
			days = 2
		}
	}
	found := map[string]debt{}
	for back := range days {
		r := amorphous.Range{Partition: debtPartition(now.Add(-time.Duration(back) * day)), From: from}
		for len(found) < maxOwed {
			page, err := b.cells.Scan(ctx, debtCells, r)
			if err != nil {
				return nil, err
			}
			for _, row := range page.Rows {
				if len(row.Order) == 8 {
					found[string(row.Body)] = debt{stamp: transactional.Stamp(row.Stamp), at: int64(binary.BigEndian.Uint64(row.Order)), known: true}
				}
			}
			if page.Next == nil {
				break
			}
			r.After = page.Next
		}
	}
	return found, nil
}

// commits is for a store that others write to.
func (b cellBook) commits() (uint64, bool) { return 0, false }

// tidy leaves tombstones to the store, which drops them by itself.
func (b cellBook) tidy(context.Context) {}
