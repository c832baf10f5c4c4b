package record

import (
	"encoding/base64"
	"strconv"
	"sync"
	"unicode/utf8"
)

// A decoder reads one JSON text strictly: white space, grammar and UTF-8 as
// RFC 8259 has them, no lone surrogates, at most MaxDepth levels.
type decoder struct {
	data    []byte
	pos     int
	depth   int    // of the object or array that is open
	room    int    // bytes that may still be allocated
	scratch []byte // the last string that had escapes
}

// What a decoder may allocate for slices, maps and pointers: hostile bytes
// could ask for very large elements with very few of them.
const (
	roomBase    = 1 << 20
	roomPerByte = 256
)

func newDecoder(data []byte) *decoder {
	d := &decoder{}
	d.start(data)
	return d
}

// decoders are for those who read no further when they are done.
var decoders = sync.Pool{New: func() any { return &decoder{} }}

func (d *decoder) start(data []byte) {
	d.data, d.room = data, roomBase+roomPerByte*len(data)
}

// free gives a decoder back.
func (d *decoder) free() {
	*d = decoder{}
	decoders.Put(d)
}

// fail returns a problem at the present position.
func (d *decoder) fail(text string) *problem {
	return bad(text + " (byte " + strconv.Itoa(d.pos) + ")")
}

// charge takes n bytes from what may be allocated.
func (d *decoder) charge(n int) error {
	if d.room -= n; d.room < 0 {
		return d.fail("it would take far more memory than its bytes account for")
	}
	return nil
}

// peek skips white space and returns the next byte, or 0 at the end.
func (d *decoder) peek() byte {
	for d.pos < len(d.data) {
		c := d.data[d.pos]
		if c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		d.pos++
	}
	return 0
}

// end fails unless only white space is left.
func (d *decoder) end() error {
	if d.peek(); d.pos < len(d.data) {
		return d.fail("more bytes follow the value")
	}
	return nil
}

// word consumes a literal, if it is next.
func (d *decoder) word(w string) bool {
	if end := d.pos + len(w); end <= len(d.data) && string(d.data[d.pos:end]) == w {
		d.pos = end
		return true
	}
	return false
}

// null consumes null, if it is next.
func (d *decoder) null() bool { return d.peek() == 'n' && d.word("null") }

// bool reads true or false.
func (d *decoder) bool() (bool, error) {
	switch d.peek() {
	case 't':
		if d.word("true") {
			return true, nil
		}
	case 'f':
		if d.word("false") {
			return false, nil
		}
	}
	return false, d.fail("it is not true or false")
}

// enter opens an object or an array.
func (d *decoder) enter(open byte) error {
	if d.peek() != open {
		if open == '{' {
			return d.fail("it is not an object")
		}
		return d.fail("it is not an array")
	}
	d.pos++
	if d.depth++; d.depth > MaxDepth {
		return tooDeep()
	}
	return nil
}

// more reports whether another element follows, and consumes the comma before
// it or the bracket that closes.
func (d *decoder) more(end byte, first bool) (bool, error) {
	c := d.peek()
	switch {
	case c == end:
		d.pos++
		d.depth--
		return false, nil
	case first && c != 0:
		return true, nil
	case !first && c == ',':
		d.pos++
		if d.peek() == end {
			return false, d.fail("a value is missing after the comma")
		}
		return true, nil
	}
	return false, d.fail("a comma or the end of the object or array is missing")
}

// name reads the next property name of an object and its colon, or the end of
// the object. The name is valid until the next string is read.
func (d *decoder) name(first bool) (name []byte, more bool, err error) {
	if more, err = d.more('}', first); err != nil || !more {
		return nil, false, err
	}
	if name, err = d.string(); err != nil {
		return nil, false, err
	}
	if d.peek() != ':' {
		return nil, false, d.fail("a colon is missing after the property name")
	}
	d.pos++
	return name, true, nil
}

// number reads a number and returns its text.
func (d *decoder) number() ([]byte, error) {
	d.peek()
	start := d.pos
	if d.pos < len(d.data) && d.data[d.pos] == '-' {
		d.pos++
	}
	leading := d.pos
	if d.digits() == 0 || d.data[leading] == '0' && d.pos > leading+1 {
		return nil, d.fail("it is not a number")
	}
	if d.pos < len(d.data) && d.data[d.pos] == '.' {
		d.pos++
		if d.digits() == 0 {
			return nil, d.fail("a digit is missing after the point")
		}
	}
	if d.pos < len(d.data) && d.data[d.pos]|0x20 == 'e' {
		d.pos++
		if d.pos < len(d.data) && (d.data[d.pos] == '+' || d.data[d.pos] == '-') {
			d.pos++
		}
		if d.digits() == 0 {
			return nil, d.fail("a digit is missing in the exponent")
		}
	}
	return d.data[start:d.pos], nil
}

// digits consumes digits and counts them.
func (d *decoder) digits() int {
	start := d.pos
	for d.pos < len(d.data) && d.data[d.pos]-'0' <= 9 {
		d.pos++
	}
	return d.pos - start
}

// string reads a string and returns its bytes, unescaped: a part of the data
// where nothing was escaped, else the decoder's own buffer, valid until the
// next string is read.
func (d *decoder) string() ([]byte, error) {
	if d.peek() != '"' {
		return nil, d.fail("it is not a string")
	}
	d.pos++
	start := d.pos
	ascii := byte(0)
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; {
		case c == '"':
			s := d.data[start:d.pos]
			if ascii >= utf8.RuneSelf && !utf8.Valid(s) {
				return nil, d.fail("the string is not valid UTF-8")
			}
			d.pos++
			return s, nil
		case c == '\\':
			return d.escaped(start)
		case c < ' ':
			return nil, d.fail("a control character stands unescaped in a string")
		default:
			ascii |= c
			d.pos++
		}
	}
	return nil, d.fail("the string does not end")
}

// base64 reads a string of base64 into bytes of their own.
func (d *decoder) base64() ([]byte, error) {
	s, err := d.string()
	if err != nil {
		return nil, err
	}
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(s)))
	n, err := base64.StdEncoding.Strict().Decode(raw, s)
	if err != nil {
		return nil, d.fail("the string is not base64")
	}
	return raw[:n], nil
}

// skip reads any value and returns its bytes, with the white space inside.
func (d *decoder) skip() ([]byte, error) {
	c := d.peek()
	start := d.pos
	var err error
	switch c {
	case '{':
		err = d.skipObject()
	case '[':
		err = d.skipArray()
	case '"':
		_, err = d.string()
	case 't', 'f':
		_, err = d.bool()
	case 'n':
		if !d.null() {
			err = d.fail("it is not a JSON value")
		}
	default:
		_, err = d.number()
	}
	return d.data[start:d.pos], err
}

func (d *decoder) skipObject() error {
	if err := d.enter('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		_, more, err := d.name(first)
		if err != nil || !more {
			return err
		}
		if _, err := d.skip(); err != nil {
			return err
		}
	}
}

func (d *decoder) skipArray() error {
	if err := d.enter('['); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := d.more(']', first)
		if err != nil || !more {
			return err
		}
		if _, err := d.skip(); err != nil {
			return err
		}
	}
}
