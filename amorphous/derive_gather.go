package amorphous

import (
	"fmt"
	"slices"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// add gathers the rows of an origin. One that does not fit into a batch is asked
// for all its rows first, so that nothing is written of one that is refused.
func (w *deriving) add(o *implied) {
	if o.err = w.rows.validate(o.Implication); o.err != nil {
		return
	}
	if !w.gather(o, false) {
		return
	}
	for row, err := range o.all() {
		if err == nil {
			err = w.check(o, &row)
		}
		if err != nil {
			o.fail(err)
			return
		}
	}
	o.rows = 0
	w.gather(o, true)
}

// gather takes the rows of an origin into the batch, and writes what is full; large
// tells that it took none, because they fill the batch and were not checked.
func (w *deriving) gather(o *implied, checked bool) (large bool) {
	from := len(w.batch)
	for row, err := range o.all() {
		if err == nil && (len(w.batch) >= deriveRows || w.bytes >= deriveBytes) {
			switch own := len(w.batch) > from; {
			case own && !checked && from == 0:
				w.leave(o, from)
				return true
			case own && !checked:
				w.flushBefore(from) // with more room for it, it may fit
			case own:
				w.shares = append(w.shares, share{o, from, len(w.batch), true})
				fallthrough
			default:
				w.flush()
			}
			from, err = 0, o.err
		}
		if err == nil {
			if err = w.check(o, &row); err == nil {
				w.batch, w.bytes = append(w.batch, row), w.bytes+len(row.Body)
			}
		}
		if err != nil {
			o.fail(err)
			w.leave(o, from)
			return false
		}
	}
	w.shares = append(w.shares, share{o, from, len(w.batch), false})
	return false
}

// flushBefore writes the rows before those of the origin that is being gathered.
func (w *deriving) flushBefore(from int) {
	own, bytes := slices.Clone(w.batch[from:]), w.bytes
	w.batch = w.batch[:from]
	for i := range w.batch {
		bytes -= len(w.batch[i].Body)
	}
	w.flush()
	w.batch, w.bytes = append(w.batch, own...), bytes
}

// leave takes the last rows out of the batch, which are the origin's.
func (w *deriving) leave(o *implied, from int) {
	for i := range w.batch[from:] {
		w.bytes -= len(w.batch[from+i].Body)
	}
	w.batch, o.rows = w.batch[:from], 0
}

// all are the rows of an implication; none when it has no Rows.
func (o *Implication) all() func(yield func(Row, error) bool) {
	if o.Rows == nil {
		return func(func(Row, error) bool) {}
	}
	return o.Rows
}

// check makes a row the origin's, and refuses what cannot be written.
func (w *deriving) check(o *implied, row *Row) error {
	row.Stamp, row.Expires, row.Deleted = o.Stamp, o.Expires, false
	if o.rows++; o.rows > w.rows.most {
		return fault.New(fault.ErrTooLarge, "", "", fmt.Sprintf("the object implies more than %d rows: none of this version is written, and those of the one before stay", w.rows.most))
	}
	return w.rows.store.validateRow(w.rows.table, row)
}
