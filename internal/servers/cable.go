package servers

import (
	"net"
	"sync"
	"time"
)

// A Cable is what lies between a program and a server: it can be cut, and it can
// be slow.
type Cable struct {
	target string
	listen net.Listener
	serves sync.WaitGroup

	mu      sync.Mutex
	isCut   bool
	refused int
	slow    time.Duration // for which everything is on its way, in each direction
	conns   map[net.Conn]struct{}
}

// NewCable lays a cable to a server, which is at host:port, until the test ends.
func NewCable(t TB, target string) *Cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("%v", err)
	}
	c := &Cable{target: target, listen: l, conns: map[net.Conn]struct{}{}}
	c.serves.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			c.serves.Go(func() { c.connect(near) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		c.Cut()
		c.serves.Wait()
	})
	return c
}

// Address is where the near end of the cable is.
func (c *Cable) Address() string { return c.listen.Addr().String() }

func (c *Cable) connect(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer far.Close()
	c.mu.Lock()
	if c.isCut {
		c.refused++
		c.mu.Unlock()
		return
	}
	c.conns[near], c.conns[far] = struct{}{}, struct{}{}
	c.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { c.carry(near, far) })
	c.carry(far, near)
	both.Wait()
	c.mu.Lock()
	delete(c.conns, near)
	delete(c.conns, far)
	c.mu.Unlock()
}

// carry copies until one side ends, and ends the other.
func (c *Cable) carry(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		c.mu.Lock()
		slow := c.slow
		c.mu.Unlock()
		if slow > 0 {
			<-time.After(slow)
		}
		if _, broken := to.Write(buf[:n]); err != nil || broken != nil {
			return
		}
	}
}

// Cut ends all connections, and takes no others until Mend.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for conn := range c.conns {
		conn.Close()
	}
}

// Refused is how many connections were refused while the cable was cut.
func (c *Cable) Refused() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}

// Delay makes the cable slow: everything is on its way for so long, in each
// direction.
func (c *Cable) Delay(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slow = d
}

// Mend makes the cable as it was.
func (c *Cable) Mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut, c.slow = false, 0
}
