package persistencetest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// put, happened and add are events as a run notes them.
func put(id string, o fault.Outcome) Event {
	return Event{Verb: Put, ID: id, Key: "k", Tasks: []string{"a", "b"}, Outcome: o, At: time.Unix(1, 0)}
}

func happened(id, task string) Event {
	return Event{Verb: Effect, ID: id, Task: task, Store: "s", Key: "k"}
}

func add(n int64, o fault.Outcome) Event { return Event{Verb: Added, Key: "c", N: n, Outcome: o} }

func counted(n int64) Event { return Event{Verb: Counted, Key: "c", N: n} }

func read(version int64) Event { return Event{Verb: Read, Store: "s", Key: "k", Version: version} }

func listed(at int, ids ...string) Event {
	return Event{Verb: Listed, Store: "s", Key: "k", At: time.Unix(int64(at), 0), IDs: ids}
}

func wrote(from, to int, n int64, o fault.Outcome) Event {
	return Event{Verb: Wrote, Store: "s", Key: "k", N: n, Outcome: o, Began: time.Unix(int64(from), 0), At: time.Unix(int64(to), 0)}
}

func saw(from, to int, n int64) Event {
	return Event{Verb: Saw, Store: "s", Key: "k", N: n, Began: time.Unix(int64(from), 0), At: time.Unix(int64(to), 0)}
}

func sampled(at int, s Sample) Event {
	return Event{Verb: Sampled, At: time.Unix(int64(at), 0), Sample: s}
}

