package main

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/volatile"
)

// staysFor is how long somebody is taken to be where they checked in.
const staysFor = 3 * time.Hour

// openPresence opens who is at the venues, under a name of the cache's.
func (game *game) openPresence(name string) (*volatile.Presence, error) {
	return volatile.NewPresence(game.layer.Volatile(), name, &volatile.PresenceOptions{
		TTL: staysFor, Rebuild: game.visitors,
	})
}

// associate is the venue task: the venue knows who is there now. It decays.
func (game *game) associate(ctx context.Context, c Checkin) error {
	return game.presence.Enter(ctx, c.Venue, volatile.Member{ID: c.User, Seen: game.now(c.At)})
}

// now is a moment of the game on the clock of today: a replay plays in the
// past, and its last check-in counts as made when the game was opened.
func (game *game) now(at time.Time) time.Time { return at.Add(game.ago) }

// visitors is how a presence that was lost comes back: who checked in at the
// venue, and when last.
func (game *game) visitors(ctx context.Context, venue string) ([]volatile.Member, error) {
	var members []volatile.Member
	err := each(ctx, game.visits, under(venue), func(v Visit) error {
		members = append(members, volatile.Member{ID: v.User, Seen: game.now(v.Last)})
		return nil
	})
	return members, err
}

// guests returns who is at a venue now, the one who came last first: who was
// there, less those who have checked in elsewhere since.
func (game *game) guests(ctx context.Context, venue string) ([]string, error) {
	members, err := game.presence.Members(ctx, venue)
	if err != nil {
		return nil, err
	}
	users := make([]string, len(members))
	for i, m := range members {
		users[i] = m.ID
	}
	positions, err := game.positions(ctx, users)
	return stillAt(venue, positions), err
}

// rebuiltGuests is guests as they come back when everything volatile is lost:
// under a name that the cache has nothing under, and from the activities.
func (game *game) rebuiltGuests(ctx context.Context, venue, name string) ([]string, error) {
	lost, err := game.openPresence(name)
	if err != nil {
		return nil, err
	}
	members, err := lost.Members(ctx, venue)
	if err != nil {
		return nil, err
	}
	positions := make([]Position, len(members))
	for i, m := range members {
		if positions[i], err = game.lastPosition(ctx, m.ID); err != nil {
			return nil, err
		}
	}
	return stillAt(venue, positions), nil
}

func stillAt(venue string, positions []Position) (users []string) {
	for _, p := range positions {
		if p.Venue == venue {
			users = append(users, p.User)
		}
	}
	return users
}
