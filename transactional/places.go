package transactional

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Placement says where something of an object lies in another store, from
// this version of the object on. It is registered in the commit of its Unit,
// where the versions of one ID wait for each other: so whoever writes there
// knows every older place that there may be, and a newer version knows of this
// one, whatever either has written so far.
type Placement struct {
	Space string // what lies there, such as the name of the other store's table; 1 to MaxKey bytes
	ID    string // the object; 1 to MaxKey bytes
	Stamp Stamp  // newest wins; a repeat changes nothing, and at one stamp the later place wins
	// Place is where, in the caller's own words; empty is nowhere. Places stand
	// one after another in Placed.Former, so they must tell where they end.
	Place []byte
	Until time.Time // when nothing lies there any more, see PurgePlaces; zero: for good
}

// Placed is what the register of places knows of one ID.
type Placed struct {
	ID    string // as in the Placement
	Stamp Stamp  // of the newest version
	Place []byte // of the newest version; empty: nowhere
	// Former holds the places of older versions, one after another, oldest
	// first, but for those that LeavePlaces has taken out.
	Former []byte
	Upto   int64 // what of all former places that there ever were Former ends with, for LeavePlaces
}

// A placing is a Placement that was checked.
type placing struct {
	job   *job
	index int // in Unit.Place
	*Placement
	args []any // as the register has its columns
}

func (p *placing) row() []any { return p.args }

func comparePlacings(a, b *placing) int {
	return cmp.Or(cmp.Compare(a.Space, b.Space), cmp.Compare(a.ID, b.ID))
}

func (s *Store) preparePlaces(j *job) error {
	for i := range j.unit.Place {
		p := &j.unit.Place[i]
		size := len(p.Space) + len(p.ID) + len(p.Place) + 64
		err := firstError(validKey("space", p.Space), validKey("id", p.ID))
		if err != nil {
			return &fault.Error{Op: "place", Store: purpose, Key: p.ID, Class: fault.ErrInvalid, Err: err}
		}
		if err := s.fits(size); err != nil {
			return s.locate(err, "place", nil, p.ID)
		}
		until := int64(0)
		switch {
		case !p.Until.IsZero():
			until = p.Until.UnixMicro()
		case len(p.Place) == 0:
			until = time.Now().UnixMicro()
		}
		j.places = append(j.places, &placing{j, i, p, []any{
			p.Space, p.ID, p.Stamp.Version, flip(p.Stamp.Tie), until, blob(p.Place), []byte{}, int64(0), int64(0)}})
		j.size += size
	}
	return nil
}

// placesOnly reports whether a unit does nothing but register places.
func (j *job) placesOnly() bool {
	u := j.unit
	return len(j.places) > 0 && len(u.Writes)+len(u.Add)+len(u.Settle)+len(u.Bury)+len(u.Unbury) == 0
}

// registerPlaces registers the places of a wave, and notes what is known of
// their IDs then.
func (s *Store) registerPlaces(ctx context.Context, c Conn, jobs []*job) error {
	var all []*placing
	for _, j := range jobs {
		if !j.try.out {
			all = append(all, j.places...)
		}
	}
	slices.SortStableFunc(all, comparePlacings) // in one order, like rows
	return eachChunk(ctx, s, c, &s.ours.place, all, func(some []*placing, affected int64) error {
		return s.notePlaced(ctx, c, some, affected)
	})
}

// notePlaced notes what is known after some placements were executed. Most
// often all were the first of their IDs, and nobody needs to look.
func (s *Store) notePlaced(ctx context.Context, c Conn, some []*placing, affected int64) error {
	if s.dialect.AllNew(affected, len(some)) {
		for _, p := range some {
			p.note(Placed{ID: p.ID, Stamp: p.Stamp, Place: p.Place})
		}
		return nil
	}
	for len(some) > 0 {
		n := 1
		for n < len(some) && some[n].Space == some[0].Space {
			n++
		}
		ids := make([]string, n)
		for i, p := range some[:n] {
			ids[i] = p.ID
		}
		known := map[string]Placed{}
		if err := s.readPlaced(ctx, c, some[0].Space, ids, func(p Placed) { known[p.ID] = p }); err != nil {
			return err
		}
		for _, p := range some[:n] {
			p.note(known[p.ID])
		}
		some = some[n:]
	}
	return nil
}

func (p *placing) note(known Placed) {
	r := &p.job.try.result
	if r.Placed == nil {
		r.Placed = make([]Placed, len(p.job.unit.Place))
	}
	r.Placed[p.index] = known
}

