package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// A fuzzTarget is one target, and the program that has it.
type fuzzTarget struct {
	pkg     pkg
	name    string
	program string // built by go test -c
}

var fuzzFunc = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// fuzzTargets reads the names of a package's targets from its files: go test
// -list would link every program of tests to ask it.
func fuzzTargets(p pkg) (names []string, err error) {
	for _, file := range p.tests {
		text, err := os.ReadFile(filepath.Join(p.dir, file))
		if err != nil {
			return nil, err
		}
		for _, match := range fuzzFunc.FindAllSubmatch(text, -1) {
			names = append(names, string(match[1]))
		}
	}
	return names, nil
}

// checkFuzz builds each package's program once, and runs as many targets at once
// as there are processors, each with one worker: starting a target and reading
// its corpus take as long as its moment, and keep one processor busy. What a
// target finds it writes below testdata/fuzz, to be committed with the mend.
func checkFuzz(ctx context.Context, c *checker) error {
	pkgs, err := listPackages(ctx, c)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "fourfold-fuzz-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	corpus, err := corpusDir(ctx)
	if err != nil {
		return err
	}
	targets := make(chan fuzzTarget)
	var mu sync.Mutex
	var ran, failed []string
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for t := range targets {
				held := c.fuzz(ctx, t, corpus)
				mu.Lock()
				if ran = append(ran, t.name); !held {
					failed = append(failed, t.name)
				}
				mu.Unlock()
			}
		})
	}
	err = c.buildFuzz(ctx, pkgs, dir, targets)
	close(targets)
	running.Wait()
	if slices.Sort(failed); len(failed) > 0 {
		return fmt.Errorf("%s", strings.Join(failed, ", "))
	}
	fmt.Fprintf(c.out, "%d targets\n", len(ran))
	return err
}

// corpusDir is where go test keeps what its fuzzing has found to be of interest.
func corpusDir(ctx context.Context) (string, error) {
	cache, err := exec.CommandContext(ctx, "go", "env", "GOCACHE").Output()
	return filepath.Join(string(bytes.TrimSpace(cache)), "fuzz"), err
}

// buildFuzz builds the programs, and hands on the targets of each when it is
// there.
func (c *checker) buildFuzz(ctx context.Context, pkgs []pkg, dir string, targets chan<- fuzzTarget) error {
	for i, p := range pkgs {
		names, err := fuzzTargets(p)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			continue
		}
		program := filepath.Join(dir, fmt.Sprintf("%d.test", i))
		if err := c.command(ctx, "go", "test", "-c", "-fuzz=^Fuzz", "-o", program, p.path); err != nil {
			return fmt.Errorf("%s does not build: %w", p.path, err)
		}
		for _, name := range names {
			targets <- fuzzTarget{p, name, program}
		}
	}
	return nil
}

// fuzz runs one target, and reports whether it held. Go's fuzzer sometimes takes
// the end of its own time for a failure (golang/go#75804, mended in Go 1.27);
// nothing was found then, and the target gets a second chance. So does one that in
// its moment came no further than its corpus, with more time.
func (c *checker) fuzz(ctx context.Context, t fuzzTarget, corpus string) (held bool) {
	for moment, tries := c.fuzzTime, 0; tries < 2; tries++ {
		var output bytes.Buffer
		cmd := exec.CommandContext(ctx, t.program, "-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.parallel=1",
			"-test.fuzztime="+moment.String(), "-test.fuzzcachedir="+filepath.Join(corpus, filepath.FromSlash(t.pkg.path)))
		cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = t.pkg.dir, &output, &output, 5*time.Second
		interruptTogether(cmd)
		err := cmd.Run()
		fmt.Fprintf(c.out, "%s %s\n%s", t.pkg.path, t.name, output.Bytes())
		if held = err == nil; held && bytes.Contains(output.Bytes(), []byte("execs: ")) {
			return true
		}
		if held {
			moment = max(2*moment, 15*time.Second)
			continue
		}
		if !bytes.Contains(output.Bytes(), []byte("context deadline exceeded")) || bytes.Contains(output.Bytes(), []byte("Failing input written")) {
			return false
		}
	}
	return held
}
