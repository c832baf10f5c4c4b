package memcached

import (
	"bytes"
	"fmt"
	"strconv"
)

// lineMost bounds a line of an answer: VALUE, a key of 250 bytes, three
// numbers; or an error's text.
const lineMost = 2048

// A framer follows the answers of a server without keeping them, and refuses
// what no memcached says: the client would take any length it is told and
// allocate as much. It also knows when an answer is complete.
type framer struct {
	valueMost int // bytes of the largest value
	line      []byte
	skip      int  // bytes of a value that are still to come, with its line end
	done      bool // the last byte fed was the last of an answer
}

var crlf = []byte("\r\n")

// feed follows the next bytes of the stream.
func (f *framer) feed(b []byte) error {
	for len(b) > 0 {
		n, err := f.next(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// next follows the stream to the end of an answer at most, and returns how
// many bytes that were.
func (f *framer) next(b []byte) (n int, err error) {
	f.done = false
	for n < len(b) && !f.done {
		if f.skip > 0 {
			some := min(f.skip, len(b)-n)
			f.skip -= some
			n += some
			continue
		}
		end := bytes.IndexByte(b[n:], '\n')
		some := end + 1
		if end < 0 {
			some = len(b) - n
		}
		if len(f.line)+some > lineMost {
			return n, fmt.Errorf("a line of more than %d bytes in an answer", lineMost)
		}
		f.line = append(f.line, b[n:n+some]...)
		n += some
		if end < 0 {
			break
		}
		if err := f.finish(); err != nil {
			return n, err
		}
		f.line = f.line[:0]
	}
	return n, nil
}

// finish understands one whole line.
func (f *framer) finish() error {
	value, found := bytes.CutPrefix(f.line, []byte("VALUE "))
	if !found {
		f.done = true
		return nil
	}
	fields := bytes.Fields(value)
	if len(fields) < 3 || !bytes.HasSuffix(f.line, crlf) {
		return fmt.Errorf("an answer begins %q", f.line)
	}
	size, err := strconv.ParseUint(string(fields[2]), 10, 31)
	if err != nil || int(size) > f.valueMost {
		return fmt.Errorf("an answer announces a value of %s bytes; %d at most", fields[2], f.valueMost)
	}
	f.skip = int(size) + len(crlf)
	return nil
}
