package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/servertest"
)

// The game on the four real servers: by one process, by one that puts and one
// that works, and by one that puts and three that work, of which one is killed.
// The totals are always those that the input implies.
func TestOnServers(t *testing.T) {
	servers := servertest.Start(t)
	generated := town.Generate(small)
	events, friends := writeTown(t, generated)
	on := func(game string, more ...string) []string {
		return append(argsOn(servers, game, events, friends), more...)
	}
	check := func(t *testing.T, out string) {
		t.Helper()
		implied := impliedBooks(generated)
		got := resultOf(t, out)
		got.Seconds = 0
		want := result{
			Checkins: len(generated.Events), Notifications: int(implied.notifications.rows),
			MaxFanout: int(implied.maxFanout), Badges: int(implied.awards.rows),
		}
		if got != want {
			t.Errorf("totals %+v, want %+v", got, want)
		}
	}
	t.Run("one process", func(t *testing.T) {
		check(t, succeeds(t, child(t, 0, 0, on("a")...)))
		if out := succeeds(t, child(t, 0, 0, on("a")...)); !strings.Contains(out, "Nothing was left to do") {
			t.Errorf("run again, it says %s", out)
		}
	})
	t.Run("a queue and a cache, and the rest in process", func(t *testing.T) {
		check(t, succeeds(t, child(t, 0, 0, "-transitory", servers.URL(persistence.Transitory), "-volatile", servers.URL(persistence.Volatile),
			"-dir", t.TempDir(), "-namespace", servers.Options().Namespace+"d", "-events", events, "-friends", friends, "-json")))
	})
	t.Run("one puts and one works", func(t *testing.T) {
		worker := startWorker(t, 0, on("b", "-work"))
		check(t, succeeds(t, child(t, 0, 0, on("b", "-put")...)))
		worker.stop(t)
	})
	t.Run("one puts and three work, one of them killed", func(t *testing.T) {
		check(t, oneOfThreeDies(t, 5, true, on("c")))
	})
}

// The real file on the four real servers, where there is one: by one process,
// and by one that puts and three that work, of which one is killed. It takes
// minutes.
func TestTheRealFileOnServers(t *testing.T) {
	events, friends := os.Getenv("FOURFOLD_CHECKIN_EVENTS"), os.Getenv("FOURFOLD_CHECKIN_FRIENDS")
	if events == "" || friends == "" {
		t.Skip("the data set that FOURFOLD_CHECKIN_EVENTS and FOURFOLD_CHECKIN_FRIENDS name is NOT TESTED on servers: set them to its two paths")
	}
	servers := servertest.Start(t)
	check := func(t *testing.T, out string) {
		t.Helper()
		got := resultOf(t, out)
		if got.Checkins != 138_957 || got.Notifications != 1_568_536 || got.MaxFanout != 441 {
			t.Errorf("%+v, want 138,957 check-ins, 1,568,536 notifications, at most 441", got)
		}
		t.Logf("%.1f s", got.Seconds)
	}
	t.Run("one process", func(t *testing.T) {
		check(t, succeeds(t, child(t, 0, 0, argsOn(servers, "a", events, friends)...)))
	})
	t.Run("one puts and three work, one of them killed", func(t *testing.T) {
		check(t, oneOfThreeDies(t, 50_000, false, argsOn(servers, "b", events, friends)))
	})
}

// argsOn are the flags of a game of its own on the four servers, with files.
func argsOn(servers *servertest.Servers, game, events, friends string) []string {
	return []string{
		"-transitory", servers.URL(persistence.Transitory), "-volatile", servers.URL(persistence.Volatile),
		"-transactional", servers.URL(persistence.Transactional), "-amorphous", servers.URL(persistence.Amorphous),
		"-namespace", servers.Options().Namespace + game, "-events", events, "-friends", friends, "-json",
	}
}

// oneOfThreeDies plays a game by a process that puts and three that work, of
// which one kills itself after so many tasks, and returns what the one that
// puts printed. A small town is claimed at once by whoever comes first, so that
// the others come when that one is dead, and make up for it.
func oneOfThreeDies(t *testing.T, tasks int, small bool, args []string) string {
	t.Helper()
	args = slices.Clip(args)
	work := append(args, "-work")
	dies := startWorker(t, tasks, work)
	var others []*worker
	help := func() { others = append(others, startWorker(t, 0, work), startWorker(t, 0, work)) }
	if !small {
		help()
	}
	var out, stderr bytes.Buffer
	put := child(t, 0, 0, append(args, "-put")...)
	put.Stdout, put.Stderr = &out, &stderr
	if err := put.Start(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	late := time.AfterFunc(10*time.Minute, func() { _ = dies.cmd.Process.Signal(os.Interrupt) })
	defer late.Stop()
	if err := dies.wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the first worker was not killed, so nothing is shown: %v\n%s", err, dies.out.String())
	}
	if small {
		help()
	}
	if err := put.Wait(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), stderr.String())
	}
	for _, w := range others {
		w.stop(t)
	}
	return out.String()
}

func succeeds(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	return string(out)
}

// A worker is a process that works.
type worker struct {
	cmd  *exec.Cmd
	out  bytes.Buffer
	once sync.Once
	err  error
}

// startWorker starts a worker, which kills itself after so many tasks, or never
// for none. It ends with the test.
func startWorker(t *testing.T, dieAfter int, args []string) *worker {
	t.Helper()
	w := &worker{cmd: child(t, syscall.SIGKILL, dieAfter, args...)}
	w.cmd.Stdout, w.cmd.Stderr = &w.out, &w.out
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		_ = w.wait()
	})
	return w
}

func (w *worker) wait() error {
	w.once.Do(func() { w.err = w.cmd.Wait() })
	return w.err
}

// stop ends a worker as Ctrl-C does.
func (w *worker) stop(t *testing.T) {
	t.Helper()
	if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Errorf("a worker ended by itself: %v", err)
	}
	if err := w.wait(); err != nil || !strings.Contains(w.out.String(), " tasks worked off") {
		t.Errorf("a worker that is stopped: %v, want status 0 and what it did\n%s", err, w.out.String())
	}
}
