package town

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// A Shape is the size of a generated town.
type Shape struct {
	Seed                   uint64 // the same seed and sizes give the same town
	People, Venues         int    // how many
	Friendships            int    // pairs: each of the two is told of the other, who wants it
	Quiet                  int    // of a hundred people, those who do not want to be told
	History                int    // check-ins that arrive as fast as they are taken
	Before, Spike, Between int    // the stretch: check-ins before, in and after the spike
}

// Default is the town of a run without files.
var Default = Shape{
	Seed: 20100311, People: 2500, Venues: 600, Friendships: 6000, Quiet: 10,
	History: 2400, Before: 100, Spike: 800, Between: 100,
}

// generator makes a town. It computes in whole numbers only: the same seed
// gives the same town on every machine, and floating point does not promise
// that.
type generator struct {
	Shape
	rng       *rand.Rand
	active    ranking  // people by how often they check in
	liked     ranking  // people, in the same order, by how many friends they have
	popular   ranking  // venues by how often they are checked in at
	people    []int    // rank to user
	venues    []int    // rank to venue
	place     [][2]int // of a venue, in millionths of a degree
	favourite [][]int  // of a person, the best first
	edges     map[int64][]int64
}

// Generate makes a town of a shape: few people with many friends and many with
// few, few venues that everybody goes to, habits, an evening with a concert.
func Generate(shape Shape) *Town {
	g := &generator{
		Shape:   shape,
		rng:     rand.New(rand.NewPCG(shape.Seed, 4)),
		active:  newRanking(shape.People, 120),
		liked:   newRanking(shape.People, 20),
		popular: newRanking(shape.Venues, 15),
	}
	g.people, g.venues = g.rng.Perm(shape.People), g.rng.Perm(shape.Venues)
	g.placeVenues()
	g.chooseFavourites()
	g.makeFriends()

	t := &Town{Name: "a generated town"}
	t.users, t.venues = userNames(shape.People), venueNames(shape.Venues)
	t.Events = g.history()
	t.sort()
	t.Stretch = g.stretch(t)
	for i := range t.Events {
		t.Events[i].Line = int32(i + 1)
	}
	t.befriend(g.edges)
	t.Quiet = g.askWishes()
	return t
}

// placeVenues puts most venues near the middle: the sum of four dice.
func (g *generator) placeVenues() {
	const lat, lon, reach = 40_730_000, -73_990_000, 30_000
	g.place = make([][2]int, g.Venues)
	for i := range g.place {
		for range 4 {
			g.place[i][0] += g.rng.IntN(2*reach) - reach
			g.place[i][1] += g.rng.IntN(2*reach) - reach
		}
		g.place[i][0] += lat
		g.place[i][1] += lon
	}
}

// chooseFavourites gives everybody a home and the four of a dozen venues that
// are nearest to it.
func (g *generator) chooseFavourites() {
	g.favourite = make([][]int, g.People)
	for user := range g.favourite {
		home := g.place[g.rng.IntN(g.Venues)]
		some := make([]int, 12)
		for i := range some {
			some[i] = g.venues[g.popular.pick(g.rng)]
		}
		slices.SortStableFunc(some, func(a, b int) int {
			return cmp.Compare(square(g.place[a], home), square(g.place[b], home))
		})
		g.favourite[user] = some[:4]
	}
}

func square(a, b [2]int) int64 {
	x, y := int64(a[0]-b[0]), int64(a[1]-b[1])
	return x*x + y*y
}

// makeFriends draws pairs, the active more often.
func (g *generator) makeFriends() {
	g.edges = make(map[int64][]int64, g.People)
	most := min(g.Friendships, g.People*(g.People-1)/4)
	seen := make(map[[2]int64]bool, most)
	for len(seen) < most {
		a, b := g.user(g.liked), g.user(g.liked)
		if a > b {
			a, b = b, a
		}
		if a == b || seen[[2]int64{a, b}] {
			continue
		}
		seen[[2]int64{a, b}] = true
		g.edges[a] = append(g.edges[a], b)
		g.edges[b] = append(g.edges[b], a)
	}
}

// askWishes asks everybody who does not want to be told. It draws last: the rest
// of a town is the same, whatever the wishes.
func (g *generator) askWishes() map[int64]bool {
	quiet := map[int64]bool{}
	for user := range g.People {
		if g.rng.IntN(100) < g.Quiet {
			quiet[int64(user)] = true
		}
	}
	return quiet
}

func (g *generator) user(by ranking) int64 { return int64(g.people[by.pick(g.rng)]) }

// days and hourWeights are when people go out.
const days = 2

var (
	firstDay    = time.Date(2026, time.May, 1, 0, 0, 0, 0, time.UTC)
	hourWeights = [24]int{3, 2, 1, 1, 1, 1, 2, 4, 6, 6, 6, 7, 10, 9, 7, 6, 7, 9, 11, 12, 12, 10, 8, 5}
)

func (g *generator) history() []Event {
	hours := weighted(hourWeights[:])
	events := make([]Event, g.History)
	for i := range events {
		at := firstDay.AddDate(0, 0, g.rng.IntN(days)).
			Add(time.Duration(hours.pick(g.rng))*time.Hour + time.Duration(g.rng.IntN(3600))*time.Second)
		events[i] = g.event(at, -1)
	}
	return events
}

// stretch appends the last evening: in its spike, six of ten people arrive at
// the concert. Two people a second check in, ten in the spike.
func (g *generator) stretch(t *Town) Stretch {
	s := Stretch{From: len(t.Events)}
	at := firstDay.AddDate(0, 0, days).Add(20 * time.Hour)
	add := func(count int, every time.Duration, percent int) int {
		for range count {
			venue := -1
			if g.rng.IntN(100) < percent {
				venue = g.venues[0]
			}
			at = at.Add(every)
			t.Events = append(t.Events, g.event(at, venue))
		}
		return len(t.Events)
	}
	s.Spike = add(g.Before, 500*time.Millisecond, 0)
	s.Calm = add(g.Spike, 100*time.Millisecond, 60)
	s.To = add(g.Between, 500*time.Millisecond, 0)
	return s
}

// event is somebody's check-in: at the venue, or, when it is negative, two times
// in three at a favourite, else where everybody goes.
func (g *generator) event(at time.Time, venue int) Event {
	user := g.user(g.active)
	if venue < 0 {
		if g.rng.IntN(3) > 0 {
			habit := g.favourite[user]
			venue = habit[min(g.rng.IntN(len(habit)), g.rng.IntN(len(habit)))]
		} else {
			venue = g.venues[g.popular.pick(g.rng)]
		}
	}
	place := g.place[venue]
	return Event{
		User: user, Venue: int64(venue), At: at.UnixMicro(),
		Lat: float64(place[0]) / 1e6, Lon: float64(place[1]) / 1e6,
	}
}

// A ranking picks ranks by weight; it holds the sums of the weights up to each.
type ranking []int

// newRanking weighs rank r by 1/(r+flat): a long tail, whose head is flatter
// the larger flat is.
func newRanking(n, flat int) ranking {
	weights := make([]int, n)
	for r := range weights {
		weights[r] = 1_000_000 / (r + flat)
	}
	return weighted(weights)
}

func weighted(weights []int) ranking {
	sums := make(ranking, len(weights))
	sum := 0
	for i, w := range weights {
		sum += w
		sums[i] = sum
	}
	return sums
}

func (r ranking) pick(rng *rand.Rand) int {
	at, _ := slices.BinarySearch(r, rng.IntN(r[len(r)-1])+1)
	return at
}
