package record

import (
	"strings"
	"unicode"
)

// ValidName reports whether s may be a property name: ASCII letters, digits
// and underscores, not beginning with a digit, 1 to MaxName bytes.
func ValidName(s string) bool {
	if s == "" || len(s) > MaxName || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// snakeCase returns the property name of a Go field: a word begins where an
// upper-case letter follows a lower-case letter or a digit, and at the last
// letter of a run of capitals that a lower-case letter follows.
func snakeCase(goName string) string {
	runes := []rune(goName)
	var b strings.Builder
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) && runes[i-1] != '_' {
			follows := !unicode.IsUpper(runes[i-1])
			ends := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if follows || ends {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// lastElement returns what follows the last dot.
func lastElement(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// Nearest returns the candidate that word was probably meant to be, or "" when
// none is near: equal but for case, at most a quarter of its letters (and at
// least two) away, or cut off after six letters or more.
func Nearest(word string, candidates ...string) string {
	lower := strings.ToLower(word)
	best, distance := "", -1
	for _, c := range candidates {
		d := levenshtein(lower, c)
		near := d <= max(2, len(c)/4) && d < len(c)/2+1
		if len(lower) >= 6 && strings.HasPrefix(c, lower) {
			near = true
		}
		if near && (distance < 0 || d < distance) {
			best, distance = c, d
		}
	}
	return best
}

// levenshtein counts the single-byte edits between two words; words too long
// to be a slip of the pen are simply far away.
func levenshtein(a, b string) int {
	const most = 64
	if len(a) > most || len(b) > most {
		return most
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
