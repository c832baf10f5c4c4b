package beanstalkd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// The classification table, one row after the other, through the whole driver.
func TestClassificationOfPut_B21(t *testing.T) {
	for _, row := range []struct {
		answer  string
		cut     bool
		outcome fault.Outcome
		class   error
		closed  bool // the connection is not used again
		alarm   bool
	}{
		{"INSERTED 12\r\n", false, fault.Applied, nil, false, false},
		{"BURIED 12\r\n", false, fault.Applied, nil, false, true},
		{"OUT_OF_MEMORY\r\n", false, fault.NotApplied, fault.ErrBusy, false, true},
		{"DRAINING\r\n", false, fault.NotApplied, fault.ErrUnavailable, false, false},
		{"JOB_TOO_BIG\r\n", false, fault.NotApplied, fault.ErrTooLarge, false, false},
		{"EXPECTED_CRLF\r\nUNKNOWN_COMMAND\r\n", false, fault.NotApplied, fault.ErrRefused, true, true},
		{"EXPECTED_CRLF\r\n", false, fault.NotApplied, fault.ErrRefused, true, true},
		{"BAD_FORMAT\r\n", false, fault.NotApplied, fault.ErrRefused, true, true},
		{"UNKNOWN_COMMAND\r\n", false, fault.NotApplied, fault.ErrRefused, true, true},
		{"INTERNAL_ERROR\r\n", false, fault.OutcomeUnknown, fault.ErrUnknown, true, true},
		{"", true, fault.OutcomeUnknown, fault.ErrUnknown, true, false},
		{"INSERTED 12", true, fault.OutcomeUnknown, fault.ErrUnknown, true, false},
		{"gibberish\r\n", false, fault.OutcomeUnknown, fault.ErrUnknown, true, false},
		{"BURIED x\r\n", false, fault.OutcomeUnknown, fault.ErrUnknown, true, false},
		{strings.Repeat("x", 70000), false, fault.OutcomeUnknown, fault.ErrUnknown, true, false},
		{"\x00\xff\r\n", false, fault.OutcomeUnknown, fault.ErrUnknown, true, false},
	} {
		t.Run(fmt.Sprintf("%.20q", row.answer), func(t *testing.T) {
			var log logBook
			f := newFakeServer(t, on("put", row.answer, row.cut))
			q := openFake(t, f, Options{Logger: slog.New(&log)})
			err := q.Put(t.Context(), transitory.Job{Tube: "t", Body: []byte("x")})[0]
			if fault.OutcomeOf(err) != row.outcome || fault.ClassOf(err) != row.class {
				t.Errorf("the outcome is %v and the class %v of %v; want %v and %v", fault.OutcomeOf(err), fault.ClassOf(err), err, row.outcome, row.class)
			}
			if alarm := log.has("beanstalkd is ill"); alarm != row.alarm {
				t.Errorf("an alarm is %t, want %t: %v", alarm, row.alarm, log.lines)
			}
			f.mu.Lock()
			f.answer = on("none", "", false)
			f.mu.Unlock()
			if err := q.Put(t.Context(), transitory.Job{Tube: "t"})[0]; err != nil {
				t.Errorf("the next put: %v", err)
			}
			checkReplaced(t, f, "put", row.closed, row.alarm)
		})
	}
}

// checkReplaced holds that two calls used two connections, of which the first
// was closed, or one. A server that is ill and in step is asked how it is over
// the first one, and the second call may have come meanwhile.
func checkReplaced(t *testing.T, f *fakeServer, word string, closed, ill bool) {
	t.Helper()
	over := f.numbers(word)
	if len(over) != 2 {
		t.Fatalf("%s came over the connections %v, want twice", word, over)
	}
	if !closed {
		if over[0] != over[1] && !ill {
			t.Errorf("a connection that is in step was not used again")
		}
		return
	}
	if over[0] == over[1] {
		t.Errorf("a connection that may be out of step was used again")
	}
	checkEnded(t, f, over[0])
}

func checkEnded(t *testing.T, f *fakeServer, number int) {
	t.Helper()
	select {
	case <-f.end(number):
	case <-time.After(10 * time.Second):
		t.Errorf("a connection that may be out of step was not closed")
	}
}

// logBook keeps log messages.
type logBook struct {
	mu    sync.Mutex
	lines []string
}

func (b *logBook) Enabled(context.Context, slog.Level) bool { return true }
func (b *logBook) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b *logBook) WithGroup(string) slog.Handler            { return b }
func (b *logBook) Handle(_ context.Context, r slog.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, r.Message)
	return nil
}

func (b *logBook) has(message string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.lines {
		if line == message {
			return true
		}
	}
	return false
}

