package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// long are the packages whose tests take minutes, the longest first. They begin
// first: one that began last would be waited for while a core is idle.
var long = []string{
	"/persistence", "/amorphous/cassandra/internal/live", "/amorphous/embedded", "/volatile/memcached",
	"/transactional/mysql", "/examples/checkin", "/transactional/embedded", "/volatile/embedded",
}

// longestFirst returns the import paths of packages in the order in which their
// tests should begin.
func longestFirst(pkgs []pkg) []string {
	var paths []string
	for _, end := range long {
		for _, p := range pkgs {
			if strings.HasSuffix(p.path, end) {
				paths = append(paths, p.path)
			}
		}
	}
	for _, p := range pkgs {
		if !slices.Contains(paths, p.path) {
			paths = append(paths, p.path)
		}
	}
	return paths
}

// A pkg is a package that matches the pattern.
type pkg struct {
	path, dir string
	tests     []string // its files of tests
}

// listPackages lists what the pattern matches.
func listPackages(ctx context.Context, c *checker) (pkgs []pkg, err error) {
	cmd := c.prepare(ctx, "go", "list", "-f", `{{.ImportPath}}	{{.Dir}}{{range .TestGoFiles}}	{{.}}{{end}}{{range .XTestGoFiles}}	{{.}}{{end}}`, c.packages)
	list, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list the packages: %w", err)
	}
	for line := range strings.Lines(string(list)) {
		if fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(fields) > 1 {
			pkgs = append(pkgs, pkg{fields[0], fields[1], fields[2:]})
		}
	}
	return pkgs, nil
}

// checkTests reads the events of go test, so that it can print what failed and
// nothing else, and can tell a suite that passed from one that was skipped.
func checkTests(ctx context.Context, c *checker) error {
	pkgs, err := listPackages(ctx, c)
	if err != nil {
		return err
	}
	args := []string{"test", "-vet=off", "-count=1", "-timeout=40m", "-json"} // there is a step for vet
	noRace := compiler(ctx)
	if noRace == nil {
		args = append(args, "-race", uninstrumented)
	}
	cmd := c.prepare(ctx, "go", append(args, longestFirst(pkgs)...)...)
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
	if err := errors.Join(readErr, r.verdict(c.strict, runErr)); err != nil {
		return err
	}
	return noRace
}

// uninstrumented leaves SQLite out of the race detector's view, which has
// nothing to find in it: a translation of C that takes its locks as C does. With
// it the tests in process took up to three times as long, most of it there.
const uninstrumented = "-gcflags=modernc.org/...=-race=false"

// compiler is nil when there is a C compiler. The race detector links with it;
// nothing of ours uses cgo.
func compiler(ctx context.Context) error {
	name, err := exec.CommandContext(ctx, "go", "env", "CC").Output()
	if err == nil {
		_, err = exec.LookPath(strings.Fields(string(name) + " cc")[0])
	}
	if err != nil {
		return &lackError{errors.New("no C compiler, so the tests ran without the race detector")}
	}
	return nil
}

// killed is how many programs each campaign of checkCrashes kills: at the sixty
// points of the first, five times each, and at each point of the others once.
var killed = [][]string{
	{"-run=^TestCrash_", "-args", "-crash.runs=300"},
	{"-run=^TestCrash[^_]"},
}

// checkCrashes runs without the race detector: a program under it takes seconds
// to begin, and these begin by the hundred. The tests under it kill a few.
func checkCrashes(ctx context.Context, c *checker) error {
	pkgs, err := listPackages(ctx, c)
	if err != nil {
		return err
	}
	for _, p := range pkgs {
		if !strings.HasSuffix(p.path, "/persistence") {
			continue
		}
		for _, args := range killed {
			cmd := c.prepare(ctx, "go", append([]string{"test", "-v", "-count=1", "-timeout=20m", p.path}, args...)...)
			cmd.Stdout = c.out
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
			}
		}
	}
	return nil
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
