// Command check installs what the tests need, starts the four real servers, and
// runs everything that has to hold before a change goes in, and says aloud what
// it does: formatting, vet, lint, tests under the race detector, programs killed
// at every point, every fuzz target for twenty seconds, every benchmark once.
//
//	go run ./internal/cmd/check                # all of it
//	go run ./internal/cmd/check format vet     # some of it, without servers
//	go run ./internal/cmd/check install        # only what the tests need
//	go run ./internal/cmd/check long           # the campaigns that take hours
//	go run ./internal/cmd/check -packages ./volatile/... servers test
//
// As root on a Debian machine the step install takes missing programs from
// Debian packages, and Cassandra from Maven; else it says what is missing, and
// the rest runs. The step servers starts each server once, on a free port with a
// temporary directory, and names it to the tests in the environment
// (FOURFOLD_TRANSITORY and so on); where the environment names one already, that
// one is used and none is started. Both steps go on beside format, vet and lint;
// the tests wait for them. Whatever was started is stopped at the end, also when
// this command is interrupted.
//
// It ends with a table of seconds per step, and with status 1 when a step
// failed. With CI=true in the environment it is a failure too when something is
// missing, and when a test was skipped as a whole: a suite that did not run has
// shown nothing.
//
// It lies under internal/ because it serves those who change Fourfold, not
// those who use it, and it is a Go program so that it needs nothing but Go; a C
// compiler, which the race detector links with, is a Debian package among others.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// A checker is one run of this command.
type checker struct {
	packages string        // the pattern, such as "./..."
	fuzzTime time.Duration // for each fuzz target
	strict   bool          // what is missing, and a suite that was skipped, is a failure
	out      io.Writer
	fleet    *fleet // what the tests run against
}

// A step is one thing to do. Its error says what is wrong in one line; the
// details were printed before.
type step struct {
	name, purpose string
	run           func(context.Context, *checker) error
	// A step that goes on beside those that follow it, in the order of its like.
	beside bool
	// A step that begins when those beside it are done.
	waits bool
	// A step that is taken only when it is named.
	named bool
}

var steps = []step{
	{name: "install", purpose: "programs and jars that the tests need", run: install, beside: true},
	{name: "servers", purpose: "one of each kind, for the tests", run: startServers, beside: true},
	{name: "format", purpose: "every file is as gofmt writes it", run: checkFormat},
	{name: "vet", purpose: "suspicious constructs", run: checkVet},
	{name: "lint", purpose: "bugs and dead code that vet does not look for", run: checkLint},
	{name: "test", purpose: "all tests, under the race detector", run: checkTests, waits: true},
	{name: "crash", purpose: "programs killed at every point, five times over", run: checkCrashes, waits: true},
	{name: "fuzz", purpose: "every fuzz target for a while", run: checkFuzz},
	{name: "bench", purpose: "every benchmark once, so that none rots", run: checkBenchmarks, waits: true},
	{name: "long", purpose: "the long campaigns of kills, cuts and delays: hours", run: checkLong, named: true},
}

func main() {
	c := &checker{out: &lockedWriter{out: os.Stdout}, strict: os.Getenv("CI") == "true", fleet: &fleet{}}
	flag.StringVar(&c.packages, "packages", "./...", "the `pattern` of the packages to check")
	flag.DurationVar(&c.fuzzTime, "fuzztime", 20*time.Second, "how long each fuzz target runs")
	flag.Usage = usage
	flag.Parse()
	chosen, err := choose(flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends us at once, and the kernel the servers. A SIGTERM may
	// come several times by itself (see parent_linux.go).
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })
	ok := c.run(ctx, chosen)
	stop()
	if !ok {
		os.Exit(1)
	}
}

func usage() {
	out := flag.CommandLine.Output()
	fmt.Fprintln(out, "usage: check [flags] [step ...]\n\nsteps, all of them but the last by default:")
	for _, s := range steps {
		fmt.Fprintf(out, "  %-8s %s\n", s.name, s.purpose)
	}
	fmt.Fprintln(out, "\nflags:")
	flag.PrintDefaults()
}

// choose returns the steps of the given names, in their usual order.
func choose(names []string) ([]step, error) {
	if len(names) == 0 {
		return slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return s.named }), nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(steps, func(s step) bool { return s.name == name }) {
			return nil, fmt.Errorf("there is no step %q; -help lists them", name)
		}
	}
	return slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return !slices.Contains(names, s.name) }), nil
}

// run takes all steps, also after one that failed, and reports whether all
// held. What it started is stopped when it returns.
func (c *checker) run(ctx context.Context, chosen []step) bool {
	begun := time.Now()
	verdicts := make([]verdict, len(chosen))
	beside := make(chan struct{})
	go func() {
		defer close(beside)
		for i, s := range chosen {
			if s.beside {
				aside := *c
				aside.out = &prefixWriter{prefix: s.name + ": ", out: c.out}
				verdicts[i] = aside.take(ctx, s)
			}
		}
	}()
	for i, s := range chosen {
		if s.waits {
			<-beside
		}
		if !s.beside {
			verdicts[i] = c.take(ctx, s)
		}
	}
	<-beside
	c.fleet.close(c.out)
	ok := true
	fmt.Fprintln(c.out)
	for i, v := range verdicts {
		fmt.Fprintf(c.out, "%-8s %6.1f s  %s\n", chosen[i].name, v.took.Seconds(), v.text)
		ok = ok && v.ok
	}
	fmt.Fprintf(c.out, "%-8s %6.1f s\n", "all", time.Since(begun).Seconds())
	return ok && ctx.Err() == nil
}

// A verdict is what a step came to.
type verdict struct {
	ok   bool
	text string
	took time.Duration
}

// take takes one step, unless the run was interrupted before.
func (c *checker) take(ctx context.Context, s step) verdict {
	if ctx.Err() != nil {
		return verdict{text: "interrupted before it began"}
	}
	begun := time.Now()
	if s.beside {
		fmt.Fprintf(c.out, "%s\n", s.purpose)
	} else {
		fmt.Fprintf(c.out, "\n=== %s: %s\n", s.name, s.purpose)
	}
	err := s.run(ctx, c)
	v := verdict{ok: err == nil, text: "ok", took: time.Since(begun)}
	if _, lacks := errors.AsType[*lackError](err); lacks && !c.strict {
		v.ok, v.text = true, "goes without: "+err.Error()
	} else if err != nil {
		v.text = "FAILED: " + err.Error()
	}
	return v
}
