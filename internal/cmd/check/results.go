package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// An event is a line of go test -json; see go doc test2json.
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64
	Output  string
}

// results are what the tests of all packages came to.
type results struct {
	out     io.Writer
	output  map[string]*strings.Builder // by test, while it is not known how it ended
	passed  int
	failed  []string
	skipped []skip
	slow    []event // tests, and not parts of them, that passed and took slowFrom
}

// slowFrom is how many seconds a test may take that the summary does not name,
// and slowMost how many it names: who looks for the minutes begins there.
const (
	slowFrom = 10
	slowMost = 20
)

// A skip is a test that did not run, or a part of one.
type skip struct{ pkg, test, reason string }

// whole reports whether a test was skipped, and not one check of it that asks
// for a promise which a driver does not make.
func (s skip) whole() bool { return !strings.Contains(s.test, "/") }

// excused reports whether a test is skipped by design: it is the body of a child
// process that another test starts and kills, it replays a data set of somebody
// else's, which is not ours to ship and which a machine may lack, or it is a
// campaign that somebody asks for by a flag, since it takes longer than all else,
// or it would kill a server that somebody gave us.
func (s skip) excused() bool {
	return slices.ContainsFunc([]string{"the process that ", "the data set that ", "the campaign that ", "the server that "},
		func(begin string) bool { return strings.HasPrefix(s.reason, begin) })
}

func newResults(out io.Writer) *results {
	return &results{out: out, output: map[string]*strings.Builder{}}
}

// read takes in events until there are no more.
func (r *results) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *results) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		r.out.Write(line) // go itself, about something before the tests
		return
	}
	r.add(e)
}

func (r *results) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		if r.output[key] == nil {
			r.output[key] = &strings.Builder{}
		}
		r.output[key].WriteString(e.Output)
		return
	case "build-output":
		io.WriteString(r.out, e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	text := ""
	if b := r.output[key]; b != nil {
		text = b.String()
		delete(r.output, key)
	}
	r.end(e, text)
}

// end notes how a test, or a package, ended.
func (r *results) end(e event, text string) {
	if e.Action == "fail" {
		io.WriteString(r.out, text)
	}
	switch {
	case e.Test == "":
		r.report(e)
		if e.Action == "fail" {
			r.failed = append(r.failed, e.Package)
			r.unended(e.Package)
		}
	case e.Action == "pass":
		r.passed++
		if e.Elapsed >= slowFrom && !strings.Contains(e.Test, "/") {
			r.slow = append(r.slow, e)
		}
	case e.Action == "skip":
		r.skipped = append(r.skipped, skip{e.Package, e.Test, reason(text)})
	}
}

// unended prints what tests had to say that a crash or a deadline of their
// package cut off.
func (r *results) unended(pkg string) {
	for key, b := range r.output {
		if strings.HasPrefix(key, pkg+" ") {
			io.WriteString(r.out, b.String())
			delete(r.output, key)
		}
	}
}

// reason picks the message out of the output of a skipped test, whose lines
// read "    file_test.go:12: message".
func reason(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if _, message, ok := strings.Cut(line, ".go:"); ok {
			_, message, _ = strings.Cut(message, ": ")
			return message
		}
	}
	return "without a reason"
}

// report tells of a package as soon as it has ended.
func (r *results) report(e event) {
	if e.Action != "skip" { // it has no tests
		fmt.Fprintf(r.out, "%-4s %6.1f s  %s\n", e.Action, e.Elapsed, e.Package)
	}
}

// summarize prints every skip, because a silent one shows nothing and looks
// like a pass, and the tests that took longest.
func (r *results) summarize() {
	slices.SortStableFunc(r.slow, func(a, b event) int { return cmp.Compare(b.Elapsed, a.Elapsed) })
	for _, e := range r.slow[:min(len(r.slow), slowMost)] {
		fmt.Fprintf(r.out, "slow %6.1f s  %s %s\n", e.Elapsed, e.Package, e.Test)
	}
	for _, s := range r.skipped {
		fmt.Fprintf(r.out, "skipped: %s %s: %s\n", s.pkg, s.test, s.reason)
	}
	fmt.Fprintf(r.out, "%d tests passed, %d were skipped, %d packages failed\n", r.passed, len(r.skipped), len(r.failed))
}

// verdict is nil when the tests have shown what they are for.
func (r *results) verdict(strict bool, runErr error) error {
	switch {
	case len(r.failed) > 0:
		return fmt.Errorf("%s", strings.Join(r.failed, ", "))
	case runErr != nil:
		return runErr
	case r.passed == 0:
		return errors.New("not one test has run")
	}
	if !strict {
		return nil
	}
	var missing []string
	for _, s := range r.skipped {
		if s.whole() && !s.excused() {
			missing = append(missing, s.pkg+" "+s.test)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("must run and was skipped: %s", strings.Join(missing, ", "))
	}
	return nil
}
