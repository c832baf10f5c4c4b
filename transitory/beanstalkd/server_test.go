package beanstalkd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/leaktest"
	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/beanstalkd"
	"github.com/fourfold-dev/fourfold/transitory/transitorytest"
)

// The whole contract over two servers.
func TestConformanceTwoServers(t *testing.T) {
	transitorytest.Run(t, func(t *testing.T) *transitorytest.Harness {
		return harnessOf(start(t, "-b", t.TempDir()), start(t, "-b", t.TempDir()))
	})
}

// One server of two dies: puts go on, what the other holds comes out, and what
// the dead one held comes out when it is back.
func TestOneOfTwoServersDies_B25(t *testing.T) {
	a, b := start(t, "-b", t.TempDir()), start(t, "-b", t.TempDir())
	q := open(t, beanstalkd.Options{}, a, b)
	put := func(n int) {
		t.Helper()
		for range n {
			eventually(t, 30*time.Second, "a put is never accepted", func() bool {
				err := q.Put(t.Context(), transitory.Job{Tube: "t", TTR: time.Hour})[0]
				if err != nil && !fault.Unknown(err) {
					t.Fatalf("put: %v", err)
				}
				return err == nil
			})
		}
	}
	take := func(n int) {
		t.Helper()
		for got := 0; got < n; {
			jobs, err := q.Reserve(within(t, 30*time.Second), []string{"t"}, 1)
			if fault.ClassOf(err) == fault.ErrUnavailable {
				continue
			}
			if err != nil {
				t.Fatalf("reserve after %d of %d jobs: %v", got, n, err)
			}
			for _, err := range q.Delete(t.Context(), jobs[0].ID) {
				if err != nil {
					t.Fatalf("delete: %v", err)
				}
			}
			got += len(jobs)
		}
	}
	put(40)
	for name, r := range map[string]*real{"first": a, "second": b} {
		if !strings.Contains(r.raw("stats-tube t"), "current-jobs-ready: 20") {
			t.Errorf("the %s server does not have its half of the jobs", name)
		}
	}
	a.kill()
	put(10)
	take(30)
	if _, err := q.Stats(t.Context(), "t"); !fault.Outage(err) {
		t.Errorf("stats without one server would tell less than there is: %v", err)
	}
	if r := q.Check(t.Context()); !r.Reachable || len(r.Problems) != 1 || !strings.Contains(r.Problems[0], a.addr) {
		t.Errorf("check: %v", r)
	}
	a.run()
	take(20)
	eventually(t, 30*time.Second, "stats never come back", func() bool {
		stats, err := q.Stats(t.Context(), "t")
		return err == nil && stats[0].Ready+stats[0].Reserved == 0
	})
}

