package sqlitefile

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var syscalls = flag.Int("syscalls", 3, "at how many system calls of each sort a process is killed, from the first on")

// A process that is killed at the first, second, … fsync, write to the log, or
// write to the database file while the log is copied into it, loses nothing
// that it acknowledged and leaves nothing half. strace kills it there.
//
//	go test -run Syscall ./internal/sqlitefile -args -syscalls=40
func TestKilledAtASyscall_A2_A6(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("NOT TESTED: strace is not on PATH, so nobody is killed at a system call")
	}
	if out, err := exec.Command(strace, "-qq", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: strace may not trace here, so nobody is killed at a system call: %s", bytes.TrimSpace(out))
	}
	dir := filepath.Join(t.TempDir(), "data")
	acked := map[string]bool{}
	killed := 0
	for n := 1; n <= *syscalls; n++ {
		for _, inject := range [][]string{
			{"-e", "trace=fsync,fdatasync", "-e", fmt.Sprintf("inject=fsync,fdatasync:signal=SIGKILL:when=%d", n)},
			{"-P", filepath.Join(dir, databaseName+"-wal"), "-e", "trace=pwrite64", "-e", fmt.Sprintf("inject=pwrite64:signal=SIGKILL:when=%d", 7*n)},
			{"-P", filepath.Join(dir, databaseName), "-e", "trace=pwrite64", "-e", fmt.Sprintf("inject=pwrite64:signal=SIGKILL:when=%d", n)},
		} {
			if killAtSyscall(t, strace, dir, inject, acked) {
				killed++
			}
		}
	}
	if killed < *syscalls || len(acked) == 0 {
		t.Fatalf("%d processes were killed by strace, %d units acknowledged: nothing is proved", killed, len(acked))
	}
	checkSurvivors(t, dir, acked)
	t.Logf("%d processes were killed at a system call", killed)
}

// killAtSyscall runs the child until strace kills it, and reports whether it
// did; one that does not come to its call is ended after a while.
func killAtSyscall(t *testing.T, strace, dir string, inject []string, acked map[string]bool) bool {
	t.Helper()
	args := append([]string{"-f", "-qq", "-o", os.DevNull}, inject...)
	cmd := exec.Command(strace, append(args, os.Args[0], "-test.run=^$")...)
	cmd.Env = append(os.Environ(), crashDirVariable+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// SIGTERM makes strace let go of its child, which then would go on alone:
	// the child is ended by its closed output.
	late := time.AfterFunc(20*time.Second, func() { _ = out.Close() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		id, ok := strings.CutPrefix(lines.Text(), "ack ")
		if !ok {
			t.Fatalf("%v: %s", inject, lines.Text())
		}
		acked[id] = true
	}
	_ = cmd.Wait()
	return late.Stop()
}
