package mysql_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What a proxy does to the next COMMIT, or to the next statement that commits
// itself.
const (
	pass   int32 = iota
	drop         // the request is lost, and the connection with it
	answer       // the request arrives, its answer is lost, and the connection with it
	mute         // the request arrives, and nobody ever answers
)

// A proxy stands between client and server and breaks COMMIT on demand.
type proxy struct {
	listener net.Listener
	target   string

	crawl atomic.Bool // each request takes 100 ms, each byte of an answer a packet

	mu     sync.Mutex
	next   int32
	single bool // it is a prepared statement that is broken, not COMMIT
	seen   int  // what was broken
	conns  []net.Conn
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// breakNext says what happens to the next COMMIT.
func (p *proxy) breakNext(how int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.single = how, false
}

// breakSingle says what happens to the next execution of a prepared statement.
func (p *proxy) breakSingle(how int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.single = how, true
}

func (p *proxy) broken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	var (
		mode atomic.Int32 // of what is under way
		done = make(chan struct{})
	)
	go func() {
		defer close(done)
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			switch how := mode.Load(); {
			case err != nil || how == answer:
				return // the answer that came is swallowed
			case how == pass && p.crawl.Load():
				for i := range n {
					client.Write(buf[i : i+1])
				}
			case how == pass:
				client.Write(buf[:n])
			}
		}
	}()
	defer func() { server.Close(); <-done }()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		const comStmtExecute = 0x17 // behind the packet's head of four bytes
		how := pass
		if bytes.HasSuffix(buf[:n], []byte("\x03COMMIT")) {
			how = p.take(false)
		} else if n > 4 && buf[4] == comStmtExecute {
			how = p.take(true)
		}
		if how == drop {
			return
		}
		if how != pass {
			mode.Store(how)
		}
		if p.crawl.Load() {
			<-time.After(100 * time.Millisecond)
		}
		server.Write(buf[:n])
	}
}

func (p *proxy) take(single bool) int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if single != p.single {
		return pass
	}
	how := p.next
	p.next = pass
	if how != pass {
		p.seen++
	}
	return how
}
