package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Options of Start; zero values are the defaults.
type Options struct {
	// Dir is where the server keeps its files; it must exist, and stays. Default:
	// a new directory that Close removes.
	Dir string
	// Deadline is how long the server may take until it answers. Default 30 s,
	// for MariaDB 1 minute, for Cassandra 3.
	Deadline time.Duration
	// Log is told what is started, and how long it took, in whole lines. Nil: no
	// one.
	Log io.Writer
}

// A Kind is one of the four kinds of server, with how it is to run: Beanstalkd,
// Memcached, MariaDB, Cassandra.
type Kind interface {
	// plan says how the server is run at a place. It may fail because a program
	// is missing, with a *MissingError.
	plan(ctx context.Context, at place) (*launch, error)
}

// A place is what a server has for itself.
type place struct {
	dir  string
	host string
	port int
}

// A launch is how a server is run, and how it is known to work.
type launch struct {
	name    string // such as "beanstalkd"
	prefix  string // of its URL, such as "mysql://root@"
	tail    string // of its URL, such as "/fourfold"
	address string // host:port, or the path of a unix socket
	command []string
	clock   string // the file that says how far its clock is ahead; empty: it is this machine's
	// prepare makes the server's files, once.
	prepare func(ctx context.Context) error
	// greet speaks with the server over a new connection, which ends with the
	// deadline, until it has shown that it works.
	greet    func(conn io.ReadWriter) error
	deadline time.Duration
}

// A Server is one running server. Its methods may be called side by side, but a
// test that does so gets what it asks for.
type Server struct {
	launch *launch
	opts   Options
	files  *directory

	mu      sync.Mutex
	process *process     // nil while the server is down
	fell    fmt.Stringer // how a process ended that nobody has ended; nil: none did
}

// Start starts a server and returns when it answers. The context ends the
// waiting, not the server: Close does, or the end of this process.
func Start(ctx context.Context, kind Kind, opts *Options) (*Server, error) {
	var last error
	// Another process may take the port between the moment that we find it free
	// and the moment that the server listens.
	for range 3 {
		server, err := start(ctx, kind, "127.0.0.1", 0, opts)
		if err == nil || !errors.Is(err, errPortTaken) {
			return server, err
		}
		last = err
	}
	return nil, last
}

// start starts a server on a host of its own, on the port if it is not 0.
func start(ctx context.Context, kind Kind, host string, port int, opts *Options) (_ *Server, err error) {
	s := &Server{}
	if opts != nil {
		s.opts = *opts
	}
	if port == 0 {
		if port, err = freePort(host); err != nil {
			return nil, err
		}
	}
	if s.files, err = newDirectory(s.opts.Dir); err != nil {
		return nil, err
	}
	if s.launch, err = kind.plan(ctx, place{s.files.path, host, port}); err == nil {
		if err = fits(s.launch.address); err == nil && s.launch.prepare != nil {
			err = s.launch.prepare(ctx)
		}
		if err == nil {
			err = s.run(ctx)
		}
	}
	if err != nil {
		_ = s.files.remove()
		return nil, err
	}
	return s, nil
}

// fits refuses a path that no socket can have.
func fits(address string) error {
	const most = 103 // bytes; Linux takes 107, others less
	if strings.HasPrefix(address, "/") && len(address) > most {
		return fmt.Errorf("servers: the path of a unix socket has at most %d bytes, and %s has %d: set TMPDIR to a shorter one", most, address, len(address))
	}
	return nil
}

// run starts the process and waits until it answers. The caller holds mu, or is
// alone.
func (s *Server) run(ctx context.Context) error {
	deadline := s.opts.Deadline
	if deadline == 0 {
		deadline = s.launch.deadline
	}
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("it does not answer within %v", deadline))
	defer cancel()
	begun := time.Now()
	p, err := begin(s.launch.command, filepath.Join(s.files.path, "output.log"))
	if err != nil {
		return fmt.Errorf("servers: %s: %w", s.launch.name, err)
	}
	if err := s.await(ctx, p, s.launch.greet); err != nil {
		p.kill()
		if strings.Contains(strings.ToLower(p.tail()), "in use") {
			err = fmt.Errorf("%w: %w", errPortTaken, err)
		}
		return fmt.Errorf("servers: %s at %s: %w; the last that it printed:\n%s", s.launch.name, s.launch.address, err, p.tail())
	}
	s.process = p
	s.logf("%s answers at %s after %.1f s, process %d", s.launch.name, s.launch.address, time.Since(begun).Seconds(), p.pid())
	return nil
}

