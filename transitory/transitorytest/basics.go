package transitorytest

import (
	"bytes"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

var basics = []check{
	{name: "PutReserveDelete", run: putReserveDelete,
		promise: "a job is handed out with all that was put, and is gone once it is deleted"},
	{name: "Bodies", run: weirdBodies,
		promise: "a body comes back byte for byte, whatever the bytes"},
	{name: "BodySizes", run: bodySizes,
		promise: "a body over MaxBody is fault.ErrTooLarge before anything is sent; one of MaxBody is taken"},
	{name: "TubeNames_B18", run: tubeNames,
		promise: "a faulty tube is fault.ErrInvalid and upsets nothing; every legal name is a tube of its own"},
	{name: "Durations_B18", run: durations,
		promise: "a delay or TTR out of range is fault.ErrInvalid; a zero TTR is DefaultTTR"},
	{name: "PutEachOnItsOwn", run: putEachOnItsOwn,
		promise: "Put adds jobs, each on its own: some may fail"},
	{name: "NoAliasing", run: noAliasing,
		promise: "a driver copies what it keeps and what it returns"},
	{name: "ReserveArguments", run: reserveArguments,
		promise: "no tube at all is fault.ErrInvalid"},
	{name: "ReserveMax", run: reserveMax,
		promise: "Reserve returns at most max jobs, and does not wait for more than one"},
	{name: "DoubleDelete", run: doubleDelete,
		promise: "fault.ErrNotFound for a job whose reservation is gone: deleted, released, or never made here"},
	{name: "Stats", run: statsAreTrue,
		promise: "Stats counts the jobs of the tubes, in their order; an unknown tube has zeros"},
	{name: "StatsUrgent", run: statsUrgent, needs: []need{urgent},
		promise: "Stats tells the priority of the most urgent ready job"},
	{name: "Search", run: searchRemoves, needs: []need{searches},
		promise: "Search removes the jobs that are wanted and that nobody has reserved, wherever they stand, and no others"},
	{name: "EmptyCalls", run: emptyCalls,
		promise: "a call about no jobs at all is done, without an error"},
}

func putReserveDelete(e *env) {
	e.put(transitory.Job{Tube: "t", Priority: 7, Body: []byte("work")})
	job := e.reserve(1, "t")[0]
	if job.Tube != "t" || string(job.Body) != "work" || job.ID == "" {
		e.Fatalf("got %+v", job)
	}
	if job.Reserves > 1 {
		e.Errorf("the first reserve counts as %d", job.Reserves)
	}
	e.remove(job)
	if s := e.stats("t"); s.Ready+s.Delayed+s.Reserved != 0 {
		e.Errorf("after the delete there are %+v", s)
	}
	e.nothing("it was deleted", "t")
}

// weird strings that have broken stores: control characters, protocol text,
// invalid UTF-8, other scripts.
func weird() []string {
	s := []string{
		"", " ", "\x00", "a\x00b", "\r\n", "a\r\nquit\r\n", "\r\nput 0 0 1 1\r\nx", "RESERVED 1 1\r\nx\r\n", "\n", "\x7f", "\x1b[31m",
		"ünïcödé", "日本語", "\u202eright to left", "🙂", "\xff\xfe\xfd", "\xc3\x28", "'; DROP TABLE transitory_jobs; --", "%s%d%n", "{}", "nil",
		strings.Repeat("x", 250), strings.Repeat("y", 251), strings.Repeat("z\n", 500),
	}
	var every []byte
	for b := range 256 {
		every = append(every, byte(b))
	}
	return append(s, string(every))
}

func weirdBodies(e *env) {
	var jobs []transitory.Job
	for i, body := range weird() {
		jobs = append(jobs, transitory.Job{Tube: "t", Priority: uint32(i), Body: []byte(body)})
	}
	jobs = append(jobs, transitory.Job{Tube: "t", Priority: uint32(len(jobs))})
	e.put(jobs...)
	for i, job := range e.reserve(len(jobs), "t") {
		if !bytes.Equal(job.Body, jobs[i].Body) {
			e.Errorf("put %q, got %q", jobs[i].Body, job.Body)
		}
		e.remove(job)
	}
}

func bodySizes(e *env) {
	most := e.q.Features().MaxBody
	for _, n := range []int{most - 1, most} {
		body := bytes.Repeat([]byte{byte(n)}, n)
		e.put(transitory.Job{Tube: "t", Body: body})
		job := e.reserve(1, "t")[0]
		if !bytes.Equal(job.Body, body) {
			e.Errorf("a body of %d bytes came back with %d, or changed", n, len(job.Body))
		}
		e.remove(job)
	}
	errs := e.q.Put(e.ctx, transitory.Job{Tube: "t", Body: make([]byte, most+1)})
	e.class("a body of MaxBody+1", errs[0], fault.ErrTooLarge)
	if s := e.stats("t"); s != (transitory.TubeStats{Tube: "t", Urgent: s.Urgent}) {
		e.Errorf("a refused job left %+v", s)
	}
}

func tubeNames(e *env) {
	for _, name := range weird() {
		if transitory.ValidTube(name) == nil {
			continue // one of the strings is a legal name
		}
		e.class("put to "+name, e.q.Put(e.ctx, transitory.Job{Tube: name})[0], fault.ErrInvalid)
		_, err := e.q.Reserve(e.ctx, []string{"t", name}, 1)
		e.class("reserve from "+name, err, fault.ErrInvalid)
		_, err = e.q.Stats(e.ctx, name)
		e.class("stats of "+name, err, fault.ErrInvalid)
	}
	e.class("a name of 200 bytes", transitory.ValidTube(strings.Repeat("n", 200)), fault.ErrInvalid)
	e.class("a leading hyphen", transitory.ValidTube("-n"), fault.ErrInvalid)
	names := []string{"a", "A", "0", "+/;.$_()-", "a-", "default", strings.Repeat("n", transitory.MaxTube), strings.Repeat("N", transitory.MaxTube)}
	for _, name := range names {
		e.put(transitory.Job{Tube: name, Body: []byte(name)})
	}
	for _, name := range names {
		job := e.reserve(1, name)[0]
		if job.Tube != name || string(job.Body) != name {
			e.Errorf("tube %q gave a job of tube %q with body %q", name, job.Tube, job.Body)
		}
		e.remove(job)
		e.nothing("its tube is empty", name)
	}
}

func durations(e *env) {
	for what, job := range map[string]transitory.Job{
		"a negative delay":  {Tube: "t", Delay: -1},
		"an endless delay":  {Tube: "t", Delay: transitory.MaxDelay + 1},
		"a negative TTR":    {Tube: "t", TTR: -1},
		"a TTR over MaxTTR": {Tube: "t", TTR: transitory.MaxTTR + 1},
	} {
		e.class(what, e.q.Put(e.ctx, job)[0], fault.ErrInvalid)
	}
	e.put(transitory.Job{Tube: "t", TTR: transitory.MaxTTR}, transitory.Job{Tube: "t"}, transitory.Job{Tube: "t", Delay: transitory.MaxDelay})
	jobs := e.reserve(2, "t")
	e.class("a release with a negative delay", e.q.Release(e.ctx, transitory.Release{ID: jobs[0].ID, Delay: -1})[0], fault.ErrInvalid)
	e.remove(jobs...)
	e.nothing("the third job is delayed", "t")
}

func putEachOnItsOwn(e *env) {
	errs := e.q.Put(e.ctx,
		transitory.Job{Tube: "t", Priority: 1, Body: []byte("one")},
		transitory.Job{Tube: "no tube", Body: []byte("two")},
		transitory.Job{Tube: "t", Priority: 2, Body: []byte("three")},
		transitory.Job{Tube: "t", Delay: -1, Body: []byte("four")},
	)
	if errs[0] != nil || errs[2] != nil {
		e.Fatalf("sound jobs were refused beside faulty ones: %v", errs)
	}
	e.class("the second job", errs[1], fault.ErrInvalid)
	e.class("the fourth job", errs[3], fault.ErrInvalid)
	if got := bodies(e.reserve(2, "t")); got != "one three" {
		e.Errorf("got %q", got)
	}
	e.nothing("only two were accepted", "t")
}

func noAliasing(e *env) {
	body := []byte("original")
	e.put(transitory.Job{Tube: "t", Body: body})
	copy(body, "XXXXXXXX")
	job := e.reserve(1, "t")[0]
	if string(job.Body) != "original" {
		e.Fatalf("the queue kept the caller's slice: got %q", job.Body)
	}
	copy(job.Body, "YYYYYYYY")
	if err := e.q.Release(e.ctx, transitory.Release{ID: job.ID})[0]; err != nil {
		e.Fatal(err)
	}
	if job = e.reserve(1, "t")[0]; string(job.Body) != "original" {
		e.Fatalf("the queue returned its own slice: got %q", job.Body)
	}
}

func reserveArguments(e *env) {
	for _, tubes := range [][]string{nil, {}} {
		_, err := e.q.Reserve(e.ctx, tubes, 1)
		e.class("reserve from no tube", err, fault.ErrInvalid)
	}
	_, err := e.q.Reserve(e.ctx, []string{"t"}, 0)
	e.class("reserve of 0 jobs", err, fault.ErrInvalid)
	e.put(transitory.Job{Tube: "t"}) // the refused calls upset nothing
	e.remove(e.reserve(1, "t", "t", "t")...)
}

func reserveMax(e *env) {
	for range 5 {
		e.put(transitory.Job{Tube: "t"})
	}
	first, err := e.q.Reserve(e.ctx, []string{"t"}, 3)
	if err != nil || len(first) < 1 || len(first) > 3 {
		e.Fatalf("reserve of at most 3 of 5 jobs: %d jobs, %v", len(first), err)
	}
	rest := e.reserve(5-len(first), "t")
	seen := map[transitory.ID]bool{}
	for _, job := range append(first, rest...) {
		if seen[job.ID] {
			e.Errorf("job %s was handed out twice", job.ID)
		}
		seen[job.ID] = true
	}
	e.put(transitory.Job{Tube: "u"})
	if got, err := e.q.Reserve(e.ctx, []string{"u"}, 100); err != nil || len(got) != 1 {
		e.Errorf("reserve of at most 100 where 1 is ready: %d jobs, %v", len(got), err)
	}
}

func doubleDelete(e *env) {
	e.put(transitory.Job{Tube: "t", Body: []byte("a")}, transitory.Job{Tube: "t", Priority: 1, Body: []byte("b")})
	jobs := e.reserve(2, "t")
	e.remove(jobs[0])
	gone := map[string]transitory.ID{"a deleted job": jobs[0].ID}
	if err := e.q.Release(e.ctx, transitory.Release{ID: jobs[1].ID})[0]; err != nil {
		e.Fatal(err)
	}
	gone["a released job"] = jobs[1].ID
	for _, id := range []transitory.ID{"", "1", "0", "-1", "a.b.c", "..", "1.1.1", "99999999999999999999", "\r\ndelete 1\r\n"} {
		gone["the foreign id "+string(id)] = id
	}
	for what, id := range gone {
		e.class("delete of "+what, e.q.Delete(e.ctx, id)[0], fault.ErrNotFound)
		e.class("release of "+what, e.q.Release(e.ctx, transitory.Release{ID: id})[0], fault.ErrNotFound)
		e.class("touch of "+what, e.q.Touch(e.ctx, id)[0], fault.ErrNotFound)
	}
	errs := e.q.Delete(e.ctx, e.reserve(1, "t")[0].ID, jobs[0].ID)
	if errs[0] != nil {
		e.Errorf("a stale id beside it failed a delete: %v", errs[0])
	}
	e.class("the stale id", errs[1], fault.ErrNotFound)
}

func statsAreTrue(e *env) {
	e.put(transitory.Job{Tube: "a"}, transitory.Job{Tube: "a"}, transitory.Job{Tube: "a", Delay: transitory.MaxDelay}, transitory.Job{Tube: "b"})
	held := e.reserve(1, "a")
	stats, err := e.q.Stats(e.ctx, "b", "unknown", "a")
	if err != nil || len(stats) != 3 {
		e.Fatalf("stats: %v, %v", stats, err)
	}
	for i, want := range []transitory.TubeStats{
		{Tube: "b", Ready: 1}, {Tube: "unknown"}, {Tube: "a", Ready: 1, Delayed: 1, Reserved: 1},
	} {
		got := stats[i]
		got.Urgent = 0
		if got != want {
			e.Errorf("stats %d are %+v, want %+v", i, got, want)
		}
	}
	e.remove(held...)
	if s := e.stats("a"); s.Ready != 1 || s.Reserved != 0 || s.Delayed != 1 {
		e.Errorf("after the delete: %+v", s)
	}
}

func statsUrgent(e *env) {
	for _, priority := range []uint32{9, 1<<32 - 1, 3, 5} {
		e.put(transitory.Job{Tube: "t", Priority: priority})
	}
	for _, want := range []uint32{3, 5, 9, 1<<32 - 1} {
		if got := e.stats("t").Urgent; got != want {
			e.Errorf("the most urgent priority is told as %d, want %d", got, want)
		}
		e.remove(e.reserve(1, "t")...)
	}
}

func emptyCalls(e *env) {
	if n := len(e.q.Put(e.ctx)) + len(e.q.Delete(e.ctx)) + len(e.q.Release(e.ctx)) + len(e.q.Touch(e.ctx)); n != 0 {
		e.Errorf("calls about no jobs returned %d errors", n)
	}
	if stats, err := e.q.Stats(e.ctx); err != nil || len(stats) != 0 {
		e.Errorf("stats of no tubes: %v, %v", stats, err)
	}
}

func searchRemoves(e *env) {
	// More than a driver keeps in memory, and than it reads at a time.
	const n = 400
	var jobs []transitory.Job
	for i := range n {
		job := transitory.Job{Tube: []string{"a", "b", "c"}[i%3], Priority: uint32(i % 5), Body: []byte{"xy"[i/3%2]}}
		if i%7 == 0 {
			job.Delay = time.Hour
		}
		jobs = append(jobs, job)
	}
	e.put(jobs...)
	held := e.reserve(5, "a")
	reserved, wanted := 0, 0
	for _, job := range held {
		if string(job.Body) == "x" {
			reserved++
		}
	}
	for _, job := range jobs {
		if job.Tube != "c" && string(job.Body) == "x" {
			wanted++
		}
	}
	if reserved == 0 {
		e.Fatalf("nothing is proved: no reserved job is wanted")
	}
	want := func(job transitory.Job) bool { return string(job.Body) == "x" }
	removed, kept, err := e.q.Search(e.ctx, []string{"a", "b"}, want)
	if err != nil || kept != reserved || len(removed) != wanted-reserved {
		e.Fatalf("removed %d and kept %d of %d jobs, of which %d are reserved: %v", len(removed), kept, wanted, reserved, err)
	}
	for _, job := range removed {
		if job.Tube == "c" || string(job.Body) != "x" {
			e.Fatalf("%+v was removed", job)
		}
	}
	e.remove(held...)
	left, ready := 0, 0
	for _, tube := range []string{"a", "b", "c"} {
		s := e.stats(tube)
		left += s.Ready + s.Delayed + s.Reserved
		if tube != "c" {
			ready += s.Ready
		}
	}
	if left != n-len(held)-len(removed) {
		e.Errorf("%d jobs are counted; %d were put, %d deleted and %d removed", left, n, len(held), len(removed))
	}
	if removed, kept, err = e.q.Search(e.ctx, []string{"a", "b"}, want); err != nil || kept+len(removed) > 0 {
		e.Errorf("a second search finds %d and %d: %v", len(removed), kept, err)
	}
	for _, job := range e.reserve(ready, "a", "b") {
		if string(job.Body) == "x" {
			e.Fatalf("%+v was handed out after it was removed", job)
		}
	}
}
