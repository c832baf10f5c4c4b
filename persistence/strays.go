package persistence

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// A derived row does not say which object implied it. So what no object implies
// is found by going over all objects, and remembering where their rows lie, as
// digests; and then over the rows. When that is more than fits into memory, it
// is done in slices: of the digests below a bound first, then of those behind
// it, until there are none.

// maxPlaces is how many digests are in memory: 32 MiB of them.
var maxPlaces = 1 << 22

// A placeSet is the digests of one slice.
type placeSet struct {
	from    uint64 // the smallest digest of the slice
	to      uint64 // the smallest digest behind it; zero: there is none
	digests []uint64
}

func (p *placeSet) covers(digest uint64) bool {
	return digest >= p.from && (p.to == 0 || digest < p.to)
}

func (p *placeSet) add(digest uint64) {
	if !p.covers(digest) {
		return
	}
	if p.digests = append(p.digests, digest); len(p.digests) < maxPlaces {
		return
	}
	p.sort()
	if half := len(p.digests) / 2; len(p.digests) > maxPlaces/2 {
		p.to = p.digests[half]
		p.digests = p.digests[:half]
	}
}

func (p *placeSet) sort() {
	slices.Sort(p.digests)
	p.digests = slices.Compact(p.digests)
}

func (p *placeSet) has(digest uint64) bool {
	_, found := slices.BinarySearch(p.digests, digest)
	return found
}

// walk returns rows that no object implies, of those behind a cursor: the
// beginning of the slice, and the store's own. Their keys are the rows' own.
func (d *derivedKeeper) walk(ctx context.Context, after []byte, n int) (w walked, err error) {
	var from uint64
	var inner []byte
	if len(after) >= 8 {
		from = binary.BigEndian.Uint64(after)
		if inner = after[8:]; len(inner) == 0 {
			inner = nil
		}
	} else if after != nil {
		return w, fmt.Errorf("the cursor belongs to another verification")
	}
	if d.implied == nil || d.implied.from != from {
		set := &placeSet{from: from}
		if err := d.eachPlace(ctx, func(at amorphous.Address) { set.add(placeDigest(at)) }); err != nil {
			return w, err
		}
		set.sort()
		d.implied = set
	}
	rows, next, err := d.rows().Walk(ctx, inner, n)
	if err != nil {
		return w, err
	}
	var strays []amorphous.Row
	for i := range rows {
		digest := placeDigest(rows[i].Address())
		if !d.implied.covers(digest) {
			continue
		}
		if w.looked++; !d.implied.has(digest) {
			strays = append(strays, rows[i])
		}
	}
	switch {
	case next != nil:
		w.next = append(binary.BigEndian.AppendUint64(nil, from), next...)
	case d.implied.to != 0:
		w.next = binary.BigEndian.AppendUint64(nil, d.implied.to)
	}
	if len(strays) > 0 {
		err = d.confirm(ctx, strays, &w)
	}
	return w, err
}

// confirm goes over all objects again, for what came since.
func (d *derivedKeeper) confirm(ctx context.Context, strays []amorphous.Row, w *walked) error {
	if err := sleep(ctx, againAfter); err != nil {
		return err
	}
	implied := map[string]bool{}
	for i := range strays {
		implied[string(strays[i].Address().Cursor())] = false
	}
	err := d.eachPlace(ctx, func(at amorphous.Address) {
		name := string(at.Cursor())
		if _, asked := implied[name]; asked {
			implied[name] = true
		}
	})
	if err != nil {
		return err
	}
	for _, row := range strays {
		if !implied[string(row.Address().Cursor())] {
			w.keys, w.traces = append(w.keys, row.ID), append(w.traces, d.trace(row))
		}
	}
	return nil
}

// eachPlace calls do for every place that an object implies. Where an object
// cannot be read, or not derived from, its registered places stand for it.
func (d *derivedKeeper) eachPlace(ctx context.Context, do func(amorphous.Address)) error {
	for after := ""; ; {
		subjects, more, err := d.layer.recordPage(ctx, d.kind, after, readPage)
		if err != nil {
			return err
		}
		for i := range subjects {
			s := &subjects[i]
			after = s.key
			err := s.err
			if err == nil && s.obj != nil {
				err = d.each(ctx, s, func(row amorphous.Row) error {
					do(row.Address())
					return ctx.Err()
				})
			}
			if err == nil {
				continue
			}
			registered, err := d.rows().Registered(ctx, s.key)
			if err != nil {
				return err
			}
			for _, r := range registered {
				for _, at := range r.Places {
					do(at)
				}
			}
		}
		if !more {
			return nil
		}
	}
}
