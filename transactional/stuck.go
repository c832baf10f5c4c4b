package transactional

import (
	"context"
	"errors"
	"slices"
)

// errLooked rolls back the transaction of a look at locks.
var errLooked = errors.New("looked")

// stuck tells which units want a row that somebody else keeps locked. It is
// asked after a lock wait, so that one such row does not keep a whole group
// waiting again; where it cannot tell, it says that none is.
func (s *Store) stuck(ctx context.Context, jobs []*job) []bool {
	out := make([]bool, len(jobs))
	if s.dialect.LockSkip == "" || len(jobs) == 1 {
		return out
	}
	free := map[resource]bool{} // there, and we can lock it
	there := map[resource]bool{}
	err := s.begin(ctx, func(ctx context.Context, c Conn) error {
		if err := s.lookAtRows(ctx, c, jobs, free, there); err != nil {
			return err
		}
		if err := s.lookAtRecords(ctx, c, jobs, free, there); err != nil {
			return err
		}
		if err := s.lookAtPlaces(ctx, c, jobs, free, there); err != nil {
			return err
		}
		return errLooked
	})
	if err != errLooked {
		return out
	}
	for i, j := range jobs {
		j.resources(func(r resource) { out[i] = out[i] || there[r] && !free[r] })
	}
	return out
}

func (s *Store) lookAtRows(ctx context.Context, c Conn, jobs []*job, free, there map[resource]bool) error {
	byPlan := map[*plan][]string{}
	for _, j := range jobs {
		for _, w := range j.writes {
			byPlan[w.plan] = append(byPlan[w.plan], w.id)
		}
	}
	for p, ids := range byPlan {
		slices.Sort(ids)
		for z, into := range map[*sized]map[resource]bool{&p.lockSkip: free, &p.stamps: there} {
			err := inChunks(ids, textArg, func(args []any) error {
				return c.Query(ctx, z.text(len(args)), args, func(scan func(...any) error) error {
					r := resource{space: p.physical}
					var version, tie, deleted int64
					err := scan(&r.id, &version, &tie, &deleted)
					into[r] = true
					return err
				})
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) lookAtRecords(ctx context.Context, c Conn, jobs []*job, free, there map[resource]bool) error {
	var ids []RecordID
	for _, j := range jobs {
		for i := range j.unit.Settle {
			ids = append(ids, j.unit.Settle[i].ID)
		}
	}
	slices.SortFunc(ids, compareIDs)
	for z, into := range map[*sized]map[resource]bool{&s.ours.heldSkip: free, &s.ours.heldThere: there} {
		err := inChunks(ids, idArg, func(args []any) error {
			return c.Query(ctx, z.text(len(args)), args, func(scan func(...any) error) error {
				var raw []byte
				err := scan(&raw)
				r := resource{what: aRecord}
				copy(r.rec[:], raw)
				into[r] = true
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) lookAtPlaces(ctx context.Context, c Conn, jobs []*job, free, there map[resource]bool) error {
	bySpace := map[string][]string{}
	for _, j := range jobs {
		for _, p := range j.places {
			bySpace[p.Space] = append(bySpace[p.Space], p.ID)
		}
	}
	for space, ids := range bySpace {
		slices.Sort(ids)
		for z, into := range map[*sized]map[resource]bool{&s.ours.placedSkip: free, &s.ours.placedThere: there} {
			err := inChunks(ids, textArg, func(args []any) error {
				args = append([]any{space}, args...)
				return c.Query(ctx, z.text(len(args)-1), args, func(scan func(...any) error) error {
					r := resource{what: aPlace, space: space}
					err := scan(&r.id)
					into[r] = true
					return err
				})
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
