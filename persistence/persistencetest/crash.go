package persistencetest

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
)

// A Scenario is a program that is killed. Its functions run in child
// processes, Open once in each, so that they may share variables.
type Scenario struct {
	// Open opens the layer on dir and declares its kinds.
	Open func(ctx context.Context, dir string) (*persistence.Layer, error)
	// Load does what the program does, while the layer works, and tells the
	// recorder of each Put. It is short: some tens of objects. An error other
	// than the end of ctx fails the test. Load runs again after a restart, with
	// another Recorder.Round.
	Load func(ctx context.Context, layer *persistence.Layer, r *Recorder) error
	// Check compares what is in the stores with the history, when everything is
	// drained. Its error is the evidence: it names the first object that is
	// wrong, and how.
	Check func(ctx context.Context, layer *persistence.Layer, h *History) error
	// Runs is how many kills are enough when no flag says more. Zero means one
	// per point, and fewer with -short or -race.
	Runs int
	// Points limits the kills to the points whose names begin so; empty: all that
	// the scenario passes.
	Points string
	// Disturb, if not nil, breaks what the program depends on: it kills a
	// server and starts it again, say, and returns when everything is mended or
	// ctx ends, with everything mended too. It runs in the parent process, once
	// beside each start that is killed, from its first acknowledgement on; ctx
	// ends with that start. Runs then go one after the other.
	Disturb func(ctx context.Context, rng *rand.Rand)
	// Clean, if not nil, removes what a run left outside of dir: its tables on a
	// server, say, in a namespace that Open made of dir. It runs in the parent
	// process, once after the last start of each run.
	Clean func(ctx context.Context, dir string) error
	// Secrets are texts that nothing which the program prints may show, such as a
	// password of its configuration. They are not repeated in the evidence.
	Secrets []string
	// Leaves allows tasks to be left when everything due is drained; otherwise
	// they are evidence.
	Leaves bool
}

var (
	crashRuns = flag.Int("crash.runs", 0, "kills per crash test; 0: each point once, fewer with -short or -race")
	crashSeed = flag.Uint64("crash.seed", 1, "seed of crash tests: the same seed, the same kills")
	crashAt   = flag.String("crash.at", "", "one run only, with these kills in order, such as accept.after:2,settle.outbox.before:1")
)

// Crash proves a scenario by killing it. A run starts the program in a child
// process, which is this test binary with only this test, and kills it with
// SIGKILL: at the n-th time that it passes one of the points that this module
// names, or at a random moment of its load. Then the program is started again
// on the same directory, where it may be killed again in the middle of its
// recovery. The last start of a run is not killed: it drains, for as long as
// tasks come to their end, and Check compares. The points are found by running the scenario once without a kill
// and once after one; each is the target of at least one run.
//
// A run in which nothing was killed, or nothing acknowledged, proves nothing.
// It is reported as unknown and never as passed: a test in which a point has no
// other runs fails, and so does a run that -crash.at orders and in which one of
// its kills did not strike.
//
//	go test -run Crash -args -crash.runs=1000 -crash.seed=7
//	go test -run Crash -args -crash.at=settle.outbox.before:3   // one run, as a failure names it
//
// At most one Crash per test; use t.Run for several.
func Crash(t testing.TB, s Scenario) {
	t.Helper()
	if order := os.Getenv(childVariable); order != "" {
		s.child(t.Name(), order) // does not return for the test that is meant
		t.Skip("another test is being killed")
	}
	if runtime.GOOS == "windows" {
		t.Skip("crash tests need a pipe that a child process inherits; nothing is proved here about kills")
	}
	once(t)
	c := &campaign{t: t, seed: *crashSeed, dir: t.TempDir(), disturb: s.Disturb, clean: s.Clean, at: s.Points, secrets: s.Secrets}
	if *crashAt != "" {
		c.replay(parseKills(t, *crashAt))
		return
	}
	c.census()
	c.runAll(c.plans(s.runs(len(c.points))))
	c.verdict()
}

var crashed sync.Map

// once refuses a second Crash in one test: its children would be the first's.
func once(t testing.TB) {
	t.Helper()
	if _, again := crashed.LoadOrStore(t.Name(), t); again && os.Getenv(childVariable) == "" {
		if n := flag.Lookup("test.count"); n == nil || n.Value.String() == "1" {
			t.Fatal("persistencetest.Crash was called twice in one test: use t.Run")
		}
	}
}

// runs is how many runs are worth while.
func (s *Scenario) runs(points int) int {
	switch {
	case *crashRuns > 0:
		return *crashRuns
	case s.Runs > 0:
		points = min(points, s.Runs)
	}
	if testing.Short() || raceEnabled {
		return min(points, 2)
	}
	return points
}

// A campaign is all runs of one Crash.
type campaign struct {
	t    testing.TB
	seed uint64
	dir  string

	disturb func(context.Context, *rand.Rand) // may be nil
	secrets []string
	clean   func(context.Context, string) error // may be nil

	at       string  // how the names of points begin
	points   []point // that the scenario passes
	planned  int
	mu       sync.Mutex
	passed   int
	unknown  []*result
	failures []*result
	decided  map[string]bool // points at which a kill was survived, or not
	began    time.Time
	said     time.Time // when it last said how far it is
}

// A point is a place that the scenario passes.
type point struct {
	name     string
	times    int  // in one start
	recovery bool // only after a kill
}