// A Reserve that waits is served by a server that comes back while it does.
func TestReserveNoticesAServerThatComesBack(t *testing.T) {
	a, b := start(t, "-b", t.TempDir()), start(t, "-b", t.TempDir())
	q := open(t, beanstalkd.Options{}, a, b)
	for range 2 {
		if err := q.Put(t.Context(), transitory.Job{Tube: "t"})[0]; err != nil {
			t.Fatal(err)
		}
	}
	a.kill()
	jobs, err := q.Reserve(within(t, 30*time.Second), []string{"t"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	q.Delete(t.Context(), jobs[0].ID)
	got := make(chan error, 1)
	go func() {
		_, err := q.Reserve(within(t, 60*time.Second), []string{"t"}, 1)
		got <- err
	}()
	a.run()
	if err := <-got; err != nil {
		t.Errorf("the job of the server that came back: %v", err)
	}
}

// No server at all: the queue opens, every call says unavailable at once, and
// works by itself once there is one.
func TestServerIsDownAtTheStart_B1(t *testing.T) {
	r := start(t, "-b", t.TempDir())
	r.kill()
	q := open(t, beanstalkd.Options{}, r)
	if d := q.Features().Durability; d != fault.Written {
		t.Errorf("the promise for a server that is not there is %q", d)
	}
	if err := q.Put(t.Context(), transitory.Job{Tube: "t"})[0]; fault.ClassOf(err) != fault.ErrUnavailable {
		t.Errorf("put: %v", err)
	}
	if _, err := q.Reserve(t.Context(), []string{"t"}, 1); fault.ClassOf(err) != fault.ErrUnavailable {
		t.Errorf("reserve: %v", err)
	}
	r.run()
	eventually(t, 30*time.Second, "puts never begin", func() bool { return q.Put(t.Context(), transitory.Job{Tube: "t"})[0] == nil })
}

// A server without a log keeps jobs in memory, and Features say so; one that
// appears where a log was promised is given none, unless it was allowed by name.
func TestServerWithoutALog(t *testing.T) {
	r := start(t)
	if d := open(t, beanstalkd.Options{}, r).Features().Durability; d != fault.Memory {
		t.Errorf("without -b the promise is %q", d)
	}
	strict := open(t, beanstalkd.Options{Durability: fault.Written}, r)
	if err := strict.Put(t.Context(), transitory.Job{Tube: "t"})[0]; fault.ClassOf(err) != fault.ErrMisconfigured || !strings.Contains(err.Error(), "-b") {
		t.Errorf("put: %v", err)
	}
	check := strict.Check(t.Context())
	if check.Durability != fault.Memory || len(check.Problems) != 1 || !strings.Contains(check.Problems[0], "without a log") {
		t.Errorf("check: %v", check)
	}
	if err := open(t, beanstalkd.Options{Durability: fault.Memory}, r).Put(t.Context(), transitory.Job{Tube: "t"})[0]; err != nil {
		t.Errorf("put where memory was asked for: %v", err)
	}
}

// After a kill without a log job numbers begin at 1 again: an old worker's
// delete must not reach the job that has the number now.
func TestStaleIDReachesNoOtherJob_B3(t *testing.T) {
	r := start(t)
	q := open(t, beanstalkd.Options{}, r)
	put := func() {
		eventually(t, 30*time.Second, "put", func() bool { return q.Put(t.Context(), transitory.Job{Tube: "t", TTR: time.Hour})[0] == nil })
	}
	put()
	old, err := q.Reserve(t.Context(), []string{"t"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	r.restart()
	put()
	eventually(t, 30*time.Second, "the stale id is never refused", func() bool {
		return fault.ClassOf(q.Delete(t.Context(), old[0].ID)[0]) == fault.ErrNotFound
	})
	if !strings.Contains(r.raw("stats-job 1"), "state: ready") {
		t.Errorf("job 1 of the new run: %s", r.raw("stats-job 1"))
	}
}

// DRAINING: a put goes to the next server, and without one it is an outage;
// reserves go on.
func TestDraining_B19(t *testing.T) {
	a, b := start(t, "-b", t.TempDir()), start(t, "-b", t.TempDir())
	q, alone := open(t, beanstalkd.Options{}, a, b), open(t, beanstalkd.Options{}, a)
	if err := alone.Put(t.Context(), transitory.Job{Tube: "u"})[0]; err != nil {
		t.Fatal(err)
	}
	a.signal(syscall.SIGUSR1)
	eventually(t, 30*time.Second, "the server is not draining", func() bool { return strings.Contains(a.raw("stats"), "draining: true") })
	for range 10 {
		if err := q.Put(t.Context(), transitory.Job{Tube: "t"})[0]; err != nil {
			t.Fatalf("put beside a draining server: %v", err)
		}
	}
	if !strings.Contains(b.raw("stats-tube t"), "current-jobs-ready: 10") {
		t.Error("the jobs are not on the other server")
	}
	if err := alone.Put(t.Context(), transitory.Job{Tube: "t"})[0]; fault.ClassOf(err) != fault.ErrUnavailable {
		t.Errorf("put to a draining server: %v", err)
	}
	if _, err := alone.Reserve(within(t, 10*time.Second), []string{"u"}, 1); err != nil {
		t.Errorf("reserve from a draining server: %v", err)
	}
	if c := alone.Check(t.Context()); len(c.Problems) != 1 || !strings.Contains(c.Problems[0], "draining") {
		t.Errorf("check: %v", c)
	}
}

// MaxBody is what the server says; a unix socket is a server too.
func TestLearnsTheServersLimits(t *testing.T) {
	if most := open(t, beanstalkd.Options{}, start(t, "-z", "1000")).Features().MaxBody; most != 1000 {
		t.Errorf("MaxBody is %d with -z 1000", most)
	}
	q := open(t, beanstalkd.Options{}, start(t, "-z", "1000000"))
	body := bytes.Repeat([]byte("b"), 1000000)
	if err := q.Put(t.Context(), transitory.Job{Tube: "t", Body: body})[0]; err != nil {
		t.Fatalf("a body of -z bytes: %v", err)
	}
	if jobs, err := q.Reserve(within(t, 10*time.Second), []string{"t"}, 1); err != nil || !bytes.Equal(jobs[0].Body, body) {
		t.Errorf("it came back as %d jobs, %v", len(jobs), err)
	}
	r := startUnix(t)
	sock, err := transitory.Open(t.Context(), "beanstalkd://"+r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	if err := sock.Put(t.Context(), transitory.Job{Tube: "t"})[0]; err != nil {
		t.Errorf("put over a unix socket: %v", err)
	}
}

// A batch is first in, first out, also where its bodies do not leave in one
// write.
func TestBatchKeepsItsOrder(t *testing.T) {
	q := open(t, beanstalkd.Options{}, start(t))
	jobs := make([]transitory.Job, 300)
	for i := range jobs {
		jobs[i] = transitory.Job{Tube: "t", TTR: time.Hour, Body: fmt.Appendf(nil, "%d %*s", i, i*37%9000, "")}
	}
	if err := errors.Join(q.Put(t.Context(), jobs...)...); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(jobs); {
		got, err := q.Reserve(within(t, 10*time.Second), []string{"t"}, 50)
		if err != nil {
			t.Fatal(err)
		}
		for _, job := range got {
			if !bytes.Equal(job.Body, jobs[i].Body) {
				t.Fatalf("job %.8q came where %d was due", job.Body, i)
			}
			i++
		}
	}
}

// A worker that holds jobs and says nothing loses them at their TTR, although
// the server may forget to take them.
func TestTTROfASilentWorker(t *testing.T) {
	q := open(t, beanstalkd.Options{}, start(t))
	const n = 20
	for range n {
		if err := q.Put(t.Context(), transitory.Job{Tube: "t", TTR: time.Second})[0]; err != nil {
			t.Fatal(err)
		}
	}
	for range 2 * n {
		jobs, err := q.Reserve(within(t, 20*time.Second), []string{"t"}, 1)
		if err != nil {
			t.Fatalf("reserve: %v", err)
		}
		if len(jobs) != 1 {
			t.Fatalf("got %d jobs", len(jobs))
		}
	}
}

// Reserve over the bound of consumers waits until a job is settled, and obeys
// its context.
func TestConsumersAreBounded(t *testing.T) {
	r := start(t)
	q := open(t, beanstalkd.Options{Consumers: 2}, r)
	for range 3 {
		if err := q.Put(t.Context(), transitory.Job{Tube: "t", TTR: time.Hour})[0]; err != nil {
			t.Fatal(err)
		}
	}
	var held []transitory.Job
	for range 2 {
		jobs, err := q.Reserve(within(t, 10*time.Second), []string{"t"}, 1)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, jobs...)
	}
	if _, err := q.Reserve(within(t, 100*time.Millisecond), []string{"t"}, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third reserve: %v", err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := q.Reserve(within(t, 30*time.Second), []string{"t"}, 1)
		got <- err
	}()
	if err := q.Delete(t.Context(), held[0].ID)[0]; err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("reserve after a delete made room: %v", err)
	}
}

// Reconnecting, after a kill or a cut, leaves neither goroutines nor sockets
// behind, and every call ends with its context meanwhile.
func TestReconnectionLeavesNothingBehind(t *testing.T) {
	r := start(t, "-b", t.TempDir())
	cable := servers.NewCable(t, r.addr)
	mark := leaktest.Now()
	q := open(t, beanstalkd.Options{}, &real{addr: cable.Address()})
	for _, end := range []struct{ hurt, heal func() }{{r.kill, r.run}, {cable.Cut, cable.Mend}, {r.kill, r.run}, {cable.Cut, cable.Mend}} {
		eventually(t, 30*time.Second, "put", func() bool { return q.Put(t.Context(), transitory.Job{Tube: "t"})[0] == nil })
		eventually(t, 30*time.Second, "reserve", func() bool { _, err := q.Reserve(within(t, time.Second), []string{"t"}, 1); return err == nil })
		end.hurt()
		start := time.Now()
		_ = q.Put(within(t, 20*time.Millisecond), transitory.Job{Tube: "t"})
		_, _ = q.Reserve(within(t, 20*time.Millisecond), []string{"t"}, 1)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("two calls whose contexts ended after 20ms each took %v", took)
		}
		end.heal()
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	mark.Nothing(t)
}
