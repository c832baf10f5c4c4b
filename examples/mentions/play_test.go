package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/fourfold-dev/fourfold/examples/internal/console"
)

// childArgs tells the test binary to be the program, and killAfter to kill it
// when so many rows were accepted.
const (
	childArgs = "MENTIONS_TEST_ARGS"
	killAfter = "MENTIONS_TEST_KILL"
)

func TestMain(m *testing.M) {
	args, child := os.LookupEnv(childArgs)
	if !child {
		os.Exit(m.Run())
	}
	if n, _ := strconv.Atoi(os.Getenv(killAfter)); n > 0 {
		afterPut = func(put int64) {
			if put >= int64(n) {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}
	}
	os.Exit(run(strings.Split(args, "\n"), os.Stdout, os.Stderr))
}

func child(t *testing.T, kill int, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childArgs+"="+strings.Join(args, "\n"), killAfter+"="+strconv.Itoa(kill))
	return cmd
}

// resultOf is the last line of -json.
func resultOf(t *testing.T, out string) (r totals) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatalf("the last line is no JSON: %v\n%s", err, out)
	}
	return r
}

// public is what -json prints of totals.
func (t totals) public() totals {
	t.objects, t.timelines, t.raised = 0, 0, ""
	return t
}

// Killed in the middle and run again, it ends with the totals that the input
// implies, all of them read back from the stores.
func TestKilledAndContinuedTheTotalsAreThoseOfTheInput(t *testing.T) {
	s := generate(500)
	path, dir := writeStream(t, s), t.TempDir()
	killedAndContinued(t, s.implied().public(), []int{100, 250}, "-mentions", path, "-dir", dir, "-json")
	other := child(t, 0, "-mentions", writeStream(t, generate(20)), "-dir", dir)
	var stderr bytes.Buffer
	other.Stderr = &stderr
	if err := other.Run(); err == nil || !strings.Contains(stderr.String(), "hold another stream") {
		t.Errorf("another stream in the same directory: %v, %s", err, stderr.String())
	}
}

// killedAndContinued kills the program after so many rows of each run, continues,
// and runs it again when all is done.
func killedAndContinued(t *testing.T, want totals, kills []int, args ...string) {
	t.Helper()
	for _, rows := range kills {
		var exit *exec.ExitError
		if err := child(t, rows, args...).Run(); !errors.As(err, &exit) || exit.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("it was to be killed after %d rows: %v", rows, err)
		}
	}
	for _, what := range []string{"continued", "run again when all is done"} {
		cmd := child(t, 0, args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s%s", what, err, out, stderr.String())
		}
		if got := resultOf(t, string(out)); got != want {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
}

// A client watches live, and sees the mentions of its entity only.
func TestAClientWatchesLive(t *testing.T) {
	path := writeStream(t, generate(300))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	address := make(chan string, 1)
	p := &program{
		flags: flags{mentions: path, listen: "127.0.0.1:0", rate: 5000}, out: io.Discard,
		show: console.NewProgress("mentions", io.Discard), listening: func(a string) { address <- a },
	}
	// The feed waits until somebody watches.
	watching := make(chan struct{})
	p.ready = func() { <-watching }
	done := make(chan error, 1)
	go func() { done <- p.run(ctx) }()
	at := "http://" + <-address
	resp, err := http.Get(at + "/watch?entity=" + "Harbour+City")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	events := bufio.NewScanner(resp.Body)
	events.Scan() // the comment with which the stream begins
	close(watching)
	seen := 0
	for seen < 5 && events.Scan() {
		data, ok := strings.CutPrefix(events.Text(), "data: {")
		if !ok {
			continue
		}
		var m Mention
		if err := json.Unmarshal([]byte("{"+data), &m); err != nil || m.Entity != "Harbour City" {
			t.Errorf("an event %q: %v", data, err)
		}
		seen++
	}
	if seen < 5 {
		t.Errorf("%d events, %v", seen, events.Err())
	}
	for _, path := range []string{"/", "/entities"} {
		page, err := http.Get(at + path)
		if err != nil || page.StatusCode != http.StatusOK {
			t.Errorf("%s: %v, %v", path, page, err)
			continue
		}
		page.Body.Close()
	}
	stop()
	if err := <-done; err != nil && !errors.As(err, new(*errStopped)) {
		t.Error(err)
	}
}

func TestAWatcherThatIsSlowIsToldWhatItMissed(t *testing.T) {
	h := newHub()
	w, stop := h.watch("")
	for range ahead + 7 {
		h.tell(Mention{})
	}
	if n := h.missedBy(w); n != 7 {
		t.Errorf("missed %d, want 7", n)
	}
	if n := h.missedBy(w); n != 0 {
		t.Errorf("told once, it is %d", n)
	}
	stop()
	h.tell(Mention{}) // to nobody
}

func TestFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-mention x": "did you mean -mentions?", "file.csv": "not a flag", "-rate -1": "1 or more",
	} {
		if _, err := parseFlags(strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
	var help bytes.Buffer
	if code := run([]string{"-help"}, &help, io.Discard); code != 0 || !strings.Contains(help.String(), "-listen") {
		t.Errorf("-help: %d, %s", code, help.String())
	}
	if code := run([]string{"-mentions", "/does/not/exist"}, io.Discard, io.Discard); code != 2 {
		t.Errorf("a file that is not there: %d, want 2", code)
	}
}

// theRealTotals are what anybody can count in the real file, which alerts are not.
var theRealTotals = totals{Rows: 132_115, Mentions: 128_371, Duplicates: 3_744, Entities: 37, Top: top{"black stars", 34_586},
	Busiest: minute{"2022-11-28T13:35", 940}}

// The real file, where there is one.
func TestTheRealFile(t *testing.T) {
	path := os.Getenv("FOURFOLD_MENTIONS")
	if path == "" {
		t.Skip("the data set that FOURFOLD_MENTIONS names is NOT TESTED: set it to its path")
	}
	var out strings.Builder
	cmd := child(t, 0, "-mentions", path, "-json")
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	got := resultOf(t, out.String())
	want := theRealTotals
	want.Alerts = got.Alerts
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
