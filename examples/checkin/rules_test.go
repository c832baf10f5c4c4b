package main

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
	"pgregory.net/rapid"
)

// state is the game as the badges task keeps it.
type state struct {
	visits  map[string]Visit
	players map[string]Player
	venues  map[string]Venue
	awards  map[string]Award
}

// play works events off in the order given, as award does.
func play(events []town.Event) state {
	s := state{map[string]Visit{}, map[string]Player{}, map[string]Venue{}, map[string]Award{}}
	for _, e := range events {
		c := checkinOf(e)
		visit, there := s.visits[visitID(c)]
		if !there {
			visit = Visit{ID: visitID(c), Venue: c.Venue, User: c.User}
		}
		visit = visit.with(c)
		s.visits[visit.ID] = visit

		player := s.players[c.User]
		player.ID = c.User
		player, won := player.with(c, visit)
		s.players[c.User] = player
		for _, badge := range won {
			award := Award{ID: c.User + "/" + badge, User: c.User, Badge: badge}
			s.awards[award.ID] = award
		}
		venue := s.venues[c.Venue]
		venue.ID = c.Venue
		if next, changed := venue.with(c, visit); changed {
			s.venues[c.Venue] = next
		} else if next != venue {
			panic("a venue changed and does not say so")
		}
	}
	return s
}

// implied is the game computed from all events at once.
func implied(events []town.Event) state {
	visits := visitsOf(events)
	s := state{map[string]Visit{}, playersOf(events, visits), venuesOf(events, visits), map[string]Award{}}
	for _, v := range visits {
		s.visits[v.ID] = v
	}
	for _, p := range s.players {
		for _, a := range awardsOf(p) {
			s.awards[a.ID] = a
		}
	}
	return s
}

func (s state) check(t interface{ Errorf(string, ...any) }, want state) {
	if !maps.Equal(s.visits, want.visits) {
		t.Errorf("visits\n%v\nwant\n%v", s.visits, want.visits)
	}
	if !maps.Equal(s.players, want.players) {
		t.Errorf("players\n%v\nwant\n%v", s.players, want.players)
	}
	if !maps.Equal(s.venues, want.venues) {
		t.Errorf("venues\n%v\nwant\n%v", s.venues, want.venues)
	}
	if !maps.Equal(s.awards, want.awards) {
		t.Errorf("awards\n%v\nwant\n%v", s.awards, want.awards)
	}
}

// eventsOf draws a few check-ins of few people at few venues, many of them in
// the same second, and exact duplicates among them.
func eventsOf(t *rapid.T) []town.Event {
	event := rapid.Custom(func(t *rapid.T) town.Event {
		return town.Event{
			User:  rapid.Int64Range(1, 4).Draw(t, "user"),
			Venue: rapid.Int64Range(1, 12).Draw(t, "venue"),
			At:    rapid.Int64Range(0, 30).Draw(t, "hours") * 3600e6,
		}
	})
	events := rapid.SliceOfN(event, 1, 150).Draw(t, "events")
	for i := range events {
		events[i].Line = int32(i + 1)
	}
	return events
}

// "Badges and mayors are functions of the set of check-ins, never of the order
// of execution."
func TestTheOrderOfExecutionDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := eventsOf(t)
		want := implied(events)
		play(events).check(t, want)
		play(rapid.Permutation(events).Draw(t, "another order")).check(t, want)
	})
}

func TestAWholeTownInAnyOrder(t *testing.T) {
	generated := town.Generate(town.Default)
	want := implied(generated.Events)
	if len(want.awards) < 1000 {
		t.Errorf("only %d badges: the town is too small to prove anything", len(want.awards))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	events := slices.Clone(generated.Events)
	for range 3 {
		rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		play(events).check(t, want)
	}
}

func TestTheMayorHasMostOrWasFirst(t *testing.T) {
	const ann, ben = 1, 2
	at := func(line int32, user int64, hour int64) town.Event {
		return town.Event{Line: line, User: user, Venue: 9, At: hour * 3600e6}
	}
	for name, c := range map[string]struct {
		events []town.Event
		mayor  string
	}{
		"the only one":                {[]town.Event{at(1, ann, 1)}, "1"},
		"most check-ins":              {[]town.Event{at(1, ann, 1), at(2, ben, 2), at(3, ben, 3)}, "2"},
		"as many, reached earlier":    {[]town.Event{at(1, ben, 1), at(2, ann, 2), at(3, ann, 3), at(4, ben, 4)}, "1"},
		"the same second: first line": {[]town.Event{at(2, ann, 1), at(1, ben, 1)}, "2"},
	} {
		if got := play(c.events).venues["9"].Mayor; got != c.mayor {
			t.Errorf("%s: mayor %s, want %s", name, got, c.mayor)
		}
	}
}

func TestKeysAscendWithLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int32Min(1).Draw(t, "a"), rapid.Int32Min(1).Draw(t, "b")
		if (a < b) != (lineKey(a) < lineKey(b)) {
			t.Errorf("lines %d and %d have keys %s and %s", a, b, lineKey(a), lineKey(b))
		}
		if keyLine(lineKey(a)) != a || keyID(idKey(int64(a))) != int64(a) {
			t.Errorf("line %d does not come back from its key", a)
		}
	})
	for _, key := range []string{"", "1", "+000000001", "0000000000", "9999999999", "00000000001", "-000000001"} {
		if keyLine(key) != 0 {
			t.Errorf("%q passes for line %d", key, keyLine(key))
		}
	}
	for _, key := range []string{"", "-1", "+1", "01", "x"} {
		if keyID(key) != -1 {
			t.Errorf("%q passes for id %d", key, keyID(key))
		}
	}
}
