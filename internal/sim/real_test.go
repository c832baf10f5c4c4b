package sim

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
)

var outboxSeeds = flag.Int("sim.outbox", 16, "how many histories of a real outbox are played")

// overFile runs a test in a bubble, in which time passes at once, over a file
// that its histories share, one after the other.
func overFile(t *testing.T, test func(t *testing.T, file transactional.Driver)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		file, err := embedded.Dir(dir, &embedded.Options{Relaxed: true}).OpenDriver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		(&outbox{ctx: t.Context(), file: file, ledger: newLedger()}).start().store.Close() // makes the tables
		test(t, file)
	})
}

// cut describes a failing history of an outbox, cut down to what matters.
func (o *outbox) cut() string {
	small := shrink(o.choices, func(trial *tape) bool { return gist(play(o.ctx, o.file, trial, o.bug).broken) == gist(o.broken) })
	again := play(o.ctx, o.file, &tape{choices: slices.Clone(small), fixed: true}, o.bug)
	return fmt.Sprintf("seed %d: %s\ncut down from %d choices that matter to %d:\n%s", o.seed, o.broken, wrongs(o.choices), wrongs(small), again.log.String())
}

// happens is what histories of an outbox must have in them.
var happens = []string{
	"unknown", "unavailable", "conflict", "repeats", "exists", "not found", "is killed", "jumps by 3600", "jumps by -3600",
	"sweeps: applied 1", "sweeps: unknown", "seizes", "takes", "renews", "in a transaction", "at a time",
}

// The real outbox does what flow's steps say and answers what it did, with every
// answer lost or refused that can be, owners that die, leases that end and a
// server whose clock jumps; and what was claimed stays so until it is settled by
// its owner or its lease is over, whatever flow's steps say.
func TestOutboxHistories(t *testing.T) {
	const shards = 2
	var mu sync.Mutex
	counts := map[string]int{}
	t.Run("shard", func(t *testing.T) {
		for shard := range shards {
			t.Run(fmt.Sprint(shard), func(t *testing.T) {
				t.Parallel()
				overFile(t, func(t *testing.T, file transactional.Driver) {
					for i := shard; i < *outboxSeeds; i += shards {
						text := history(t, file, *first+uint64(i), i%10 < shards)
						mu.Lock()
						for _, what := range happens {
							counts[what] += strings.Count(text, what)
						}
						mu.Unlock()
					}
				})
			})
		}
	})
	t.Logf("%d histories from seed %d: %v", *outboxSeeds, *first, counts)
	for _, what := range happens {
		if counts[what] == 0 {
			t.Errorf("no history has %q: nothing is proved about it", what)
		}
	}
}

// history plays a seed, and some of them twice.
func history(t *testing.T, file transactional.Driver, seed uint64, twice bool) string {
	o := play(t.Context(), file, newTape(seed), bug{})
	if o.broken != "" {
		t.Fatal(o.cut())
	}
	text := o.log.String()
	if twice && play(t.Context(), file, newTape(seed), bug{}).log.String() != text {
		t.Fatalf("seed %d gives two histories", seed)
	}
	return text
}

// bugs are those that a statement of the outbox may have, with a seed that finds
// each.
var bugs = []struct {
	bug
	seed uint64
}{
	{bug{of: "state = 1 AND queue = '' AND sort <= ?", instead: "state = 1 AND queue = '' AND sort <= ? + 1000000"}, 4}, // frees too early
	{bug{of: "lost = lost + 1", instead: "lost = lost"}, 1},
	{bug{of: "owner = ?, wake = 0", instead: "owner = ?"}, 19},
	{bug{of: "SET sort = ? WHERE state = 1 AND owner = ?", instead: "SET sort = ? WHERE state = 1 AND owner <= ?"}, 10}, // renews another's
	{bug{of: "state = 0 OR (state = 2", instead: "state < 2 OR (state = 2"}, 2},                                         // takes what is held
	{bug{of: "due = ? WHERE id = ? AND state = 2", instead: "due = ? WHERE id = ? AND state = 9"}, 21},                  // wakes nobody
	{bug{of: "MIN(id)", instead: "MAX(id)"}, 5},
	{bug{of: "owner = ? AND seq = ?", instead: "owner = ? AND seq >= ?"}, 83}, // no fence in a transaction
	{bug{of: "AND seq = 0 AND orders = 0", instead: "AND seq = 0"}, 7},        // ends without a look at orders
	{bug{of: "queue = ? ORDER BY sort, id", instead: "queue = ? ORDER BY id"}, 1},
	{bug{of: "SELECT priority FROM", instead: "SELECT 9 FROM"}, 16},
	{bug{of: "WHERE kind = ? AND token", instead: "WHERE kind <> ? AND token"}, 1},
}

