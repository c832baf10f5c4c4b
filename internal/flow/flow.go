package flow

import "time"

// Times are microseconds since 1970.

// NoStore is the zero purpose: a task that waits for no store.
const NoStore = 0

// LatePriority is the priority of tasks whose slice of time is past: after
// everything that is not late.
const LatePriority = 1<<20 + 1

// A Spec is what a plan says of a task.
type Spec struct {
	Priority    uint32 // 0 before Put returns, then 1, 2, …
	RealTime    bool   // of the real-time class
	MaxAttempts int    // so many refusals make a dead task
	Within      int64  // µs after acceptance; zero: for ever
	Expire      bool   // past Within: a dead letter, else it runs late
	External    bool   // another program serves it
	Store       byte   // the purpose whose store every run needs; zero: none in particular
	Blocks      bool   // a dead letter keeps the envelope, and with it its ordering key, until somebody decides
	MaxBackoff  int64  // µs; the longest wait between attempts
}

// A Task is one remaining task of an envelope.
type Task struct {
	Spec      *Spec  // nil: this program does not know the task
	Attempts  int    // that were spent
	NotBefore int64  // µs since 1970; zero: at once
	Since     int64  // of the first of the Busy answers that are going on; zero: none
	Reason    string // of a dead task
	Parked    byte   // the purpose whose store it waits for
	Late      bool   // its slice of time is past
	Replayed  bool   // a person decided that it still matters: neither horizon nor slice of time end it
	State     State  // zero: Waiting
	blocked   bool   // in this run
}

// A State is how far a task is.
type State uint8

// The states. Everything above Waiting is final.
const (
	Waiting State = iota
	Done
	Superseded // done: a newer version was there
	Skipped    // done: a cache write that its dead store missed
	Dead
)

// An Outcome is what an attempt of a task came to.
type Outcome uint8

// The outcomes.
const (
	OK        Outcome = iota
	Stale             // a newer version was there
	Skip              // not written, and need not be
	Refused           // an error that spends an attempt
	Permanent         // an error that no attempt can mend
	Outage            // the store in Ended.Store cannot be reached: no attempt
	Busy              // refused for the moment: no attempt
	Snoozed           // the handler asked for Ended.After: no attempt
	Cancelled         // the worker is stopping: no attempt
	Uncertain         // the outcome is unknown: an attempt, and repeated where harmless
	Blocked           // an earlier object holds the ordering key: no attempt, woken by its end
)

// Kind is what a worker has to do.
type Kind uint8

// The actions.
const (
	Start    Kind = iota // run Action.Tasks side by side, report each with Ended
	Look                 // is something more urgent than Action.Priority waiting? report with Looked
	Pass                 // hand the envelope, still held, to a background worker
	GiveBack             // take the more urgent envelope; this one waits, still held, at Action.Priority
	Settle               // nothing is due: Settlement says what to record
)

// An Action is what to do next. Tasks is valid until the next call.
type Action struct {
	Kind     Kind   // what to do
	Tasks    []int  // for Start: indexes into Run.Tasks
	Priority uint32 // for Look, Pass and GiveBack: of the next class
}

// A Run is the state of an envelope in a worker's hands.
type Run struct {
	Accepted int64   // µs since 1970
	Seed     uint64  // of the jitter, from the envelope's id: the same history, the same waits
	Horizon  int64   // µs; an older envelope never runs by itself
	Tasks    []Task  // those that remain, in the order of the envelope
	Down     [8]bool // by purpose: known to be unreachable

	realTime bool // the worker in charge serves real time
	stopping bool
	goesOn   bool // it gave way or was passed on, and was not settled since
	batch    []int
	few      [8]int // room for most batches
	left     int    // of batch, still running
}

// Begin starts or continues the envelope on a worker.
func (r *Run) Begin(now int64, realTime bool) Action {
	r.realTime, r.stopping = realTime, false
	if r.Horizon > 0 && now-r.Accepted > r.Horizon {
		r.bury("older than the horizon: replay it by hand if it still matters")
	}
	past := false
	for i := range r.Tasks {
		r.Tasks[i].blocked = r.Tasks[i].blocked && r.goesOn
		past = r.slice(&r.Tasks[i], now) || past
	}
	r.goesOn = false
	a := r.start(now)
	if past && a.Kind == Start && r.Tasks[r.batch[0]].Late {
		// It was taken by the priority that it had while it mattered: what
		// still matters goes first. Taken once more, as late, it runs.
		return r.next(now)
	}
	return a
}

// slice applies Within; it reports whether the task has become late since the
// envelope was last looked at.
func (r *Run) slice(t *Task, now int64) bool {
	if t.State != Waiting || t.Replayed || t.Spec == nil || t.Spec.Within == 0 || now <= r.Accepted+t.Spec.Within {
		return false
	}
	news := !t.Late
	t.Late = true
	if t.Spec.Expire {
		t.State, t.Reason = Dead, "expired"
	}
	return news
}

func (r *Run) bury(reason string) {
	for i := range r.Tasks {
		if t := &r.Tasks[i]; t.State == Waiting && !t.Replayed {
			t.State, t.Reason = Dead, reason
		}
	}
}