// The rows about a reserved job.
func TestClassificationOfSettlements(t *testing.T) {
	type settle func(q *transitory.Queue, id transitory.ID) error
	calls := map[string]settle{
		"delete": func(q *transitory.Queue, id transitory.ID) error { return q.Delete(context.Background(), id)[0] },
		"touch":  func(q *transitory.Queue, id transitory.ID) error { return q.Touch(context.Background(), id)[0] },
		"release": func(q *transitory.Queue, id transitory.ID) error {
			return q.Release(context.Background(), transitory.Release{ID: id})[0]
		},
	}
	for _, row := range []struct {
		answer string
		cut    bool
		class  error
	}{
		{"NOT_FOUND\r\n", false, fault.ErrNotFound},
		{"INTERNAL_ERROR\r\n", false, fault.ErrUnknown},
		{"BAD_FORMAT\r\n", false, fault.ErrRefused},
		{"", true, fault.ErrUnknown},
		{"DELE", true, fault.ErrUnknown},
	} {
		for op, call := range calls {
			f := newFakeServer(t, on(op, row.answer, row.cut))
			q := openFake(t, f, Options{})
			jobs, err := q.Reserve(t.Context(), []string{"t"}, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := call(q, jobs[0].ID); fault.ClassOf(err) != row.class {
				t.Errorf("%s answered by %q: %v, want class %v", op, row.answer, err, row.class)
			}
			if row.class != fault.ErrNotFound {
				checkEnded(t, f, f.numbers(op)[0])
			}
			if row.cut {
				if err := call(q, jobs[0].ID); fault.ClassOf(err) != fault.ErrNotFound {
					t.Errorf("%s again, after its connection ended: %v", op, err)
				}
			}
		}
	}
	// BURIED to a release: the job is given back, as far as the server could,
	// and kicked.
	f := newFakeServer(t, on("release", "BURIED\r\n", false))
	q := openFake(t, f, Options{})
	jobs, err := q.Reserve(t.Context(), []string{"t"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Release(t.Context(), transitory.Release{ID: jobs[0].ID})[0]; err != nil || !f.saw("kick-job 7") {
		t.Errorf("a release that was buried: %v; kicked: %t", err, f.saw("kick-job 7"))
	}
}

// TIMED_OUT is no job, and DEADLINE_SOON is never treated as "no job": both
// loop.
func TestReserveLoops_B12(t *testing.T) {
	answers := []string{"TIMED_OUT\r\n", "DEADLINE_SOON\r\n", "TIMED_OUT\r\n"}
	f := newFakeServer(t, func(command string) (string, bool) {
		if strings.HasPrefix(command, "reserve") && len(answers) > 0 {
			reply := answers[0]
			answers = answers[1:]
			return reply, false
		}
		return "", false
	})
	jobs, err := openFake(t, f, Options{}).Reserve(t.Context(), []string{"t"}, 1)
	if err != nil || len(jobs) != 1 || jobs[0].Priority != 3 || jobs[0].TTR != time.Minute {
		t.Errorf("got %+v, %v", jobs, err)
	}
}

// An answer that is cut at any byte never pairs wrongly, never hangs and never
// counts as an answer.
func TestCutPoints_B17(t *testing.T) {
	inserted := "INSERTED 12\r\n"
	for k := range inserted {
		f := newFakeServer(t, on("put", inserted[:k], true))
		if err := openFake(t, f, Options{}).Put(t.Context(), transitory.Job{Tube: "t"})[0]; !fault.Unknown(err) {
			t.Errorf("put, answer cut after %d bytes: %v", k, err)
		}
	}
	reserved := body("RESERVED 7", "job")
	for k := range reserved {
		cut := true
		f := newFakeServer(t, func(command string) (string, bool) {
			if strings.HasPrefix(command, "reserve") && cut {
				cut = false
				return reserved[:k], true
			}
			return "", false
		})
		q := openFake(t, f, Options{})
		jobs, err := q.Reserve(t.Context(), []string{"t"}, 1)
		if fault.ClassOf(err) != fault.ErrUnavailable {
			t.Errorf("reserve, answer cut after %d bytes: %v, %v", k, jobs, err)
		}
		if jobs, err = q.Reserve(t.Context(), []string{"t"}, 1); err != nil || string(jobs[0].Body) != "job" {
			t.Errorf("the next reserve: %v, %v", jobs, err)
		}
	}
}

// Sizes that lie make no room and no panic.
func TestHostileSizes(t *testing.T) {
	for _, reply := range []string{
		"RESERVED 7 99999999999999999999\r\n", "RESERVED 7 1073741824\r\n", "RESERVED 7 -5\r\n", "RESERVED 7 \r\n", "RESERVED\r\n",
		"RESERVED 7 x\r\n", "RESERVED 18446744073709551616 3\r\njob\r\n", "FOUND 1 1\r\nx\r\n", "OK 4\r\n", "INSERTED 5\r\n",
	} {
		f := newFakeServer(t, on("reserve-with-timeout", reply, true))
		if _, err := openFake(t, f, Options{}).Reserve(t.Context(), []string{"t"}, 1); fault.ClassOf(err) != fault.ErrUnavailable {
			t.Errorf("%q: %v", reply, err)
		}
	}
}

// A server that accepts and says nothing is down after DialTimeout, and the
// context is obeyed before.
func TestSilentServer_B20(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	d, err := open(t.Context(), []string{listener.Addr().String()}, Options{DialTimeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("a server that is silent must not keep the queue from opening: %v", err)
	}
	q := transitory.New(d)
	defer q.Close()
	if err := q.Put(t.Context(), transitory.Job{Tube: "t"})[0]; fault.ClassOf(err) != fault.ErrUnavailable {
		t.Errorf("put: %v", err)
	}
	if _, err := q.Reserve(t.Context(), []string{"t"}, 1); fault.ClassOf(err) != fault.ErrUnavailable {
		t.Errorf("reserve: %v", err)
	}
	if r := q.Check(t.Context()); r.Reachable || len(r.Problems) != 1 {
		t.Errorf("check: %v", r)
	}
}

// A put whose context ends after it was sent: its context's error, and unknown.
func TestContextCutsAPut(t *testing.T) {
	silent := make(chan struct{})
	f := newFakeServer(t, func(command string) (string, bool) {
		if strings.HasPrefix(command, "put") {
			close(silent)
			<-t.Context().Done()
			return "", true
		}
		return "", false
	})
	q := openFake(t, f, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-silent; cancel() }()
	err := q.Put(ctx, transitory.Job{Tube: "t"})[0]
	if !errors.Is(err, context.Canceled) || !fault.Unknown(err) {
		t.Errorf("got %v", err)
	}
}

// An answer that never comes ends with the operation's own deadline, also
// without a context's.
func TestOwnDeadline_B15_B16(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	f := newFakeServer(t, func(command string) (string, bool) {
		if strings.HasPrefix(command, "put") {
			<-stop
		}
		return "", false
	})
	q := openFake(t, f, Options{Timeout: 50 * time.Millisecond})
	if err := q.Put(context.Background(), transitory.Job{Tube: "t"})[0]; !fault.Unknown(err) {
		t.Errorf("got %v", err)
	}
}

// A batch whose connection ends in the middle: answered jobs are applied, sent
// ones are unknown, and no job is given to the server twice.
func TestBatchIsCut_B16(t *testing.T) {
	n := 0
	f := newFakeServer(t, func(command string) (string, bool) {
		if strings.HasPrefix(command, "put") {
			if n++; n == 5 {
				return "", true
			}
		}
		return "", false
	})
	jobs := make([]transitory.Job, 100)
	for i := range jobs {
		jobs[i] = transitory.Job{Tube: "t", Body: make([]byte, i%2*5000)} // also some that do not leave in one write
	}
	errs := openFake(t, f, Options{}).Put(t.Context(), jobs...)
	for i, err := range errs {
		switch {
		case i < 4 && err != nil:
			t.Errorf("job %d was answered: %v", i, err)
		case i == 4 && !fault.Unknown(err):
			t.Errorf("job %d was sent and not answered: %v", i, err)
		case i > 4 && err == nil:
			t.Errorf("job %d never reached the server", i)
		}
	}
	if fault.ClassOf(errs[99]) != fault.ErrUnavailable {
		t.Errorf("the last job was never sent: %v", errs[99])
	}
}

// A log that breaks while jobs are put is noticed by the counters: the server
// gets no more jobs, and its health says why.
func TestBrokenLogByItsAnswer(t *testing.T) {
	f := newFakeServer(t, on("put", "BURIED 12\r\n", false))
	q := openFake(t, f, Options{})
	f.mu.Lock()
	f.stats["total-jobs"], f.stats["binlog-records-written"] = "25", "5"
	f.mu.Unlock()
	if err := q.Put(t.Context(), transitory.Job{Tube: "t"})[0]; err != nil {
		t.Errorf("the job that was buried is applied: %v", err)
	}
	if !f.saw("kick-job 12") {
		t.Error("the buried job was not kicked")
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := q.Put(t.Context(), transitory.Job{Tube: "t"})[0]
		if fault.ClassOf(err) == fault.ErrMisconfigured {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("puts go on into memory only: %v", err)
		}
	}
	r := q.Check(t.Context())
	if !r.Reachable || r.Durability != fault.Memory || len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "log is broken") {
		t.Errorf("check: %v", r)
	}
}
