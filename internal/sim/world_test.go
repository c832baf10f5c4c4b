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

// plan are the tasks of every object: a Tx task, default writes to two stores,
// and a handler.
var plan = []flow.Spec{
	{Priority: 1, RealTime: true, MaxAttempts: 4, MaxBackoff: 8 * second},
	{Priority: 2, MaxAttempts: 3, MaxBackoff: 8 * second, Store: 3},
	{Priority: 3, MaxAttempts: 3, MaxBackoff: 8 * second, Store: 4},
	{Priority: 3, MaxAttempts: 2, MaxBackoff: 8 * second, Store: 2, Within: 20 * second},
}

// txTask is the task whose effect must happen once; the others write versions.
const txTask = 1

// taskOf finds a task by its plan's entry.
func taskOf(t *flow.Task) int {
	for i := range plan {
		if t.Spec == &plan[i] {
			return i
		}
	}
	panic("a task of no plan")
}

// A hold is an envelope in a process's hands.
type hold struct {
	row  *row
	seq  int
	run  flow.Run
	act  flow.Action
	left []int // of the class, not ended
	gone bool  // the process was told that its claim is lost
}

// A process is one incarnation of a program.
type process struct {
	owner int
	skew  int64 // of its wall clock
	pause int64 // stopped until then
	clock hlc.State
	holds []*hold
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
	owners    int
	ceiling   int64 // durable high-water mark of the clock
	up        [stores + 1]bool
	calm      bool // faults are over
	cells     [stores + 1][keys]int64
	late      []lateWrite
	puts      []put
	effects   map[int]int // of Tx tasks, by row
	ended     map[[2]int]string
	log       strings.Builder
	broken    string // the first invariant that was violated
}

type put struct {
	id, key int
	version int64
}

func newWorld(t *tape) *world {
	w := &world{tape: t, now: 1_000_000 * second, effects: map[int]int{}, ended: map[[2]int]string{}}
	for p := range w.up {
		w.up[p] = true
	}
	w.processes = []*process{w.start(), w.start()}
	return w
}

func (w *world) start() *process {
	w.owners++
	w.ceiling += hlc.Step // another process may have raised it meanwhile
	return &process{owner: w.owners, clock: hlc.Restart(w.ceiling)}
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

// version is the process's next version, its ceiling made durable first.
func (w *world) version(p *process) int64 {
	next, version, want, ok := p.clock.Next(w.now + p.skew)
	if want > 0 {
		w.ceiling = max(w.ceiling, want)
		next = next.Raised(w.ceiling)
	}
	if !ok {
		next, version, _, ok = next.Next(w.now + p.skew)
	}
	if !ok {
		w.violated("a clock whose ceiling was raised has no version")
	}
	if version <= p.clock.Last {
		w.violated("version %d after %d", version, p.clock.Last)
	}
	p.clock = next
	return version
}

// accept records an object in custody.
func (w *world) accept(p *process) {
	key := w.choose(keys)
	r := &row{id: len(w.puts) + 1, key: key, version: w.version(p), accepted: w.now}
	for i := range plan {
		r.tasks = append(r.tasks, flow.Task{Spec: &plan[i]})
	}
	w.custody.put(r)
	w.puts = append(w.puts, put{r.id, key, r.version})
	w.note("put %d key %d version %d", r.id, key, r.version-1_000_000*second)
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

// begin runs a claimed row.
func (w *world) begin(p *process, r *row) {
	h := &hold{row: r}
	tasks, seq := w.custody.claim(r, p.owner, w.now, lease)
	h.seq = seq
	h.run = flow.Run{Accepted: r.accepted, Seed: uint64(r.id), Horizon: 3600 * second, Tasks: tasks}
	h.run.Down = w.down()
	h.act = h.run.Begin(w.now, w.choose(2) == 1)
	p.holds = append(p.holds, h)
	w.note("process %d claims %d", p.owner, r.id)
	w.started(h)
}

func (w *world) down() (out [8]bool) {
	for s := 1; s <= stores; s++ {
		out[s] = !w.up[s]
	}
	return out
}

// started checks what begins.
func (w *world) started(h *hold) {
	if h.act.Kind != flow.Start {
		return
	}
	h.left = append([]int(nil), h.act.Tasks...)
	for _, i := range h.left {
		t := &h.run.Tasks[i]
		if t.State != flow.Waiting || t.NotBefore > w.now {
			w.violated("task %d of %d starts, which is %d and not before %d", taskOf(t), h.row.id, t.State, t.NotBefore)
		}
	}
}

// step lets a process do one thing with an envelope, and reports whether it
// still holds it.
func (w *world) step(p *process, h *hold) bool {
	switch h.act.Kind {
	case flow.Start, flow.Wait:
		if h.gone {
			w.cancel(h)
			return true
		}
		i := h.left[0]
		h.left = h.left[1:]
		h.act = h.run.Ended(w.now, w.attempt(p, h, i))
	case flow.Look:
		h.act = h.run.Looked(w.now, w.chance(4))
	case flow.Pass, flow.GiveBack:
		h.act = h.run.Begin(w.now, false)
	default:
		w.settle(p, h)
		return false
	}
	w.started(h)
	return true
}

// cancel ends the class of a claim that is lost.
func (w *world) cancel(h *hold) {
	for _, i := range h.left {
		h.act = h.run.Ended(w.now, flow.End{Task: i, Outcome: flow.Cancelled})
	}
	h.left = nil
}

func (w *world) settle(p *process, h *hold) {
	h.run.Down = w.down()
	s := h.run.Settlement(w.now)
	if !w.custody.settle(h.row, p.owner, h.seq, s, h.run.Tasks) {
		w.note("process %d: settlement of %d refused", p.owner, h.row.id)
		return
	}
	w.recorded(h)
	w.note("process %d settles %d: done %t, lane %d, due %d", p.owner, h.row.id, s.Done, s.Lane, s.Due)
}

// recorded notes the tasks whose end custody has been told.
func (w *world) recorded(h *hold) {
	for i := range h.run.Tasks {
		t := &h.run.Tasks[i]
		if t.State == flow.Waiting {
			continue
		}
		w.ended[[2]int{h.row.id, taskOf(t)}] = ending(t)
		if t.State == flow.Dead && t.Attempts < t.Spec.MaxAttempts && t.Reason != "permanent" {
			w.violated("task %d of %d died after %d of %d attempts: %s", taskOf(t), h.row.id, t.Attempts, t.Spec.MaxAttempts, t.Reason)
		}
	}
}

func ending(t *flow.Task) string {
	if t.State == flow.Dead {
		return "dead: " + t.Reason
	}
	return "done"
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
	if n := w.custody.sweep(w.now); n > 0 {
		w.note("swept %d", n)
	}
}

// pausedFor is how long a stopped process stays so: about a lease.
func (w *world) pausedFor() int64 {
	return []int64{time.Second.Microseconds(), 2 * second, 4 * second, 9 * second}[w.choose(4)]
}
