package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/internal/hlc"
)

const (
	ms     = int64(1000)
	second = 1000 * ms
	lease  = 3 * second
	stores = 4 // purposes 1 to 4
	keys   = 3
)

// plan are the tasks of every object: a handler that runs in the order of the
// object's key, a Tx task, default writes to three stores of which one is a cache,
// and a handler that older programs do not know.
var plan = []flow.Spec{
	{Priority: 1, RealTime: true, MaxAttempts: 4, MaxBackoff: 8 * second},
	{Priority: 2, MaxAttempts: 3, MaxBackoff: 8 * second, Store: 3},
	{Priority: 3, MaxAttempts: 3, MaxBackoff: 8 * second, Store: 4},
	{Priority: 3, MaxAttempts: 2, MaxBackoff: 8 * second, Store: 2, Within: 20 * second},
	{Priority: 4, MaxAttempts: 2, MaxBackoff: 8 * second, Within: 30 * second, Expire: true},
}

const (
	orderTask = 0 // waits for the earlier objects of its key
	txTask    = 1 // has an effect that must happen once; the others write versions
	cacheTask = 3
	newTask   = 4 // which older programs do not know
	outboxAt  = 3 // the store that custody is in
	horizon   = 600 * second
)

// handles reports whether a task of the plan is the program's own function.
func handles(task int) bool { return plan[task].Store == 0 }

// A hold is an envelope in a process's hands.
type hold struct {
	row     *row
	seq     uint64
	run     flow.Run
	plan    []int // of each task of run, its entry in the plan
	act     flow.Action
	left    []int            // of the class, not ended
	begins  bool             // none of the class has run yet
	counted bool             // attempts were counted before they ran
	gone    bool             // the process was told that its claim is lost
	told    *flow.Settlement // what custody did not answer to
}

// A process is one incarnation of a program.
type process struct {
	owner  uint64
	serves bool  // it knows all tasks
	skew   int64 // of its wall clock
	pause  int64 // stopped until then
	clock  hlc.State
	floor  int64 // every version that was handed out when it began, or by it
	holds  []*hold
}

// A lateWrite lands after its outcome was given up.
type lateWrite struct {
	at          int64
	store, key  int
	version     int64
	description string
}

// A world is everything, and what it must never show.
type world struct {
	*tape
	now       int64
	custody   custody
	processes []*process
	owners    uint64
	ceiling   int64 // durable high-water mark of the clock
	handed    int64 // the newest version
	up        [stores + 1]bool
	calm      bool // faults are over
	cells     [stores + 1][keys]int64
	late      []lateWrite
	puts      []put
	effects   map[int]int // of Tx tasks, by row
	ended     map[[2]int]string
	deaths    map[int]int    // of processes, by the row whose handler ended them
	tries     map[[2]int]int // of handlers, those included that were charged and not heard of
	log       strings.Builder
	broken    string // the first invariant that was violated
}

type put struct {
	id, key int
	version int64
}

func newWorld(t *tape) *world {
	w := &world{tape: t, now: 1_000_000 * second, effects: map[int]int{}, ended: map[[2]int]string{}, deaths: map[int]int{}, tries: map[[2]int]int{}}
	for p := range w.up {
		w.up[p] = true
	}
	w.processes = []*process{w.start(), w.start()}
	return w
}

func (w *world) start() *process {
	w.owners++
	w.ceiling += hlc.Step // another process may have raised it meanwhile
	return &process{owner: w.owners, clock: hlc.Restart(w.ceiling), floor: w.handed, serves: w.calm || w.owners <= 2 || w.choose(2) == 0}
}

func (w *world) note(format string, args ...any) {
	fmt.Fprintf(&w.log, "%d ", w.now-1_000_000*second)
	fmt.Fprintf(&w.log, format, args...)
	w.log.WriteByte('\n')
}

// violated notes the first violation.
func (w *world) violated(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
		w.note("VIOLATED %s", w.broken)
	}
}

// version is the process's next version, its ceiling made durable first; ok is
// false when that cannot be.
func (w *world) version(p *process) (version int64, ok bool) {
	next, version, want, ok := p.clock.Next(w.now + p.skew)
	if want > 0 && w.answer() == applied {
		w.ceiling = max(w.ceiling, want)
		next = next.Raised(w.ceiling)
	}
	if !ok {
		next, version, _, ok = next.Next(w.now + p.skew)
	}
	switch p.clock = next; {
	case !ok && next.Ceiling >= want:
		w.violated("a clock whose ceiling was raised has no version")
	case ok && (version <= p.floor || version > w.ceiling):
		w.violated("version %d is not above %d, or above the ceiling %d", version, p.floor, w.ceiling)
	}
	if ok {
		p.floor, w.handed = version, max(w.handed, version)
	}
	return version, ok
}

// answer is what becomes of something that custody is told.
func (w *world) answer() answer {
	switch {
	case w.calm:
		return applied
	case !w.up[outboxAt]:
		return down
	}
	return []answer{13: down, 14: lost, 15: dropped}[w.choose(16)]
}

// accept records an object in custody.
func (w *world) accept(p *process) {
	key := w.choose(keys)
	version, ok := w.version(p)
	answer := w.answer()
	if !ok || answer == down || answer == dropped {
		w.note("a put is refused, version %t, answer %d", ok, answer)
		return
	}
	r := &row{id: len(w.puts) + 1, key: key, version: version, accepted: w.now, poison: w.chance(20)}
	for i := range plan {
		r.tasks, r.plan = append(r.tasks, flow.Task{Spec: &plan[i]}), append(r.plan, i)
	}
	w.custody.put(r)
	w.puts = append(w.puts, put{r.id, key, r.version})
	w.note("put %d key %d version %d poison %t answer %d", r.id, key, r.version-1_000_000*second, r.poison, answer)
}

// write is a default write: the newest version stays.
func (w *world) write(store, key int, version int64) (stale bool) {
	cell := &w.cells[store][key]
	if version < *cell {
		return true
	}
	*cell = version
	return false
}

// elapse lets time go on.
func (w *world) elapse() {
	w.now += []int64{ms, 10 * ms, 100 * ms, second}[w.choose(4)]
	kept := w.late[:0]
	for _, l := range w.late {
		if l.at > w.now {
			kept = append(kept, l)
			continue
		}
		w.note("late: %s, stale %t", l.description, w.write(l.store, l.key, l.version))
	}
	w.late = kept
	if n := 0; w.up[outboxAt] {
		if n = w.custody.sweep(w.now); n > 0 {
			w.note("swept %d", n)
		}
	}
}

// pausedFor is how long a stopped process stays so: about a lease.
func (w *world) pausedFor() int64 {
	return []int64{time.Second.Microseconds(), 2 * second, 4 * second, 9 * second}[w.choose(4)]
}
