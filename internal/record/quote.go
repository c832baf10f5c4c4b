package record

import (
	"unicode/utf16"
	"unicode/utf8"
)

// escapes says how a byte stands in a JSON string: as itself (0), after a
// backslash, or as \u00XX ('u').
var escapes = func() (t [256]byte) {
	for c := range byte(' ') {
		t[c] = 'u'
	}
	t['"'], t['\\'], t['\b'], t['\f'], t['\n'], t['\r'], t['\t'] = '"', '\\', 'b', 'f', 'n', 'r', 't'
	return t
}()

const hexDigits = "0123456789abcdef"

// appendString appends valid UTF-8 as a JSON string. Only what JSON demands is
// escaped: the text is for stores, not for the inside of HTML.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		e := escapes[s[i]]
		if e == 0 {
			continue
		}
		b = append(b, s[start:i]...)
		if e == 'u' {
			b = append(b, '\\', 'u', '0', '0', hexDigits[s[i]>>4], hexDigits[s[i]&15])
		} else {
			b = append(b, '\\', e)
		}
		start = i + 1
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// escaped reads the rest of a string that began at start and has its first
// escape at the present position.
func (d *decoder) escaped(start int) ([]byte, error) {
	out := append(d.scratch[:0], d.data[start:d.pos]...)
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; {
		case c == '"':
			d.scratch = out
			if !utf8.Valid(out) {
				return nil, d.fail("the string is not valid UTF-8")
			}
			d.pos++
			return out, nil
		case c == '\\':
			var err error
			if out, err = d.escape(out); err != nil {
				return nil, err
			}
		case c < ' ':
			return nil, d.fail("a control character stands unescaped in a string")
		default:
			out = append(out, c)
			d.pos++
		}
	}
	return nil, d.fail("the string does not end")
}

// escape reads one escape and appends what it stands for.
func (d *decoder) escape(out []byte) ([]byte, error) {
	if d.pos+1 >= len(d.data) {
		return out, d.fail("the string does not end")
	}
	c := d.data[d.pos+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return d.unicode(out)
	default:
		return out, d.fail("the string has an unknown escape")
	}
	d.pos += 2
	return append(out, c), nil
}

// unicode reads \uXXXX, and the second half of a pair. A lone half stands for
// no character; replacing it would change the string without a word.
func (d *decoder) unicode(out []byte) ([]byte, error) {
	r := d.hex4()
	if utf16.IsSurrogate(r) {
		r = utf16.DecodeRune(r, d.hex4())
		if r == utf8.RuneError {
			return out, d.fail("the string has half of a surrogate pair")
		}
	}
	if r < 0 {
		return out, d.fail("the string has a broken \\u escape")
	}
	return utf8.AppendRune(out, r), nil
}

// hex4 consumes \uXXXX, or returns -1.
func (d *decoder) hex4() rune {
	if d.pos+6 > len(d.data) || d.data[d.pos] != '\\' || d.data[d.pos+1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range d.data[d.pos+2 : d.pos+6] {
		switch {
		case c-'0' <= 9:
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	d.pos += 6
	return r
}
