package servers

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// fakeTime has a server read its wall clock through libfaketime, from a file in
// its directory. Its monotonic clock stays: it is nothing that anybody sets.
func (l *launch) fakeTime(server, dir string) error {
	found, _ := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if len(found) == 0 {
		return &MissingError{server, "libfaketime", "install it (Debian package faketime)"}
	}
	l.clock = filepath.Join(dir, "clock")
	l.command = append([]string{
		"env", "LD_PRELOAD=" + found[0], "FAKETIME_TIMESTAMP_FILE=" + l.clock,
		"FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
	}, l.command...)
	return setClock(l.clock, 0)
}

// SetClock sets the server's clock so far ahead of this machine's, which it
// notices within a second. The server must have been started with a clock of
// its own.
func (s *Server) SetClock(ahead time.Duration) error {
	if s.launch.clock == "" {
		return fmt.Errorf("servers: %s runs by this machine's clock", s.launch.name)
	}
	return setClock(s.launch.clock, ahead)
}

// setClock changes the file at once: the server may just read it.
func setClock(path string, ahead time.Duration) error {
	next := path + ".next"
	if err := os.WriteFile(next, fmt.Appendf(nil, "%+d\n", int(ahead.Seconds())), 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}
