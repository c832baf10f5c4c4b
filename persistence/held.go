package persistence

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
)

// held is an envelope that this process holds: claimed in its custody, and
// either in a worker's hands or waiting in its lane.
type held struct {
	kind *kind
	env  *envelope.Envelope
	obj  any // decoded from env.Body by the first task that needs it
	run  flow.Run
	// tasks is aligned with run.Tasks; nil for a task that this program does
	// not know.
	tasks   []*task
	few     fewTasks
	reason  map[int]error // the errors that go into dead letters, by task
	placed  []placedTask  // what the acceptance learned of older places
	receipt *Receipt      // of this process's Put; may be nil

	custody custodian
	seq     uint64        // of the outbox record
	job     transitory.ID // in the queue
	tube    string        // that the job came from
	lost    int           // claims that ended without a settlement

	// put is the context of the Put that goes on with the envelope when what is
	// written in a group now is done; else nil.
	put context.Context

	erased error // errErased, or why nobody can tell; nil: it is not

	ends atomic.Uint64 // bit i: the end of task i is in the counters, and custody may not know yet

	leased time.Time // when the claim was made or renewed; renew only
	at     int       // its place among those that this process holds; of engine.mu

	contexts []runContext // for the handlers that have not run, made at once
	context  atomic.Int32 // of these, taken
	gone     atomic.Bool  // somebody else holds it by now
	suspect  bool         // it was lost so often that it runs alone
	counted  bool         // attempts were made durable before the run

	// Where it waits, while no worker has it.
	priority   uint32
	realTime   bool
	writes     storeSet  // where nothing but default writes is next, to these stores: it may be taken with others
	alone      bool      // it is not to be taken with others any more
	past       storeSet  // slow stores that it does not wait for here: what it writes to them waits in custody
	came       uint64    // its number among those that came to its lane; 0: it was in none
	since      time.Time // when it came to its class
	prev, next *held     // in its class
}

// few is how many tasks most envelopes have at most. Theirs lie in the envelope
// itself, so that one allocation serves for all.
const few = 6

type fewTasks struct {
	states [few]flow.Task
	tasks  [few]*task
}

// An opened is a held envelope with that, which was claimed: one allocation.
type opened struct {
	held
	of   envelope.Envelope
	room [few]envelope.Task
}

// open reads a claimed envelope; data are the envelope's from now on.
func (o *opened) open(data []byte) error { return o.of.Open(data, o.room[:0]) }

// waits says where the envelope waits, and whether it may be taken with others.
func (h *held) waits(priority uint32, realTime bool, now int64) {
	h.priority, h.realTime, h.writes = priority, realTime, 0
	if h.alone || h.suspect {
		return
	}
	for i := range h.run.Tasks {
		if t := &h.run.Tasks[i]; !h.run.Ready(t, now) || t.Urgency() != priority {
			continue
		}
		if !h.kind.groups(h.tasks[i]) {
			h.writes = 0
			return
		}
		h.writes = h.writes.with(h.tasks[i].purpose)
	}
}

// without tells the run which stores its envelope does without here.
func (h *held) without(down [8]bool) {
	for p := Transitory; p <= Amorphous; p++ {
		down[p] = down[p] || h.past.has(p)
	}
	h.run.Down = down
}

// expect sees to it that there are contexts for the handlers of a class, and makes
// those of the classes after it as well. Each run has its own: a handler may keep
// its context for longer than it runs.
func (h *held) expect(tasks []int) {
	now, all := 0, 0
	for _, i := range tasks {
		if h.tasks[i].handles() {
			now++
		}
	}
	if now <= len(h.contexts)-int(h.context.Load()) {
		return
	}
	for i, t := range h.tasks {
		if t != nil && t.handles() && h.run.Tasks[i].State == flow.Waiting {
			all++
		}
	}
	h.contexts = make([]runContext, max(now, all))
	h.context.Store(0)
}

// newContext takes one of them.
func (h *held) newContext() *runContext { return &h.contexts[h.context.Add(1)-1] }

func (h *held) id() transactional.RecordID { return transactional.RecordID(h.env.ID) }

func (h *held) stamp() transactional.Stamp {
	return transactional.Stamp{Version: h.env.Version, Tie: h.env.Tie}
}

// hold makes an envelope ready to run. Tasks that are done already are not in
// env.Tasks.
func (l *Layer) hold(k *kind, env *envelope.Envelope) *held {
	h := &held{}
	l.holdIn(h, k, env)
	return h
}

