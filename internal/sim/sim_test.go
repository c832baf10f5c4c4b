package sim

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/internal/flow"
)

var (
	seeds = flag.Int("sim.seeds", 100, "how many histories are replayed")
	first = flag.Uint64("sim.first", 1, "seed of the first")
)

// event is one thing that happens. Zero is a step of somebody's work.
func (w *world) event() {
	p := w.processes[w.choose(len(w.processes))]
	switch w.choose(16) {
	case 9, 10:
		if !w.calm && w.pending() < 5 && len(w.puts) < 20 {
			w.accept(p)
		}
	case 11:
		if !w.calm && w.chance(3) {
			w.kill(p)
		}
	case 12:
		if !w.calm && w.chance(3) {
			p.pause = w.now + w.pausedFor()
			w.note("process %d is stopped until %d", p.owner, p.pause)
		}
	case 13:
		if !w.calm {
			p.skew = []int64{0, 3600 * second, -3600 * second, 20 * ms}[w.choose(4)]
			w.note("the clock of process %d is off by %d", p.owner, p.skew)
		}
	case 14, 15:
		if !w.calm {
			if s := 1 + w.choose(stores); !w.up[s] || w.chance(3) {
				w.up[s] = !w.up[s]
				w.note("store %d up: %t", s, w.up[s])
			}
		}
	default:
		w.work(p)
	}
	w.elapse()
}

func (w *world) kill(p *process) {
	w.note("process %d is killed", p.owner)
	w.processes[slices.Index(w.processes, p)] = w.start()
}

// work lets a process take something, renew a lease, or go on.
func (w *world) work(p *process) {
	if p.pause > w.now {
		return
	}
	for _, h := range p.holds { // leases are renewed when there is time for it
		if h.told != nil || h.row.Until-w.now >= lease/2 {
			continue
		}
		if answer := w.answer(); answer == applied || answer == lost {
			held := w.custody.extend(h.row, p.owner, w.now, lease)
			h.gone = h.gone || !held && answer == applied
		}
	}
	due := w.custody.claimable(w.now, p, func(s byte) bool { return w.up[s] })
	if len(due) > 0 && len(p.holds) < 4 && (len(p.holds) == 0 || w.choose(3) == 0) {
		w.begin(p, due[w.choose(len(due))])
		return
	}
	if len(p.holds) > 0 {
		i := w.choose(len(p.holds))
		if !w.step(p, p.holds[i]) {
			p.holds = slices.Delete(p.holds, i, i+1)
		}
	}
}

// always is what must hold at every step.
func (w *world) always(before [stores + 1][keys]int64) {
	for s := range w.cells {
		for k := range w.cells[s] {
			if w.cells[s][k] < before[s][k] {
				w.violated("store %d went back from version %d to %d of key %d", s, before[s][k], w.cells[s][k], k)
			}
		}
	}
	for _, r := range w.custody.rows {
		ended := 0
		for i := range plan {
			if w.ended[[2]int{r.id, i}] != "" {
				ended++
			}
		}
		if !w.custody.careless && r.Stand == flow.Gone && ended < len(plan) {
			w.violated("envelope %d is done, and %d of its tasks ended", r.id, ended)
		}
	}
}

// run plays a history to its end, and returns the world.
func run(t *tape, careless bool) *world {
	w := newWorld(t)
	w.custody.careless = careless
	w.accept(w.processes[0])
	for range 400 {
		before := w.cells
		w.event()
		if w.always(before); w.broken != "" {
			return w
		}
	}
	if careless {
		return w // what it broke by now may never end
	}
	w.heal()
	for steps := 0; w.pending() > 0; steps++ {
		if steps > 20_000 {
			w.violated("%d envelopes are never done", w.pending())
			return w
		}
		before := w.cells
		w.event()
		if w.always(before); w.broken != "" {
			return w
		}
	}
	w.agree()
	return w
}

