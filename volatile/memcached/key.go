package memcached

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
)

// The server takes keys of 1 to 250 bytes without spaces and control
// characters; a space or a line end inside one would be read as a command.
// Every key of ours goes through one encoder, whose results are printable
// ASCII and never empty.
const (
	wireMost = 250
	// genSize is the length of a generation, which stands before every key
	// with a ':' behind it.
	genSize  = 8
	bodyMost = wireMost - genSize - 1
)

// The keys that are no entries begin with a byte that no generation has.
const (
	genKey  = "%generation"
	holdKey = "%hold"
)

const hexDigits = "0123456789ABCDEF"

// wireKey returns the server's key for a key under a generation. Different
// keys have different wire keys: what is not printable is escaped as %XX, and
// what is too long then is %# and its SHA-256, which no escape looks like.
func wireKey(gen, key string) string { return string(appendWireKey(nil, gen, key)) }

// appendWireKey appends what wireKey returns.
func appendWireKey(b []byte, gen, key string) []byte {
	size := len(key)
	for i := range len(key) {
		if escaped(key[i]) {
			size += 2
		}
	}
	b = slices.Grow(b, genSize+1+min(size, bodyMost))
	b = append(b, gen...)
	b = append(b, ':')
	if size > bodyMost {
		sum := sha256.Sum256([]byte(key))
		b = append(b, '%', '#')
		return base64.RawURLEncoding.AppendEncode(b, sum[:])
	}
	for i := range len(key) {
		if c := key[i]; escaped(c) {
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

func escaped(c byte) bool { return c <= ' ' || c >= 0x7f || c == '%' }