// holdIn is hold in memory that nothing has used yet.
func (l *Layer) holdIn(h *held, k *kind, env *envelope.Envelope) {
	h.kind, h.env = k, env
	h.run.Accepted = env.Accepted.UnixMicro()
	h.run.Seed = binary.BigEndian.Uint64(env.ID[8:])
	h.run.Horizon = l.opts.Horizon.Microseconds()
	if n := len(env.Tasks); n <= few {
		h.run.Tasks, h.tasks = h.few.states[:n:n], h.few.tasks[:n:n]
	} else {
		h.run.Tasks, h.tasks = make([]flow.Task, n), make([]*task, n)
	}
	for i := range env.Tasks {
		t, state := &env.Tasks[i], &h.run.Tasks[i]
		state.Attempts, state.NotBefore, state.Parked = t.Attempts, t.NotBefore, t.Parked
		state.Since, state.Late = t.Since, t.Seen&envelope.SeenLate != 0
		state.Replayed = t.Seen&envelope.SeenReplayed != 0
		known := k.taskAt(i, t.Name)
		if h.tasks[i] = known; known != nil {
			state.Spec = &known.spec
		}
		if t.Seen&envelope.SeenDead != 0 {
			state.State = flow.Dead
		}
	}
}

// remaining is what custody must still remember.
func (h *held) remaining() []envelope.Task {
	out := make([]envelope.Task, 0, len(h.run.Tasks))
	for i := range h.run.Tasks {
		t := &h.run.Tasks[i]
		e := h.env.Tasks[i]
		switch {
		case t.State == flow.Dead && t.Spec != nil && t.Spec.Blocks:
			e.Seen |= envelope.SeenDead
		case t.State != flow.Waiting:
			continue
		}
		e.Attempts, e.NotBefore, e.Parked, e.Since = t.Attempts, t.NotBefore, t.Parked, t.Since
		if t.Late {
			e.Seen |= envelope.SeenLate
		}
		out = append(out, e)
	}
	return out
}

// own decodes the body for a handler, which may do with its object what it
// likes; an object without references is copied by the call.
func (h *held) own() (any, error) {
	if !h.kind.references {
		return h.object()
	}
	obj := h.kind.make()
	return obj, h.kind.all.Decode(h.env.Body, value(obj))
}

// object decodes the body once, for the default writes of the envelope, which
// only read it.
func (h *held) object() (any, error) {
	if h.obj == nil {
		obj := h.kind.make()
		if err := h.kind.all.Decode(h.env.Body, value(obj)); err != nil {
			return nil, err
		}
		h.obj = obj
	}
	return h.obj, nil
}

// A custodian is where accepted envelopes are recorded: the outbox or the
// queue.
type custodian interface {
	// claim returns due envelopes of the lanes that this process now holds. A
	// custodian that can waits until ctx ends or there is one.
	claim(ctx context.Context, lanes []string, most int) ([]*held, error)
	// settle records what became of held envelopes and lets them go. The result
	// is aligned, each is settled on its own.
	settle(ctx context.Context, told []settling) []error
	// count makes the attempts of a held envelope durable before a run.
	count(ctx context.Context, h *held) error
	// extend keeps held envelopes from being handed to others.
	extend(ctx context.Context, hs []*held)
	// lease is how long a claim lasts that nobody extends.
	lease() time.Duration
	// name says which custody this is.
	name() Custody
}

// laneName is where an envelope of this kind waits: a tube in the queue, a
// lane in the outbox. The namespace keeps layers apart that share a server.
func (l *Layer) laneName(k *kind, s flow.Settlement, h *held) string {
	switch s.Lane {
	case flow.RealTime:
		return l.lanes(k).realTime
	case flow.Parked:
		return l.lanes(k).parked[s.Store]
	case flow.Blocking:
		return l.foreignLane(k.name, h.env.Tasks[s.Task].Name) + "/blocked"
	case flow.Foreign:
		return l.foreignLane(k.name, h.env.Tasks[s.Task].Name)
	}
	return l.lanes(k).background
}

// kindLanes are the names of a kind's lanes.
type kindLanes struct {
	realTime   string
	background string
	parked     [5]string // by purpose
	suspect    string    // a tube only
}

func (l *Layer) lanes(k *kind) *kindLanes {
	if k.lane.background == "" {
		panic("kind " + k.name + " is not registered")
	}
	return &k.lane
}

// nameLanes names the lanes that a kind's envelopes go to, and those that this
// program serves for it.
func (l *Layer) nameLanes(k *kind) {
	for _, name := range append([]string{k.name}, k.formerly...) {
		k.served = append(k.served, l.lanesOf(name))
		for _, t := range k.tasks {
			if t.external {
				continue
			}
			for _, task := range append([]string{t.name}, t.was...) {
				k.foreign = append(k.foreign, l.foreignLane(name, task))
			}
		}
	}
	k.lane = *k.served[0]
}

func (l *Layer) lanesOf(kind string) *kindLanes {
	base := l.opts.Namespace + "/" + kind
	out := &kindLanes{realTime: base + "/rt", background: base + "/bg", suspect: base + "/suspect"}
	for p := Transitory; p <= Amorphous; p++ {
		out.parked[p] = base + "/parked/" + p.String()
	}
	return out
}

// foreignLane is where a task waits that another program serves, or that
// nobody serves yet.
func (l *Layer) foreignLane(kind, task string) string {
	return l.opts.Namespace + "/" + kind + "/task/" + task
}
