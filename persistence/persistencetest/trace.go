package persistencetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Verb is what an Event says.
type Verb string

// The verbs, with the fields of Event that each uses.
const (
	Put     Verb = "put"     // a Put ended: ID, Key, Tasks, Outcome
	Effect  Verb = "effect"  // a task had its effect: ID, Task, and for CheckOrder Store, Key
	Dead    Verb = "dead"    // a task is a dead letter, visible: ID, Task
	Read    Verb = "read"    // somebody read a version: Store, Key, Version
	Added   Verb = "added"   // N was added to a counter: Key, N, Outcome
	Counted Verb = "counted" // a counter was read: Key, N
	Fault   Verb = "fault"   // a fault began: ID names it
	Heal    Verb = "heal"    // the last fault has ended
	Sampled Verb = "sampled" // something was measured: Sample
	Listed  Verb = "listed"  // a scan found IDs: Store, Key, IDs, and Began
	Wrote   Verb = "wrote"   // N was written to a register: Store, Key, N, Outcome, and Began
	Saw     Verb = "saw"     // N was read from a register: Store, Key, N, and Began
)

// An Event is one line of a Trace.
type Event struct {
	At      time.Time     // set by Trace.Add when zero: the end of what took its time
	Began   time.Time     // of what took its time; zero: at At
	Verb    Verb          // says which of the others are set
	ID      string        // of the object
	Task    string        // its name
	Tasks   []string      // that the object has
	IDs     []string      // that a scan found
	Store   string        // any name that tells stores apart
	Key     string        // of what is read, counted or written, or the ordering key
	Version int64         // of what was read
	N       int64         // what was added, counted, written or seen
	Outcome fault.Outcome // zero: applied
	Sample  Sample        // of Sampled
}

// String is the event as evidence.
func (e Event) String() string {
	var b strings.Builder
	b.WriteString(string(e.Verb))
	for _, part := range []string{e.ID, e.Task, e.Store, e.Key} {
		if part != "" {
			b.WriteByte(' ')
			b.WriteString(part)
		}
	}
	switch e.Verb {
	case Put, Added, Wrote:
		fmt.Fprintf(&b, " (%v)", e.Outcome)
	case Read:
		fmt.Fprintf(&b, " version %d", e.Version)
	}
	switch e.Verb {
	case Added, Counted, Wrote, Saw:
		fmt.Fprintf(&b, " %d", e.N)
	}
	return b.String()
}

// A Sample is what was measured at one moment. Tasks are counted over all kinds:
// as Layer.Stats tells them, but for Accepted, which the test counts itself, and
// Open, what may be in the sum beside them: the tasks of Puts whose outcome nobody
// knows, and runs of tasks that were done before.
type Sample struct {
	Accepted, Done, Superseded, Pending, Dead, Unknown int64 // tasks
	Open                                               int64 // tasks
	Memory                                             int64 // bytes
	Goroutines, Files, Connections                     int64 // that are open, by the test's own count
}

// A Trace is what happened in a run, in order. The zero value is empty and
// ready; it is safe for concurrent use.
type Trace struct {
	mu     sync.Mutex
	events []Event
}

// Add appends an event.
func (t *Trace) Add(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.At.IsZero() {
		e.At = time.Now()
	}
	t.events = append(t.events, e)
}

// Put notes how a Put of an object with these tasks ended, and returns its
// error. What custody has although something is not done yet counts as applied.
func (t *Trace) Put(id, key string, tasks []string, err error) error {
	outcome := fault.OutcomeOf(err)
	if fault.Accepted(err) {
		outcome = fault.Applied
	}
	t.Add(Event{Verb: Put, ID: id, Key: key, Tasks: tasks, Outcome: outcome})
	return err
}

// Events returns a copy of what was noted so far.
func (t *Trace) Events() []Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.events)
}

// A Verdict is what a check found.
type Verdict struct {
	Check string // its name, such as "total"
	// Evidence is the smallest that shows the violation; empty: none was found.
	Evidence string
	// Unknown says that the trace decides nothing, and Evidence why: it is
	// neither a pass nor a failure.
	Unknown bool
	// Summary are figures for a report.
	Summary string
}

// Passed reports whether the check found nothing, and could have.
func (v Verdict) Passed() bool { return v.Evidence == "" && !v.Unknown }

// String is one line.
func (v Verdict) String() string {
	line := v.Check + ": "
	switch {
	case v.Unknown:
		line += "unknown: " + v.Evidence
	case v.Evidence != "":
		line += "violated: " + v.Evidence
	default:
		line += "holds"
	}
	if v.Summary != "" {
		line += " (" + v.Summary + ")"
	}
	return line
}

// A Check looks for one sort of violation.
type Check func(events []Event) Verdict

// Judge applies checks to the trace. The test fails for each that does not
// hold, and for a trace that proves nothing: see CheckSilence.
func (t *Trace) Judge(tb testing.TB, checks ...Check) {
	tb.Helper()
	events := t.Events()
	for _, check := range append([]Check{CheckSilence}, checks...) {
		if v := check(events); v.Passed() {
			tb.Log(v)
		} else {
			tb.Error(v)
		}
	}
}

// CheckSilence: a run in which no fault began, or nothing was accepted, is
// unknown.
func CheckSilence(events []Event) Verdict {
	v := Verdict{Check: "silence"}
	faults, accepted := 0, 0
	for _, e := range events {
		switch {
		case e.Verb == Fault:
			faults++
		case (e.Verb == Put || e.Verb == Added) && e.Outcome == fault.Applied:
			accepted++
		}
	}
	v.Summary = fmt.Sprintf("%d faults, %d accepted", faults, accepted)
	switch {
	case faults == 0:
		v.Unknown, v.Evidence = true, "no fault began"
	case accepted == 0:
		v.Unknown, v.Evidence = true, "nothing was accepted"
	}
	return v
}
