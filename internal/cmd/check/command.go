package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// command runs a program, after it has said which, with the output where
// ours goes.
func (c *checker) command(ctx context.Context, name string, args ...string) error {
	cmd := c.prepare(ctx, name, args...)
	cmd.Stdout = c.out
	return cmd.Run()
}

// prepare announces a program. Its stdin is empty, so that nothing can wait
// for an answer. When ctx ends it is interrupted together with its own
// children: go test would leave the tests running.
func (c *checker) prepare(ctx context.Context, name string, args ...string) *exec.Cmd {
	fmt.Fprintf(c.out, "$ %s %s\n", name, strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = c.out
	cmd.WaitDelay = 5 * time.Second
	interruptTogether(cmd)
	return cmd
}

// A lockedWriter lets several write, one at a time.
type lockedWriter struct {
	mu  sync.Mutex
	out io.Writer
}

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(b)
}

// A prefixWriter says before each line whose it is, and keeps a line until it
// is whole, so that steps that go on side by side can be told apart.
type prefixWriter struct {
	prefix string
	out    io.Writer

	mu   sync.Mutex
	line []byte
}

func (w *prefixWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.line = append(w.line, b...)
	for {
		i := bytes.IndexByte(w.line, '\n')
		if i < 0 {
			return len(b), nil
		}
		if _, err := fmt.Fprintf(w.out, "%s%s", w.prefix, w.line[:i+1]); err != nil {
			return 0, err
		}
		w.line = w.line[i+1:]
	}
}
