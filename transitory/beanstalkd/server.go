package beanstalkd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/beanstalkd/go-beanstalk"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A server is one beanstalkd: what is known of it, and the connections to it.
type server struct {
	addr   string
	opts   Options
	driver *driver

	producers chan struct{} // one value per producing connection in use
	consumers consumers

	mu      sync.Mutex
	links   map[*link]bool // every open connection
	idle    []*link        // producing ones that nobody uses
	stats   serverStats    // of the last look
	looked  time.Time      // when that was
	down    error          // why it cannot be reached; nil while it can, as far as we know
	looking bool           // somebody is asking for its stats
	suspect int            // how many looks are due at once
	aside   bool           // somebody dials because of a put without an answer
	unused  map[uint64]int // how often jobs went back without having been handed out
}

func newServer(d *driver, addr string, opts Options) *server {
	s := &server{addr: addr, opts: opts, driver: d, links: map[*link]bool{}, producers: make(chan struct{}, opts.Producers)}
	s.consumers.init(opts.Consumers)
	return s
}

// dial opens a connection and asks the server for its stats: a server that has
// no descriptor left accepts connections and never answers.
func (s *server) dial(ctx context.Context) (*link, error) {
	if err := s.driver.ctx.Err(); err != nil {
		return nil, errClosed("dial")
	}
	bounded, cancel := context.WithTimeout(ctx, s.opts.DialTimeout)
	defer cancel()
	conn, err := s.connect(bounded)
	if err != nil {
		return nil, s.unreachable(ctx, err)
	}
	w := newWire(conn)
	l := &link{wire: w, client: beanstalk.NewConn(w), timeout: s.opts.Timeout}
	if !s.adopt(l) {
		return nil, errClosed("dial")
	}
	end := l.begin(bounded)
	stats, err := askStats(l)
	end()
	if err == nil && l.isBroken() {
		err = bounded.Err()
	}
	if err != nil {
		s.drop(l)
		return nil, s.unreachable(ctx, err)
	}
	s.saw(stats)
	w.maxBody.Store(int64(max(stats.maxBody, 64<<10)))
	return l, nil
}

func (s *server) connect(ctx context.Context) (net.Conn, error) {
	kind, address, err := network(s.addr)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, kind, address)
	if err != nil || s.opts.TLS == nil {
		return conn, err
	}
	config := s.opts.TLS.Clone()
	if host, _, err := net.SplitHostPort(address); err == nil && config.ServerName == "" {
		config.ServerName = host
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

func askStats(l *link) (serverStats, error) {
	l.expect(true)
	dict, err := l.client.Stats()
	if err != nil {
		return serverStats{}, err
	}
	return parseStats(dict)
}

// unreachable is the error of a failed dial. Unless the caller's own context
// ended it, the server counts as down until a probe reaches it.
func (s *server) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// A dialer gives up at its context's deadline, a moment before the context
	// says so itself.
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	if s.driver.ctx.Err() != nil {
		return errClosed("dial")
	}
	down := &fault.Error{Op: "dial", Store: "transitory", Class: fault.ErrUnavailable, Err: fmt.Errorf("beanstalkd at %s: %w", s.addr, err)}
	s.mu.Lock()
	first := s.down == nil
	s.down = down
	s.mu.Unlock()
	if first {
		s.hurry()
		s.opts.Logger.Warn("beanstalkd cannot be reached", "address", s.addr, "error", err)
		s.driver.spawn(s.probe)
	}
	return down
}

// hurry ends the puts under way soon: a server that was stopped answers none of
// them, and their callers have another place for their jobs.
func (s *server) hurry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.links {
		l.hurry()
	}
}

// mute is how long a put waits for its answer before somebody else asks whether
// the server is there: every producing connection may be one that waits.
const mute = 300 * time.Millisecond

// whileMute asks aside again and again, until stop is called.
func (s *server) whileMute() (stop func()) {
	var asking *time.Timer
	var mu sync.Mutex // for asking, which its first run may see before it is set
	mu.Lock()
	defer mu.Unlock()
	asking = time.AfterFunc(mute, func() {
		s.askAside()
		mu.Lock()
		defer mu.Unlock()
		if asking != nil {
			asking.Reset(mute)
		}
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		asking.Stop()
		asking = nil
	}
}

// askAside dials, whatever connections are in use, unless the server was heard
// of just now.
func (s *server) askAside() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aside || s.down != nil || time.Since(s.looked) < mute {
		return
	}
	s.aside = s.driver.spawn(func() {
		if l, err := s.dial(s.driver.ctx); err == nil {
			s.drop(l)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.aside = false
	})
}

// probe tries to reach a server that is down, ever less often up to every two
// seconds, less up to a half by chance, until it answers or the driver closes.
func (s *server) probe() {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		timer := time.NewTimer(wait - rand.N(wait/2))
		select {
		case <-timer.C:
		case <-s.driver.ctx.Done():
			timer.Stop()
			return
		}
		l, err := s.dial(s.driver.ctx)
		if err == nil {
			s.keep(l)
			return
		}
	}
}

