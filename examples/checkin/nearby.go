package main

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/volatile"
)

const (
	nearbyMetres = 1000             // how far away a friend is still nearby
	rebuiltFor   = time.Minute      // how long a position that was rebuilt is believed
	nearbyFor    = 15 * time.Minute // how long the list of friends nearby is kept for who reads it
)

// A Position is where somebody checked in last. It is volatile: when it is
// lost, it is rebuilt from the user's activity.
type Position struct {
	ID, User, Venue string
	At              time.Time
	Lat, Lon        float64
}

// A Nearby is a friend who is near.
type Nearby struct {
	User, Venue string
	Metres      int
	At          time.Time
}

// findFriendsNearby is the nearby task: it remembers where the user is, finds
// the friends who are near, and leaves the list where the user's telephone
// looks for it.
func (game *game) findFriendsNearby(ctx context.Context, c Checkin) error {
	here := positionOf(c)
	cache := game.layer.Volatile()
	if err := raise(ctx, cache, "position/"+c.User, here, here, staysFor); err != nil {
		return err
	}
	near, err := game.nearby(ctx, here)
	if err != nil {
		return err
	}
	return raise(ctx, cache, "nearby/"+c.User, here, near, nearbyFor)
}

// friendsNearby returns the friends who are near where a user checked in last.
func (game *game) friendsNearby(ctx context.Context, user string) ([]Nearby, error) {
	here, err := game.positions(ctx, []string{user})
	if err != nil || len(here) == 0 {
		return nil, err
	}
	return game.nearby(ctx, here[0])
}

// nearby returns the friends near a position, the nearest first.
func (game *game) nearby(ctx context.Context, here Position) ([]Nearby, error) {
	positions, err := game.positions(ctx, game.friends[here.User])
	if err != nil {
		return nil, err
	}
	return nearbyOf(here, positions), nil
}

// same reports whether two entries of a list are the same.
func (n Nearby) same(o Nearby) bool {
	return n.User == o.User && n.Venue == o.Venue && n.Metres == o.Metres && n.At.Equal(o.At)
}

// nearbyOf chooses among positions those that are near, in place and in time.
func nearbyOf(here Position, positions []Position) []Nearby {
	near := []Nearby{}
	for _, p := range positions {
		metres := distance(here.Lat, here.Lon, p.Lat, p.Lon)
		if metres <= nearbyMetres && here.At.Sub(p.At).Abs() <= staysFor {
			near = append(near, Nearby{User: p.User, Venue: p.Venue, Metres: int(math.Round(metres)), At: p.At})
		}
	}
	slices.SortFunc(near, func(a, b Nearby) int {
		return cmp.Or(cmp.Compare(a.Metres, b.Metres), cmp.Compare(a.User, b.User))
	})
	return near
}

// positions returns where users are; who never checked in is left out.
func (game *game) positions(ctx context.Context, users []string) ([]Position, error) {
	keys := make([]string, len(users))
	for i, user := range users {
		keys[i] = "position/" + user
	}
	// A cache that cannot be reached is no error: everything is rebuilt.
	found, _ := game.layer.Volatile().GetAll(ctx, keys)
	positions := make([]Position, 0, len(users))
	for i, user := range users {
		entry, ok := found[keys[i]]
		if !ok {
			var err error
			if entry, err = game.rebuildPosition(ctx, keys[i], user); err != nil {
				return nil, err
			}
		}
		if entry.Absent {
			continue
		}
		var p Position
		if err := json.Unmarshal(entry.Value, &p); err != nil {
			return nil, err
		}
		positions = append(positions, p)
	}
	return positions, nil
}

// rebuildPosition brings a position that was lost back into the cache, or
// remembers that there is none. Not for long: a check-in may be on its way to
// the activity.
func (game *game) rebuildPosition(ctx context.Context, key, user string) (volatile.Entry, error) {
	return game.layer.Volatile().Fetch(ctx, key, rebuiltFor, func(ctx context.Context) (volatile.Entry, error) {
		newest, err := game.lastPosition(ctx, user)
		if err != nil || newest.ID == "" {
			return volatile.Entry{Absent: true}, err
		}
		value, err := json.Marshal(newest)
		return volatile.Entry{Value: value, Stamp: newest.stamp()}, err
	})
}

// lastPosition is the newest check-in of a user's activity; without one, the
// zero Position.
func (game *game) lastPosition(ctx context.Context, user string) (newest Position, err error) {
	// A few, since those of one second stand in no order.
	query := persistence.Query{Task: "activity", Where: map[string]any{"User": user}, Limit: 4}
	err = each(ctx, game.checkins, query, func(c Checkin) error {
		if p := positionOf(c); newest.ID == "" || newest.stamp().Less(p.stamp()) {
			newest = p
		}
		return nil
	})
	return newest, err
}

func positionOf(c Checkin) Position {
	return Position(c)
}

// stamp orders positions by the time of the check-in, then by its key, so that
// one that is worked off late does not move anybody back.
func (p Position) stamp() volatile.Stamp {
	return volatile.Stamp{Version: p.At.UnixMicro(), Tie: uint64(keyLine(p.ID))}
}

// raise keeps a value in the cache unless a newer one is there.
func raise(ctx context.Context, cache *volatile.Cache, key string, at Position, value any, ttl time.Duration) error {
	bytes, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = cache.Raise(ctx, key, volatile.Entry{Value: bytes, Stamp: at.stamp()}, ttl)
	return err
}

// distance is the way between two places over the ground, in metres, on a
// sphere (the haversine formula): wrong by half a percent at most.
func distance(lat1, lon1, lat2, lon2 float64) float64 {
	const radius, degree = 6_371_009, math.Pi / 180
	sinLat := math.Sin((lat2 - lat1) * degree / 2)
	sinLon := math.Sin((lon2 - lon1) * degree / 2)
	h := sinLat*sinLat + math.Cos(lat1*degree)*math.Cos(lat2*degree)*sinLon*sinLon
	return 2 * radius * math.Asin(math.Sqrt(min(h, 1)))
}
