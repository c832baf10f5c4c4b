package cql

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

const (
	// pageBytes bounds the bodies of one page of ours.
	pageBytes = 4 << 20
	// fetchRows is how many cells Cassandra sends at a time, fetchMost how many
	// where the largest that was read of the table lately says that they take
	// fetchBytes at most.
	fetchRows  = 100
	fetchMost  = 500
	fetchBytes = 256 << 10
)

// Scan implements amorphous.Driver.
func (d *Driver) Scan(ctx context.Context, t amorphous.Table, r amorphous.Range) (amorphous.Page, error) {
	var after *amorphous.Address
	if r.After != nil {
		at, err := amorphous.ParseCursor(r.After, r.Partition)
		if err != nil {
			return amorphous.Page{}, err
		}
		after = &at
	}
	table := d.table(t)
	rows := &collector{now: time.Now(), limit: r.Limit, bytes: pageBytes}
	var full bool
	var err error
	if r.Partition != "" {
		full, err = d.collect(ctx, table, rows, table.within(r, after))
	} else {
		full, err = d.everything(ctx, table, rows, after)
	}
	if err != nil {
		return amorphous.Page{}, table.explain(err)
	}
	page := amorphous.Page{Rows: rows.out}
	if full {
		last := &page.Rows[len(page.Rows)-1]
		page.Next = last.Address().Cursor()
	}
	return page, nil
}

// collect runs a query until the page is full; full is true when there is
// more.
func (d *Driver) collect(ctx context.Context, t *table, rows *collector, s Statement) (full bool, err error) {
	fetch := min(rows.limit+1, t.fetch())
	err = d.scan(ctx, func(ctx context.Context, session Session) error {
		err := session.Each(ctx, d.reading(ctx), s, fetch, rows.add)
		if full = errors.Is(err, errFull); full {
			return nil
		}
		return err
	})
	if err == nil && !full {
		rows.flush()
	}
	t.learn(rows.largest)
	return full, err
}

// learn remembers the largest body of what was read last.
func (t *table) learn(largest int) {
	if largest > 0 {
		t.largest.Store(int64(largest))
	}
}

// fetch is how many cells of the table to ask for at a time.
func (t *table) fetch() int {
	largest := t.largest.Load()
	if largest == 0 {
		return fetchRows
	}
	return int(min(max(fetchBytes/largest, fetchRows), fetchMost))
}

// within is the query of a range in one partition. All bounds are tuples,
// because Cassandra does not mix them with bounds of single columns.
func (t *table) within(r amorphous.Range, after *amorphous.Address) Statement {
	s := Statement{"SELECT part, ord, id, shape, cell, writetime(cell) FROM " + t.cells + " WHERE part = ?", []any{r.Partition}}
	add := func(condition string, args ...any) {
		s.Text += " AND " + condition
		s.Args = append(s.Args, args...)
	}
	from, to := r.From, r.To
	if after != nil {
		// One bound on each side: the cursor's, where it is the tighter one.
		if beyond := slices.Compare(after.Order, from) >= 0; !r.Reverse && beyond {
			add("(ord, id) > (?, ?)", notNil(after.Order), after.ID)
			from = nil
		}
		if within := to == nil || slices.Compare(after.Order, to) < 0; r.Reverse && within {
			add("(ord, id) < (?, ?)", notNil(after.Order), after.ID)
			to = nil
		}
	}
	if from != nil {
		add("(ord) >= (?)", from)
	}
	if to != nil {
		add("(ord) < (?)", to)
	}
	if r.Reverse {
		s.Text += " ORDER BY ord DESC, id DESC, shape DESC"
	}
	return s
}

// everything reads all partitions in the order of their tokens, from behind an
// address: first what is left of its partition, then the partitions that share
// its token (there may be some in a very large table), then the rest.
func (d *Driver) everything(ctx context.Context, t *table, rows *collector, after *amorphous.Address) (full bool, err error) {
	if after == nil {
		return d.collect(ctx, t, rows, Statement{t.first, nil})
	}
	full, err = d.collect(ctx, t, rows, Statement{t.rest, []any{after.Partition, notNil(after.Order), after.ID}})
	if full || err != nil {
		return full, err
	}
	twins, err := d.twins(ctx, t, after.Partition)
	if err != nil {
		return false, err
	}
	for _, partition := range twins {
		if rows.full() {
			return true, nil
		}
		full, err = d.collect(ctx, t, rows, Statement{t.rest[:len(t.rest)-len(" AND (ord, id) > (?, ?)")], []any{partition}})
		if full || err != nil {
			return full, err
		}
	}
	if rows.full() {
		return true, nil
	}
	return d.collect(ctx, t, rows, Statement{t.after, []any{after.Partition}})
}

// twins are the partitions behind one that share its token. Cassandra orders
// them by their bytes.
func (d *Driver) twins(ctx context.Context, t *table, partition string) (out []string, err error) {
	err = d.query(ctx, func(ctx context.Context, s Session) error {
		out = out[:0]
		return s.Each(ctx, d.reading(ctx), Statement{t.twins, []any{partition}}, fetchRows, func(scan func(dest ...any) error) error {
			var twin string
			if err := scan(&twin); err != nil {
				return err
			}
			if twin > partition {
				out = append(out, twin)
			}
			return nil
		})
	})
	return out, err
}
