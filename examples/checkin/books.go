package main

import (
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"strconv"
	"text/tabwriter"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
	"github.com/fourfold-dev/fourfold/examples/internal/console"
)

// A ledger is a bag of rows: how many there are, and a sum of their digests
// that does not depend on their order. Two bags with the same ledger hold the
// same rows.
type ledger struct {
	rows int64
	sum  uint64
}

var ledgerSeed = maphash.MakeSeed()

func (l *ledger) add(columns ...string) {
	var h maphash.Hash
	h.SetSeed(ledgerSeed)
	for _, c := range columns {
		h.WriteString(c)
		h.WriteByte(0) // no column holds one
	}
	l.rows++
	l.sum += h.Sum64()
}

// books are all that a game comes to: once as the stores hold it, once as the
// input implies it.
type books struct {
	checkins, activity, notifications ledger
	visits, players, venues, awards   ledger
	points                            int64
	maxFanout                         int64
}

func (b *books) addCheckin(l *ledger, c Checkin) {
	l.add(c.ID, c.User, c.Venue, micros(c.At.UnixMicro()), bits(c.Lat), bits(c.Lon))
}

func (b *books) addVisit(v Visit) {
	b.visits.add(v.ID, v.Venue, v.User, micros(v.Count), micros(v.Last.UnixMicro()), v.LastID)
}

func (b *books) addPlayer(p Player) {
	b.players.add(p.ID, micros(p.Checkins), micros(p.Venues), micros(p.Regular), micros(p.Nights), micros(p.Points))
	b.points += p.Points
}

func (b *books) addVenue(v Venue) {
	b.venues.add(v.ID, v.Finder, micros(v.First.UnixMicro()), v.FirstID,
		v.Mayor, micros(v.Count), micros(v.Reached.UnixMicro()), v.ReachedID)
}

func (b *books) addAward(a Award) { b.awards.add(a.ID, a.User, a.Badge) }

func micros(n int64) string { return strconv.FormatInt(n, 36) }

func bits(f float64) string { return strconv.FormatUint(math.Float64bits(f), 36) }

// impliedBooks computes the books from the input alone.
func impliedBooks(t *town.Town) *books {
	b := &books{}
	told := toldOf(t)
	for _, e := range t.Events {
		c := checkinOf(e)
		b.addCheckin(&b.checkins, c)
		b.addCheckin(&b.activity, c)
		for _, friend := range told[c.User] {
			b.notifications.add(friend, c.ID, c.User, c.Venue)
		}
		b.maxFanout = max(b.maxFanout, int64(len(told[c.User])))
	}
	visits := visitsOf(t.Events)
	for _, v := range visits {
		b.addVisit(v)
	}
	for _, p := range playersOf(t.Events, visits) {
		b.addPlayer(p)
		for _, a := range awardsOf(p) {
			b.addAward(a)
		}
	}
	for _, v := range venuesOf(t.Events, visits) {
		b.addVenue(v)
	}
	return b
}

// A line is one comparison of the books.
type line struct {
	name            string
	stored, implied int64
	same            bool // also in content
}

func compare(stored, implied *books) []line {
	of := func(name string, stored, implied ledger) line {
		return line{name, stored.rows, implied.rows, stored == implied}
	}
	number := func(name string, stored, implied int64) line {
		return line{name, stored, implied, stored == implied}
	}
	return []line{
		of("check-ins", stored.checkins, implied.checkins),
		of("rows of activity", stored.activity, implied.activity),
		of("notifications", stored.notifications, implied.notifications),
		number("the largest fan-out", stored.maxFanout, implied.maxFanout),
		of("visits (user and venue)", stored.visits, implied.visits),
		of("players", stored.players, implied.players),
		number("points", stored.points, implied.points),
		of("badges", stored.awards, implied.awards),
		of("venues with a mayor", stored.venues, implied.venues),
	}
}

// showBooks prints the comparison, and reports whether all is as implied.
func showBooks(out io.Writer, lines []line) bool {
	fmt.Fprintln(out, "\nRead back from the stores, and what the input implies")
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	right := true
	for _, l := range lines {
		verdict := "the same"
		switch {
		case l.stored != l.implied:
			verdict = "WRONG"
		case !l.same:
			verdict = "as many, but WRONG content"
		}
		right = right && l.same
		fmt.Fprintf(tab, "  %s\t%s\t%s\t%s\t\n", l.name, console.Comma(l.stored), console.Comma(l.implied), verdict)
	}
	tab.Flush()
	return right
}
