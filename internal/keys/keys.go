// Package keys has what the checks of keys have in common, whatever each store
// refuses.
package keys

import "unicode/utf8"

// plainMost is shorter than any bound that a store has, in bytes.
const plainMost = 64

// Plain reports whether a key is short ASCII without a NUL, and not empty, as most
// are: every store takes it, and one look at its bytes is less than the calls that
// other keys need.
func Plain(key string) bool {
	if len(key) > plainMost {
		return false
	}
	for i := range len(key) {
		if key[i]-1 >= utf8.RuneSelf-1 {
			return false // a NUL too
		}
	}
	return key != ""
}
