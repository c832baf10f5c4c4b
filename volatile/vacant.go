package volatile

import (
	"hash/crc32"
	"strings"
	"sync/atomic"
	"unsafe"
)

// Where nothing is, what a Raise writes does not depend on a look, and Swap makes
// sure of the rest: it writes there only while nothing is. So a key under which
// nothing is expected is not looked at, which saves every second round trip of
// objects that are new. Who was wrong looks, as it would have done at first.

// takenFor is how many writes are expected to find something, after one that did:
// an expectation that was wrong costs a round trip more.
const takenFor = 16

// vacancies are what is expected of keys, by what they begin with: a kind, or the
// name of a view, and a colon. Those that share a place by chance only cost each
// other round trips.
type vacancies [64]atomic.Int32

// of is the place of one of the driver's keys, in which a namespace comes first.
func (v *vacancies) of(full string) *atomic.Int32 {
	end := strings.IndexByte(full, ':') + 1
	kind := full[:end+strings.IndexByte(full[end:], ':')+1]
	return &v[crc32.Update(0, castagnoli, unsafe.Slice(unsafe.StringData(kind), len(kind)))%uint32(len(v))]
}

// expects reports whether nothing is expected under a key.
func (v *vacancies) expects(full string) bool {
	of := v.of(full)
	if of.Load() <= 0 {
		return true
	}
	of.Add(-1)
	return false
}

// met notes that something was there.
func (v *vacancies) met(full string) { v.of(full).Store(takenFor) }
