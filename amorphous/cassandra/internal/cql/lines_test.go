package cql

import (
	"errors"
	"net"
	"testing"
	"time"
)

// TestLines: they end with their session, whether the client closes them or not,
// also those that were about to be.
func TestLines(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lines := NewLines(time.Second)
	var conns [3]net.Conn
	for i := range conns {
		if conns[i], err = lines.DialContext(t.Context(), "tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
	}
	conns[0].Close()
	if len(lines.open) != 2 {
		t.Errorf("%d lines are known to be open; want 2", len(lines.open))
	}
	lines.End()
	for _, c := range conns {
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a line that ended: %v", err)
		}
		c.Close()
	}
	if _, err := lines.DialContext(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, net.ErrClosed) || len(lines.open) > 0 {
		t.Errorf("a line of a session that was closed: %v; %d are open", err, len(lines.open))
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := NewLines(time.Second).DialContext(t.Context(), "tcp", l.Addr().String()); err == nil {
		t.Error("a line to where nobody is")
	}
}
