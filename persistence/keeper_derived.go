package persistence

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A derivedKeeper keeps the rows that objects imply by Derive, the register of
// where they lie, and the list of their buckets.
type derivedKeeper struct {
	layer *Layer
	kind  *kind
	task  *task

	implied *placeSet // of the slice that walk is at; nil: not made yet
}

func (d *derivedKeeper) follows() bool { return false }

func (d *derivedKeeper) rows() *amorphous.DerivedRows { return d.task.derive.rows }

// implication is what a stored object implies; nothing when its time is over.
// fails is where the user's error is found afterwards.
func (d *derivedKeeper) implication(ctx context.Context, s *subject, fails *error) (amorphous.Implication, error) {
	v, err := d.kind.versionOf(s)
	if err != nil {
		return amorphous.Implication{}, err
	}
	out := d.task.implication(ctx, v, fails)
	if !out.Expires.IsZero() && out.Expires.Before(time.Now()) {
		out.Rows = nil
	}
	return out, nil
}

// each calls do for every row that an object implies.
func (d *derivedKeeper) each(ctx context.Context, s *subject, do func(amorphous.Row) error) error {
	var fails error
	out, err := d.implication(ctx, s, &fails)
	if err != nil || out.Rows == nil {
		return err
	}
	for row, err := range out.Rows {
		if fails != nil {
			return fails
		}
		if err == nil {
			row.Stamp, row.Expires = out.Stamp, out.Expires
			err = do(row)
		}
		if err != nil {
			return err
		}
	}
	return fails
}

func (d *derivedKeeper) expect(ctx context.Context, s *subject) (out []trace, err error) {
	if s.err != nil || s.obj == nil {
		return nil, s.err
	}
	err = d.each(ctx, s, func(row amorphous.Row) error {
		out = append(out, d.trace(row))
		return nil
	})
	if err != nil || len(out) == 0 {
		return nil, err
	}
	places := addressesOf(out)
	out = append(out, trace{at: registerAt, stamp: s.stamp, content: digestOf(places), aside: true})
	return append(out, d.buckets(places)...), nil
}

// trace is the trace of a row, whose body is decoded and encoded again, so that
// what different programs wrote of one object compares equal.
func (d *derivedKeeper) trace(row amorphous.Row) trace {
	content, err := d.task.derive.derived.(interface {
		Canonical(amorphous.Row) ([]byte, error)
	}).Canonical(row)
	if err != nil {
		content = nil // what cannot be read differs
	}
	return trace{at: fmt.Sprintf("%s, key %q", whereIs(&row), row.ID), stamp: transactional.Stamp(row.Stamp), content: content, row: row}
}

// buckets are the traces of what the list of buckets has to say of places.
func (d *derivedKeeper) buckets(places []amorphous.Address) (out []trace) {
	if d.task.bucket == 0 {
		return nil
	}
	seen := map[string]bool{}
	for _, at := range places {
		if !seen[at.Partition] {
			seen[at.Partition] = true
			out = append(out, trace{at: fmt.Sprintf("%s, %q", bucketAt, at.Partition), aside: true, row: amorphous.Row{Partition: at.Partition}})
		}
	}
	return out
}

func addressesOf(traces []trace) (out []amorphous.Address) {
	for i := range traces {
		if r := &traces[i].row; !traces[i].aside {
			out = append(out, r.Address())
		}
	}
	return out
}

// digestOf is equal for equal sets of places.
func digestOf(places []amorphous.Address) []byte {
	digests := make([]uint64, len(places))
	for i := range places {
		digests[i] = placeDigest(places[i])
	}
	slices.Sort(digests)
	var all []byte
	for _, one := range slices.Compact(digests) {
		all = binary.BigEndian.AppendUint64(all, one)
	}
	return binary.BigEndian.AppendUint64(nil, record.Digest(all))
}

func placeDigest(at amorphous.Address) uint64 {
	var b []byte
	for _, part := range []string{at.Partition, string(at.Order), at.ID} {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	return record.Digest(b)
}

func (d *derivedKeeper) find(ctx context.Context, of []sought) (map[string][]trace, error) {
	out := make(map[string][]trace, len(of))
	for i := range of {
		found, err := d.findOne(ctx, of[i].key, of[i].expected)
		if err != nil {
			return nil, err
		}
		out[of[i].key] = found
	}
	return out, nil
}

// findOne reads the register of an origin, and the rows at all places that it
// names, or that are expected.
func (d *derivedKeeper) findOne(ctx context.Context, key string, expected []trace) (out []trace, err error) {
	registered, err := d.rows().Registered(ctx, key)
	if err != nil {
		return nil, err
	}
	places := addressesOf(expected)
	unlisted, err := d.rows().Unlisted(ctx, places...)
	if err != nil {
		return nil, err
	}
	for _, bucket := range d.buckets(places) {
		lacks := func(at amorphous.Address) bool { return at.Partition == bucket.row.Partition }
		if !slices.ContainsFunc(unlisted, lacks) {
			out = append(out, bucket)
		}
	}
	for i, r := range registered {
		if i == 0 {
			out = append(out, trace{at: registerAt, stamp: transactional.Stamp(r.Stamp), content: digestOf(r.Places), aside: true})
		}
		places = append(places, r.Places...)
	}
	slices.SortFunc(places, func(a, b amorphous.Address) int { return slices.Compare(a.Cursor(), b.Cursor()) })
	places = slices.CompactFunc(places, func(a, b amorphous.Address) bool { return string(a.Cursor()) == string(b.Cursor()) })
	for some := range slices.Chunk(places, amorphous.MaxLimit) {
		rows, err := d.rows().Read(ctx, some...)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			out = append(out, d.trace(row))
		}
	}
	return out, nil
}

// there reports whether the row is there as it was found: whoever has written
// there since implies it.
func (d *derivedKeeper) there(ctx context.Context, _ string, t *trace) (bool, error) {
	rows, err := d.rows().Read(ctx, addressesOf([]trace{*t})...)
	return len(rows) > 0 && rows[0].Stamp == t.row.Stamp, err
}

// write derives the rows anew, and makes their buckets known anew.
func (d *derivedKeeper) write(ctx context.Context, s *subject, stamp transactional.Stamp) error {
	if stamp != s.stamp {
		expected, err := d.expect(ctx, s)
		if err != nil {
			return err
		}
		if err := d.rows().Relist(ctx, stamp.Version, addressesOf(expected)...); err != nil {
			return err
		}
	}
	v, err := d.kind.versionOf(s)
	if err != nil {
		return err
	}
	v.stamp = stamp
	_, err = d.layer.engine.writeObject(ctx, d.kind, d.task, v)
	return err
}

func (d *derivedKeeper) drop(ctx context.Context, key string, t *trace, stamp transactional.Stamp) (all bool, err error) {
	if t != nil {
		return false, d.rows().Remove(ctx, newerOf(amorphous.Stamp(stamp), t.row.Stamp), addressesOf([]trace{*t})...)
	}
	gone := &version{key: key, stamp: stamp, deleted: true, late: true}
	_, err = d.layer.engine.writeObject(ctx, d.kind, d.task, gone)
	return false, err
}