// census finds the points.
func (c *campaign) census() {
	c.t.Helper()
	c.began, c.decided = time.Now(), map[string]bool{}
	seen := map[string]point{}
	for _, recovery := range []bool{false, true} {
		p := &plan{count: true, seed: c.seed}
		if recovery {
			p.kills = []kill{{acks: 3}}
		}
		r := c.run(p)
		if r.evidence != "" || len(r.history.Acked) == 0 {
			c.t.Fatalf("persistencetest.Crash: the scenario does not pass as it is (%s): %s\n%s", &r.history, r.evidence, r.output)
		}
		for name, n := range r.counts {
			if _, known := seen[name]; !known {
				seen[name] = point{name: name, times: n, recovery: recovery}
			}
		}
	}
	for _, p := range seen {
		if strings.HasPrefix(p.name, c.at) {
			c.points = append(c.points, p)
		}
	}
	slices.SortFunc(c.points, func(a, b point) int { return strings.Compare(a.name, b.name) })
}

// workers is how many runs go side by side: children wait for the disk more
// than they compute. What one run disturbs would disturb another.
func (c *campaign) workers() int {
	if c.disturb != nil {
		return 1
	}
	return max(2, runtime.GOMAXPROCS(0))
}

func (c *campaign) runAll(plans []*plan) {
	work := make(chan *plan)
	var wg sync.WaitGroup
	c.planned, c.said = len(plans), time.Now()
	for range c.workers() {
		wg.Go(func() {
			for p := range work {
				c.report(c.decide(p))
			}
		})
	}
	for _, p := range plans {
		work <- p
	}
	close(work)
	wg.Wait()
}

// decide runs a plan. How often a point is passed depends on timing, so a run
// that did not come to its target is repeated for its first passing. A kill
// before anything was acknowledged proves nothing, so that plan is repeated
// behind another kill, after which there is something to lose.
func (c *campaign) decide(p *plan) *result {
	r := c.run(p)
	if !r.killedAt(p.target) && r.evidence == "" && p.target != "" {
		first := &plan{seed: p.seed, target: p.target, kills: slices.Clone(p.kills)}
		for i := range first.kills {
			first.kills[i].hit = min(first.kills[i].hit, 1)
		}
		p, r = first, c.run(first)
	}
	if r.proves() {
		return r
	}
	return c.run(&plan{seed: p.seed, target: p.target, kills: append([]kill{{acks: 5}}, p.kills...)})
}

// report counts a result.
func (c *campaign) report(r *result) {
	if r.evidence != "" {
		r = c.shrink(r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.say()
	switch {
	case r.evidence != "":
		c.failures = append(c.failures, r)
		// A long campaign says at once what the verdict will say in full.
		c.t.Logf("persistencetest.Crash: failed, after %d passed: %s (%s): %s", c.passed, r.plan, &r.history, r.evidence)
	case !r.proves():
		c.unknown = append(c.unknown, r)
		return
	default:
		c.passed++
	}
	for _, k := range r.history.Kills {
		point, _, _ := strings.Cut(k, ":")
		c.decided[point] = true
	}
}

// replay carries out one run, as a failure named it, with the same seed.
func (c *campaign) replay(kills []kill) {
	c.t.Helper()
	r := c.run(&plan{seed: c.seed, kills: kills})
	c.t.Logf("persistencetest.Crash: seed %d: %s", c.seed, &r.history)
	if r.evidence != "" {
		c.t.Errorf("persistencetest.Crash: %s\n%s", r.evidence, r.output)
	} else if struck := len(r.history.Kills); struck < len(kills) || !r.proves() {
		c.t.Errorf("persistencetest.Crash: unknown: %d of %d kills struck, and %d objects were acknowledged: nothing was proved",
			struck, len(kills), len(r.history.Acked))
	}
}

// sayEvery is how often a campaign says how far it is; -v shows it.
const sayEvery = 30 * time.Second

func (c *campaign) say() {
	if now := time.Now(); now.Sub(c.said) >= sayEvery {
		c.said = now
		c.t.Logf("persistencetest.Crash: of %d runs %d passed, %d failed, %d are unknown, in %v", c.planned,
			c.passed, len(c.failures), len(c.unknown), now.Sub(c.began).Round(time.Second))
	}
}

// verdict says what the campaign proved, with the smallest failure first.
func (c *campaign) verdict() {
	c.t.Helper()
	slices.SortStableFunc(c.failures, func(a, b *result) int { return cmp.Compare(a.size(), b.size()) })
	for i, r := range c.failures {
		if i == 3 {
			c.t.Errorf("… and %d more", len(c.failures)-i)
			break
		}
		c.t.Errorf("seed %d: %s\n%s\nagain: go test -run '^%s$' -args -crash.seed=%d -crash.at=%s\n%s",
			c.seed, &r.history, r.evidence, c.t.Name(), r.plan.seed, r.plan, r.output)
	}
	for i, r := range c.unknown {
		if i < 3 {
			c.t.Logf("unknown, not counted as passed: %s (%s)", r.plan, &r.history)
		}
	}
	var undecided []string
	for _, p := range c.points {
		if !c.decided[p.name] && c.planned >= len(c.points) {
			undecided = append(undecided, p.name)
		}
	}
	if len(undecided) > len(c.points)/5 {
		c.t.Errorf("no run decided anything about %s", strings.Join(undecided, ", "))
	} else if len(undecided) > 0 {
		c.t.Logf("unknown: no run was killed at %s", strings.Join(undecided, ", "))
	}
	if c.passed == 0 && len(c.failures) == 0 {
		c.t.Error("every run is unknown: nothing was proved")
	}
	c.t.Logf("seed %d, %d points: %d runs passed, %d failed, %d unknown, in %v", c.seed, len(c.points),
		c.passed, len(c.failures), len(c.unknown), time.Since(c.began).Round(time.Millisecond))
	if len(c.failures)+len(c.unknown)+c.passed != c.planned {
		c.t.Error(fmt.Sprint("of ", c.planned, " runs only ", c.passed+len(c.failures)+len(c.unknown), " were counted"))
	}
}
