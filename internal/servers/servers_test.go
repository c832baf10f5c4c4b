//go:build unix

package servers_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"github.com/fourfold-dev/fourfold/internal/servers"
)

// dial connects to a server, with a deadline for all that follows.
func dial(t *testing.T, s *servers.Server) net.Conn {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(s.Address(), "/") {
		network = "unix"
	}
	conn, err := net.Dial(network, s.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// say sends a line and returns the first line of the answer.
func say(t *testing.T, conn net.Conn, line string) string {
	t.Helper()
	if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(answer)
}

// killed kills the server and checks that nothing is left at its address.
func killed(t *testing.T, s *servers.Server) {
	t.Helper()
	pid, address := s.PID(), s.Address()
	s.Kill()
	if err := syscall.Kill(pid, 0); err == nil || s.PID() != 0 {
		t.Errorf("Kill returns when the process is gone; %d is there, %v", pid, err)
	}
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	if conn, err := net.Dial(network, address); err == nil {
		conn.Close()
		t.Error("something still answers at the address of a server that was killed")
	}
}

func restarted(t *testing.T, s *servers.Server) {
	t.Helper()
	before := s.URL()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.URL() != before {
		t.Errorf("Restart keeps the address: %s, not %s", s.URL(), before)
	}
}

func TestBeanstalkdComesBackWithItsJobs_B2(t *testing.T) {
	for name, kind := range map[string]servers.Beanstalkd{"port": {}, "socket": {Unix: true}} {
		t.Run(name, func(t *testing.T) {
			s := servers.Test(t, kind)
			if got := say(t, dial(t, s), "put 0 0 60 5\r\nhello"); got != "INSERTED 1" {
				t.Fatal(got)
			}
			killed(t, s)
			restarted(t, s)
			if got := say(t, dial(t, s), "peek 1"); got != "FOUND 1 5" {
				t.Errorf("a server that comes back has its jobs, as its log has them: %s", got)
			}
		})
	}
}

func TestArgumentsReachTheServer(t *testing.T) {
	s := servers.Test(t, servers.Beanstalkd{Args: []string{"-z", "10"}})
	if got := say(t, dial(t, s), "put 0 0 60 11\r\nhello world"); got != "JOB_TOO_BIG" {
		t.Errorf("%s, want the limit that -z sets", got)
	}
}

func TestMemcached(t *testing.T) {
	for name, kind := range map[string]servers.Memcached{"port": {}, "socket": {Unix: true}} {
		t.Run(name, func(t *testing.T) {
			s := servers.Test(t, kind)
			if got := say(t, dial(t, s), "set k 0 0 1\r\nv"); got != "STORED" {
				t.Fatal(got)
			}
			killed(t, s)
			restarted(t, s)
			if got := say(t, dial(t, s), "get k"); got != "END" {
				t.Errorf("%s, want a cache that has forgotten", got)
			}
		})
	}
}

// Somebody who looks for a free port tries the one of a server that is down.
func TestARestartWaitsForItsPort(t *testing.T) {
	s := servers.Test(t, servers.Memcached{})
	killed(t, s)
	other, err := net.Listen("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(500*time.Millisecond, func() { other.Close() })
	restarted(t, s)
}

func TestMariaDBComesBackWithItsRows(t *testing.T) {
	s := servers.Test(t, servers.MariaDB{})
	db, err := sql.Open("mysql", fmt.Sprintf("root@tcp(%s)/fourfold", s.Address()))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{"CREATE TABLE t (id INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO t VALUES (7)"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	killed(t, s)
	restarted(t, s)
	var id, sync int
	if err := db.QueryRowContext(t.Context(), "SELECT id, @@innodb_flush_log_at_trx_commit FROM t").Scan(&id, &sync); err != nil || id != 7 || sync != 1 {
		t.Errorf("row %d, sync %d, %v; every commit is synced, and there after a kill", id, sync, err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.PID() != 0 || !strings.Contains(s.Output(), "Shutdown complete") {
		t.Errorf("Shutdown lets the server say goodbye; it printed:\n%s", s.Output())
	}
}

func TestCassandraAnswersAgainAfterAKill(t *testing.T) {
	if testing.Short() {
		t.Skip("lacks: Cassandra takes 10 s to start, twice")
	}
	s := servers.Test(t, servers.Cassandra{})
	if !strings.HasPrefix(s.URL(), "cassandra://127.0.0.1:") || !strings.HasSuffix(s.URL(), "/fourfold") {
		t.Error(s.URL())
	}
	killed(t, s)
	restarted(t, s) // which makes a keyspace: a node that answers takes statements
}

func TestAPausedServerIsThereAndDoesNotAnswer(t *testing.T) {
	s := servers.Test(t, servers.Memcached{})
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	conn := dial(t, s)
	if _, err := io.WriteString(conn, "version\r\n"); err != nil {
		t.Fatal(err)
	}
	answers := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(conn).ReadString('\n')
		answers <- line
	}()
	select {
	case answer := <-answers:
		t.Errorf("a paused server answers %q", answer)
	case <-time.After(100 * time.Millisecond):
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if answer := <-answers; !strings.HasPrefix(answer, "VERSION") {
		t.Errorf("after Resume it answers %q", answer)
	}
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	s.Kill() // ends a paused one too
	if err := s.Pause(); err == nil {
		t.Error("a server that is down cannot be paused, and Pause says so")
	}
}

func TestAServerThatDoesNotStartSaysWhy(t *testing.T) {
	begun := time.Now()
	_, err := servers.Start(t.Context(), servers.Memcached{Args: []string{"--no-such-option"}}, nil)
	if missing, ok := errors.AsType[*servers.MissingError](err); ok {
		t.Skip("lacks: ", missing)
	}
	if err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Errorf("%v; want what the server printed", err)
	}
	if time.Since(begun) > 20*time.Second {
		t.Error("a server that has ended is not waited for")
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	server, err := servers.Start(ctx, servers.Beanstalkd{}, nil)
	if missing, ok := errors.AsType[*servers.MissingError](err); ok {
		t.Skip("lacks: ", missing)
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", server, err)
	}
}

func TestANamedDirectoryStays(t *testing.T) {
	dir := t.TempDir()
	s, err := servers.Start(t.Context(), servers.Beanstalkd{}, &servers.Options{Dir: dir})
	if missing, ok := errors.AsType[*servers.MissingError](err); ok {
		t.Skip("lacks: ", missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Errorf("Close is safe twice: %v", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("a directory that the caller named stays: %v", err)
	}
	own := servers.Test(t, servers.Beanstalkd{})
	if err := own.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(own.Dir()); err == nil {
		t.Error("a directory of the server's own is removed")
	}
}

func TestURLNamesSeveralServers(t *testing.T) {
	a, b := servers.Test(t, servers.Memcached{}), servers.Test(t, servers.Memcached{})
	if got, want := servers.URL(a, b), "memcached://"+a.Address()+","+b.Address(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// childVariable makes TestChild the child.
const childVariable = "FOURFOLD_TEST_CHILD"

func TestChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		t.Skip("the process that TestServersDieWithTheirProcess kills")
	}
	s, err := servers.Start(t.Context(), servers.Beanstalkd{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("server", s.PID(), s.Dir(), s.Address())
	select {}
}

func TestServersDieWithTheirProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("lacks: only Linux ends a child with its parent")
	}
	servers.Test(t, servers.Beanstalkd{}).Close() // or a skip
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir, address string
	if _, err := fmt.Fscanln(output, new(string), &pid, &dir, &address); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	// The server's end closes our connection.
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the server outlives the process that started it: %v", err)
	}
	servers.Test(t, servers.Beanstalkd{})
	if _, err := os.Stat(dir); err == nil {
		t.Error("what a killed process left is removed by the next Start")
	}
}

// A fake is a test that notes what it is told.
type fake struct {
	*testing.T
	skipped, failed string
}

func (f *fake) Skipf(format string, args ...any)  { f.skipped = fmt.Sprintf(format, args...); panic(f) }
func (f *fake) Fatalf(format string, args ...any) { f.failed = fmt.Sprintf(format, args...); panic(f) }

func TestAMissingProgramIsALoudSkip(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	f := &fake{T: t}
	func() {
		defer func() { _ = recover() }()
		servers.Test(f, servers.Beanstalkd{})
	}()
	for _, word := range []string{"NOT TESTED", "beanstalkd", "install it", "Debian package"} {
		if !strings.Contains(f.skipped, word) {
			t.Errorf("the skip says %q, and not %q", f.skipped, word)
		}
	}
}

func TestTheEnvironmentNamesSharedServers(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("FOURFOLD_TRANSITORY", "beanstalkd://given:11300")
	if got := servers.Shared(t, servers.Transitory); got != "beanstalkd://given:11300" {
		t.Error(got)
	}
}
