package memcached

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"time"
)

// A pipe is a connection that many operations share. What they ask while a
// write is under way leaves together with the next one, without a timer, and
// the answers come in the order of the questions. It pays when many ask at
// once: a system call then carries many commands.
//
// A pipe has one failure for all: a silent server, a closed connection or an
// answer that makes no sense ends it, and with it everything that waits.
type pipe struct {
	nc   net.Conn
	over func()  // called once when the pipe has failed
	free []*lane // over this pipe; the epoch's mutex holds

	mu      sync.Mutex
	out     []byte        // asked and not yet written
	kick    chan struct{} // tells the writer of it
	waiting queue         // for their answers, in the order in which they asked
	err     error         // why the pipe is over
	ending  bool          // it ends when nobody waits any more
	framer  framer        // of the answers
}

// An ask is commands that were sent together, and what was answered.
type ask struct {
	want int           // answers that are still to come
	end  time.Time     // until when
	got  []byte        // the answers so far; the caller's once done is told
	err  error         // of the pipe, once done is told
	done chan struct{} // told once; holds one
}

func newPipe(nc net.Conn, valueMost int, over func()) *pipe {
	return &pipe{nc: nc, over: over, kick: make(chan struct{}, 1), framer: framer{valueMost: valueMost}}
}

// errPipeOver says that a pipe had ended before anything was asked.
var errPipeOver = errStale

// send asks commands for which a.want answers will come. An error means that
// nothing was sent.
func (p *pipe) send(commands []byte, a *ask) error {
	p.mu.Lock()
	if p.err != nil || p.ending {
		p.mu.Unlock()
		return errPipeOver
	}
	p.out = append(p.out, commands...)
	if p.waiting.push(a) == 1 {
		p.nc.SetReadDeadline(a.end)
	}
	p.mu.Unlock()
	select {
	case p.kick <- struct{}{}:
	default:
	}
	return nil
}

// write writes what is asked, until the pipe is over.
func (p *pipe) write(timeout time.Duration) {
	var spare []byte
	for range p.kick {
		p.mu.Lock()
		batch := p.out
		p.out = spare[:0]
		over := p.err != nil
		p.mu.Unlock()
		if over {
			return
		}
		if len(batch) > 0 {
			p.nc.SetWriteDeadline(time.Now().Add(timeout))
			if _, err := p.nc.Write(batch); err != nil {
				p.fail(err)
				return
			}
		}
		if spare = batch; cap(spare) > spareMost {
			spare = nil
		}
	}
}

// spareMost bounds the buffers that are kept for the next time.
const spareMost = 1 << 20

// read hands out the answers, until the pipe is over.
func (p *pipe) read() {
	buf := make([]byte, 64<<10)
	for {
		n, err := p.nc.Read(buf)
		if n > 0 {
			if refused := p.answer(buf[:n]); refused != nil {
				err = refused
			}
		}
		if err != nil {
			p.fail(err)
			return
		}
	}
}

// errOutOfStep says that the server may take for a command what was none.
var errOutOfStep = errors.New("the server did not understand a command")

// outOfStep reports whether an answer means that.
func outOfStep(answer []byte) bool {
	return bytes.HasPrefix(answer, []byte("ERROR")) ||
		bytes.HasPrefix(answer, []byte("CLIENT_ERROR")) && !bytes.Contains(answer, []byte("non-numeric value"))
}

// errUnasked says that the server answers what nobody asked.
var errUnasked = errors.New("an answer to nothing that was asked")

// answer gives the next bytes of the stream to those who wait for them.
func (p *pipe) answer(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) > 0 {
		a := p.waiting.first()
		if a == nil {
			return errUnasked
		}
		n, err := p.framer.next(b)
		if err != nil {
			return err
		}
		a.got = append(a.got, b[:n]...)
		b = b[n:]
		if !p.framer.done {
			break
		}
		p.framer.done = false
		confused := outOfStep(a.got)
		if a.want--; a.want == 0 {
			p.waiting.pop()
			a.done <- struct{}{}
		}
		if confused {
			return errOutOfStep
		}
	}
	switch a := p.waiting.first(); {
	case a != nil:
		p.nc.SetReadDeadline(a.end)
	case p.ending:
		return net.ErrClosed
	default:
		p.nc.SetReadDeadline(time.Time{})
	}
	return nil
}

// fail ends the pipe and everything that waits.
func (p *pipe) fail(err error) {
	p.mu.Lock()
	if p.err != nil {
		p.mu.Unlock()
		return
	}
	p.err = err
	p.nc.Close()
	for a := p.waiting.first(); a != nil; a = p.waiting.first() {
		p.waiting.pop()
		a.err = err
		a.done <- struct{}{}
	}
	p.mu.Unlock()
	select {
	case p.kick <- struct{}{}:
	default:
	}
	p.over()
}

// end lets those who wait have their answers, and nobody else ask.
func (p *pipe) end() {
	p.mu.Lock()
	p.ending = true
	idle := p.waiting.first() == nil
	p.mu.Unlock()
	if idle {
		p.fail(net.ErrClosed)
	}
}

// A queue is first in, first out, in one piece of memory that is used again.
type queue struct {
	asks []*ask
	head int
}

// push returns how many there are.
func (q *queue) push(a *ask) int {
	if q.head > 64 && q.head*2 > len(q.asks) {
		n := copy(q.asks, q.asks[q.head:])
		clear(q.asks[n:])
		q.asks, q.head = q.asks[:n], 0
	}
	q.asks = append(q.asks, a)
	return len(q.asks) - q.head
}

func (q *queue) first() *ask {
	if q.head == len(q.asks) {
		return nil
	}
	return q.asks[q.head]
}

func (q *queue) pop() {
	q.asks[q.head] = nil
	if q.head++; q.head == len(q.asks) {
		q.asks, q.head = q.asks[:0], 0
	}
}
