package sqlitefile

import (
	"strings"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// refuseControl returns fault.ErrRefused for a text that holds a statement
// which would end, or reach beyond, the transaction that the unit shares with
// its group.
func refuseControl(query string) error {
	trigger := false
	for s := range statements(query) {
		first, rest := firstWord(s)
		switch first {
		case "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "ATTACH", "DETACH", "VACUUM":
			return refusedControl(first)
		case "END":
			// Inside a text that creates a trigger it closes the trigger.
			if !trigger {
				return refusedControl(first)
			}
			trigger = false
		case "CREATE":
			trigger = trigger || createsTrigger(rest)
		}
	}
	return nil
}

func refusedControl(word string) error {
	return fault.New(fault.ErrRefused, "", "exec", word+" is not for a unit: its transaction belongs to the whole group")
}

func createsTrigger(rest string) bool {
	word, rest := firstWord(rest)
	if word == "TEMP" || word == "TEMPORARY" {
		word, _ = firstWord(rest)
	}
	return word == "TRIGGER"
}

// firstWord returns the first word of a text in capitals, and what follows it.
func firstWord(s string) (word, rest string) {
	s = strings.TrimLeft(s, " \t\r\n\f")
	end := strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if end < 0 {
		end = len(s)
	}
	return strings.ToUpper(s[:end]), s[end:]
}

// statements yields what stands between the semicolons of a text, without
// comments; the bodies of triggers are cut as well. Strings and quoted names
// are kept whole.
func statements(query string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		var b strings.Builder
		for i := 0; i < len(query); {
			switch c := query[i]; {
			case c == ';':
				if !yield(b.String()) {
					return
				}
				b.Reset()
				i++
			case strings.HasPrefix(query[i:], "--"):
				i += through(query[i:], "\n")
				b.WriteByte(' ')
			case strings.HasPrefix(query[i:], "/*"):
				i += 2 + through(query[i+2:], "*/")
				b.WriteByte(' ')
			case c == '\'' || c == '"' || c == '`':
				n := 1 + through(query[i+1:], string(c))
				b.WriteString(query[i : i+n])
				i += n
			case c == '[':
				n := through(query[i:], "]")
				b.WriteString(query[i : i+n])
				i += n
			default:
				b.WriteByte(c)
				i++
			}
		}
		yield(b.String())
	}
}

// through returns the length of s up to and with the first end, or all of it.
func through(s, end string) int {
	if i := strings.Index(s, end); i >= 0 {
		return i + len(end)
	}
	return len(s)
}