// saw records what the server says of itself, and that it can be reached. It
// returns that, with what earlier looks add to it.
func (s *server) saw(stats serverStats) serverStats {
	s.mu.Lock()
	wasDown, before := s.down != nil, s.stats
	stats = stats.after(before)
	s.down, s.stats, s.looked = nil, stats, time.Now()
	if stats.id != before.id {
		s.unused = nil // without a log, numbers name other jobs now
	}
	s.mu.Unlock()
	if wasDown {
		s.opts.Logger.Info("beanstalkd can be reached again", "address", s.addr)
	}
	if stats.logBroken() && !before.logBroken() {
		s.opts.Logger.Error("beanstalkd has stopped writing its log", "address", s.addr, "puts", stats.puts, "records", stats.records)
	}
	return stats
}

// lookAndRelease gives a producing connection back. At most once a second, or
// three times at once when an answer was ill, it asks for the stats before: a log
// that breaks is noticed by what two looks differ in.
func (s *server) lookAndRelease(l *link, ill bool) {
	s.mu.Lock()
	if ill {
		s.suspect = 3
	}
	due := !s.looking && !l.isBroken() && (s.suspect > 0 || time.Since(s.looked) > time.Second)
	s.looking = s.looking || due
	s.mu.Unlock()
	if !due || !s.driver.spawn(func() { s.look(l); s.release(l) }) {
		s.release(l)
	}
}

func (s *server) look(l *link) {
	l.extend(l.timeout)
	stats, err := askStats(l)
	s.mu.Lock()
	s.looking, s.suspect = false, max(s.suspect-1, 0)
	s.mu.Unlock()
	if err != nil {
		l.fail()
		return
	}
	_ = l.wire.SetDeadline(time.Time{})
	s.saw(stats)
}

// alarm reports an answer that a healthy server does not give.
func (s *server) alarm(op string, err error) {
	s.opts.Logger.Error("beanstalkd is ill", "address", s.addr, "operation", op, "answer", err)
}

// reachable is nil, or why the server cannot be asked.
func (s *server) reachable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// accepts says why the server is given no jobs, or nil. One that was refused them
// for what it said of itself is asked again meanwhile: it may have been started
// anew, and nobody else has to come by.
func (s *server) accepts(promised fault.Durability) error {
	err := s.refusal(promised)
	if err != nil {
		s.askAside()
	}
	return err
}

func (s *server) refusal(promised fault.Durability) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.down != nil:
		return s.down
	case s.stats.draining:
		return fault.New(fault.ErrUnavailable, "transitory", "put", "beanstalkd at "+s.addr+" is draining: it takes no jobs until it is started again")
	case promised != fault.Memory && !s.looked.IsZero() && s.stats.durability() == fault.Memory:
		return fault.New(fault.ErrMisconfigured, "transitory", "put",
			"beanstalkd at "+s.addr+" keeps jobs in memory only, less than promised: it runs without -b, or its log is broken; start it with -b, or open it with ?durability=memory")
	}
	return nil
}

// adopt takes a new connection under the server's care; false when the driver
// has closed meanwhile.
func (s *server) adopt(l *link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.links == nil {
		l.close()
		return false
	}
	s.links[l] = true
	return true
}

// drop closes a connection.
func (s *server) drop(l *link) {
	s.mu.Lock()
	delete(s.links, l)
	s.mu.Unlock()
	l.close()
}

// keep lays a producing connection aside for the next put.
func (s *server) keep(l *link) {
	s.mu.Lock()
	if !l.isBroken() && s.links != nil && len(s.idle) < s.opts.Producers {
		s.idle = append(s.idle, l)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.drop(l)
}

// close ends every connection. Jobs that they had reserved become ready.
func (s *server) close() {
	s.mu.Lock()
	links := s.links
	s.links, s.idle = nil, nil
	s.mu.Unlock()
	for l := range links {
		l.fail()
		l.close()
	}
}

// producer returns a producing connection, for one call alone; the caller gives
// it back to release. With known, a server that is known to be down is not dialled:
// not once each by all who waited for a connection meanwhile.
func (s *server) producer(ctx context.Context, known bool) (*link, error) {
	select {
	case s.producers <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.driver.ctx.Done():
		return nil, errClosed("put")
	}
	for {
		l := s.takeIdle()
		if l == nil {
			break
		}
		if l.usable() {
			return l, nil
		}
		s.drop(l)
	}
	var l *link
	var err error
	if known {
		err = s.reachable()
	}
	if err == nil {
		l, err = s.dial(ctx)
	}
	if err != nil {
		<-s.producers
		return nil, err
	}
	return l, nil
}

func (s *server) takeIdle() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) == 0 {
		return nil
	}
	l := s.idle[len(s.idle)-1]
	s.idle = s.idle[:len(s.idle)-1]
	return l
}

// release gives a producing connection back.
func (s *server) release(l *link) {
	s.keep(l)
	<-s.producers
}

var errDriverClosed = errors.New("the queue was closed")

func errClosed(op string) error {
	return &fault.Error{Op: op, Store: "transitory", Class: fault.ErrClosed, Err: errDriverClosed}
}
