package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
	"github.com/fourfold-dev/fourfold/examples/internal/console"
	"github.com/fourfold-dev/fourfold/persistence"
)

// A scene is what a person wants to see of a game: somebody's inbox, who is at
// a venue, and so on, each read from the store that keeps it.
type scene struct {
	game  *game
	town  *town.Town
	out   io.Writer
	right bool // who is near, and what was rebuilt, is what it should be
}

// show prints the scene of the venue where the most people are, and of the one
// among them who checks in most.
func (s *scene) show(ctx context.Context) error {
	s.right = true
	now := time.Now()
	crowd := map[int64]int{}
	for _, p := range s.latest(now) {
		crowd[keyID(p.Venue)]++
	}
	venue := s.town.Events[len(s.town.Events)-1].Venue
	if len(crowd) > 0 {
		venue = most(crowd)
	}
	user := s.star(s.at(venue, now))
	for _, part := range []func(context.Context, int64) error{s.showInbox, s.showActivity, s.showNearby, s.showPlayer} {
		if err := part(ctx, user); err != nil {
			return err
		}
	}
	if err := s.showPresence(ctx, venue, now); err != nil {
		return err
	}
	return s.showMayor(ctx, venue)
}

// star returns who checks in most: among the guests with friends, of whom they
// want to be told, if there are any, else among all.
func (s *scene) star(guests []string) int64 {
	all, some := map[int64]int{}, map[int64]int{}
	for _, e := range s.town.Events {
		all[e.User]++
	}
	for _, guest := range guests {
		if id := keyID(guest); len(s.town.Friends[id]) > 0 && !s.town.Quiet[id] {
			some[id] = all[id]
		}
	}
	if len(some) > 0 {
		return most(some)
	}
	return most(all)
}

// most returns the key with the largest count, the smallest of several.
func most(counts map[int64]int) int64 {
	keys := slices.Sorted(maps.Keys(counts))
	return slices.MaxFunc(keys, func(a, b int64) int {
		return cmp.Or(cmp.Compare(counts[a], counts[b]), cmp.Compare(b, a))
	})
}

func (s *scene) userName(key string) string  { return s.town.UserName(keyID(key)) }
func (s *scene) venueName(key string) string { return s.town.VenueName(keyID(key)) }

func (s *scene) showInbox(ctx context.Context, user int64) error {
	notices, err := s.game.inbox.List(ctx, idKey(user), 3)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "The inbox of %s (amorphous, newest first)\n", s.town.UserName(user))
	for _, n := range notices {
		fmt.Fprintf(s.out, "  %s  %s is at %s\n", clock(n.At), s.userName(n.User), s.venueName(n.Venue))
	}
	if len(notices) == 0 {
		fmt.Fprintln(s.out, "  is empty")
	}
	return nil
}

func (s *scene) showActivity(ctx context.Context, user int64) error {
	query := persistence.Query{Task: "activity", Where: map[string]any{"User": idKey(user)}, Limit: 3}
	fmt.Fprintf(s.out, "The last activity of %s (amorphous, newest first)\n", s.town.UserName(user))
	return each(ctx, s.game.checkins, query, func(c Checkin) error {
		fmt.Fprintf(s.out, "  %s  %s\n", clock(c.At), s.venueName(c.Venue))
		return nil
	})
}

// showNearby prints who is near the user now. The list that the nearby task left
// says who was when it ran, and does not have the friend whose check-in was
// worked off a moment later.
func (s *scene) showNearby(ctx context.Context, user int64) error {
	near, err := s.game.friendsNearby(ctx, idKey(user))
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "Friends near %s at the last check-in (volatile)\n", s.town.UserName(user))
	for _, n := range near[:min(len(near), 3)] {
		fmt.Fprintf(s.out, "  %s, %d m away, at %s\n", s.userName(n.User), n.Metres, s.venueName(n.Venue))
	}
	if len(near) == 0 {
		fmt.Fprintln(s.out, "  none")
	}
	if implied := s.impliedNearby(idKey(user)); !slices.EqualFunc(near, implied, Nearby.same) {
		s.right = false
		fmt.Fprintf(s.out, "  WRONG: %s, and the input implies %s\n", console.Count(len(near), "friend", "friends"), console.Count(len(implied), "friend", "friends"))
	}
	return nil
}

// impliedNearby is who is near a user, by the input.
func (s *scene) impliedNearby(user string) []Nearby {
	newest := s.newest()
	var friends []Position
	for _, friend := range s.game.friends[user] {
		if p, ok := newest[friend]; ok {
			friends = append(friends, p)
		}
	}
	return nearbyOf(newest[user], friends)
}