// Ready reports whether one of the run's tasks can run now.
func (r *Run) Ready(t *Task, now int64) bool {
	return t.State == Waiting && !t.blocked && t.Spec != nil && !t.Spec.External && t.NotBefore <= now &&
		r.waitsFor(t) == NoStore
}

// waitsFor returns the purpose whose store the task waits for: the one that it
// was parked on, or the one that it cannot do without, while that is down.
func (r *Run) waitsFor(t *Task) byte {
	switch {
	case t.Parked != NoStore && r.Down[t.Parked]:
		return t.Parked
	case t.Spec != nil && t.Spec.Store != NoStore && r.Down[t.Spec.Store]:
		return t.Spec.Store
	}
	return NoStore
}

// rank orders classes: real time before background, then by priority; late
// ones last.
func rank(t *Task) uint64 {
	switch {
	case t.Late:
		return 1 << 50
	case t.Spec.RealTime || t.Spec.Priority == 0:
		return uint64(t.Spec.Priority)
	}
	return 1<<40 | uint64(t.Spec.Priority)
}

// start picks the most urgent class that is ready.
func (r *Run) start(now int64) Action {
	switch {
	case len(r.Tasks) <= len(r.few):
		r.batch = r.few[:0]
	case r.batch == nil:
		r.batch = make([]int, 0, len(r.Tasks))
	}
	r.batch = r.batch[:0]
	var best uint64
	for i := range r.Tasks {
		t := &r.Tasks[i]
		if !r.Ready(t, now) {
			continue
		}
		switch k := rank(t); {
		case len(r.batch) == 0 || k < best:
			r.batch, best = append(r.batch[:0], i), k
		case k == best:
			r.batch = append(r.batch, i)
		}
	}
	if len(r.batch) == 0 || r.stopping {
		return Action{Kind: Settle}
	}
	for _, i := range r.batch {
		r.Tasks[i].Parked = NoStore
	}
	r.left = len(r.batch)
	return Action{Kind: Start, Tasks: r.batch}
}

// Wait is the action while tasks of the class still run: nothing.
const Wait Kind = 255

// An End is how an attempt ended.
type End struct {
	Task    int           // index into Run.Tasks
	Outcome Outcome       // says which of the others are looked at
	Store   byte          // for Outage
	After   time.Duration // for Snoozed
	Reason  string        // for Refused, Permanent, Uncertain
	Counted bool          // the attempt was counted before the run
}

// Ended reports the end of one attempt.
func (r *Run) Ended(now int64, e End) Action {
	t := &r.Tasks[e.Task]
	r.left--
	r.apply(t, now, e)
	if r.left > 0 {
		return Action{Kind: Wait}
	}
	return r.next(now)
}

func (r *Run) apply(t *Task, now int64, e End) {
	if e.Outcome != Busy {
		t.Since = 0
	} else if t.Since == 0 {
		t.Since = now
	}
	if e.Outcome >= Outage && e.Outcome != Uncertain && e.Counted {
		t.Attempts-- // it was counted before the run, and is not spent
	}
	switch e.Outcome {
	case OK:
		t.State = Done
	case Stale:
		t.State = Superseded
	case Skip:
		t.State = Skipped
	case Permanent:
		t.Attempts += count(e)
		t.State, t.Reason = Dead, e.Reason
	case Refused, Uncertain:
		t.Attempts += count(e)
		if t.Attempts >= t.Spec.MaxAttempts {
			t.State, t.Reason = Dead, e.Reason
			return
		}
		t.NotBefore = now + backoff(t.Attempts, t.Spec.MaxBackoff, r.Seed)
	case Outage:
		t.Parked, t.NotBefore = e.Store, now
		r.Down[e.Store] = true
	case Busy:
		// No attempt is spent, so the wait grows with how long it lasts.
		t.NotBefore = now + min(max((now-t.Since)/4, 50_000), t.Spec.MaxBackoff)
	case Snoozed:
		t.NotBefore = now + e.After.Microseconds()
	case Blocked:
		t.blocked = true
	case Cancelled:
		r.stopping = true
	}
}

func count(e End) int {
	if e.Counted {
		return 0
	}
	return 1
}

// next decides what follows a finished class.
func (r *Run) next(now int64) Action {
	a := r.start(now)
	if a.Kind != Start {
		return a
	}
	first := &r.Tasks[r.batch[0]]
	r.unstart()
	if r.realTime && (first.Late || !first.Spec.RealTime) {
		r.goesOn = true
		return Action{Kind: Pass, Priority: first.Urgency()}
	}
	return Action{Kind: Look, Priority: first.Urgency()}
}

// unstart takes back a start that is only looked at.
func (r *Run) unstart() { r.left = 0 }

// Looked answers Look.
func (r *Run) Looked(now int64, urgent bool) Action {
	a := r.start(now)
	if a.Kind == Start && urgent {
		first := &r.Tasks[r.batch[0]]
		r.unstart()
		r.goesOn = true
		return Action{Kind: GiveBack, Priority: first.Urgency()}
	}
	return a
}

// Stop makes the run settle at the end of the class.
func (r *Run) Stop() { r.stopping = true }

// Urgency is the priority at which the task waits: its own, or LatePriority.
func (t *Task) Urgency() uint32 {
	if t.Late {
		return LatePriority
	}
	return t.Spec.Priority
}