// Each bug in a statement is found.
func TestPlantedBugsOfTheOutboxAreFound(t *testing.T) {
	overFile(t, func(t *testing.T, file transactional.Driver) {
		for _, planted := range bugs {
			o := play(t.Context(), file, newTape(planted.seed), planted.bug)
			for seed := uint64(1); seed < 300 && o.broken == ""; seed++ { // histories have changed
				o = play(t.Context(), file, newTape(seed), planted.bug)
			}
			t.Logf("%q is found by seed %d: %.80q", planted.instead, o.seed, o.broken)
			if o.broken == "" {
				t.Errorf("%q instead of %q is not found", planted.instead, planted.of)
			}
		}
	})
}

// aside is an outbox whose events a test chooses.
func aside(t *testing.T, test func(t *testing.T, o *outbox)) {
	overFile(t, func(t *testing.T, file transactional.Driver) {
		o := newOutbox(t.Context(), file, newTape(1))
		o.server = true
		test(t, o)
		for _, a := range o.agents {
			a.store.Close()
		}
	})
}

// claims makes an agent hold a new record, from now on.
func (o *outbox) claims(t *testing.T, a *agent, id int) {
	t.Helper()
	_, err := a.store.Apply(o.ctx, &transactional.Unit{Add: []transactional.Record{{ID: recordID(id), Kind: "k", Lane: "one"}}})
	if err != nil {
		t.Fatal(err)
	}
	rs, err := a.store.Claim(o.ctx, transactional.ClaimRequest{Lanes: lanes, Max: 1, Owner: a.owner, Lease: claimLease})
	if err != nil || len(rs) != 1 {
		t.Fatalf("claimed %v, %v", numbers(rs), err)
	}
}

// frees fails when a sweep frees another number of claims.
func (o *outbox) frees(t *testing.T, a *agent, want int) {
	t.Helper()
	if freed, err := a.store.Sweep(o.ctx); err != nil || freed != want {
		t.Errorf("a sweep frees %d claims, %v, want %d", freed, err, want)
	}
}

// A process that has found nothing to claim yet knows all the same for how long
// others claim, and waits for so long when the server's clock has leapt ahead.
func TestWhoFoundNothingFreesNobodyAfterALeap_A21(t *testing.T) {
	aside(t, func(t *testing.T, o *outbox) {
		o.agents = []*agent{o.start(), o.start()}
		o.claims(t, o.agents[0], 1)
		time.Sleep(time.Second)
		o.skew += 3600 * second
		o.frees(t, o.agents[1], 0)
		time.Sleep(claimLease + trusted)
		o.frees(t, o.agents[1], 1)
	})
}

// A process that began after the server's clock went back keeps what it claimed
// when another, which saw the clock go back, tells of it.
func TestWhoTellsThatTheClockWentBackFreesNobody_A21(t *testing.T) {
	aside(t, func(t *testing.T, o *outbox) {
		o.agents = []*agent{o.start()}
		time.Sleep(time.Second)
		o.skew -= 3600 * second
		o.agents = append(o.agents, o.start())
		o.claims(t, o.agents[1], 1)
		o.frees(t, o.agents[0], 0)
		time.Sleep(claimLease + trusted)
		o.frees(t, o.agents[0], 1)
	})
}
