package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	start "github.com/fourfold-dev/fourfold/internal/servers"
)

// lapsOf runs the program, which must succeed, and returns its laps. It verifies
// every store after each of them itself.
func lapsOf(t *testing.T, args ...string) (laps []result, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if status := run(append(args, "-json"), &out, &errs); status != 0 {
		t.Fatalf("exit status %d: %s", status, errs.String())
	}
	for lines := json.NewDecoder(&out); lines.More(); {
		var r result
		if err := lines.Decode(&r); err != nil {
			t.Fatal(err)
		}
		laps = append(laps, r)
	}
	return laps, errs.String()
}

// onServers are the flags that name the four real servers.
func onServers(t *testing.T) (args []string) {
	t.Helper()
	for _, p := range start.Purposes() {
		args = append(args, "-"+p.Name, start.Shared(t, p))
	}
	return args
}

func TestBothSidesDoTheSameOnServers(t *testing.T) {
	args := append(onServers(t), "-rounds", "1", "-warm", "0", "-objects", "40", "-callers", "6")
	var modes []string
	for _, e := range entrants() {
		modes = append(modes, e.name)
	}
	laps, _ := lapsOf(t, append(args, "-modes", strings.Join(modes, ","))...)
	if len(laps) != len(modes) {
		t.Fatalf("%d laps, want one of each of %v", len(laps), modes)
	}
	for i, l := range laps {
		if want := modes[i]; l.Entrant != want || l.Rate <= 0 || l.P50 <= 0 || l.Max < l.P99 {
			t.Errorf("lap %d is %+v, want one of %s", i, l, want)
		}
	}
}

func TestWithoutServersOnlyFourfoldRuns(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("JAVA_HOME", "")
	laps, said := lapsOf(t, "-rounds", "1", "-warm", "0", "-objects", "60", "-callers", "8", "-size", "2000")
	if len(laps) != 4 || laps[0].Entrant != "now" {
		t.Errorf("%+v, want the four entrants of Fourfold", laps)
	}
	if !strings.Contains(said, "no servers, so only Fourfold runs, in process") || !strings.Contains(said, "beanstalkd") {
		t.Errorf("it says %q, and not what is missing", said)
	}
}

func TestALossIsFound(t *testing.T) {
	ctx, r := t.Context(), &race{flags: flags{lone: 20, objects: 20}}
	if err := r.open(ctx, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for _, e := range entrants() {
		if e.name != "now" {
			continue
		}
		l := newLap(20, 0, 1, e.tasks)
		r.laps.current.Store(l)
		if _, err := e.run(ctx, r, l); err != nil {
			t.Fatal(err)
		}
		if err := e.verify(ctx, r, l); err != nil {
			t.Fatal(err)
		}
		l.objects[7].Text += "!"
		if err := e.verify(ctx, r, l); err == nil || !strings.Contains(err.Error(), l.objects[7].ID) {
			t.Errorf("%v; what a store holds otherwise than it was put is found", err)
		}
		l.objects[7].Text = l.objects[8].Text
		l.done[1][3].Store(0)
		if err := e.verify(ctx, r, l); err == nil || !strings.Contains(err.Error(), "follow-up 2 of "+l.objects[3].ID) {
			t.Errorf("%v; a follow-up that was not done is found", err)
		}
	}
}

func TestTheCurveAndTheOpenLoop(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("JAVA_HOME", "")
	for args, want := range map[string][]string{
		"-curve -objects 24 -lone 6 -warm 0": {"| callers", "60000", "tasks a plan", "derived rows an object", "amorphous slow by", "100ms"},
		"-open 50 -seconds 1 -size 200":      {"calm", "spike", "375 check-ins, none lost"},
	} {
		var out, errs bytes.Buffer
		if status := run(strings.Fields(args), &out, &errs); status != 0 {
			t.Errorf("%s: status %d, %s", args, status, errs.String())
		}
		for _, word := range want {
			if !strings.Contains(out.String(), word) {
				t.Errorf("%s: %q is not in\n%s", args, word, out.String())
			}
		}
	}
}

// TestWhatHasGrown: the stores are filled with copies of what the layer wrote, which
// it finds itself, beside a backlog of which nobody takes any.
func TestWhatHasGrown(t *testing.T) {
	args := append(onServers(t), "-grown", "600", "-backlog", "200", "-modes", "now", "-rounds", "1", "-warm", "0", "-objects", "40", "-random")
	var out, errs bytes.Buffer
	if status := run(args, &out, &errs); status != 0 {
		t.Fatalf("exit status %d: %s", status, errs.String())
	}
	for _, want := range []string{"now before", "now small", "now grown", "now, random keys, 600 stored and 200 waiting: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	db, err := openRows(args[slices.Index(args, "-transactional")+1])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for count, want := range map[string]int{
		"now": 640, "whereabouts WHERE space = 'now__activity'": 640,
		"outbox WHERE state = 0 AND queue = 'grownrandom/unknown/bg'": 80, "outbox WHERE state = 2": 120,
	} {
		var n int
		if err := db.QueryRow("SELECT COUNT(*) FROM grownrandom_" + count).Scan(&n); err != nil || n < want {
			t.Errorf("%s: %d rows, %v; want %d at least", count, n, err, want)
		}
	}
}

func TestFaultyCommandLines(t *testing.T) {
	for args, want := range map[string]string{
		"-callers 0":           "-callers takes numbers",
		"-callers 1,x":         `"x"`,
		"-modes now,never":     `"never" is no entrant`,
		"-amorphous cassandra": "all four servers, or none",
		"-pids cache=7":        `"cache=7"`,
		"-rounds 0":            "1 at least",
		"-backlog 9":           "-backlog goes with -grown",
		"-speed":               "-help lists the flags",
		"now":                  `"now" is not a flag`,
	} {
		var out, errs bytes.Buffer
		if status := run(strings.Fields(args), &out, &errs); status != 2 || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: status %d, %q; want 2, and %q", args, status, errs.String(), want)
		}
	}
	var out, errs bytes.Buffer
	if status := run([]string{"-help"}, &out, &errs); status != 0 || !strings.Contains(out.String(), "same moment") {
		t.Errorf("-help: status %d, %s", status, out.String())
	}
}

func TestMediansAndRatio(t *testing.T) {
	lap := func(entrant string, rate float64) result {
		return result{Entrant: entrant, Callers: 64, Rate: rate, CPU: map[string]float64{"client": rate / 10}}
	}
	laps := []result{
		lap("hand-seq", 100), lap("now", 200), lap("hand-par", 90), lap("hand-seq", 300), lap("now", 100),
		lap("hand-par", 80), lap("hand-seq", 120), lap("now", 300), lap("hand-par", 70),
		{Entrant: "queued", Callers: 1, P50: 66}, {Entrant: "raw-put", Callers: 1, P50: 60}, {Entrant: "raw-put", Callers: 2, P50: 1},
	}
	var out strings.Builder
	printTables(&out, laps)
	for _, want := range []string{"120 [100 - 300]", "200 [100 - 300]", " 1.67 ", " 0.67 ", "1 callers: the p50 of queued is 1.10 of that of raw-put"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestPercentile(t *testing.T) {
	var all []time.Duration
	for i := range 200 {
		all = append(all, time.Duration(i+1))
	}
	for p, want := range map[int]time.Duration{50: 100, 99: 198, 100: 200} {
		if got := percentile(all, p); got != want {
			t.Errorf("%d %%: %d, want %d", p, got, want)
		}
	}
	if percentile(nil, 50) != 0 {
		t.Error("of nothing it is zero")
	}
}