func (s *Store) readPlaced(ctx context.Context, c Conn, space string, ids []string, add func(Placed)) error {
	return inChunks(ids, textArg, func(args []any) error {
		args = append([]any{space}, args...)
		return c.Query(ctx, s.ours.placed.text(len(args)-1), args, func(scan func(...any) error) error {
			var p Placed
			var tie, left int64
			err := scan(&p.ID, &p.Stamp.Version, &tie, &p.Place, &p.Former, &left)
			p.Stamp.Tie, p.Upto = unflip(tie), left+int64(len(p.Former))
			add(p)
			return err
		})
	})
}

// Placed returns what the register of places knows of IDs, in no order. What it
// does not know is left out.
func (s *Store) Placed(ctx context.Context, space string, ids ...string) ([]Placed, error) {
	if err := s.open(ctx); err != nil {
		return nil, s.locate(err, "placed", nil, "")
	}
	var out []Placed
	err := s.view(ctx, func(c Conn) error {
		out = out[:0]
		return s.readPlaced(ctx, c, space, ids, func(p Placed) { out = append(out, p) })
	})
	if err != nil {
		return nil, s.explain(ctx, err, "placed", nil)
	}
	return out, nil
}

// AnyPlaced reports whether the register of places has anything of a space.
func (s *Store) AnyPlaced(ctx context.Context, space string) (found bool, err error) {
	if err := s.open(ctx); err != nil {
		return false, s.locate(err, "placed", nil, "")
	}
	err = s.walkPlaces(ctx, space, "", 1, func(string, int64, int64) { found = true })
	return found, s.explain(ctx, err, "placed", nil)
}

// LeavePlaces takes former places out of the register, where nothing of an older
// version than whoever asked lies any more: those that were known then, and
// none that came since.
func (s *Store) LeavePlaces(ctx context.Context, space string, left ...Placed) error {
	if err := s.open(ctx); err != nil {
		return s.locate(err, "leave places", nil, "")
	}
	left = slices.Clone(left)
	slices.SortFunc(left, func(a, b Placed) int { return cmp.Compare(a.ID, b.ID) })
	err := s.run(ctx, func(ctx context.Context, c Conn) error {
		for _, p := range left {
			if _, err := c.Exec(ctx, s.ours.leavePlaces, p.Upto, p.Upto, space, p.ID, p.Upto, p.Upto); err != nil {
				return err
			}
		}
		return nil
	})
	return s.explain(ctx, err, "leave places", nil)
}

// walkPlaces goes over at most so many IDs of a space, with when nothing lies
// at their places and how many bytes their former places have.
func (s *Store) walkPlaces(ctx context.Context, space, after string, most int, each func(id string, until, former int64)) error {
	type row struct {
		id            string
		until, former int64
	}
	var rows []row
	err := s.view(ctx, func(c Conn) error {
		rows = rows[:0]
		return c.Query(ctx, s.ours.walkPlaces, []any{space, after, int64(most)}, func(scan func(...any) error) error {
			var r row
			err := scan(&r.id, &r.until, &r.former)
			rows = append(rows, r)
			return err
		})
	})
	if err == nil {
		for _, r := range rows {
			each(r.id, r.until, r.former)
		}
	}
	return err
}

// PurgePlaces forgets the IDs that lie nowhere since before a moment, and
// returns how many. It looks at every ID of the space once, so it is for quiet
// hours. An older version that is registered after that is no longer known to
// be old.
func (s *Store) PurgePlaces(ctx context.Context, space string, before time.Time) (removed int, err error) {
	if err := s.open(ctx); err != nil {
		return 0, s.locate(err, "purge", nil, "")
	}
	end := before.UnixMicro()
	for last, n := "", purgePage; n == purgePage && err == nil; {
		var over []string
		n = 0
		err = s.walkPlaces(ctx, space, last, purgePage, func(id string, until, former int64) {
			if n, last = n+1, id; until != 0 && until < end && former == 0 {
				over = append(over, id)
			}
		})
		for chunk := range slices.Chunk(over, sweepChunk) {
			if err == nil {
				var n int
				n, err = s.forgetPlaces(ctx, space, chunk, end)
				removed += n
			}
		}
	}
	return removed, s.explain(ctx, err, "purge", nil)
}

// forgetPlaces forgets those of some IDs that still lie nowhere since before a
// moment.
func (s *Store) forgetPlaces(ctx context.Context, space string, ids []string, before int64) (removed int, err error) {
	err = s.run(ctx, func(ctx context.Context, c Conn) error {
		removed = 0
		for _, id := range ids {
			n, err := c.Exec(ctx, s.ours.deletePlace, space, id, before)
			if err != nil {
				return err
			}
			removed += int(n)
		}
		return nil
	})
	if err != nil {
		removed = 0
	}
	return removed, err
}
