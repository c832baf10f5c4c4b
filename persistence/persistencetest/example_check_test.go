package persistencetest_test

import (
	"fmt"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A run notes what it did; the checks look for what must not be, and print the
// smallest evidence.
func ExampleTrace() {
	var trace persistencetest.Trace
	trace.Add(persistencetest.Event{Verb: persistencetest.Fault, ID: "the queue is killed"})
	_ = trace.Put("o1", "ann", []string{"mail", "count"}, nil)
	trace.Add(persistencetest.Event{Verb: persistencetest.Effect, ID: "o1", Task: "mail"})
	_ = trace.Put("o2", "ann", []string{"mail"}, fault.New(fault.ErrUnavailable, "transactional", "put", "it is away"))
	trace.Add(persistencetest.Event{Verb: persistencetest.Effect, ID: "o1", Task: "mail"})
	for _, check := range []persistencetest.Check{persistencetest.CheckSilence, persistencetest.CheckTotal, persistencetest.CheckOnce} {
		fmt.Println(check(trace.Events()))
	}
	// Output:
	// silence: holds (1 faults, 1 accepted)
	// total: violated: lost: put o1 count ann (applied) (1 lost, 0 ghosts, 1 repeated, 0 recovered)
	// once: violated: effect o1 mail happened 2 times
}

// What a counter may say is bounded by what was added for sure, and by what may
// have been.
func ExampleEvent() {
	events := []persistencetest.Event{
		{Verb: persistencetest.Added, Key: "visits", N: 10, Outcome: fault.Applied},
		{Verb: persistencetest.Added, Key: "visits", N: 1, Outcome: fault.OutcomeUnknown},
		{Verb: persistencetest.Counted, Key: "visits", N: 12},
	}
	fmt.Println(persistencetest.CheckCounters(events))
	// Output: counters: violated: counted visits 12: 10 were added before it, and 11 at most in all
}

// A trace without samples decides nothing about them.
func ExampleVerdict() {
	v := persistencetest.CheckAccounting(nil)
	fmt.Println(v.Passed(), v.Unknown)
	fmt.Println(v)
	// Output:
	// false true
	// accounting: unknown: 0 samples, and 1 are needed
}

// Samples are what Layer.Stats and the runtime say at one moment.
func ExampleSample() {
	allowed := persistencetest.Sample{Goroutines: 200}
	events := []persistencetest.Event{
		{Verb: persistencetest.Sampled, Sample: persistencetest.Sample{Goroutines: 90}},
		{Verb: persistencetest.Sampled, Sample: persistencetest.Sample{Goroutines: 260}},
		{Verb: persistencetest.Sampled, Sample: persistencetest.Sample{Goroutines: 95}},
	}
	fmt.Println(persistencetest.CheckResources(allowed)(events))
	// Output: resources: violated: sample 2: goroutines 260, and 200 is allowed
}

// The verbs are what a run can note.
func ExampleVerb() {
	fmt.Println(persistencetest.Event{Verb: persistencetest.Read, Store: "amorphous", Key: "u1", Version: 3})
	// Output: read amorphous u1 version 3
}

// A Check of one's own joins the others.
func ExampleCheck() {
	var noDead persistencetest.Check = func(events []persistencetest.Event) persistencetest.Verdict {
		v := persistencetest.Verdict{Check: "no dead letters"}
		for _, e := range events {
			if e.Verb == persistencetest.Dead && v.Evidence == "" {
				v.Evidence = e.String()
			}
		}
		return v
	}
	fmt.Println(noDead([]persistencetest.Event{{Verb: persistencetest.Dead, ID: "o1", Task: "mail"}}))
	// Output: no dead letters: violated: dead o1 mail
}

// What a Scenario's Check looks at: an id that was never tried is a ghost.
func ExampleHistory() {
	h := &persistencetest.History{Acked: []string{"n1", "n2"}, Open: []string{"n3"}, Kills: []string{"settle.outbox.before:3"}}
	fmt.Println(h)
	for _, there := range []string{"n1", "n3", "n4"} {
		fmt.Println(there, h.Tried(there))
	}
	// Output:
	// 2 acknowledged, 0 refused, 1 open, killed at settle.outbox.before:3
	// n1 true
	// n3 true
	// n4 false
}
