package memcached

import (
	"errors"
	"net"
	"sync"
	"time"
)

// errStale says that a pooled connection was closed by its server while it
// was idle: nothing was sent.
var errStale = errors.New("the server has closed this connection")

// A conn is a connection as the client sees it. It adds what the client does
// not do: it notices a server that went away before a request is written, so
// that the outcome is known; it bounds a whole operation, not each of its
// reads; and it refuses impossible answers.
type conn struct {
	net.Conn
	raw     net.Conn // below TLS
	timeout time.Duration
	framer  framer
	reading bool      // the last call was a Read: the next Write begins an operation
	end     time.Time // of the operation under way, or of the last
	used    time.Time // when the last operation began

	mu          sync.Mutex
	interrupted bool // no deadline but the past until the next operation
}

func newConn(nc, raw net.Conn, timeout time.Duration, valueMost int) *conn {
	return &conn{Conn: nc, raw: raw, timeout: timeout, framer: framer{valueMost: valueMost}, reading: true}
}

// idleMost is how long a connection is idle before it is looked at: under
// load the look would cost more than it finds.
const idleMost = 2 * time.Millisecond

// Write begins an operation when it follows a Read.
func (c *conn) Write(b []byte) (int, error) {
	if c.reading {
		c.reading = false
		c.framer.done = false
		now := time.Now()
		idle := now.Sub(c.used)
		c.used, c.end = now, now.Add(c.timeout)
		if idle > idleMost && !alive(c.raw) {
			return 0, errStale
		}
	}
	return c.Conn.Write(b)
}

// Read follows the answer.
func (c *conn) Read(b []byte) (int, error) {
	c.reading = true
	n, err := c.Conn.Read(b)
	if n > 0 {
		if refused := c.framer.feed(b[:n]); refused != nil {
			return 0, refused
		}
	}
	return n, err
}

// SetDeadline is called by the client before an operation and for every value
// that it reads; only the first may move the end, and none an interruption.
func (c *conn) SetDeadline(t time.Time) error {
	if !c.end.IsZero() && !c.framer.done && t.After(c.end) {
		t = c.end
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.interrupted {
		t = past
	}
	return c.Conn.SetDeadline(t)
}

var past = time.Unix(1, 0)

// interrupt makes the operation under way fail.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = true
	c.Conn.SetDeadline(past)
}

// allow makes the next operation possible.
func (c *conn) allow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = false
}