// await greets until the server answers as it should, its process ends, or ctx
// does. A small server answers within milliseconds, and tests restart it hundreds
// of times.
func (s *Server) await(ctx context.Context, p *process, word func(io.ReadWriter) error) error {
	var last error
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		err := s.greet(ctx, word)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err // one that only says that the time is over hides why
		}
		select {
		case <-p.done:
			return fmt.Errorf("it ended at once (%v)", p.state())
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		case <-time.After(wait):
		}
	}
}

func (s *Server) logf(format string, args ...any) {
	if s.opts.Log != nil {
		_, _ = fmt.Fprintf(s.opts.Log, format+"\n", args...)
	}
}

// URL is what a store is opened by, such as "beanstalkd://127.0.0.1:23456".
// It stays the same over restarts.
func (s *Server) URL() string { return URL(s) }

// URL names several servers of one kind in one URL; there must be one at least.
// Unix sockets cannot be joined.
func URL(servers ...*Server) string {
	addresses := make([]string, len(servers))
	for i, s := range servers {
		addresses[i] = s.launch.address
	}
	first := servers[0].launch
	return first.prefix + strings.Join(addresses, ",") + first.tail
}

// Address is host:port, or the path of a unix socket.
func (s *Server) Address() string { return s.launch.address }

// Dir is where the server keeps its files.
func (s *Server) Dir() string { return s.files.path }

// PID is the process that runs, or 0 while the server is down.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.pid()
}

// Output is the last that the server printed, at most 8 KiB.
func (s *Server) Output() string {
	return tail(filepath.Join(s.files.path, "output.log"))
}

// Kill ends the server at once, as kill -9 does, and returns when it is gone. A
// server that is down stays down.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
}

func (s *Server) kill() {
	if s.process == nil {
		return
	}
	select {
	case <-s.process.done:
		s.fell = s.process.state()
	default:
	}
	s.process.kill()
	s.process = nil
}

// Shutdown ends the server the way its operator would, who lets it say goodbye
// to its clients, and returns when it is gone.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	if err := s.process.terminate(ctx); err != nil {
		return fmt.Errorf("servers: %s does not shut down: %w", s.launch.name, err)
	}
	s.process = nil
	return nil
}

// Pause stops the server from running (SIGSTOP): connections stay open, new ones
// are taken by the kernel, and nothing answers. Resume ends it. When
// Pause returns, the server has stopped: a signal takes a moment to arrive, and
// meanwhile it would answer.
func (s *Server) Pause() error {
	if err := s.signal(pauseSignal); err != nil {
		return err
	}
	for began := time.Now(); time.Since(began) < 5*time.Second && s.runs(); {
		time.Sleep(time.Millisecond)
	}
	return nil
}

// runs reports whether a thread of the server is not stopped yet, on systems
// that have /proc.
func (s *Server) runs() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return false
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.process.cmd.Process.Pid))
	for _, name := range threads {
		stat, err := os.ReadFile(name)
		// The state stands behind the name of the program, which is in brackets.
		if _, state, ok := bytes.Cut(stat, []byte(") ")); err == nil && ok && state[0] != 'T' {
			return true
		}
	}
	return false
}

// Resume lets a paused server go on.
func (s *Server) Resume() error { return s.signal(resumeSignal) }

func (s *Server) signal(sig os.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return fmt.Errorf("servers: %s is down", s.launch.name)
	}
	return s.process.cmd.Process.Signal(sig)
}

// Restart starts the server again at the same address and on the same
// directory, and returns when it answers. One that still runs is killed first.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
	for begun := time.Now(); ; {
		err := s.run(ctx)
		if !errors.Is(err, errPortTaken) || time.Since(begun) > portBack {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// portBack is how long a restart waits for its port: another test that looks for
// a free one may just try it, and the kernel is not at once done with the
// sockets of a process that was killed.
const portBack = 10 * time.Second

// Close ends the server and removes its directory, unless Options named it. It is
// safe twice.
func (s *Server) Close() error {
	s.Kill()
	return s.files.remove()
}
