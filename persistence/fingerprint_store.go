package persistence

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/transactional"
)

// Fingerprints lie in the table of positions, a row for each, so that two
// programs that write theirs at one time do not meet. The number is that of their
// words: what a later version of this package may say otherwise has another, and
// is not looked at here.
const fingerprintsOf = "layout/1/"

func (f *fingerprint) id(k *kind) string {
	return fmt.Sprintf("%s%s/%s/%016x", fingerprintsOf, k.table, f.task, record.Digest([]byte(f.text)))
}

func (f *fingerprint) cell(k *kind) amorphous.Row {
	return amorphous.Row{Partition: fingerprintsOf + k.table, ID: f.id(k)}
}

// readFingerprints reads what programs have declared of a kind.
func (l *Layer) readFingerprints(ctx context.Context, k *kind) (out []fingerprint, err error) {
	if l.rows == nil {
		return l.readCellFingerprints(ctx, k)
	}
	if err := l.rows.Prepare(ctx, positionRows); err != nil {
		return nil, err
	}
	prefix := fingerprintsOf + k.table
	f := transactional.Filter{From: prefix + "/", To: prefix + "0"} // 0 comes right behind /
	for {
		rows, next, err := l.rows.Scan(ctx, positionRows, f)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			body, _ := r.Values[0].([]byte)
			out = append(out, fingerprint{task: taskOf(r.ID), text: string(body), stamp: r.Stamp})
		}
		if f.After = next; next == nil {
			return out, nil
		}
	}
}

func (l *Layer) readCellFingerprints(ctx context.Context, k *kind) (out []fingerprint, err error) {
	if err := l.cells.Prepare(ctx, positionCells); err != nil {
		return nil, err
	}
	r := amorphous.Range{Partition: fingerprintsOf + k.table}
	for {
		page, err := l.cells.Scan(ctx, positionCells, r)
		if err != nil {
			return nil, err
		}
		for _, c := range page.Rows {
			out = append(out, fingerprint{task: taskOf(c.ID), text: string(c.Body), stamp: transactional.Stamp(c.Stamp)})
		}
		if r.After = page.Next; page.Next == nil {
			return out, nil
		}
	}
}

// taskOf is the task in the id of a fingerprint.
func taskOf(id string) string {
	parts := strings.Split(id, "/")
	return parts[len(parts)-2]
}

// noteFingerprint writes a fingerprint down, and gives it its stamp.
func (l *Layer) noteFingerprint(ctx context.Context, k *kind, f *fingerprint) error {
	version, err := l.ticks.now(ctx, false)
	if err != nil {
		return err
	}
	f.stamp = transactional.Stamp{Version: version}
	return l.writeFingerprints(ctx, k, []fingerprint{*f}, false)
}

// strikeFingerprints takes fingerprints out that were read, and not those that
// were written down again since.
func (l *Layer) strikeFingerprints(ctx context.Context, k *kind, all []fingerprint) error {
	for i := range all {
		all[i].stamp.Tie++
	}
	return l.writeFingerprints(ctx, k, all, true)
}

func (l *Layer) writeFingerprints(ctx context.Context, k *kind, all []fingerprint, strike bool) error {
	if l.rows != nil {
		u := &transactional.Unit{}
		for i := range all {
			f := &all[i]
			row := transactional.Row{ID: f.id(k), Stamp: f.stamp, Deleted: strike}
			if !strike {
				row.Values = []any{[]byte(f.text)}
			}
			u.Writes = append(u.Writes, transactional.Write{Table: positionRows, Row: row})
		}
		_, err := l.rows.Apply(ctx, u)
		return err
	}
	cells := make([]amorphous.Row, len(all))
	for i := range all {
		f, c := &all[i], &cells[i]
		*c = f.cell(k)
		if c.Stamp, c.Deleted = amorphous.Stamp(f.stamp), strike; !strike {
			c.Shape, c.Body = 1, []byte(f.text)
		}
	}
	var errs []error
	for _, err := range l.cells.Write(ctx, positionCells, cells...) {
		if !errors.Is(err, amorphous.ErrSuperseded) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
