package volatile

import (
	"crypto/rand"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"
)

// A flight is one rebuild of this process: readers that meet its lease in the
// cache wait for it without asking the cache again.
//
// A reader joins only when it has seen that very lease after its own start, and
// the floor beside it. A floor that is still the flight's proves that no write
// was announced since the load began, so the answer is as fresh as one that the
// reader would load itself. Over a floor that was raised meanwhile only an answer
// which reaches it is.
type flight struct {
	lease uint64
	floor Stamp         // of the placeholder when the load began
	done  chan struct{} // closed when the fields below are set
	entry Entry
	err   error
	retry bool // no answer for others: ask the cache again
}

// flights are the rebuilds under way, by lease.
type flights struct {
	mu      sync.Mutex
	byLease map[uint64]*flight
	asking  map[string]chan struct{} // by key: one who waits for a place in the budget
}

// ask makes the caller the one reader of a key who asks for a place in the
// budget, until end; or returns what is closed when the one who asks already has
// taken the lease, or gave up. end may be called twice.
func (f *flights) ask(key string) (ahead <-chan struct{}, end func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ahead, ok := f.asking[key]; ok {
		return ahead, nil
	}
	if f.asking == nil {
		f.asking = map[string]chan struct{}{}
	}
	done := make(chan struct{})
	f.asking[key] = done
	return nil, sync.OnceFunc(func() {
		f.mu.Lock()
		delete(f.asking, key)
		f.mu.Unlock()
		close(done)
	})
}

// begin returns a flight with a lease of its own. It is known before its lease
// reaches the cache, so whoever sees the lease finds the flight.
func (f *flights) begin(floor Stamp) *flight {
	fl := &flight{lease: newLease(), floor: floor, done: make(chan struct{}), retry: true}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byLease == nil {
		f.byLease = map[uint64]*flight{}
	}
	f.byLease[fl.lease] = fl
	return fl
}

// find returns the flight that holds a lease, or nil when it is another
// process's, or over.
func (f *flights) find(lease uint64) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.byLease[lease]
}

// end lets the waiting readers go on with what answer has set.
func (f *flights) end(fl *flight) {
	f.mu.Lock()
	delete(f.byLease, fl.lease)
	f.mu.Unlock()
	close(fl.done)
}

// answer sets what the waiting readers get: a copy, for the loader's caller
// may change its own.
func (fl *flight) answer(e Entry, err error) {
	e.Value = slices.Clone(e.Value)
	fl.entry, fl.err, fl.retry = e, err, false
}

// result is one waiting reader's own copy of the answer.
func (fl *flight) result() (Entry, error) {
	e := fl.entry
	e.Value = slices.Clone(e.Value)
	return e, fl.err
}

// A sightings remembers when this process first saw the leases of others' rebuilds
// over old values: who is served one stays for no second look.
type sightings struct {
	mu    sync.Mutex
	first map[uint64]time.Time // by lease
}

// maxSightings bounds what is remembered. A lease that found no room is not taken
// over before its old value ends.
const maxSightings = 4096

// overdue reports whether a lease that offers an old value has been seen for its
// whole time, by this process's clock: who held it has crashed, or is too slow.
func (c *Cache) overdue(lease uint64) bool {
	seen, now := &c.sightings, time.Now()
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if since, ok := seen.first[lease]; ok {
		if now.Sub(since) < c.opts.Lease {
			return false
		}
		c.stats.takeovers.Add(1)
		return true
	}
	if len(seen.first) >= maxSightings {
		maps.DeleteFunc(seen.first, func(_ uint64, since time.Time) bool { return now.Sub(since) > 2*c.opts.Lease })
	}
	if len(seen.first) < maxSightings {
		if seen.first == nil {
			seen.first = map[uint64]time.Time{}
		}
		seen.first[lease] = now
	}
	return false
}

// newLease returns a number that no other reader anywhere will choose.
func newLease() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:])
		if lease := binary.BigEndian.Uint64(b[:]); lease != 0 {
			return lease
		}
	}
}
