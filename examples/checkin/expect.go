package main

import (
	"cmp"
	"slices"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
)

// The other way to compute the game: from all check-ins at once, by the words
// of the rules, with no step from one state to the next. What the stores hold
// in the end is compared with it.

// checkinOf is the check-in of an event. Its key is the number of its line, so
// that exact duplicates are check-ins of their own, with zeros in front, so
// that keys ascend.
func checkinOf(e town.Event) Checkin {
	return Checkin{ID: lineKey(e.Line), User: idKey(e.User), Venue: idKey(e.Venue), At: e.Time(), Lat: e.Lat, Lon: e.Lon}
}

// toldOf is who is told of a user's check-ins: the friends who want to be.
func toldOf(t *town.Town) map[string][]string {
	told := make(map[string][]string, len(t.Friends))
	for user, friends := range t.Friends {
		willing := slices.DeleteFunc(slices.Clone(friends), func(id int64) bool { return t.Quiet[id] })
		for _, id := range willing {
			told[idKey(user)] = append(told[idKey(user)], idKey(id))
		}
	}
	return told
}

// visitsOf groups check-ins by venue and user, those of a venue together.
func visitsOf(events []town.Event) []Visit {
	sorted := slices.Clone(events)
	slices.SortFunc(sorted, func(a, b town.Event) int {
		return cmp.Or(cmp.Compare(a.Venue, b.Venue), cmp.Compare(a.User, b.User),
			cmp.Compare(a.At, b.At), cmp.Compare(a.Line, b.Line))
	})
	var visits []Visit
	for start := 0; start < len(sorted); {
		end := start
		for end < len(sorted) && sorted[end].Venue == sorted[start].Venue && sorted[end].User == sorted[start].User {
			end++
		}
		last := checkinOf(sorted[end-1])
		visits = append(visits, Visit{
			ID: visitID(last), Venue: last.Venue, User: last.User,
			Count: int64(end - start), Last: last.At, LastID: last.ID,
		})
		start = end
	}
	return visits
}

// playersOf counts what users did, given their check-ins and visits.
func playersOf(events []town.Event, visits []Visit) map[string]Player {
	players := map[string]Player{}
	for _, e := range events {
		c := checkinOf(e)
		p := players[c.User]
		p.ID = c.User
		p.Checkins++
		if hour := c.At.Hour(); hour < 5 {
			p.Nights++
		}
		players[c.User] = p
	}
	for _, v := range visits {
		p := players[v.User]
		p.Venues++
		if v.Count >= regularAt {
			p.Regular++
		}
		players[v.User] = p
	}
	for user, p := range players {
		p.Points = perCheckin*p.Checkins + perVenue*p.Venues + perBadge*int64(len(awardsOf(p)))
		players[user] = p
	}
	return players
}

// awardsOf lists a player's badges.
func awardsOf(p Player) []Award {
	var awards []Award
	for _, b := range badges {
		if b.earned(p) {
			awards = append(awards, Award{ID: p.ID + "/" + b.name, User: p.ID, Badge: b.name})
		}
	}
	return awards
}

// venuesOf finds who came first and who is mayor, given the visits of each
// venue.
func venuesOf(events []town.Event, visits []Visit) map[string]Venue {
	venues := map[string]Venue{}
	for _, e := range events {
		c := checkinOf(e)
		v, seen := venues[c.Venue]
		if !seen || before(c.At, c.ID, v.First, v.FirstID) {
			venues[c.Venue] = Venue{ID: c.Venue, Finder: c.User, First: c.At, FirstID: c.ID}
		}
	}
	most := map[string]int64{}
	for _, visit := range visits {
		most[visit.Venue] = max(most[visit.Venue], visit.Count)
	}
	for _, visit := range visits {
		v := venues[visit.Venue]
		if visit.Count < most[visit.Venue] || v.Mayor != "" && !before(visit.Last, visit.LastID, v.Reached, v.ReachedID) {
			continue
		}
		v.Mayor, v.Count, v.Reached, v.ReachedID = visit.User, visit.Count, visit.Last, visit.LastID
		venues[visit.Venue] = v
	}
	return venues
}
