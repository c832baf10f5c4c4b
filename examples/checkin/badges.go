package main

import (
	"context"
	"errors"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// award is the transaction of the badges task: the visit, the player, the venue
// and new badges change together or not at all, exactly once per check-in. All
// its transactions take their rows in the same order of kinds, so that no two
// of them wait for each other.
func (game *game) award(ctx context.Context, tx *persistence.Tx, c Checkin) error {
	visit := Visit{ID: visitID(c), Venue: c.Venue, User: c.User}
	there, err := load(ctx, game.visits.In(tx), visit.ID, &visit)
	if err != nil {
		return err
	}
	visit = visit.with(c)
	if err := save(ctx, game.visits.In(tx), visit, there); err != nil {
		return err
	}
	if err := game.score(ctx, tx, c, visit); err != nil {
		return err
	}
	return game.elect(ctx, tx, c, visit)
}

// score counts the check-in for the player, and hands out badges.
func (game *game) score(ctx context.Context, tx *persistence.Tx, c Checkin, visit Visit) error {
	player := Player{ID: c.User}
	there, err := load(ctx, game.players.In(tx), player.ID, &player)
	if err != nil {
		return err
	}
	player, won := player.with(c, visit)
	if err := save(ctx, game.players.In(tx), player, there); err != nil {
		return err
	}
	for _, badge := range won {
		award := Award{ID: c.User + "/" + badge, User: c.User, Badge: badge}
		if err := save(ctx, game.awards.In(tx), award, false); err != nil {
			return err
		}
	}
	return nil
}

// elect finds out whether the check-in makes a mayor, or was the first.
func (game *game) elect(ctx context.Context, tx *persistence.Tx, c Checkin, visit Visit) error {
	venue := Venue{ID: c.Venue}
	there, err := load(ctx, game.venues.In(tx), venue.ID, &venue)
	if err != nil {
		return err
	}
	venue, changed := venue.with(c, visit)
	if !changed {
		return nil
	}
	return save(ctx, game.venues.In(tx), venue, there)
}

func visitID(c Checkin) string { return c.Venue + "/" + c.User }

// load reads an object into the zero one that it is given, and locks it; there
// is false when there is none yet.
func load[T any](ctx context.Context, in *persistence.TxHandle[T], key string, object *T) (there bool, err error) {
	found, err := in.Get(ctx, key)
	switch {
	case err == nil:
		*object = found
		return true, nil
	case errors.Is(err, fault.ErrNotFound):
		return false, nil
	}
	return false, err
}

// save writes what load read. What was not there could not be locked: if
// another transaction has created it meanwhile, this one must see it, so it
// runs again from the start.
func save[T any](ctx context.Context, in *persistence.TxHandle[T], object T, there bool) error {
	if there {
		_, err := in.Put(ctx, object)
		return err
	}
	_, err := in.Create(ctx, object)
	if errors.Is(err, fault.ErrExists) {
		return fault.New(fault.ErrBusy, "transactional", "create", "another check-in was first")
	}
	return err
}
