package cql

import (
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
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

// TestLinesEndWhenTheClientIsDone: a client that connects again is waited for,
// until it says that it looked at the ring which it asked for, or gave up; and
// one that never says so is not waited for for ever.
func TestLinesEndWhenTheClientIsDone(t *testing.T) {
	const begins, connected, refreshed = "Reconnecting the control connection.", "Control connection connected to host.", "Refreshed ring."
	for _, test := range []struct {
		before, after string
		waits         bool
		takes         time.Duration
	}{
		{"", "", false, 0},
		{refreshed, "", false, 0},
		{begins, "Unable to reconnect control connection.", true, 0},
		{begins, connected + refreshed, true, 0},
		{begins + refreshed, connected + refreshed, true, 0}, // somebody else asked for the first
		{begins + connected, "Unable to refresh ring.", true, 0},
		{begins + connected + refreshed, "", false, 0},
		{begins + connected, "", true, 16 * time.Second},
		{begins, refreshed, true, 16 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			lines := NewLines(time.Second)
			say := func(words string) {
				for _, w := range strings.SplitAfter(words, ".") {
					lines.Heard(w)
				}
			}
			say(test.before)
			ended, start := make(chan struct{}), time.Now()
			go func() { lines.End(); close(ended) }()
			synctest.Wait()
			select {
			case <-ended:
				if test.waits {
					t.Errorf("%+v: ended at once", test)
				}
			default:
				if !test.waits {
					t.Errorf("%+v: does not end", test)
				}
			}
			say(test.after)
			if <-ended; time.Since(start) != test.takes {
				t.Errorf("%+v: took %v", test, time.Since(start))
			}
		})
	}
}
