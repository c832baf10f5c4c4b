package embedded

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// world drives an index against a table that is a map, one step at a time, and
// against a model that has no windows. Small windows make every edge common.
type world struct {
	t     *rapid.T
	x     *index
	owner *owner
	now   int64
	last  int64
	table map[int64]row
	model map[int64]*modelJob
	held  []claim
}

type modelJob struct {
	row
	state    state
	deadline int64
}

var tubeNames = []string{"a", "b"}

func newWorld(t *rapid.T) *world {
	return &world{
		t: t, x: newIndex(rapid.IntRange(4, 8).Draw(t, "window"), 64), owner: &owner{epoch: "e"}, now: 1000,
		table: map[int64]row{}, model: map[int64]*modelJob{},
	}
}

func (w *world) put(t *rapid.T) {
	for range rapid.IntRange(1, 12).Draw(t, "jobs") {
		w.last++
		r := row{
			id: w.last, tube: rapid.SampledFrom(tubeNames).Draw(t, "tube"),
			priority: uint32(rapid.IntRange(0, 4).Draw(t, "priority")), ttr: int64(rapid.IntRange(1, 100).Draw(t, "ttr")),
		}
		if rapid.IntRange(0, 3).Draw(t, "delayed") == 0 {
			r.readyAt = w.now + int64(rapid.IntRange(0, 40).Draw(t, "delay"))
		}
		w.table[r.id] = r
		w.x.advance(w.now)
		w.x.put(r, []byte("body"), w.now)
		w.model[r.id] = &modelJob{row: r, state: isDelayed}
	}
	w.settleModel()
}

// settleModel lets the model's time pass.
func (w *world) settleModel() {
	for _, j := range w.model {
		if j.state == isDelayed && j.readyAt <= w.now || j.state == isReserved && j.deadline <= w.now {
			j.state, j.readyAt = isReady, 0
		}
	}
}

func (w *world) pass(t *rapid.T) {
	w.now += int64(rapid.IntRange(1, 60).Draw(t, "time"))
	w.x.advance(w.now)
	w.settleModel()
}

// refill does what core.run does, and may let time pass in the middle, as it
// does while a real table is read.
func (w *world) refill(t *rapid.T) {
	name := rapid.SampledFrom(tubeNames).Draw(t, "tube")
	if tube := w.x.tubes[name]; tube != nil {
		w.refillTube(tube, rapid.IntRange(0, 30).Draw(t, "time while reading"))
	}
	w.refillDelayed(rapid.IntRange(0, 30).Draw(t, "time while reading delayed"))
}

func (w *world) refillTube(t *tube, passing int) {
	for _, e := range slices.Collect(maps.Keys(t.expelled)) {
		r := w.table[e.id]
		r.readyAt, r.reserves = 0, e.reserves
		w.table[e.id] = r
		w.x.written(e)
	}
	if !w.x.shallow(t) {
		return
	}
	after, limit := t.horizon, w.x.window-len(t.ready)
	t.reading = true
	rows := w.rows(limit, func(r row) bool {
		return r.tube == t.name && r.readyAt == 0 && after.less(key{r.priority, r.id})
	}, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.id, b.id))
	})
	w.now += int64(passing)
	w.x.advance(w.now)
	w.settleModel()
	w.x.refill(t, rows, len(rows) < limit)
}

func (w *world) refillDelayed(passing int) {
	if !w.x.delayedLow() {
		return
	}
	after, limit := w.x.delayedHorizon, w.x.window-w.x.delayed.Len()
	w.x.delayedReading = true
	rows := w.rows(limit, func(r row) bool {
		return r.readyAt > 0 && after.less(moment{r.readyAt, r.id})
	}, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.readyAt, b.readyAt), cmp.Compare(a.id, b.id))
	})
	w.now += int64(passing)
	w.x.advance(w.now)
	w.settleModel()
	w.x.refillDelayed(rows, len(rows) < limit)
	w.x.advance(w.now)
}

