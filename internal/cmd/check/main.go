// Command check runs everything that has to hold before a change goes in, and
// says aloud what it does: formatting, vet, lint, tests under the race
// detector, every fuzz target for a moment, every benchmark once.
//
//	go run ./internal/cmd/check              # all of it
//	go run ./internal/cmd/check format vet   # some of it
//	go run ./internal/cmd/check -packages ./volatile/... test
//
// It ends with a table of seconds per step, and with status 1 when a step
// failed. With CI=true in the environment a test that was skipped as a whole
// is a failure too: a suite that did not run has shown nothing.
//
// It lies under internal/ because it serves those who change Fourfold, not
// those who use it, and it is a Go program so that it needs nothing but Go and,
// for the race detector, a C compiler.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// A checker is one run of this command.
type checker struct {
	packages string        // the pattern, such as "./..."
	fuzzTime time.Duration // for each fuzz target
	strict   bool          // a suite that was skipped is a failure
	out      io.Writer
}

// A step is one thing to check. Its error says what is wrong in one line; the
// details were printed before.
type step struct {
	name, purpose string
	run           func(context.Context, *checker) error
}

var steps = []step{
	{"format", "every file is as gofmt writes it", checkFormat},
	{"vet", "suspicious constructs", checkVet},
	{"lint", "bugs and dead code that vet does not look for", checkLint},
	{"test", "all tests, under the race detector", checkTests},
	{"fuzz", "every fuzz target for a moment", checkFuzz},
	{"bench", "every benchmark once, so that none rots", checkBenchmarks},
}

func main() {
	c := &checker{out: os.Stdout, strict: os.Getenv("CI") == "true"}
	flag.StringVar(&c.packages, "packages", "./...", "the `pattern` of the packages to check")
	flag.DurationVar(&c.fuzzTime, "fuzztime", 3*time.Second, "how long each fuzz target runs")
	flag.Usage = usage
	flag.Parse()
	chosen, err := choose(flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if !c.run(ctx, chosen) {
		stop()
		os.Exit(1)
	}
}

func usage() {
	out := flag.CommandLine.Output()
	fmt.Fprintln(out, "usage: check [flags] [step ...]\n\nsteps, all of them by default:")
	for _, s := range steps {
		fmt.Fprintf(out, "  %-8s %s\n", s.name, s.purpose)
	}
	fmt.Fprintln(out, "\nflags:")
	flag.PrintDefaults()
}

// choose returns the steps of the given names, in their usual order.
func choose(names []string) ([]step, error) {
	if len(names) == 0 {
		return steps, nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(steps, func(s step) bool { return s.name == name }) {
			return nil, fmt.Errorf("there is no step %q; -help lists them", name)
		}
	}
	return slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return !slices.Contains(names, s.name) }), nil
}

// run takes all steps, also after one that failed, and reports whether all
// held.
func (c *checker) run(ctx context.Context, chosen []step) bool {
	var table strings.Builder
	ok, begun := true, time.Now()
	for _, s := range chosen {
		fmt.Fprintf(c.out, "\n=== %s: %s\n", s.name, s.purpose)
		start := time.Now()
		err := s.run(ctx, c)
		verdict := "ok"
		if err != nil {
			ok, verdict = false, "FAILED: "+err.Error()
		}
		fmt.Fprintf(&table, "%-8s %6.1f s  %s\n", s.name, time.Since(start).Seconds(), verdict)
		if ctx.Err() != nil {
			break
		}
	}
	fmt.Fprintf(c.out, "\n%s%-8s %6.1f s\n", table.String(), "all", time.Since(begun).Seconds())
	return ok && ctx.Err() == nil
}

// command runs a program, after it has said which, with the output where
// ours goes.
func (c *checker) command(ctx context.Context, name string, args ...string) error {
	cmd := c.prepare(ctx, name, args...)
	cmd.Stdout = c.out
	return cmd.Run()
}

// prepare announces a program. Its stdin is empty, so that nothing can wait
// for an answer.
func (c *checker) prepare(ctx context.Context, name string, args ...string) *exec.Cmd {
	fmt.Fprintf(c.out, "$ %s %s\n", name, strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = c.out
	cmd.WaitDelay = 5 * time.Second
	return cmd
}
