package volatile

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"

	"github.com/fourfold-dev/fourfold/internal/keys"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// MaxKey is the longest key of a Cache, in bytes.
const MaxKey = 1024

// MaxItemKey is the longest key of a Driver, in bytes: a Cache's key with its
// namespace in front.
const MaxItemKey = MaxKey + 128

// CheckItemKey returns fault.ErrInvalid for a key that no Driver takes, under
// the name of the operation. Drivers call it, so that all refuse the same keys.
func CheckItemKey(op, key string) error { return checkKey(op, key, MaxItemKey) }

// checkKey returns what is wrong with a key of at most most bytes, or nil.
func checkKey(op, key string, most int) error {
	if keys.Plain(key) {
		return nil
	}
	return checkRare(op, key, most)
}

func checkRare(op, key string, most int) error {
	var problem string
	switch {
	case key == "":
		problem = "the key is empty"
	case len(key) > most:
		problem = fmt.Sprintf("a key of %d bytes; %d at most", len(key), most)
	case !utf8.ValidString(key):
		problem = "the key is no valid UTF-8"
	case strings.IndexByte(key, 0) >= 0:
		problem = "the key holds a NUL"
	default:
		return nil
	}
	return fault.New(fault.ErrInvalid, purpose, op, problem)
}

// checkName returns what is wrong with a namespace or a face's name, or nil.
// The alphabet has neither ':' nor '.', which end prefixes, so that no two
// names can meet in one key.
func checkName(what, name string, most int) error {
	if name == "" || len(name) > most {
		return fmt.Errorf("%s %q has %d bytes; 1 to %d", what, name, len(name), most)
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' {
			return fmt.Errorf("%s %q holds %q; letters, digits, '_' and '-' only", what, name, r)
		}
	}
	return nil
}

// A keyRoom is where a key is put together that nobody keeps.
type keyRoom struct{ bytes []byte }

var keyRooms = sync.Pool{New: func() any { return new(keyRoom) }}

// join returns a driver's key, which is valid until the next one.
func (r *keyRoom) join(namespace, prefix, key string) string {
	b := append(append(r.bytes[:0], namespace...), ':')
	r.bytes = append(append(b, prefix...), key...)
	return unsafe.String(unsafe.SliceData(r.bytes), len(r.bytes))
}
