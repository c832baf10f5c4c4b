package memcached

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/servers"
)

// A server is a real memcached that the tests start, stop and kill.
type server struct {
	*servers.Server
	t    testing.TB
	addr string
}

// startServer starts a memcached on a free port, or skips the test aloud.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	return startKind(t, servers.Memcached{Args: append([]string{"-t", "2", "-U", "0"}, args...)})
}

// startUnix starts a memcached on a Unix socket.
func startUnix(t testing.TB) *server {
	t.Helper()
	return startKind(t, servers.Memcached{Unix: true, Args: []string{"-t", "2"}})
}

func startKind(t testing.TB, kind servers.Memcached) *server {
	t.Helper()
	s := servers.Test(t, kind)
	return &server{Server: s, t: t, addr: s.Address()}
}

// start starts the process again, and waits until it answers.
func (s *server) start() {
	s.t.Helper()
	if err := s.Restart(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}

// kill ends the process as kill -9 does.
func (s *server) kill() { s.Kill() }

func (s *server) restart() { s.start() }

// restartAll restarts servers side by side.
func restartAll(t testing.TB, all ...*server) {
	t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, len(all))
	for i, s := range all {
		wg.Go(func() { errs[i] = s.Restart(context.Background()) })
	}
	wg.Wait()
	must(t, errors.Join(errs...))
}

// pause makes the process silent: the kernel goes on accepting.
func (s *server) pause() {
	if err := s.Pause(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, 30*time.Second, "it is stopped", s.stopped)
}

func (s *server) resume() {
	if err := s.Resume(); err != nil {
		s.t.Fatal(err)
	}
}

// stopped reports whether every thread of the process has stopped: a signal
// takes its time.
func (s *server) stopped() bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.PID()))
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
