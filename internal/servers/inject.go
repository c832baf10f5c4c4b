package servers

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// Inject makes system calls of a process that runs, perhaps of this one, fail or
// wait, as strace is told by args: -e inject=…, and -P for one file. The
// returned function ends that and tells how many calls it struck: a fault that
// never struck proves nothing. Where strace is missing, or may not trace, the
// test is skipped, aloud.
func Inject(tb TB, pid int, args ...string) (end func() int) {
	tb.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		tb.Skipf("NOT TESTED: strace is not on PATH, so no system call fails")
	}
	dir, err := os.MkdirTemp("", "fourfold-strace-")
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	log := filepath.Join(dir, "calls")
	cmd := exec.Command(strace, append([]string{"-f", "-o", log, "-p", strconv.Itoa(pid)}, args...)...)
	said, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		tb.Fatalf("%v", err)
	}
	end = sync.OnceValue(func() int {
		_ = cmd.Process.Signal(terminateSignal) // it lets go of the process, and ends
		_ = cmd.Wait()
		calls, _ := os.ReadFile(log)
		return bytes.Count(calls, []byte("(INJECTED)")) + bytes.Count(calls, []byte("(DELAYED)"))
	})
	tb.Cleanup(func() { end() })
	var first string
	lines := bufio.NewReader(said)
	for !strings.Contains(first, " attached") {
		line, err := lines.ReadString('\n')
		if first += line; err != nil {
			tb.Skipf("NOT TESTED: strace may not trace here, so no system call fails: %s", strings.TrimSpace(first))
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // a line for each new thread
	return end
}
