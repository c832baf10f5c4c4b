package beanstalkd_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/beanstalkd"
)

// One write to the server's log fails, after which it answers INSERTED and logs
// nothing more. It is noticed, however much the server had logged before, at
// once: it is given no more jobs, and its health says why. Started
// again it is believed again, and has what it had acknowledged before.
func TestBrokenLog_B6(t *testing.T) {
	dir := t.TempDir()
	r := start(t, "-b", dir)
	q := open(t, beanstalkd.Options{Durability: fault.Written}, r)
	for range 200 { // each is a record more than it is jobs
		if err := q.Put(t.Context(), transitory.Job{Tube: "t", TTR: time.Hour})[0]; err != nil {
			t.Fatal(err)
		}
		jobs, err := q.Reserve(within(t, 10*time.Second), []string{"t"}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Delete(t.Context(), jobs[0].ID)[0]; err != nil {
			t.Fatal(err)
		}
	}
	kept := transitory.Job{Tube: "kept", TTR: time.Hour}
	if err := q.Put(t.Context(), kept)[0]; err != nil {
		t.Fatal(err)
	}
	mended := servers.Inject(t, r.PID(), "-e", "trace=write", "-e", "inject=write:error=EIO:when=1", "-P", filepath.Join(dir, "binlog.1"))
	var last error
	n := 0
	eventually(t, 30*time.Second, "puts go on into memory only", func() bool {
		if last = q.Put(t.Context(), transitory.Job{Tube: "t", TTR: time.Hour})[0]; last == nil {
			n++
			return false
		}
		return true
	})
	if fault.ClassOf(last) != fault.ErrMisconfigured {
		t.Fatalf("after %d puts into memory only: %v", n, last)
	}
	if mended() != 1 {
		t.Fatal("no write failed: nothing is proved")
	}
	check := q.Check(t.Context())
	if !check.Reachable || check.Durability != fault.Memory || len(check.Problems) == 0 || !strings.Contains(check.Problems[0], "log is broken") {
		t.Errorf("check: %v", check)
	}
	if n > 100 {
		t.Errorf("noticed after %d puts, which went into memory only", n)
	}
	t.Logf("noticed after %d puts: %v", n, last)
	r.kill()
	r.run()
	eventually(t, 30*time.Second, "a server that was started again is not believed", func() bool {
		return q.Put(t.Context(), transitory.Job{Tube: "t", TTR: time.Hour})[0] == nil
	})
	if jobs, err := q.Reserve(within(t, 10*time.Second), []string{"kept"}, 1); err != nil || len(jobs) != 1 {
		t.Errorf("what was logged before did not come back: %v, %v", jobs, err)
	}
}

// Beside a server that is well, one whose log broke is passed over: no put is
// refused because of it.
func TestABrokenLogIsPassedOver_B6(t *testing.T) {
	dir := t.TempDir()
	a, b := start(t, "-b", dir), start(t, "-b", t.TempDir())
	q := open(t, beanstalkd.Options{Durability: fault.Written}, a, b)
	put := func(tube string) {
		t.Helper()
		if err := q.Put(t.Context(), transitory.Job{Tube: tube, TTR: time.Hour})[0]; err != nil {
			t.Fatalf("a put beside a server that is well: %v", err)
		}
	}
	put("t")
	put("t")
	mended := servers.Inject(t, a.PID(), "-e", "trace=write", "-e", "inject=write:error=EIO:when=1", "-P", filepath.Join(dir, "binlog.1"))
	eventually(t, 30*time.Second, "nobody notices that the log is broken", func() bool {
		put("t")
		return strings.Contains(strings.Join(q.Check(t.Context()).Problems, " "), "log is broken")
	})
	if mended() != 1 {
		t.Fatal("no write failed: nothing is proved")
	}
	for range 10 {
		put("u")
	}
	if got := b.raw("stats-tube u"); !strings.Contains(got, "current-jobs-ready: 10\n") {
		t.Errorf("the server that is well has of ten jobs: %s", got)
	}
}
