package persistence

import (
	"context"
	"errors"
	"iter"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// Find reads readPage objects at a time; FindPage returns defaultPage of them
// when its query has no Limit.
const (
	readPage    = 256
	defaultPage = 100
)

var errNotInTx = errors.New("inside a transaction only a record that lies wholly in the transactional store can be read")

// query checks a query on a kind.
func (l *Layer) query(k *kind, q Query) (*query, error) {
	if err := l.open("find"); err != nil {
		return nil, err
	}
	return k.resolve(q)
}

// find yields what a query selects, a page at a time.
func (l *Layer) find(ctx context.Context, k *kind, q Query) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		r, err := l.query(k, q)
		if err != nil {
			yield(nil, err)
			return
		}
		for left := q.Limit; ; {
			n := readPage
			if left > 0 {
				n = min(n, left)
			}
			objs, next, err := l.page(ctx, r, n)
			for _, obj := range objs {
				if !yield(obj, nil) {
					return
				}
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if left -= len(objs); next == nil || q.Limit > 0 && left == 0 {
				return
			}
			r.at = next
		}
	}
}

// findPage returns one page, and the cursor of the next.
func (l *Layer) findPage(ctx context.Context, k *kind, q Query) ([]any, string, error) {
	r, err := l.query(k, q)
	if err != nil {
		return nil, "", err
	}
	n := q.Limit
	if n == 0 {
		n = defaultPage
	}
	objs, next, err := l.page(ctx, r, n)
	if err != nil || next == nil {
		return objs, "", err
	}
	return objs, next.String(), nil
}

// A puller reads the next rows of a query from one store: at most n, behind a
// store's own cursor.
type puller func(ctx context.Context, n int, after []byte) (objs []any, next []byte, err error)

// page returns at most n objects, and where to go on; nil is the end.
func (l *Layer) page(ctx context.Context, r *query, n int) ([]any, *cursor, error) {
	switch t := r.task; {
	case t.partition != nil && t.bucket > 0:
		return l.pageBuckets(ctx, r, n)
	case t.partition != nil:
		return r.pull(ctx, n, l.partitionPuller(r, r.partition))
	case t.write == writeRow:
		return r.pull(ctx, n, l.rowPuller(r))
	}
	return r.pull(ctx, n, l.cellPuller(r))
}

// pull calls one puller until there are n objects, or no more: a store's page
// may hold fewer than were asked for.
func (r *query) pull(ctx context.Context, n int, next puller) ([]any, *cursor, error) {
	at := cursor{shape: r.shape}
	if r.at != nil {
		at = *r.at
	}
	var out []any
	for len(out) < n {
		objs, after, err := next(ctx, min(n-len(out), amorphous.MaxLimit), at.inner)
		out = append(out, objs...)
		if err != nil || after == nil {
			return out, nil, err
		}
		at.inner = after
	}
	return out, &at, nil
}

// partitionPuller reads the rows of one partition.
func (l *Layer) partitionPuller(r *query, partition string) puller {
	return func(ctx context.Context, n int, after []byte) ([]any, []byte, error) {
		page, err := l.cells.Scan(ctx, r.task.table(), amorphous.Range{
			Partition: partition, From: r.from, To: r.to, Reverse: r.reverse, Limit: n, After: after,
		})
		if err != nil {
			return nil, nil, err
		}
		objs, err := r.decode(page.Rows)
		l.sawCells(r.kind, page.Rows)
		return objs, page.Next, err
	}
}

// cellPuller reads the whole table of an amorphous write by key, and leaves
// out what Where does not select. It costs a read of everything.
func (l *Layer) cellPuller(r *query) puller {
	return func(ctx context.Context, n int, after []byte) ([]any, []byte, error) {
		page, err := l.cells.Scan(ctx, r.task.table(), amorphous.Range{Limit: n, After: after})
		if err != nil {
			return nil, nil, err
		}
		objs, err := r.decode(page.Rows)
		if err != nil {
			return nil, nil, err
		}
		l.sawCells(r.kind, page.Rows)
		selected := objs[:0]
		for _, obj := range objs {
			if r.matches(obj) {
				selected = append(selected, obj)
			}
		}
		return selected, page.Next, nil
	}
}

// decode makes objects of the cells of a page.
func (r *query) decode(cells []amorphous.Row) ([]any, error) {
	var out []any
	for row := range amorphous.Grouped(cells) {
		p, err := cellPart(row)
		if err != nil {
			return out, err
		}
		if !p.there {
			continue
		}
		obj := r.kind.make()
		if err := r.kind.fill(obj, r.task, row[0].ID, p); err != nil {
			return out, err
		}
		out = append(out, obj)
	}
	return out, nil
}

// rowPuller reads a transactional record, and what other stores hold of it.
func (l *Layer) rowPuller(r *query) puller {
	return func(ctx context.Context, n int, after []byte) ([]any, []byte, error) {
		f := r.filter
		f.Limit, f.After = n, after
		rows, next, err := l.rows.Scan(ctx, r.task.row, f)
		if err != nil {
			return nil, nil, err
		}
		objs, err := l.wholes(ctx, r.kind, rows)
		for i := range rows {
			l.saw(r.kind, rows[i].Stamp.Version)
		}
		return objs, next, err
	}
}