func (w *world) heal() {
	w.calm = true
	for s := range w.up {
		w.up[s] = true
	}
	for _, p := range w.processes {
		p.pause, p.skew, p.serves = 0, 0, true
	}
	w.note("everything is mended")
}

func (w *world) pending() (n int) {
	for _, r := range w.custody.rows {
		if r.Stand != flow.Gone {
			n++
		}
	}
	return n + len(w.late)
}

// agree is what must hold when everything is drained: each object's tasks are
// done, and each store has the newest version that did not die there.
func (w *world) agree() {
	for _, p := range w.puts {
		if n := w.effects[p.id]; n != 1 && w.ended[[2]int{p.id, txTask}] == "done" {
			w.violated("the transaction of %d is done, and had its effect %d times", p.id, n)
		}
	}
	for task, store := range map[int]int{2: 4, 3: 2} {
		var newest [keys]int64
		for _, p := range w.puts {
			if w.ended[[2]int{p.id, task}] == "done" {
				newest[p.key] = max(newest[p.key], p.version)
			}
		}
		for k, v := range newest {
			if w.cells[store][k] < v {
				w.violated("store %d has version %d of key %d, and %d was written", store, w.cells[store][k], k, v)
			}
		}
	}
}

// small is the history, cut down to what matters.
func (w *world) small(careless bool) []int {
	return shrink(w.choices, func(t *tape) bool { return gist(run(t, careless).broken) == gist(w.broken) })
}

// failure describes a failing history, cut down to what matters.
func failure(w *world, careless bool) string {
	small := w.small(careless)
	again := run(&tape{choices: slices.Clone(small), fixed: true}, careless)
	return fmt.Sprintf("seed %d: %s\ncut down from %d choices that matter to %d:\n%s", w.seed, w.broken, wrongs(w.choices), wrongs(small), again.log.String())
}

// histories is what there must be in them.
var histories = []string{
	"killed", "stopped", "swept", "settlement of", "late:", "outage", "skip", "clock of", "put ", "charges", "ends process",
	"a put is refused", "is not told", "is not applied", "is not heard", "lane 2", "lane 3",
	"outcome 0\n", "outcome 1\n", "outcome 3\n", "outcome 4\n", "outcome 6\n", "outcome 7\n", "outcome 8\n", "outcome 9\n", "outcome 10\n",
}

// Every seed gives one history, the same byte for byte each time, and none of
// them violates what must always hold.
func TestHistories(t *testing.T) {
	counts := map[string]int{}
	for i := range *seeds {
		seed := *first + uint64(i)
		w := run(newTape(seed), false)
		if w.broken != "" {
			t.Fatal(failure(w, false))
		}
		text := w.log.String()
		if again := run(newTape(seed), false).log.String(); again != text {
			t.Fatalf("seed %d gives two histories", seed)
		}
		for _, what := range histories {
			counts[what] += strings.Count(text, what)
		}
		for _, how := range w.ended {
			counts[how]++
		}
	}
	t.Logf("%d histories from seed %d: %v", *seeds, *first, counts)
	for _, what := range append(histories, "done", "skipped", "dead: permanent", "dead: refused", "dead: expired", "dead: the process ended each time that this task ran") {
		if counts[what] == 0 {
			t.Errorf("no history has %q: nothing is proved about it", what)
		}
	}
}

// Without the fence a transaction happens twice. That is found, and cut down to
// the few choices that it takes.
func TestAPlantedBugIsFoundAndCutDown(t *testing.T) {
	for seed := range uint64(2000) {
		w := run(newTape(seed), true)
		if !strings.Contains(w.broken, "had its effect") {
			continue
		}
		text := failure(w, true)
		t.Log(text)
		small := w.small(true)
		if wrongs(small) > wrongs(w.choices)/2 {
			t.Errorf("%d of %d choices are left", wrongs(small), wrongs(w.choices))
		}
		return
	}
	t.Fatal("2000 histories without a fence, and no transaction happened twice")
}
