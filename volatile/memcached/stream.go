package memcached

import (
	"net"
	"os"
	"time"
)

// A stream is a connection as the client sees it, over a pipe. It gathers one
// command, asks it when it is whole, and gives back the answer; a caller that
// leaves lets go of the answer alone, not of the pipe.
type stream struct {
	lane    *lane
	pipe    *pipe
	command command
	ask     *ask // the one under way, or the last
	read    int  // bytes of its answer that were read
}

// Write gathers, and asks when the command is whole.
func (s *stream) Write(b []byte) (int, error) {
	whole, err := s.command.feed(b)
	if err != nil || !whole {
		return len(b), err
	}
	a := s.ask
	if a == nil {
		a = &ask{done: make(chan struct{}, 1)}
		s.ask = a
	}
	a.want, a.end, a.got = 1, time.Now().Add(s.lane.epoch.member.opts.Timeout), a.got[:0]
	if cap(a.got) > spareMost {
		a.got = nil
	}
	s.read = -1
	err = s.pipe.send(s.command.take(), a)
	return len(b), err
}

// Read waits for the answer, then gives it out.
func (s *stream) Read(b []byte) (int, error) {
	if s.ask == nil {
		return 0, errUnasked
	}
	if s.read < 0 {
		select {
		case <-s.ask.done:
		case <-s.lane.ctx.Done():
			s.ask = nil // the pipe's now
			return 0, os.ErrDeadlineExceeded
		}
		if s.ask.err != nil {
			return 0, s.ask.err
		}
		s.read = 0
	}
	n := copy(b, s.ask.got[s.read:])
	if s.read += n; n == 0 && len(b) > 0 {
		return 0, errUnasked // the client wants more than one answer
	}
	return n, nil
}

// Close leaves the pipe to the others.
func (s *stream) Close() error { return nil }

// The pipe keeps the time.
func (s *stream) SetDeadline(time.Time) error      { return nil }
func (s *stream) SetReadDeadline(time.Time) error  { return nil }
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr is the pipe's.
func (s *stream) LocalAddr() net.Addr { return s.pipe.nc.LocalAddr() }

// RemoteAddr is the pipe's.
func (s *stream) RemoteAddr() net.Addr { return s.pipe.nc.RemoteAddr() }
