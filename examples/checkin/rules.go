package main

import "time"

// The rules of the game. What they say is a function of the set of check-ins
// and never of the order in which the check-ins are worked off: a retry, a
// replay or a second worker changes that order, and must not change who is
// mayor. So every rule either counts, or keeps the smallest or the largest of
// what it saw, and ties are broken by the check-in's own time and key.

// A Visit is what one user has done at one venue.
type Visit struct {
	ID     string    `persistence:"key"` // VENUE/USER: a venue's visits lie together
	Venue  string    `transactional:""`
	User   string    `transactional:""`
	Count  int64     `transactional:""`
	Last   time.Time `transactional:""` // the newest check-in's time and key
	LastID string    `transactional:""`
}

// A Player is what one user has done in all.
type Player struct {
	ID       string `persistence:"key"` // USER
	Checkins int64  `transactional:""`
	Venues   int64  `transactional:""` // different ones
	Regular  int64  `transactional:""` // venues with regularAt check-ins or more
	Nights   int64  `transactional:""` // check-ins between midnight and five, UTC
	Points   int64  `transactional:""`
}

// A Venue is who came first, and who comes most: the mayor.
type Venue struct {
	ID        string    `persistence:"key"`
	Finder    string    `transactional:""`
	First     time.Time `transactional:""` // the oldest check-in's time and key
	FirstID   string    `transactional:""`
	Mayor     string    `transactional:",index"`
	Count     int64     `transactional:""` // the mayor's check-ins here
	Reached   time.Time `transactional:""` // by this check-in's time and key
	ReachedID string    `transactional:""`
}

// An Award is a badge that a user has.
type Award struct {
	ID    string `persistence:"key"` // USER/BADGE: a user's awards lie together
	User  string `transactional:""`
	Badge string `transactional:""`
}

// Points, and what makes a regular.
const (
	perCheckin = 1
	perVenue   = 5
	perBadge   = 20
	regularAt  = 5
)

// badges are earned by what a player has done in all. None is ever lost.
var badges = []struct {
	name   string
	earned func(Player) bool
}{
	{"newcomer", func(p Player) bool { return p.Checkins >= 1 }},
	{"centurion", func(p Player) bool { return p.Checkins >= 100 }},
	{"explorer", func(p Player) bool { return p.Venues >= 10 }},
	{"traveller", func(p Player) bool { return p.Venues >= 50 }},
	{"regular", func(p Player) bool { return p.Regular >= 1 }},
	{"local", func(p Player) bool { return p.Regular >= 5 }},
	{"night-owl", func(p Player) bool { return p.Nights >= 10 }},
}

// earned returns how many badges a player has.
func (p Player) earned() (n int64) {
	for _, b := range badges {
		if b.earned(p) {
			n++
		}
	}
	return n
}

// before orders check-ins by time, then by key.
func before(at time.Time, id string, other time.Time, otherID string) bool {
	if !at.Equal(other) {
		return at.Before(other)
	}
	return id < otherID
}

// with is the visit after one more check-in.
func (v Visit) with(c Checkin) Visit {
	if v.Count == 0 || before(v.Last, v.LastID, c.At, c.ID) {
		v.Last, v.LastID = c.At, c.ID
	}
	v.Count++
	return v
}

// with is the player after one more check-in, which made the visit what it is
// now, and the badges that are new.
func (p Player) with(c Checkin, visit Visit) (after Player, won []string) {
	after = p
	after.Checkins++
	switch visit.Count {
	case 1:
		after.Venues++
	case regularAt:
		after.Regular++
	}
	if night(c.At) {
		after.Nights++
	}
	after.Points = perCheckin*after.Checkins + perVenue*after.Venues + perBadge*after.earned()
	for _, b := range badges {
		if b.earned(after) && !b.earned(p) {
			won = append(won, b.name)
		}
	}
	return after, won
}

// with is the venue after one more check-in, which made the visit what it is
// now; changed is false when nothing is new.
//
// The mayor has the most check-ins; of several, the one who reached that
// number first. A visit's standing only ever rises, so the highest of all
// standings seen so far ends as the highest of all, whatever the order.
func (v Venue) with(c Checkin, visit Visit) (after Venue, changed bool) {
	if v.FirstID == "" || before(c.At, c.ID, v.First, v.FirstID) {
		v.Finder, v.First, v.FirstID = c.User, c.At, c.ID
		changed = true
	}
	if v.Mayor == visit.User || v.outranked(visit) {
		v.Mayor, v.Count, v.Reached, v.ReachedID = visit.User, visit.Count, visit.Last, visit.LastID
		changed = true
	}
	return v, changed
}

func (v Venue) outranked(by Visit) bool {
	if by.Count != v.Count {
		return by.Count > v.Count
	}
	return before(by.Last, by.LastID, v.Reached, v.ReachedID)
}

func night(at time.Time) bool { return at.UTC().Hour() < 5 }
