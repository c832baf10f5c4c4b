package beanstalkd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
)

// maxReply bounds a line of an answer; the longest legal one is far shorter.
const maxReply = 1024

var errReply = errors.New("the server's answer is not of its protocol")

// A wire is a connection that go-beanstalk reads and writes. It hands on whole
// answers only and bounds their sizes: the client would take "INSERTED 12" for
// a whole line when the connection ends there, and would make room for
// whatever size a server claims.
type wire struct {
	net.Conn
	in      *bufio.Reader
	line    []byte       // what is left of an answer's line
	body    int          // what is left of an answer's body, its CRLF included
	maxBody atomic.Int64 // the largest body that the server may send
	bodies  atomic.Bool  // answers to what is under way have bodies
	writes  atomic.Int64 // writes of which something may have left
	wrote   chan struct{}
}

func newWire(conn net.Conn) *wire {
	w := &wire{Conn: conn, in: bufio.NewReaderSize(conn, 4096), wrote: make(chan struct{}, 1)}
	w.maxBody.Store(64 << 10) // until stats have told the server's own limit
	return w
}

// Read returns bytes of whole lines, and of bodies whose size is in bounds.
func (w *wire) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(w.line) == 0 && w.body == 0 {
		if err := w.next(); err != nil {
			return 0, err
		}
	}
	if len(w.line) > 0 {
		n := copy(p, w.line)
		w.line = w.line[n:]
		return n, nil
	}
	n, err := w.in.Read(p[:min(len(p), w.body)])
	w.body -= n
	if err == io.EOF && w.body > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// next reads the line of the next answer.
func (w *wire) next() error {
	var line []byte
	for {
		part, err := w.in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxReply:
			return fmt.Errorf("%w: a line of more than %d bytes", errReply, maxReply)
		case err == nil:
			return w.accept(line)
		case errors.Is(err, bufio.ErrBufferFull):
		case err == io.EOF && len(line) > 0:
			return io.ErrUnexpectedEOF
		default:
			return err
		}
	}
}

// accept takes a whole line, and the size of the body that follows it.
func (w *wire) accept(line []byte) error {
	words, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return fmt.Errorf("%w: a line does not end in CR LF", errReply)
	}
	if w.bodies.Load() {
		size, err := bodySize(words)
		if err != nil {
			return err
		}
		if int64(size) > w.maxBody.Load() {
			return fmt.Errorf("%w: a body of %d bytes", errReply, size)
		}
		if size >= 0 {
			w.body = size + 2
		}
	}
	w.line = line
	return nil
}

// bodySize returns the size of the body that follows a line, or -1 when none
// does. The client takes the last word of any line for a size, whatever the
// first one is, so a line with more than one word must be one that we know.
func bodySize(line []byte) (int, error) {
	first, rest, more := bytes.Cut(line, []byte(" "))
	switch string(first) {
	case "RESERVED", "FOUND", "OK":
	case "WATCHING", "USING":
		return -1, nil // the client skips them
	default:
		if more {
			return 0, fmt.Errorf("%w: it should have a body", errReply)
		}
		return -1, nil
	}
	n, err := strconv.ParseUint(string(rest[bytes.LastIndexByte(rest, ' ')+1:]), 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%w: the size of a body is no number", errReply)
	}
	return int(n), nil
}

// Write counts what may have left: that is what tells "not applied" from
// "unknown".
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	if n > 0 {
		w.writes.Add(1)
	}
	select {
	case w.wrote <- struct{}{}:
	default:
	}
	return n, err
}
