package cql

import (
	"context"
	"net"
	"sync"
	"time"
)

// Lines are the connections of one session. Its client (gocql v2.1.2) that is closed
// while it connects again, as it does every second while a node is down, does
// not end: it waits for a look at the schema, or at the ring, after the one who
// would look has ended, and keeps what it connected. So the lines end before the
// client is closed: nothing connects any more, and the client is closed when it
// says that it has done with what it was about ([Lines.Heard]).
type Lines struct {
	dialer net.Dialer

	// ending ends a dial under way.
	ending context.Context
	end    context.CancelFunc

	mu   sync.Mutex
	open map[*line]struct{}
	// again is not nil while the client connects its control connection again, and
	// is closed when it has done with that. found is whether it did connect, and
	// looks at what is there now.
	again chan struct{}
	found bool
}

// A line is a TCP connection by its own type: the client writes several frames
// at once to no other.
type line struct {
	*net.TCPConn
	of *Lines
}

// NewLines makes what a session dials with.
func NewLines(connectTimeout time.Duration) *Lines {
	ctx, cancel := context.WithCancel(context.Background())
	return &Lines{dialer: net.Dialer{Timeout: connectTimeout}, ending: ctx, end: cancel, open: map[*line]struct{}{}}
}

// DialContext implements the client's Dialer, which asks for no network but tcp.
func (l *Lines) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ending, cancel)()
	if l.HaveEnded() {
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.ErrClosed}
	}
	c, err := l.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := &line{c.(*net.TCPConn), l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[conn] = struct{}{}
	if l.HaveEnded() {
		c.Close()
	}
	return conn, nil
}

// Close is the client's.
func (c *line) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.TCPConn.Close()
}

// Heard takes note of what the client logs, at any level. These are its words,
// in the goroutine that connects the control connection again; all but the
// refreshed ring, which another goroutine says to it, and which also others ask
// for. A session whose words nobody passes on ends at once.
func (l *Lines) Heard(words string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch words {
	case "Reconnecting the control connection.":
		if l.again == nil {
			l.again, l.found = make(chan struct{}), false
		}
	case "Control connection connected to host.":
		l.found = true
	case "Unable to reconnect control connection.":
		l.done()
	case "Refreshed ring.", "Unable to refresh ring.":
		if l.found {
			l.done()
		}
	}
}

func (l *Lines) done() {
	if l.again != nil {
		close(l.again)
	}
	l.again, l.found = nil, false
}

// End lets nothing else be opened, and closes what is open. A client that connects
// again is waited for, at first with the lines that it has: a look at the schema
// over a line that is closed takes it ten seconds. Then the client can be closed.
func (l *Lines) End() {
	l.mu.Lock()
	l.end()
	again := l.again
	l.mu.Unlock()
	wait(again, time.Second)
	l.mu.Lock()
	for c := range l.open {
		c.TCPConn.Close()
	}
	l.mu.Unlock()
	wait(again, 15*time.Second)
}

// wait waits until a client is done with connecting again, for so long.
func wait(again <-chan struct{}, patience time.Duration) {
	if again == nil {
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-again:
	case <-timer.C:
	}
}

// HaveEnded says whether End was called. No lines have not.
func (l *Lines) HaveEnded() bool { return l != nil && l.ending.Err() != nil }