// sawCells is saw for the cells of a page.
func (l *Layer) sawCells(k *kind, cells []amorphous.Row) {
	for i := range cells {
		l.saw(k, cells[i].Stamp.Version)
	}
}

// wholes makes objects of the rows of a record, joined with the other parts of
// the record, and with the volatile fields. An object that a delete overtook
// is left out.
func (l *Layer) wholes(ctx context.Context, k *kind, rows []transactional.Row) ([]any, error) {
	keys := make([]string, len(rows))
	parts := make(map[string][]part, len(rows))
	for i, row := range rows {
		keys[i] = row.ID
		parts[row.ID] = make([]part, len(k.record))
		parts[row.ID][0] = rowPart(row)
	}
	for i, t := range k.record[1:] {
		if err := l.readPart(ctx, t, keys, func(key string, p part) { parts[key][i+1] = p }); err != nil {
			return nil, err
		}
	}
	all := make(map[string]found, len(rows))
	var again []string
	for _, key := range keys {
		f, err := k.join(key, parts[key])
		if err != nil {
			return nil, err
		}
		if f.mixed {
			again = append(again, key)
		}
		all[key] = f
	}
	if len(again) > 0 {
		whole, err := l.readRecord(ctx, k, again)
		if err != nil {
			return nil, err
		}
		for _, key := range again {
			all[key] = whole[key]
		}
	}
	if err := l.fillVolatile(ctx, k, all); err != nil {
		return nil, err
	}
	return inOrder(keys, all), nil
}

// inOrder lists the objects that are there.
func inOrder(keys []string, all map[string]found) []any {
	out := make([]any, 0, len(keys))
	for _, key := range keys {
		if f := all[key]; f.obj != nil {
			out = append(out, f.obj)
		}
	}
	return out
}

// get reads an object inside the transaction and locks it.
func (t *Tx) get(ctx context.Context, k *kind, key string) (any, error) {
	if err := t.readable(k, "get"); err != nil {
		return nil, err
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	var rows []transactional.Row
	if w := t.pending(k.record[0].row, key); w != nil {
		rows = []transactional.Row{w.Row} // what this transaction put itself
		t.gets(place{k.record[0].row, key})
		t.since = true
	} else {
		var err error
		if rows, err = t.row(ctx, k.record[0].row, key); err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			t.sawNothing(k.record[0].row, key)
		}
	}
	objs, err := t.seen(ctx, k, rows)
	switch {
	case err != nil:
		return nil, err
	case len(objs) == 0:
		return nil, notFound(k, key)
	}
	return objs[0], nil
}

// find returns what a query on the record selects, as the transaction sees it.
func (t *Tx) find(ctx context.Context, k *kind, q Query) ([]any, error) {
	if err := t.readable(k, "find"); err != nil {
		return nil, err
	}
	r, err := t.layer.query(k, q)
	if err != nil {
		return nil, err
	}
	if r.task != k.record[0] {
		return nil, &fault.Error{Op: "find", Kind: k.name, Class: fault.ErrUnsupported, Err: errNotInTx}
	}
	if err := t.writeDirty(ctx); err != nil {
		return nil, err
	}
	var out []any
	for {
		n := readPage
		if q.Limit > 0 {
			n = min(n, q.Limit-len(out))
		}
		objs, next, err := r.pull(ctx, n, t.rowPuller(k, r))
		out = append(out, objs...)
		if err != nil || next == nil || len(out) == q.Limit {
			return out, err
		}
		r.at = next
	}
}

func (t *Tx) rowPuller(k *kind, r *query) puller {
	return func(ctx context.Context, n int, after []byte) ([]any, []byte, error) {
		f := r.filter
		f.Limit, f.After = n, after
		rows, next, err := t.tx.Scan(ctx, r.task.row, f)
		if err != nil {
			return nil, nil, err
		}
		objs, err := t.seen(ctx, k, rows)
		return objs, next, err
	}
}

// seen makes objects of rows that the transaction read, and remembers their
// versions: a write of this transaction goes above every one of them.
func (t *Tx) seen(ctx context.Context, k *kind, rows []transactional.Row) ([]any, error) {
	for _, row := range rows {
		t.saw(k, row.Stamp)
	}
	return t.layer.wholes(ctx, k, rows)
}

// readable refuses kinds whose record the transaction does not hold.
func (t *Tx) readable(k *kind, op string) error {
	if err := t.usable(k, op); err != nil {
		return err
	}
	if err := t.layer.readable(k, op); err != nil {
		return err
	}
	if !k.transactionalRecord() {
		return &fault.Error{Op: op, Kind: k.name, Class: fault.ErrUnsupported, Err: errNotInTx}
	}
	return nil
}
