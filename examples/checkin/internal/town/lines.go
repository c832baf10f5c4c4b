package town

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// maxLine is the longest line, in bytes. Real rows have under 200.
const maxLine = 16 << 10

// errLongLine is the fault of one row; the reader goes on behind it.
var errLongLine = fmt.Errorf("longer than %d bytes", maxLine)

// A lines reads the lines of a file, plain or gzip by content.
type lines struct {
	r    *bufio.Reader
	line int // number of the last line, from 1
}

func newLines(r io.Reader) (*lines, error) {
	plain := bufio.NewReaderSize(r, maxLine)
	if magic, _ := plain.Peek(2); !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return &lines{r: plain}, nil
	}
	unzipped, err := gzip.NewReader(plain)
	if err != nil {
		return nil, err
	}
	return &lines{r: bufio.NewReaderSize(unzipped, maxLine)}, nil
}

// next returns the next line without its end, valid until the call after. The
// error is errLongLine for a line to reject, io.EOF behind the last one, and
// anything else when the file itself is damaged.
func (l *lines) next() ([]byte, error) {
	text, err := l.r.ReadSlice('\n')
	if len(text) == 0 && err != nil {
		return nil, err
	}
	if l.line == math.MaxInt32 {
		return nil, errors.New("more lines than can be numbered")
	}
	l.line++
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = l.r.ReadSlice('\n')
		}
		if err == nil || err == io.EOF {
			return nil, errLongLine
		}
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if l.line == 1 {
		text = bytes.TrimPrefix(text, []byte("\ufeff")) // a mark that some editors leave
	}
	return text, nil
}

// eachLine calls row for every line of a file. An error of row rejects the
// line; a file none of whose lines can be read is an error, since it is most
// likely another file than was meant.
func eachLine(path string, rejects *Rejects, row func(line int, text []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err // names the file
	}
	defer f.Close()
	return eachLineOf(f, path, rejects, row)
}

func eachLineOf(r io.Reader, name string, rejects *Rejects, row func(line int, text []byte) error) error {
	in, err := newLines(r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	read := 0
	var first error
	for {
		text, err := in.next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = row(in.line, text)
		} else if err != errLongLine {
			return fmt.Errorf("%s: after line %d: %w", name, in.line, err)
		}
		if err == nil {
			read++
			continue
		}
		if first == nil {
			first = fmt.Errorf("line %d: %w", in.line, err)
		}
		rejects.add(name, in.line, err.Error())
	}
	if read == 0 && first != nil {
		return fmt.Errorf("%s: no row can be read; %w", name, first)
	}
	return nil
}
