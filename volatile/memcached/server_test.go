package memcached

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A server is a real memcached that the tests start, stop and kill.
type server struct {
	t    testing.TB
	addr string
	args []string
	cmd  *exec.Cmd
}

// startServer starts a memcached on a free port, or skips the test loudly.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	return startAt(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), append([]string{"-l", "127.0.0.1", "-p", strconv.Itoa(port), "-U", "0"}, args...))
}

// startUnix starts a memcached on a Unix socket.
func startUnix(t testing.TB) *server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.sock")
	return startAt(t, path, []string{"-s", path, "-a", "0600"})
}

func startAt(t testing.TB, addr string, args []string) *server {
	t.Helper()
	path, err := exec.LookPath("memcached")
	if err != nil {
		t.Skip("SKIPPED: no memcached on PATH; nothing about a real server was tested")
	}
	if os.Geteuid() == 0 {
		args = append(args, "-u", "root")
	}
	s := &server{t: t, addr: addr, args: append([]string{path, "-t", "2"}, args...)}
	s.start()
	t.Cleanup(func() { s.kill() })
	return s
}

// start starts the process and waits until it accepts connections.
func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	network := "tcp"
	if s.addr[0] == '/' {
		network = "unix"
	}
	for end := time.Now().Add(5 * time.Second); ; {
		nc, err := net.Dial(network, s.addr)
		if err == nil {
			nc.Close()
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("memcached does not come up: %v", err)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// kill ends the process as kill -9 does.
func (s *server) kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *server) restart() {
	s.kill()
	s.start()
}

// pause makes the process silent: the kernel goes on accepting.
func (s *server) pause() {
	s.signal(syscall.SIGSTOP)
	for !s.stopped() {
		<-time.After(time.Millisecond)
	}
}

func (s *server) resume() { s.signal(syscall.SIGCONT) }

// stopped reports whether every thread of the process has stopped: a signal
// takes its time.
func (s *server) stopped() bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		return true // no such file system: hope
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err == nil && !bytes.Contains(stat, []byte(") T ")) {
			return false
		}
	}
	return true
}

func (s *server) signal(sig syscall.Signal) {
	if s.cmd != nil {
		s.cmd.Process.Signal(sig)
	}
}

// plain opens a connection that bypasses the driver.
func (s *server) plain() *plain {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { nc.Close() })
	return newPlain(nc, time.Now().Add(time.Minute))
}

// stat reads one statistic.
func (s *server) stat(name string) int {
	s.t.Helper()
	stats, err := s.plain().stats("")
	if err != nil {
		s.t.Fatal(err)
	}
	n, err := strconv.Atoi(stats[name])
	if err != nil {
		s.t.Fatal(fmt.Errorf("stat %s: %w", name, err))
	}
	return n
}
