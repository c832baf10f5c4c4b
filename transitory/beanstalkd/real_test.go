package beanstalkd_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/beanstalkd"
)

// A real is a beanstalkd that a test has started, and kills.
type real struct {
	t    testing.TB
	addr string // host:port, or the path of a unix socket
	args []string
	cmd  *exec.Cmd
}

// start starts a server with more arguments, such as -b DIR. Without
// beanstalkd on PATH the test is skipped, aloud.
func start(t testing.TB, args ...string) *real {
	t.Helper()
	r := &real{t: t, args: args}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = listener.Addr().String()
	_ = listener.Close()
	r.run()
	t.Cleanup(r.kill)
	return r
}

func startUnix(t testing.TB) *real {
	t.Helper()
	r := &real{t: t, addr: filepath.Join(t.TempDir(), "queue.sock")}
	r.run()
	t.Cleanup(r.kill)
	return r
}

// run starts the process and waits until it answers.
func (r *real) run() {
	r.t.Helper()
	path, err := exec.LookPath("beanstalkd")
	if err != nil {
		r.t.Skip("NOT TESTED: beanstalkd is not on PATH, so nothing is shown of a real server")
	}
	listen := []string{"-l", "unix:" + r.addr}
	if host, port, err := net.SplitHostPort(r.addr); err == nil {
		listen = []string{"-l", host, "-p", port}
	}
	r.cmd = exec.Command(path, append(listen, r.args...)...)
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial(r.network(), r.addr)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("beanstalkd %v does not answer: %v", r.args, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (r *real) network() string {
	if strings.HasPrefix(r.addr, "/") {
		return "unix"
	}
	return "tcp"
}

// kill ends the process at once, as kill -9 does.
func (r *real) kill() {
	if r.cmd != nil && r.cmd.Process != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

func (r *real) restart() {
	r.kill()
	r.run()
}

func (r *real) signal(s syscall.Signal) {
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Errorf("signal %v: %v", s, err)
	}
}

// raw says something to the server beside the driver, and returns the first
// answer.
func (r *real) raw(format string, args ...any) string {
	r.t.Helper()
	conn, err := net.Dial(r.network(), r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintf(conn, format+"\r\nquit\r\n", args...); err != nil {
		r.t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

var quiet = slog.New(slog.DiscardHandler)

// open opens a queue on the servers that is closed with the test.
func open(t testing.TB, opts beanstalkd.Options, servers ...*real) *transitory.Queue {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = quiet
	}
	var addrs []string
	for _, r := range servers {
		addrs = append(addrs, r.addr)
	}
	driver, err := beanstalkd.Servers(addrs, &opts).OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q := transitory.New(driver)
	t.Cleanup(func() { _ = q.Close() })
	return q
}

// within is a context for what must happen.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s: %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}
