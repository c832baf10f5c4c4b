package memcached

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// A plain connection speaks the few commands that the driver sends itself,
// before the client has the connection: those on generations, and statistics.
type plain struct {
	nc net.Conn
	r  *bufio.Reader
}

// plainMost bounds the values that are read this way.
const plainMost = 1024

func newPlain(nc net.Conn, deadline time.Time) *plain {
	nc.SetDeadline(deadline)
	return &plain{nc: nc, r: bufio.NewReaderSize(nc, 4096)}
}

// ask sends one command and returns the first line of its answer.
func (p *plain) ask(format string, args ...any) (string, error) {
	if _, err := fmt.Fprintf(p.nc, format, args...); err != nil {
		return "", err
	}
	return p.lineOf()
}

func (p *plain) lineOf() (string, error) {
	line, err := p.r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// A found value has the number that a compare-and-swap over it needs.
type found struct {
	value string
	cas   uint64
}

// get reads some keys.
func (p *plain) get(keys ...string) (map[string]found, error) {
	values := map[string]found{}
	line, err := p.ask("gets %s\r\n", strings.Join(keys, " "))
	for ; err == nil && line != "END"; line, err = p.lineOf() {
		fields := strings.Fields(line)
		if len(fields) != 5 || fields[0] != "VALUE" {
			return nil, fmt.Errorf("unexpected answer %q", line)
		}
		size, errSize := strconv.ParseUint(fields[3], 10, 31)
		cas, errCAS := strconv.ParseUint(fields[4], 10, 64)
		if errSize != nil || errCAS != nil || size > plainMost {
			return nil, fmt.Errorf("unexpected answer %q", line)
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(p.r, b); err != nil {
			return nil, err
		}
		values[fields[1]] = found{string(b[:size]), cas}
	}
	return values, err
}

// store adds, sets or swaps; stored is false when its condition did not hold.
func (p *plain) store(verb, key, value string, expiry int, cas uint64) (stored bool, err error) {
	command := fmt.Sprintf("%s %s 0 %d %d", verb, key, expiry, len(value))
	if verb == "cas" {
		command += fmt.Sprintf(" %d", cas)
	}
	line, err := p.ask("%s\r\n%s\r\n", command, value)
	switch {
	case err != nil:
		return false, err
	case line == "STORED":
		return true, nil
	case line == "NOT_STORED", line == "EXISTS", line == "NOT_FOUND":
		return false, nil
	}
	return false, fmt.Errorf("unexpected answer %q", line)
}

// stats reads statistics: of the whole server, or of a section.
func (p *plain) stats(section string) (map[string]string, error) {
	values := map[string]string{}
	line, err := p.ask("%s\r\n", strings.TrimSpace("stats "+section))
	for n := 0; err == nil && line != "END"; line, err = p.lineOf() {
		fields := strings.SplitN(line, " ", 3)
		if n++; len(fields) != 3 || fields[0] != "STAT" || n > 10_000 {
			return nil, fmt.Errorf("unexpected answer %q", line)
		}
		values[fields[1]] = fields[2]
	}
	return values, err
}
