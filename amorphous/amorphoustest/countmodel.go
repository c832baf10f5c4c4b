package amorphoustest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// testCountModel compares a counter with a plain map, over random versions of
// few objects in few places: they repeat, come late, move, go, and come back,
// and readers in between seal what is large.
func testCountModel(c *counter) {
	const seed = 5
	random := rand.New(rand.NewPCG(seed, 1))
	newest := map[string]amorphous.Counted{}
	rounds := max(c.h.Rows/100, 4)
	for round := range rounds {
		batch := make([]amorphous.Counted, 100)
		for i := range batch {
			batch[i] = anyCounted(random)
			if old, ok := newest[batch[i].Key]; !ok || batch[i].Stamp.Compare(old.Stamp) > 0 {
				newest[batch[i].Key] = batch[i]
			}
		}
		c.must(batch...)
		q := amorphous.CountQuery{}
		if round%2 == 1 {
			q.From = noon.Add(time.Duration(random.IntN(150)) * time.Minute)
			q.To = q.From.Add(time.Duration(random.IntN(100)) * time.Minute)
		}
		c.top(fmt.Sprintf("seed %d, round %d, %v to %v", seed, round, q.From, q.To), q, topOf(newest, q)...)
	}
}

// anyCounted is a random version; one stamp is one content.
func anyCounted(random *rand.Rand) amorphous.Counted {
	key, version := random.IntN(150), 1+random.Int64N(12)
	content := rand.New(rand.NewPCG(uint64(key), uint64(version)))
	out := amorphous.Counted{Key: fmt.Sprint("k", key), Stamp: amorphous.Stamp{Version: version, Tie: uint64(key)}}
	for range content.IntN(4) {
		out.Counts = append(out.Counts, amorphous.Count{Of: []string{"gh", []string{"accra", "kumasi"}[content.IntN(2)]},
			At: noon.Add(time.Duration(content.IntN(4)*40) * time.Minute), N: 1 + content.Int64N(3)})
	}
	return out
}

// topOf is what the newest versions add up to.
func topOf(newest map[string]amorphous.Counted, q amorphous.CountQuery) (out []string) {
	sums := map[string]int64{}
	for _, obj := range newest {
		for _, count := range obj.Counts {
			if !count.At.Before(q.From) && (q.To.IsZero() || count.At.Before(q.To)) {
				sums[count.Of[0]+"/"+count.Of[1]] += count.N
			}
		}
	}
	var names []string
	for name := range sums {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(sums[b], sums[a]), cmp.Compare(a, b)) })
	for _, name := range names {
		out = append(out, fmt.Sprint(name, "=", sums[name]))
	}
	return out
}
