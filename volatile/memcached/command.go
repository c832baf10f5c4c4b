package memcached

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
)

// A command gathers the bytes of one command until it is whole: a line, and
// for those that store, the data that the line announces. The client may hand
// it over in any pieces, but never more than one command before its answer.
type command struct {
	buf  []byte
	size int // of the whole command; zero: its line is not whole yet
}

// storing are the commands that data follows.
var storing = [][]byte{[]byte("set "), []byte("cas "), []byte("add "), []byte("replace "), []byte("append "), []byte("prepend ")}

// feed takes the next bytes in; whole reports that nothing is lacking.
func (c *command) feed(b []byte) (whole bool, err error) {
	c.buf = append(c.buf, b...)
	if c.size == 0 {
		end := bytes.IndexByte(c.buf, '\n')
		if end < 0 {
			return false, nil
		}
		data, err := announced(c.buf[:end+1])
		if err != nil {
			return false, err
		}
		c.size = end + 1 + data
	}
	if len(c.buf) > c.size {
		return false, fmt.Errorf("%d bytes follow a command before its answer", len(c.buf)-c.size)
	}
	return len(c.buf) == c.size, nil
}

// take returns the command and begins the next. The bytes are valid until
// then.
func (c *command) take() []byte {
	b := c.buf
	c.buf, c.size = c.buf[:0], 0
	if cap(b) > spareMost {
		c.buf = nil
	}
	return b
}

// announced is how many bytes follow a line, with their line end.
func announced(line []byte) (int, error) {
	if !slices.ContainsFunc(storing, func(verb []byte) bool { return bytes.HasPrefix(line, verb) }) {
		return 0, nil
	}
	if fields := bytes.Fields(line); len(fields) >= 5 {
		if size, err := strconv.ParseUint(string(fields[4]), 10, 31); err == nil {
			return int(size) + len(crlf), nil
		}
	}
	return 0, fmt.Errorf("a command %q announces no size", line)
}