// The checks, each with traces that it must pass, and planted violations that it
// must find and name.
func TestChecksFindWhatIsPlanted(t *testing.T) {
	const ok, no, open = fault.Applied, fault.NotApplied, fault.OutcomeUnknown
	heal := Event{Verb: Heal, At: time.Unix(10, 0)}
	memory := func(figures ...int64) (out []Event) {
		for i, f := range figures {
			out = append(out, sampled(i, Sample{Memory: f}))
		}
		return out
	}
	for _, test := range []struct {
		name  string
		check Check
		trace []Event
		want  string // of the verdict's line
	}{
		{"total", CheckTotal, []Event{put("1", ok), happened("1", "a"), {Verb: Dead, ID: "1", Task: "b"}, put("2", no)}, "total: holds (0 lost, 0 ghosts, 0 repeated, 0 recovered)"},
		{"total: lost", CheckTotal, []Event{put("1", ok), happened("1", "a")}, "violated: lost: put 1 b"},
		{"total: a ghost", CheckTotal, []Event{happened("9", "a")}, "violated: ghost, never put: effect 9 a"},
		{"total: a refused object is there", CheckTotal, []Event{put("2", no), happened("2", "a")}, "violated: ghost, its Put was refused: effect 2 a"},
		{"total: unknown, complete", CheckTotal, []Event{put("3", open), happened("3", "a"), happened("3", "b")}, "total: holds (0 lost, 0 ghosts, 0 repeated, 2 recovered)"},
		{"total: refused, then accepted", CheckTotal, []Event{put("4", no), put("4", ok), happened("4", "a"), happened("4", "b"), happened("4", "b")}, "total: holds (0 lost, 0 ghosts, 1 repeated"},
		{"once", CheckOnce, []Event{happened("1", "a"), happened("1", "b"), happened("2", "a")}, "once: holds"},
		{"once: twice", CheckOnce, []Event{happened("1", "a"), happened("2", "a"), happened("1", "a")}, "violated: effect 1 a s k happened 2 times"},
		{"counters", CheckCounters, []Event{add(2, ok), add(3, open), add(5, no), counted(2), counted(5), add(1, ok)}, "counters: holds"},
		{"counters: too little", CheckCounters, []Event{add(2, ok), counted(1)}, "violated: counted c 1: 2 were added"},
		{"counters: too much", CheckCounters, []Event{add(2, ok), add(3, open), counted(6)}, "violated: counted c 6: 2 were added before it, and 5 at most"},
		{"versions", CheckVersions, []Event{read(1), read(1), read(3)}, "versions: holds"},
		{"versions: backward", CheckVersions, []Event{read(1), read(3), read(2)}, "violated: read s k version 2, after read s k version 3"},
		{"order", CheckOrder, []Event{put("1", ok), put("2", ok), happened("1", "a"), happened("1", "a"), happened("2", "a"), happened("1", "b")}, "order: holds"},
		{"order: reversed", CheckOrder, []Event{put("1", ok), put("2", ok), happened("2", "a"), happened("1", "a")}, "violated: effect 1 a s k, after effect 2 a s k"},
		{"accounting", CheckAccounting, []Event{sampled(1, Sample{Accepted: 5, Done: 1, Superseded: 1, Pending: 2, Dead: 1, Unknown: 1})}, "accounting: holds"},
		{"accounting: some are open", CheckAccounting, []Event{sampled(1, Sample{Accepted: 3, Open: 2, Done: 4})}, "accounting: holds"},
		{"accounting: one too many", CheckAccounting, []Event{sampled(1, Sample{Accepted: 3, Open: 2, Done: 6})}, "violated: sample 1: accepted 3 and open 2, and done 6"},
		{"accounting: one is missing", CheckAccounting, []Event{sampled(1, Sample{Accepted: 3, Done: 1, Pending: 1})}, "violated: sample 1: accepted 3"},
		{"accounting: nothing measured", CheckAccounting, nil, "accounting: unknown"},
		{"resources", CheckResources(Sample{Memory: 100}), memory(10, 80, 90, 85, 90, 88), "resources: holds"},
		{"resources: over the bound", CheckResources(Sample{Memory: 100}), memory(10, 101, 90), "violated: sample 2: memory 101, and 100 is allowed"},
		{"resources: growing", CheckResources(Sample{}), memory(10<<20, 20<<20, 30<<20, 40<<20, 50<<20, 70<<20), "violated: memory grow: 41943040 in the middle of the run, 73400320"},
		{"resources: two samples", CheckResources(Sample{}), memory(1, 2), "resources: unknown: 2 samples"},
		{"recovery", CheckRecovery(5 * time.Second), []Event{sampled(9, Sample{Pending: 9}), heal, sampled(12, Sample{Pending: 3}), sampled(13, Sample{})}, "recovery: holds (3s after"},
		{"recovery: late", CheckRecovery(2 * time.Second), []Event{heal, sampled(13, Sample{})}, "violated: nothing was pending only 3s"},
		{"recovery: never", CheckRecovery(time.Hour), []Event{heal, sampled(13, Sample{Pending: 4})}, "violated: 4 tasks are pending at the end"},
		{"recovery: no heal", CheckRecovery(time.Hour), []Event{sampled(13, Sample{})}, "recovery: unknown: 0 heals"},
		{"set", CheckSet, []Event{put("1", ok), listed(2, "1"), {Verb: Put, ID: "2", Key: "k", At: time.Unix(3, 0)}, put("3", no), put("4", open), listed(5, "1"), listed(6, "1", "2")},
			"set: holds (3 scans, 0 lost, 1 found late, for good after 2s in the median and 2s at most)"},
		{"set: lost", CheckSet, []Event{put("1", ok), put("2", ok), listed(2, "1", "2"), listed(3, "1")}, "violated: lost: put 2 k (applied), which the last scan of s k misses (2 scans, 1 lost"},
		{"set: never found", CheckSet, []Event{put("1", ok), listed(2)}, "violated: lost: put 1 k"},
		{"set: unknown, and then gone", CheckSet, []Event{put("1", open), listed(2, "1"), listed(3)}, "violated: lost: put 1 k (unknown)"},
		{"set: twice", CheckSet, []Event{put("1", ok), listed(2, "1", "1")}, "violated: listed s k: 1 is found twice"},
		{"set: a ghost", CheckSet, []Event{put("1", ok), listed(2, "1", "9")}, "violated: listed s k: 9 is found, and was never put"},
		{"set: refused", CheckSet, []Event{put("1", no), listed(2, "1")}, "violated: listed s k: 1 is found, and its Put was refused"},
		{"set: never looked", CheckSet, []Event{put("1", ok)}, "set: unknown: 0 scans"},
		{"register", CheckRegister, []Event{saw(0, 1, 0), wrote(0, 3, 1, ok), saw(1, 2, 0), saw(1, 4, 1), wrote(4, 6, 2, ok), wrote(4, 6, 3, ok), saw(5, 7, 2), saw(7, 8, 2)}, "register: holds (1 registers, 8 operations)"},
		{"register: unknown, seen late", CheckRegister, []Event{wrote(0, 1, 1, ok), wrote(1, 2, 2, open), saw(3, 4, 1), saw(5, 6, 2), saw(6, 7, 2)}, "register: holds"},
		{"register: many unknown, none of them seen", CheckRegister, append(slices.Repeat([]Event{wrote(1, 2, 2, open), wrote(1, 3, 3, open)}, 40), wrote(0, 1, 1, ok), saw(4, 5, 1), saw(6, 7, 3), saw(6, 8, 2)), "register: holds"},
		{"register: refused", CheckRegister, []Event{wrote(0, 1, 1, ok), wrote(1, 2, 2, no), saw(3, 4, 2)}, "violated: saw s k 2, and it could be 1 only"},
		{"register: a stale read", CheckRegister, []Event{wrote(0, 1, 1, ok), wrote(2, 3, 2, ok), saw(4, 5, 1)}, "violated: saw s k 1, and it could be 2 only"},
		{"register: a read goes back", CheckRegister, []Event{wrote(0, 1, 1, ok), wrote(1, 9, 2, ok), saw(2, 3, 2), saw(4, 5, 1), saw(6, 7, 1)}, "violated: saw s k 1, and it could be 2 only"},
		{"register: a lost update", CheckRegister, []Event{wrote(0, 4, 1, ok), wrote(0, 4, 2, ok), saw(5, 6, 1), saw(6, 7, 2)}, "violated: saw s k 2, and it could be 1 only"},
		{"register: out of nothing", CheckRegister, []Event{wrote(0, 1, 1, open), saw(2, 3, 7)}, "violated: saw s k 7, and it could be 0 or 1 only"},
		{"register: nothing seen", CheckRegister, nil, "register: unknown: 0 operations"},
		{"silence", CheckSilence, []Event{{Verb: Fault, ID: "kill"}, put("1", ok)}, "silence: holds (1 faults, 1 accepted)"},
		{"silence: no fault", CheckSilence, []Event{put("1", ok)}, "silence: unknown: no fault began"},
		{"silence: no success", CheckSilence, []Event{{Verb: Fault}, put("1", no)}, "silence: unknown: nothing was accepted"},
		{"logs", inLog("all is well\nand so on"), nil, "logs: holds (2 lines)"},
		{"logs: a panic", inLog("x\npanic: oh"), nil, "violated: line 2: panic: oh"},
		{"logs: an error without a class", inLog((&fault.Error{Op: "put", Err: errors.New("what is this")}).Error()), nil, "violated: line 1: put: unclassified error: what is this"},
		{"logs: a race", inLog("WARNING: DATA RACE"), nil, "violated: line 1"},
		{"logs: a secret", inLog("url=mysql://u:hush-hush@h"), nil, "violated: line 1 shows secret 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := test.check(test.trace).String()
			if !strings.Contains(v, test.want) || strings.Contains(v, "hush-hush") {
				t.Errorf("%s; want %q, and no secret", v, test.want)
			}
		})
	}
}

func inLog(text string) Check {
	return func([]Event) Verdict { return CheckLogs(strings.NewReader(text), "hush-hush") }
}

// A search that would take too long says so, and is no pass.
func TestCheckRegisterGivesUp(t *testing.T) {
	var events []Event
	for i := range 40 { // these may have happened in any order
		events = append(events, wrote(0, 1, int64(i), fault.Applied))
	}
	events = append(events, saw(2, 3, 99))
	if v := CheckRegister(events); !v.Unknown || !strings.Contains(v.Evidence, "given up") {
		t.Error(v)
	}
}
