package persistencetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// childVariable carries an order to a child process.
const childVariable = "FOURFOLD_CRASH_CHILD"

// An order is what a child process has to do.
type order struct {
	Test  string
	Dir   string
	Seed  uint64
	Round int
	Point string // kill yourself here
	Hit   int
	Count bool   // say which points were passed
	Check string // the history's file; empty: do not check

	Disturbed bool // Scenario.Disturb runs beside this start
}

// How long a start may say nothing. One that hangs is evidence, one that is slow
// is not. It is more than the child's own patience with a drain.
const (
	childPatience  = stall + 60*time.Second
	disturbedChild = stallDisturbed + 60*time.Second
)

// A result is what became of a run.
type result struct {
	plan     *plan
	history  History
	counts   map[string]int
	evidence string // empty: passed
	output   string // of the last child
}

// size orders failures: the one with the least to read first.
func (r *result) size() int {
	return 1000*len(r.history.Kills) + len(r.history.Acked) + len(r.history.Open)
}

// proves reports whether the run says anything: the process was killed, and
// there was something to be lost.
func (r *result) proves() bool {
	return r.evidence != "" || len(r.history.Kills) > 0 && len(r.history.Acked) > 0
}

// killedAt reports whether one of the kills was at the point.
func (r *result) killedAt(point string) bool {
	return slices.ContainsFunc(r.history.Kills, func(k string) bool { return strings.HasPrefix(k, point+":") })
}

var runs atomic.Int64

// run carries out a plan.
func (c *campaign) run(p *plan) *result {
	r := &result{plan: p, counts: map[string]int{}}
	dir := filepath.Join(c.dir, strconv.FormatInt(runs.Add(1), 10))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.evidence = err.Error()
		return r
	}
	defer os.RemoveAll(dir) // the test's own directory goes in the end, whatever this says
	defer c.forget(filepath.Join(dir, "data"))
	o := order{Test: c.t.Name(), Dir: filepath.Join(dir, "data"), Seed: p.seed}
	for i, k := range p.kills {
		o.Round, o.Point, o.Hit = i, k.point, k.hit
		if c.start(r, o, k); r.evidence != "" {
			return r
		}
	}
	o.Round, o.Point, o.Hit, o.Count = len(p.kills), "", 0, p.count
	o.Check = filepath.Join(dir, "history.json")
	r.history.Events = append(r.history.Events, Event{Verb: Heal, At: time.Now()})
	text, err := json.Marshal(&r.history)
	if err == nil {
		err = os.WriteFile(o.Check, text, 0o600)
	}
	if err != nil {
		r.evidence = err.Error()
		return r
	}
	c.start(r, o, kill{})
	return r
}

// forget removes what a run left outside of its directory.
func (c *campaign) forget(dir string) {
	if c.clean == nil {
		return
	}
	if err := c.clean(context.Background(), dir); err != nil {
		c.t.Errorf("persistencetest.Crash: Clean: %v", err)
	}
}

// start starts the program once and follows it to its end.
func (c *campaign) start(r *result, o order, k kill) {
	patience := childPatience
	if o.Disturbed = c.disturb != nil && k != (kill{}); o.Disturbed {
		patience = disturbedChild
	}
	cmd, out, lines, err := command(&o)
	if err != nil {
		r.evidence = "the child cannot be started: " + err.Error()
		return
	}
	hung := time.AfterFunc(patience, func() {
		r.evidence = fmt.Sprintf("the program does nothing for %v, after a kill at %s", patience, r.plan)
		_ = cmd.Process.Signal(syscall.SIGQUIT) // its stacks tell where it hangs
		time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
	})
	t := &tail{result: r, begun: map[string]Event{}, heard: func() {
		if hung.Stop() {
			hung.Reset(patience)
		}
	}}
	if k.acks > 0 {
		t.acks, t.then = k.acks, func() {
			time.AfterFunc(k.after, func() { _ = cmd.Process.Kill() })
		}
	}
	mended := func() {}
	if o.Disturbed {
		mended = c.disturbing(t, o)
	}
	t.read(lines)
	err = cmd.Wait()
	mended()
	t.cutOff()
	hungNow := !hung.Stop()
	if secret := c.secretIn(out); secret > 0 {
		r.evidence = fmt.Sprintf("what the program prints shows secret %d, after a kill at %s", secret, r.plan)
		return
	}
	r.output = tailOf(out)
	switch {
	case hungNow || r.evidence != "":
	case t.killed != "":
		r.history.killedAt(t.killed)
	case t.done:
	case k.acks > 0 && err != nil:
		r.history.killedAt(k.String())
	default:
		r.evidence = fmt.Sprintf("the program ended by itself in its phase %q: %v", t.phase, err)
	}
}

