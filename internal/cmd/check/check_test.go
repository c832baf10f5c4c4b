package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/servers"
)

// The targets are read from the files; go test -list must know the same ones.
func TestFuzzTargets(t *testing.T) {
	c := &checker{out: io.Discard, packages: "../../envelope"}
	pkgs, err := listPackages(t.Context(), c)
	if err != nil || len(pkgs) != 1 {
		t.Fatal(pkgs, err)
	}
	got, err := fuzzTargets(pkgs[0])
	list, failed := exec.CommandContext(t.Context(), "go", "test", "-list=^Fuzz", c.packages).Output()
	if err = errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(strings.Fields(string(list)), func(s string) bool { return !strings.HasPrefix(s, "Fuzz") })
	if slices.Sort(got); len(got) == 0 || !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Every package is tested, those that take long before the others, and none of
// them is named that is no longer there.
func TestLongestFirst(t *testing.T) {
	c := &checker{out: io.Discard, packages: "../../../..."}
	pkgs, err := listPackages(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	got := longestFirst(pkgs)
	for i, end := range long {
		if !strings.HasSuffix(got[i], end) {
			t.Errorf("package %d is %s, want one that ends in %s", i, got[i], end)
		}
	}
	var want []string
	for _, p := range pkgs {
		want = append(want, p.path)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v in some order", got, want)
	}
}

const passing = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestS/part","Output":"    suite.go:7: lacks: a promise\n"}
{"Action":"skip","Package":"p","Test":"TestS/part"}
{"Action":"pass","Package":"p","Test":"TestS"}
{"Action":"output","Package":"p","Test":"TestChild","Output":"    x_test.go:9: the process that TestCrash kills\n"}
{"Action":"skip","Package":"p","Test":"TestChild"}
{"Action":"output","Package":"p","Test":"TestReal","Output":"    x_test.go:9: the data set that SOME_FILE names\n"}
{"Action":"skip","Package":"p","Test":"TestReal"}
{"Action":"pass","Package":"p","Elapsed":2}
`

func TestVerdict(t *testing.T) {
	broken := errors.New("exit status 1")
	tests := map[string]struct {
		events string
		strict bool
		runErr error
		want   string // part of the error; empty for none
		prints string
	}{
		"passes":          {events: passing, strict: true, prints: "skipped: p TestS/part: lacks: a promise"},
		"nothing has run": {events: `{"Action":"skip","Package":"p"}`, want: "not one test"},
		"a slow test": {
			events: passing + `{"Action":"pass","Package":"p","Test":"TestB","Elapsed":10}` + "\n" +
				`{"Action":"pass","Package":"p","Test":"TestC/chatter","Elapsed":11}` + "\n" + `{"Action":"pass","Package":"p","Test":"TestC","Elapsed":12}`,
			prints: "slow   12.0 s  p TestC\nslow   10.0 s  p TestB\n",
		},
		"a run that breaks":  {events: passing, runErr: broken, want: "exit status 1"},
		"a line of no event": {events: "go: no such module\n" + passing, prints: "no such module"},
		"a suite that was skipped": {
			events: passing + `{"Action":"output","Package":"q","Test":"TestSuite","Output":"    x_test.go:3: no server\n"}` + "\n" +
				`{"Action":"skip","Package":"q","Test":"TestSuite"}`,
			strict: true, want: "must run and was skipped: q TestSuite", prints: "no server",
		},
		"the same outside CI": {events: passing + `{"Action":"skip","Package":"q","Test":"TestSuite"}`},
		"a failing test": {
			events: passing + `{"Action":"output","Package":"q","Test":"TestB","Output":"the reason\n"}` + "\n" +
				`{"Action":"fail","Package":"q","Test":"TestB"}` + "\n" + `{"Action":"fail","Package":"q"}`,
			runErr: broken, want: "q", prints: "the reason",
		},
		"a test that a crash cut off": {
			events: passing + `{"Action":"output","Package":"q","Test":"TestB","Output":"panic: x\n"}` + "\n" + `{"Action":"fail","Package":"q"}`,
			runErr: broken, want: "q", prints: "panic: x",
		},
		"a package that does not build": {
			events: `{"Action":"build-output","Output":"undefined: x\n"}` + "\n" + `{"Action":"fail","Package":"q"}`,
			runErr: broken, want: "q", prints: "undefined: x",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			r := newResults(&out)
			if err := r.read(strings.NewReader(test.events)); err != nil {
				t.Fatal(err)
			}
			r.summarize()
			err := r.verdict(test.strict, test.runErr)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("verdict %v, want %q", err, test.want)
			}
			if !strings.Contains(out.String(), test.prints) || strings.Contains(out.String(), "chatter") {
				t.Errorf("printed %q, want %q in it, and nothing of tests that passed", out.String(), test.prints)
			}
		})
	}
}

func TestAFailedStepFailsTheRunAndStopsNothing(t *testing.T) {
	var out strings.Builder
	ran := 0
	fails := func(context.Context, *checker) error { ran++; return errors.New("broken") }
	holds := func(context.Context, *checker) error { ran++; return nil }
	c := &checker{out: &out, fleet: &fleet{}}
	if c.run(t.Context(), []step{{name: "a", run: fails}, {name: "b", run: holds}}) || ran != 2 {
		t.Errorf("%d steps ran, %s", ran, out.String())
	}
	if !strings.Contains(out.String(), "FAILED: broken") {
		t.Errorf("the table says %s", out.String())
	}
	c.out = io.Discard
	if !c.run(t.Context(), []step{{name: "b", run: holds}}) {
		t.Error("a run whose steps hold must hold")
	}
}

func TestWhatIsLackingFailsOnlyInCI(t *testing.T) {
	lacks := func(context.Context, *checker) error { return &lackError{errors.New("missing beanstalkd")} }
	for _, strict := range []bool{false, true} {
		var out strings.Builder
		c := &checker{out: &lockedWriter{out: &out}, fleet: &fleet{}, strict: strict}
		if ok := c.run(t.Context(), []step{{name: "install", run: lacks, beside: true}}); ok == strict {
			t.Errorf("strict %v: the run holds: %v", strict, ok)
		}
		if !strings.Contains(out.String(), "missing beanstalkd") {
			t.Errorf("the table says what is lacking: %s", out.String())
		}
	}
}

func TestStepsBesideOthersAreInOrderAndWaitedFor(t *testing.T) {
	var out strings.Builder
	ready := make(chan struct{})
	var order []string // written beside, read by who waits
	c := &checker{out: &lockedWriter{out: &out}, fleet: &fleet{}}
	ok := c.run(t.Context(), []step{
		{name: "one", beside: true, run: func(_ context.Context, c *checker) error {
			<-ready // until a later step has run
			order = append(order, "one")
			_, err := io.WriteString(c.out, "half a ")
			return errors.Join(err, c.command(t.Context(), "echo", "line"))
		}},
		{name: "two", beside: true, run: func(context.Context, *checker) error { order = append(order, "two"); return nil }},
		{name: "go on", run: func(context.Context, *checker) error { close(ready); return nil }},
		{name: "wait", waits: true, run: func(context.Context, *checker) error { order = append(order, "wait"); return nil }},
	})
	if !ok || !slices.Equal(order, []string{"one", "two", "wait"}) {
		t.Errorf("%v, %v", ok, order)
	}
	if !strings.Contains(out.String(), "one: half a $ echo line\none: line\n") {
		t.Errorf("each line says whose it is, and is whole: %s", out.String())
	}
}

func TestAnInterruptedRunFailsAndStopsWhatItStarted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out strings.Builder
	c := &checker{out: &lockedWriter{out: &out}, fleet: &fleet{}}
	var address string
	begun := time.Now()
	ok := c.run(ctx, []step{
		{name: "servers", beside: true, run: func(ctx context.Context, c *checker) error {
			err := c.fleet.start(ctx, servers.Volatile, c.out)
			if err == nil {
				address = c.fleet.running[0].Address()
			}
			return err
		}},
		{name: "test", waits: true, run: func(ctx context.Context, c *checker) error {
			time.AfterFunc(50*time.Millisecond, interrupt)
			return c.command(ctx, "sh", "-c", "sleep 100 & sleep 100")
		}},
		{name: "bench", run: func(context.Context, *checker) error { t.Error("goes on after an interrupt"); return nil }},
	})
	if address == "" {
		t.Skip("lacks: memcached")
	}
	if ok || time.Since(begun) > 60*time.Second {
		t.Errorf("an interrupted run ends soon, and fails: %v", ok)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("the server still runs")
	}
	if !strings.Contains(out.String(), "FOURFOLD_VOLATILE=memcached://"+address) || !strings.Contains(out.String(), "stopping the servers") {
		t.Errorf("it says what it does: %s", out.String())
	}
}

func TestServersOfTheEnvironmentAreUsedAndNoneIsStarted(t *testing.T) {
	for _, p := range servers.Purposes() {
		t.Setenv(p.Variable, "given://user:secret@host")
	}
	var out strings.Builder
	c := &checker{out: &lockedWriter{out: &out}, fleet: &fleet{}}
	if err := startServers(t.Context(), c); err != nil || len(c.fleet.running) > 0 {
		t.Errorf("%v, %d servers were started", err, len(c.fleet.running))
	}
	if !strings.Contains(out.String(), "FOURFOLD_AMORPHOUS") || strings.Contains(out.String(), "secret") {
		t.Errorf("it names the variable, and no password: %s", out.String())
	}
}

func TestWithoutProgramsTheServersAreLacking(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, p := range servers.Purposes() {
		t.Setenv(p.Variable, "given://")
	}
	t.Setenv(servers.Transitory.Variable, "")
	c := &checker{out: io.Discard, fleet: &fleet{}}
	err := startServers(t.Context(), c)
	if _, ok := errors.AsType[*lackError](err); !ok || !strings.Contains(err.Error(), "beanstalkd") {
		t.Errorf("%v; want what is lacking", err)
	}
}

func TestTheComposeFileHasTheServersThatAreTested(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	compose := string(text)
	for _, p := range servers.Purposes() {
		if !strings.Contains(compose, "export "+p.Variable+"=") {
			t.Errorf("it does not say the URL for %s", p.Variable)
		}
	}
	if image := "image: cassandra:" + servers.CassandraVersion; !strings.Contains(compose, image) {
		t.Errorf("it has not %q, which is what Maven brings", image)
	}
	if healthy := strings.Count(compose, "healthcheck:"); healthy != 4 {
		t.Errorf("%d services have health checks, not 4", healthy)
	}
}

func TestPackagesStartNoServices(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy-rc.d")
	restore, err := startNothing(path)
	if err != nil {
		t.Fatal(err)
	}
	var refused *exec.ExitError
	if err := exec.Command(path, "memcached", "start").Run(); !errors.As(err, &refused) || refused.ExitCode() != 101 {
		t.Errorf("%v; 101 forbids", err)
	}
	again, err := startNothing(path)
	if err != nil {
		t.Fatal(err)
	}
	again() // of whom it is not
	if _, err := os.Stat(path); err != nil {
		t.Errorf("a policy that was there stays: %v", err)
	}
	restore()
	if _, err := os.Stat(path); err == nil {
		t.Error("ours is gone afterwards")
	}
}

func TestChoose(t *testing.T) {
	if s, err := choose(nil); err != nil || len(s) != len(steps)-1 {
		t.Errorf("%d steps, %v; all by default but the long one", len(s), err)
	}
	if s, err := choose([]string{"long"}); err != nil || len(s) != 1 {
		t.Errorf("%d steps, %v; the long one when it is named", len(s), err)
	}
	if s, err := choose([]string{"vet", "format"}); err != nil || len(s) != 2 || s[0].name != "format" {
		t.Errorf("%v, %v; want format and vet, in this order", s, err)
	}
	if _, err := choose([]string{"vett"}); err == nil {
		t.Error("an unknown step must be refused")
	}
}
