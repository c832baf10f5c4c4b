package town

import (
	"math"
	"slices"
	"testing"
)

// totals are what a game on the town must come to.
func totals(t *Town) (notifications, most int) {
	for _, e := range t.Events {
		n := 0
		for _, friend := range t.Friends[e.User] {
			if !t.Quiet[friend] {
				n++
			}
		}
		notifications += n
		most = max(most, n)
	}
	return notifications, most
}

func TestTheDefaultTownIsTheSameEverywhere(t *testing.T) {
	town := Generate(Default)
	const digest = "9d44c6ebfd57e202c37d8ead61d53a20"
	if got := town.Digest(); got != digest {
		t.Errorf("digest %s, want %s", got, digest)
	}
	notifications, most := totals(town)
	if n := len(town.Quiet); n < Default.People/20 || n > Default.People/5 {
		t.Errorf("%d people of %d do not want to be told", n, Default.People)
	}
	if len(town.Events) != 3400 || notifications != 43772 || most != 105 {
		t.Errorf("%d check-ins, %d notifications, at most %d for one; want 3400, 43772, 105", len(town.Events), notifications, most)
	}
}

func TestATownIsSkewedLikeARealOne(t *testing.T) {
	town := Generate(Default)
	visits := map[int64]int{}
	for _, e := range town.Events {
		visits[e.Venue]++
	}
	if n := len(town.Friends); n < Default.People*3/4 || n > Default.People {
		t.Errorf("%d people have friends, of %d", n, Default.People)
	}
	counts := make([]int, 0, len(visits))
	for _, n := range visits {
		counts = append(counts, n)
	}
	slices.Sort(counts)
	if top, median := counts[len(counts)-1], counts[len(counts)/2]; top < 20*median {
		t.Errorf("the busiest venue has %d check-ins, the median %d: that is not skewed", top, median)
	}
	notifications, most := totals(town)
	if mean := float64(notifications) / float64(len(town.Events)); float64(most) < 5*mean {
		t.Errorf("the largest fan-out is %d, the mean %.1f: that is not skewed", most, mean)
	}
}

func TestAStretchIsTheEndOfATown(t *testing.T) {
	town := Generate(Default)
	s := town.Stretch
	want := Stretch{Default.History, Default.History + Default.Before, Default.History + Default.Before + Default.Spike, len(town.Events)}
	if s != want {
		t.Errorf("stretch %+v, want %+v", s, want)
	}
	for i, e := range town.Events {
		if i > 0 && e.At < town.Events[i-1].At {
			t.Fatalf("event %d is earlier than the one before", i)
		}
		if int(e.Line) != i+1 {
			t.Fatalf("event %d has line %d", i, e.Line)
		}
	}
}

func TestATinyTownCanBeMade(t *testing.T) {
	for people := 2; people < 12; people++ {
		town := Generate(Shape{Seed: uint64(people), People: people, Venues: 1, Friendships: math.MaxInt32, History: 3})
		if len(town.Events) != 3 {
			t.Errorf("%d events, want 3", len(town.Events))
		}
	}
}

func TestADigestTellsTownsApart(t *testing.T) {
	shape := Shape{Seed: 1, People: 50, Venues: 10, Friendships: 60, History: 40}
	a, b := Generate(shape), Generate(shape)
	if a.Digest() != b.Digest() {
		t.Error("the same town has two digests")
	}
	b.Events[7].Line++
	if a.Digest() == b.Digest() {
		t.Error("another line, the same digest")
	}
	b = Generate(shape)
	for user := range b.Friends {
		b.Friends[user] = b.Friends[user][1:]
		break
	}
	if a.Digest() == b.Digest() {
		t.Error("one friend less, the same digest")
	}
	b = Generate(shape)
	b.Quiet[7] = true
	if a.Digest() == b.Digest() {
		t.Error("another wish, the same digest")
	}
}