func (s *scene) showPlayer(ctx context.Context, user int64) error {
	player, err := s.game.players.Get(ctx, idKey(user))
	if err != nil {
		return err
	}
	var names, mayor []string
	err = each(ctx, s.game.awards, under(player.ID), func(a Award) error {
		names = append(names, a.Badge)
		return nil
	})
	if err != nil {
		return err
	}
	held := persistence.Query{Where: map[string]any{"Mayor": player.ID}}
	err = each(ctx, s.game.venues, held, func(v Venue) error {
		mayor = append(mayor, s.venueName(v.ID))
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "Badges of %s (transactional)\n", s.town.UserName(user))
	fmt.Fprintf(s.out, "  %s; %s for %s at %s\n", strings.Join(names, ", "), console.Count(player.Points, "point", "points"),
		console.Count(player.Checkins, "check-in", "check-ins"), console.Count(player.Venues, "venue", "venues"))
	if n := len(mayor); n > 0 {
		fmt.Fprintf(s.out, "  mayor of %s%s\n", strings.Join(mayor[:min(n, 3)], ", "), andMore(n-3))
	}
	return nil
}

// showPresence prints who is at a venue, and then asks as if the cache had lost
// everything: rebuilt from the check-ins, the answer must be what the input
// implies.
func (s *scene) showPresence(ctx context.Context, venue int64, early time.Time) error {
	guests, err := s.game.guests(ctx, idKey(venue))
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "Who is at %s (volatile, decays after %.0f hours)\n", s.town.VenueName(venue), staysFor.Hours())
	fmt.Fprintf(s.out, "  %s\n", s.names(guests))
	return s.checkRebuilt(ctx, venue, early)
}

func (s *scene) checkRebuilt(ctx context.Context, venue int64, early time.Time) error {
	rebuilt, err := s.game.rebuiltGuests(ctx, idKey(venue), fmt.Sprintf("lost-%d", early.UnixNano()))
	if err != nil {
		return err
	}
	// Somebody may have been there too long while we looked.
	most, least := s.at(venue, early), s.at(venue, time.Now())
	verdict := "as the input implies"
	if !subset(least, rebuilt) || !subset(rebuilt, most) {
		s.right = false
		verdict = fmt.Sprintf("WRONG: the input implies %s", s.names(least))
	}
	fmt.Fprintf(s.out, "  when the cache has lost it, rebuilt from check-ins: %s, %s\n", console.Count(len(rebuilt), "person", "people"), verdict)
	return nil
}

// newest returns where everybody checked in last, by the input.
func (s *scene) newest() map[string]Position {
	newest := map[string]Position{}
	for _, e := range s.town.Events {
		p := positionOf(checkinOf(e))
		if old, seen := newest[p.User]; !seen || old.stamp().Less(p.stamp()) {
			newest[p.User] = p
		}
	}
	return newest
}

// latest returns where everybody is at a moment of today, by the input.
func (s *scene) latest(now time.Time) map[string]Position {
	latest := s.newest()
	maps.DeleteFunc(latest, func(_ string, p Position) bool { return now.Sub(s.game.now(p.At)) > staysFor })
	return latest
}

// at returns who is at a venue at a moment of today, by the input.
func (s *scene) at(venue int64, now time.Time) []string {
	var users []string
	for user, p := range s.latest(now) {
		if p.Venue == idKey(venue) {
			users = append(users, user)
		}
	}
	return users
}

func subset(some, of []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(of, s) })
}

// names lists users, the first few by name.
func (s *scene) names(users []string) string {
	if len(users) == 0 {
		return "nobody"
	}
	var names []string
	for _, user := range users[:min(len(users), 5)] {
		names = append(names, s.userName(user))
	}
	return strings.Join(names, ", ") + andMore(len(users)-5)
}

func (s *scene) showMayor(ctx context.Context, venue int64) error {
	v, err := s.game.venues.Get(ctx, idKey(venue))
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "The mayor of %s (transactional)\n", s.town.VenueName(venue))
	fmt.Fprintf(s.out, "  %s, with %s; %s was the first who came\n",
		s.userName(v.Mayor), console.Count(v.Count, "check-in", "check-ins"), s.userName(v.Finder))
	return nil
}

func clock(at time.Time) string { return at.UTC().Format("2006-01-02 15:04") }

// andMore ends a list that was cut.
func andMore(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}
