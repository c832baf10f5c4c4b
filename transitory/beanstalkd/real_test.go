package beanstalkd_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/beanstalkd"
)

// A real is a beanstalkd that a test has started, and kills.
type real struct {
	*servers.Server
	t    testing.TB
	addr string // host:port, or the path of a unix socket
}

// start starts a server with more arguments, such as -b DIR; without it has no
// log. Where there is no beanstalkd the test is skipped, aloud.
func start(t testing.TB, args ...string) *real {
	t.Helper()
	return startKind(t, servers.Beanstalkd{NoLog: true, Args: args})
}

func startUnix(t testing.TB) *real {
	t.Helper()
	return startKind(t, servers.Beanstalkd{NoLog: true, Unix: true})
}

func startKind(t testing.TB, kind servers.Beanstalkd) *real {
	t.Helper()
	server := servers.Test(t, kind)
	return &real{Server: server, t: t, addr: server.Address()}
}

// run starts the process again, and waits until it answers.
func (r *real) run() {
	r.t.Helper()
	if err := r.Restart(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *real) network() string {
	if strings.HasPrefix(r.addr, "/") {
		return "unix"
	}
	return "tcp"
}

// kill ends the process at once, as kill -9 does.
func (r *real) kill() { r.Kill() }

func (r *real) restart() { r.run() }

func (r *real) signal(s syscall.Signal) {
	if err := syscall.Kill(r.PID(), s); err != nil {
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
func open(t testing.TB, opts beanstalkd.Options, on ...*real) *transitory.Queue {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = quiet
	}
	var addrs []string
	for _, r := range on {
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

// eventually asks until something holds: a real server takes part. what is what
// is the matter when it does not.
func eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v: %s", within, what)
		}
	}
}