func (w *world) rows(limit int, where func(row) bool, order func(a, b row) int) []row {
	var rows []row
	for _, r := range w.table {
		if where(r) {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, order)
	return rows[:min(limit, len(rows))]
}

// refillAll brings every window up to date, so that take must find what the
// model finds.
func (w *world) refillAll() {
	for w.x.delayedLow() {
		w.refillDelayed(0)
	}
	for _, t := range w.x.tubes {
		for len(t.expelled) > 0 || w.x.shallow(t) {
			w.refillTube(t, 0)
		}
	}
}

func (w *world) take(t *rapid.T) {
	names := rapid.SliceOfNDistinct(rapid.SampledFrom(tubeNames), 1, 2, rapid.ID).Draw(t, "tubes")
	var tubes []*tube
	for _, name := range names {
		tubes = append(tubes, w.x.tube(name))
	}
	most := rapid.IntRange(1, 10).Draw(t, "max")
	full := rapid.Bool().Draw(t, "refill first")
	if full {
		w.refillAll()
	}
	taken := w.x.take(tubes, most, w.owner, w.now)
	for i, e := range taken {
		want := w.mostUrgent(names)
		if want == nil || want.priority != e.priority || (len(names) == 1 && want.id != e.id) {
			t.Fatalf("job %d of a reserve is id %d of priority %d; the most urgent ready job is %+v", i, e.id, e.priority, want)
		}
		j := w.model[e.id]
		if j.state != isReady {
			t.Fatalf("job %d was handed out, but is not ready", e.id)
		}
		j.state, j.deadline = isReserved, w.now+j.ttr
		j.reserves++
		if e.reserves != j.reserves {
			t.Fatalf("job %d says %d reserves after %d", e.id, e.reserves, j.reserves)
		}
		w.x.takeBody(e)
		w.held = append(w.held, claim{e.id, e.reserves})
	}
	if full && len(taken) == 0 && w.mostUrgent(names) != nil {
		t.Fatalf("nothing was handed out although %+v is ready", w.mostUrgent(names))
	}
}

func (w *world) mostUrgent(names []string) *modelJob {
	var best *modelJob
	for _, j := range w.model {
		if j.state != isReady || !slices.Contains(names, j.tube) {
			continue
		}
		if best == nil || (key{j.priority, j.id}).less(key{best.priority, best.id}) {
			best = j
		}
	}
	return best
}

// claim draws a reservation that was handed out, also one that is over.
func (w *world) claim(t *rapid.T) (claim, bool) {
	if len(w.held) == 0 {
		return claim{}, false
	}
	return rapid.SampledFrom(w.held).Draw(t, "claim"), true
}

func (w *world) begin(t *rapid.T) (*entry, *modelJob) {
	c, ok := w.claim(t)
	if !ok {
		return nil, nil
	}
	e, err := w.x.begin(c, w.owner)
	j := w.model[c.id]
	valid := j != nil && j.state == isReserved && j.reserves == c.reserves
	if valid != (err == nil) {
		t.Fatalf("begin of %+v: %v; the model says valid is %t", c, err, valid)
	}
	if err != nil {
		return nil, nil
	}
	return e, j
}

func (w *world) delete(t *rapid.T) {
	e, j := w.begin(t)
	if e == nil {
		return
	}
	if rapid.IntRange(0, 4).Draw(t, "fails") == 0 {
		w.x.cancel(e)
		return
	}
	delete(w.table, j.id)
	delete(w.model, j.id)
	w.x.deleted(e)
}

func (w *world) release(t *rapid.T) {
	e, j := w.begin(t)
	if e == nil {
		return
	}
	priority, readyAt := uint32(rapid.IntRange(0, 4).Draw(t, "priority")), int64(0)
	if rapid.Bool().Draw(t, "delayed") {
		readyAt = w.now + int64(rapid.IntRange(1, 40).Draw(t, "delay"))
	}
	r := w.table[j.id]
	r.priority, r.readyAt, r.reserves = priority, readyAt, e.reserves
	w.table[j.id] = r
	w.x.released(e, priority, readyAt, w.now)
	j.priority, j.readyAt, j.state = priority, readyAt, isDelayed
	w.settleModel()
}

func (w *world) touch(t *rapid.T) {
	c, ok := w.claim(t)
	if !ok {
		return
	}
	err := w.x.touch(c, w.owner, w.now)
	j := w.model[c.id]
	valid := j != nil && j.state == isReserved && j.reserves == c.reserves
	if valid != (err == nil) {
		t.Fatalf("touch of %+v: %v; the model says valid is %t", c, err, valid)
	}
	if valid {
		j.deadline = w.now + j.ttr
	}
}

func (w *world) grab(t *rapid.T) {
	id := int64(rapid.IntRange(1, int(w.last)+1).Draw(t, "id"))
	r, ok := w.table[id]
	if !ok {
		return
	}
	w.x.advance(w.now)
	e, j := w.x.grab(r, w.owner, w.now), w.model[id]
	if (e == nil) != (j.state == isReserved) {
		t.Fatalf("grab of %+v: %v", j, e)
	}
	if e != nil {
		j.state, j.deadline = isReserved, w.now+j.ttr
		j.reserves++
		w.held = append(w.held, claim{e.id, e.reserves})
	}
}

func (w *world) leave(*rapid.T) {
	w.x.leave(w.owner)
	w.owner = &owner{epoch: "e"}
	for _, j := range w.model {
		if j.state == isReserved {
			j.state = isReady
		}
	}
}

// check compares the counts, and holds the windows to their bounds.
func (w *world) check(t *rapid.T) {
	for len(w.x.delayed.entries) == 0 && w.x.delayedLow() {
		w.refillDelayed(0) // jobs that are due are noticed once they are in the window
	}
	for _, name := range tubeNames {
		var ready, delayed, reserved int
		for _, j := range w.model {
			switch {
			case j.tube != name:
			case j.state == isReady:
				ready++
			case j.state == isDelayed:
				delayed++
			default:
				reserved++
			}
		}
		tube := w.x.tubes[name]
		if tube == nil {
			tube = &tube0
		}
		if tube.countReserved != reserved || tube.countReady+tube.countDelayed != ready+delayed {
			t.Fatalf("tube %s counts %d ready, %d delayed, %d reserved; there are %d, %d, %d", name,
				tube.countReady, tube.countDelayed, tube.countReserved, ready, delayed, reserved)
		}
		if len(tube.ready) > 8*w.x.window {
			t.Fatalf("the window of tube %s holds %d entries", name, len(tube.ready))
		}
	}
	if w.x.bodies < 0 || w.x.bodies > w.x.budget {
		t.Fatalf("%d bytes of bodies are in memory; the budget is %d", w.x.bodies, w.x.budget)
	}
	w.x.woken = nil
}

var tube0 tube

// "The most urgent first over all the tubes", by priority and then in the order
// of puts, whatever lies in the window, beyond it, or half way between.
func TestIndexAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"": w.check, "put": w.put, "put more": w.put, "pass": w.pass, "refill": w.refill, "take": w.take, "take more": w.take,
			"delete": w.delete, "delete more": w.delete, "release": w.release, "touch": w.touch, "grab": w.grab, "leave": w.leave,
		})
	})
}