// disturbing breaks things beside a start, from its first acknowledgement on.
// The returned function waits until they are mended.
func (c *campaign) disturbing(t *tail, o order) (mended func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	rng := rand.New(rand.NewPCG(o.Seed, uint64(o.Round)|1<<32))
	t.first = func() { all.Go(func() { c.disturb(ctx, rng) }) }
	return func() {
		cancel()
		all.Wait()
	}
}

// secretIn is the number of the first secret that a child printed; 0: none.
func (c *campaign) secretIn(out *bytes.Buffer) int {
	return 1 + slices.IndexFunc(c.secrets, func(s string) bool { return s != "" && bytes.Contains(out.Bytes(), []byte(s)) })
}

// tailOf is the end of what a child printed.
func tailOf(out *bytes.Buffer) string {
	const most = 8 << 10
	text := out.Bytes()
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return strings.TrimSpace(string(text))
}

// command starts a child. Lines come from a pipe of its own, so that what the
// program prints does not disturb them.
func command(o *order) (*exec.Cmd, *bytes.Buffer, io.ReadCloser, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, nil, nil, err
	}
	lines, theirs, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, err
	}
	defer theirs.Close()
	parts := strings.Split(o.Test, "/")
	for i := range parts {
		parts[i] = "^" + regexp.QuoteMeta(parts[i]) + "$"
	}
	cmd := exec.Command(os.Args[0], "-test.run="+strings.Join(parts, "/"), "-test.v=false", "-test.timeout=0")
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	cmd.ExtraFiles = []*os.File{theirs}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		lines.Close()
		return nil, nil, nil, err
	}
	return cmd, &out, lines, nil
}

// killedAt notes a kill.
func (h *History) killedAt(point string) {
	h.Kills = append(h.Kills, point)
	h.Events = append(h.Events, Event{Verb: Fault, ID: point, At: time.Now()})
}

// A tail reads what a child says.
type tail struct {
	result *result
	begun  map[string]Event // by number
	acks   int              // after so many, then
	then   func()           // may be nil
	killed string           // the child's last word before it killed itself
	first  func()           // at the first one; may be nil
	done   bool
	phase  string
	heard  func() // at each word
}

func (t *tail) read(from io.ReadCloser) {
	defer from.Close()
	for scan := bufio.NewScanner(from); scan.Scan(); {
		w := words(scan.Text())
		if len(w) < 2 {
			continue
		}
		t.heard()
		switch w[0] {
		case "progress": // that it is heard is enough
		case "kill":
			t.killed = w[1]
		case "phase":
			t.phase = w[1]
			t.done = w[1] == "done"
		case "bad":
			t.result.evidence = w[1]
		case "count":
			n, _ := strconv.Atoi(w[2])
			t.result.counts[w[1]] += n
		default:
			t.event(w[0], w[1:])
		}
	}
}

// event reads "begin" and "end", with a number, and "event", without.
func (t *tail) event(verb string, w []string) {
	var e Event
	if err := json.Unmarshal([]byte(w[len(w)-1]), &e); err != nil {
		t.result.evidence = "the program speaks of no event: " + err.Error()
		return
	}
	switch verb {
	case "begin":
		if t.begun[w[0]] = e; e.Verb == Put {
			t.result.history.try(e.ID)
		}
		return
	case "end":
		delete(t.begun, w[0])
	}
	t.result.history.ended(e)
	if verb == "event" || e.Verb != Put || e.Outcome != fault.Applied {
		return
	}
	if t.first != nil {
		t.first()
		t.first = nil
	}
	if t.acks--; t.acks == 0 && t.then != nil {
		t.then()
	}
}

// cutOff ends what the end of the child cut off: nobody knows its outcome.
func (t *tail) cutOff() {
	begun := slices.SortedFunc(maps.Values(t.begun), func(a, b Event) int { return a.Began.Compare(b.Began) })
	for _, e := range begun {
		e.Outcome, e.At = fault.OutcomeUnknown, time.Now()
		t.result.history.ended(e)
	}
}
