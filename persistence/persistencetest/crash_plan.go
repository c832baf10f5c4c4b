package persistencetest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A kill is one end of the process: the hit-th time that it passes a point, or
// a moment after so many acknowledgements.
type kill struct {
	point string
	hit   int
	acks  int
	after time.Duration
}

func (k kill) String() string {
	if k.point != "" {
		return k.point + ":" + strconv.Itoa(k.hit)
	}
	return fmt.Sprintf("random:%d:%d", k.acks, k.after.Microseconds())
}

// A plan is one run: a start for each kill, and one that is not killed.
type plan struct {
	seed   uint64
	kills  []kill
	target string // the point that this run is about; empty: a moment
	count  bool   // the points that the last start passes
}

// String is the form that -crash.at reads.
func (p *plan) String() string {
	text := make([]string, len(p.kills))
	for i, k := range p.kills {
		text[i] = k.String()
	}
	return strings.Join(text, ",")
}

func parseKills(t testing.TB, text string) (out []kill) {
	for _, one := range strings.Split(text, ",") {
		parts := strings.Split(one, ":")
		k := kill{point: parts[0], hit: 1}
		var err error
		switch {
		case parts[0] == "random" && len(parts) == 3:
			var us int
			if k.acks, err = strconv.Atoi(parts[1]); err == nil {
				us, err = strconv.Atoi(parts[2])
			}
			k.point, k.after = "", time.Duration(us)*time.Microsecond
		case len(parts) == 2:
			k.hit, err = strconv.Atoi(parts[1])
		case len(parts) > 2:
			err = strconv.ErrSyntax
		}
		if err != nil || k.hit < 1 {
			t.Fatalf("-crash.at: %q is not POINT:HIT or random:ACKS:MICROSECONDS", one)
		}
		out = append(out, k)
	}
	return out
}

// plans makes n runs: every point in turn, one run in six at a random moment
// once each point had its turn, and one in three killed twice.
func (c *campaign) plans(n int) []*plan {
	rng := rand.New(rand.NewPCG(c.seed, 0x4f))
	order := rng.Perm(len(c.points))
	var out []*plan
	for i := range n {
		p := &plan{seed: c.seed + uint64(i)}
		target := c.points[order[i%len(order)]]
		switch {
		case i >= len(order) && rng.IntN(6) == 0:
			p.kills = []kill{randomKill(rng)}
		case target.recovery:
			p.target, p.kills = target.name, []kill{randomKill(rng), pick(rng, target)}
		default:
			p.target, p.kills = target.name, []kill{pick(rng, target)}
		}
		if rng.IntN(3) == 0 && len(p.kills) == 1 {
			p.kills = append(p.kills, pick(rng, c.points[rng.IntN(len(c.points))]))
		}
		out = append(out, p)
	}
	return out
}

// pick chooses which passing of a point is the last one. Timing decides how
// often a point is passed, so the later half is left out.
func pick(rng *rand.Rand, p point) kill {
	return kill{point: p.name, hit: 1 + rng.IntN((p.times+1)/2)}
}

func randomKill(rng *rand.Rand) kill {
	return kill{acks: 1 + rng.IntN(20), after: time.Duration(rng.IntN(3000)) * time.Microsecond}
}

// shrink looks for an earlier kill that fails too: the less was done before,
// the less there is to read.
func (c *campaign) shrink(worst *result) *result {
	for range 4 {
		p := &plan{seed: worst.plan.seed}
		smaller := false
		for _, k := range worst.plan.kills {
			if k.hit > 1 {
				k.hit, smaller = k.hit/2, true
			}
			p.kills = append(p.kills, k)
		}
		if !smaller {
			break
		}
		r := c.run(p)
		if r.evidence == "" {
			break
		}
		worst = r
	}
	return worst
}
