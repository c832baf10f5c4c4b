package sqlitefile

import (
	"strings"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// refuseControl returns fault.ErrRefused for a text that holds a statement
// which would end, or reach beyond, the transaction that the unit shares with
// its group, or would change the connection for those who come after it.
func refuseControl(query string) error {
	var c control
	for words := (scanner{text: query}); words.next(); {
		if !c.allows(words.word) {
			return fault.New(fault.ErrRefused, "", "exec",
				words.word+" is not for a unit: it shares its transaction and its connection with others")
		}
	}
	return nil
}

// A control follows the words of a text, in capitals; ";" is a word.
type control struct {
	before  string // the word before
	trigger bool   // a trigger is being created, so an END is due
}

// allows reports whether the text may go on with a word.
func (c *control) allows(word string) bool {
	starts := c.before == "" || c.before == ";"
	before := c.before
	c.before = word
	switch word {
	case "TRIGGER":
		c.trigger = true
	case "BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ATTACH", "DETACH", "VACUUM":
		return !starts
	case "ROLLBACK":
		return false // also INSERT OR ROLLBACK, ON CONFLICT ROLLBACK, RAISE(ROLLBACK)
	case "END":
		ok := !starts || c.trigger
		c.trigger = c.trigger && !starts
		return ok
	}
	return before != "PRAGMA" || harmlessPragmas[word]
}

// harmlessPragmas tell, or change what a transaction can roll back.
var harmlessPragmas = map[string]bool{
	"TABLE_INFO": true, "TABLE_XINFO": true, "TABLE_LIST": true, "INDEX_LIST": true, "INDEX_INFO": true,
	"INDEX_XINFO": true, "FOREIGN_KEY_LIST": true, "FOREIGN_KEY_CHECK": true, "INTEGRITY_CHECK": true,
	"QUICK_CHECK": true, "USER_VERSION": true, "PAGE_COUNT": true, "PAGE_SIZE": true, "FREELIST_COUNT": true,
}

// A scanner yields the bare words of a text, in capitals, its semicolons, and
// a quote for every string and quoted name. Comments and other characters are
// passed over.
type scanner struct {
	text string
	word string
}

// next moves on to the next word and reports whether there is one.
func (s *scanner) next() bool {
	for s.text != "" {
		switch c := s.text[0]; {
		case c == ';':
			s.word, s.text = ";", s.text[1:]
			return true
		case strings.HasPrefix(s.text, "--"):
			s.skip(2, "\n")
		case strings.HasPrefix(s.text, "/*"):
			s.skip(2, "*/")
		case strings.HasPrefix(s.text, byteOrderMark):
			s.text = s.text[len(byteOrderMark):]
		case c == '\'' || c == '"' || c == '`':
			s.word = "'"
			s.skip(1, string(c))
			return true
		case c == '[':
			s.word = "'"
			s.skip(1, "]")
			return true
		case isWordByte(c):
			n := 1
			for n < len(s.text) && isWordByte(s.text[n]) {
				n++
			}
			s.word, s.text = strings.ToUpper(s.text[:n]), s.text[n:]
			return true
		default:
			s.text = s.text[1:]
		}
	}
	return false
}

// skip passes over a start of n bytes and everything through the next end.
func (s *scanner) skip(n int, end string) {
	if i := strings.Index(s.text[n:], end); i >= 0 {
		s.text = s.text[n+i+len(end):]
		return
	}
	s.text = ""
}

// byteOrderMark is white space to SQLite, wherever a word may start.
const byteOrderMark = "\ufeff"

// isWordByte agrees with SQLite on what a bare word is made of.
func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}
