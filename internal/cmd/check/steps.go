package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// staticcheck is the linter, and not one of its rivals: its checks find bugs
// rather than taste, almost without false alarms, so that none needs to be
// configured away; golangci-lint bundles a hundred linters whose versions and
// settings would have to be kept, and revive and gocritic mostly argue about
// style. It is run by its version and stands in no go.mod: who uses Fourfold
// has no use for it.
const staticcheck = "honnef.co/go/tools/cmd/staticcheck@v0.8.2"

func checkFormat(_ context.Context, c *checker) error {
	fmt.Fprintln(c.out, "comparing every .go file with what gofmt makes of it")
	var faults []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if formatted, err := format.Source(text); err != nil {
			faults = append(faults, fmt.Sprintf("%s: %v", path, err))
		} else if !bytes.Equal(text, formatted) {
			faults = append(faults, path+": gofmt -w mends it")
		}
		return nil
	})
	for _, f := range faults {
		fmt.Fprintln(c.out, f)
	}
	if err == nil && len(faults) > 0 {
		err = fmt.Errorf("%d files", len(faults))
	}
	return err
}

func checkVet(ctx context.Context, c *checker) error {
	return c.command(ctx, "go", "vet", c.packages)
}

func checkLint(ctx context.Context, c *checker) error {
	return c.command(ctx, "go", "run", staticcheck, c.packages)
}

// checkTests reads the events of go test, so that it can print what failed and
// nothing else, and can tell a suite that passed from one that was skipped.
func checkTests(ctx context.Context, c *checker) error {
	cmd := c.prepare(ctx, "go", "test", "-race", "-count=1", "-timeout=40m", "-json", c.packages)
	cmd.Env = append(cmd.Environ(), c.fleet.environment()...)
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r := newResults(c.out)
	readErr := r.read(events)
	runErr := cmd.Wait()
	r.summarize()
	return errors.Join(readErr, r.verdict(c.strict, runErr))
}

// checkFuzz runs the targets one by one, because that is all that go test can
// do. What a target finds it writes below testdata/fuzz, to be committed with
// the mend.
func checkFuzz(ctx context.Context, c *checker) error {
	targets, err := fuzzTargets(ctx, c)
	if err != nil {
		return err
	}
	var failed []string
	for _, t := range targets {
		if !fuzz(ctx, c, t) {
			failed = append(failed, t.name)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%s", strings.Join(failed, ", "))
	}
	fmt.Fprintf(c.out, "%d targets\n", len(targets))
	return nil
}

// fuzz runs one target, and reports whether it held. Go's fuzzer sometimes takes
// the end of its own time for a failure (golang/go#75804, mended in Go 1.27);
// nothing was found then, and the target gets a second chance.
func fuzz(ctx context.Context, c *checker, t fuzzTarget) bool {
	for range 2 {
		cmd := c.prepare(ctx, "go", "test", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+c.fuzzTime.String(), t.pkg)
		output, err := cmd.Output()
		c.out.Write(output)
		if err == nil {
			return true
		}
		if !bytes.Contains(output, []byte("context deadline exceeded")) || bytes.Contains(output, []byte("Failing input written")) {
			return false
		}
	}
	return false
}

type fuzzTarget struct{ pkg, name string }

func fuzzTargets(ctx context.Context, c *checker) ([]fuzzTarget, error) {
	cmd := c.prepare(ctx, "go", "test", "-list=^Fuzz", c.packages)
	list, err := cmd.Output()
	if err != nil {
		c.out.Write(list)
		return nil, fmt.Errorf("cannot list the fuzz targets: %w", err)
	}
	return parseList(string(list)), nil
}

// parseList reads what go test -list prints: for each package its names, a
// line each, and then a line with "ok" and the package.
func parseList(list string) (targets []fuzzTarget) {
	var names []string
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 1 && strings.HasPrefix(fields[0], "Fuzz"):
			names = append(names, fields[0])
		case len(fields) > 1 && fields[0] == "ok":
			for _, name := range names {
				targets = append(targets, fuzzTarget{fields[1], name})
			}
			names = nil
		}
	}
	return targets
}

// checkBenchmarks runs without the race detector, which would only make them
// slow, and with -short, which leaves out the sizes that take half a minute to
// prepare.
func checkBenchmarks(ctx context.Context, c *checker) error {
	cmd := c.prepare(ctx, "go", "test", "-short", "-run=^$", "-bench=.", "-benchtime=1x", "-timeout=5m", c.packages)
	cmd.Env = append(cmd.Environ(), c.fleet.environment()...)
	cmd.Stdout = c.out
	return cmd.Run()
}
