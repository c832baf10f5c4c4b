package cql

import (
	"context"
	"net"
	"sync"
	"time"
)

// Lines are the connections of one session. Its client (gocql v2.1.2) that is closed
// while it connects again, as it does every second while a node is down, does
// not end: it waits for a look at the schema after the one who would look has
// ended, and keeps what it connected. So the lines end before the client is
// closed, and nothing connects any more.
type Lines struct {
	dialer net.Dialer

	mu    sync.Mutex
	open  map[*line]struct{}
	ended bool
}

// A line is a TCP connection by its own type: the client writes several frames
// at once to no other.
type line struct {
	*net.TCPConn
	of *Lines
}

// NewLines makes what a session dials with.
func NewLines(connectTimeout time.Duration) *Lines {
	return &Lines{dialer: net.Dialer{Timeout: connectTimeout}, open: map[*line]struct{}{}}
}

// DialContext implements the client's Dialer, which asks for no network but tcp.
func (l *Lines) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
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
	if l.ended {
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

// End closes what is open, and lets nothing else be opened. The client gets a
// moment to see it, wherever between two answers it is; then it can be closed.
func (l *Lines) End() {
	l.mu.Lock()
	l.ended = true
	for c := range l.open {
		c.TCPConn.Close()
	}
	l.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
}

// HaveEnded says whether End was called. No lines have not.
func (l *Lines) HaveEnded() bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}
