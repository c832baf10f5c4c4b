package volatile

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// MaxKey is the longest key, in bytes.
const MaxKey = 1024

// A Stamp orders the versions of one entry: by Version, then by Tie.
type Stamp struct {
	Version int64
	Tie     uint64
}

// An Entry is a versioned value.
type Entry struct {
	Value   []byte
	Stamp   Stamp
	Absent  bool      // a remembered absence: the store of record had nothing at this stamp
	Written time.Time // when the entry was written, UTC, milliseconds
}

// Options of a Cache; zero values are the defaults.
type Options struct {
	// Namespace prefixes every key. Default "ff".
	Namespace string
	// Lease bounds how long one rebuild keeps the others waiting before one
	// of them takes over. Default 3 s.
	Lease time.Duration
	// Absence is how long a remembered absence lasts. Default 5 s.
	Absence time.Duration
}

// A Cache is a cache of versioned entries: newest wins, and a slow reader
// cannot put an old version back.
type Cache struct{}

// New returns a Cache over a driver, which Close closes.
func New(driver Driver, opts *Options) (*Cache, error) { panic("todo") }

// Get returns an entry; ok is false for a miss, an expired entry, a
// placeholder.
func (c *Cache) Get(ctx context.Context, key string) (e Entry, ok bool, err error) { panic("todo") }

// GetAll returns the entries that are there.
func (c *Cache) GetAll(ctx context.Context, keys []string) (map[string]Entry, error) { panic("todo") }

// Raise writes an entry unless a newer one is there; superseded tells. It is a
// compare-and-swap loop over what is there, never a blind set.
func (c *Cache) Raise(ctx context.Context, key string, e Entry, ttl time.Duration) (superseded bool, err error) {
	panic("todo")
}

// Invalidate removes whatever is older than stamp, and leaves a short-lived
// placeholder that keeps slower readers from filling in an older version.
func (c *Cache) Invalidate(ctx context.Context, key string, stamp Stamp) error { panic("todo") }

// Fetch returns the entry, or rebuilds it with load under a lease: one caller
// loads, the others wait for it or take over when it is gone. A cache that
// cannot be reached is no error: load is called, and nothing is kept. load
// returns Absent for what does not exist.
func (c *Cache) Fetch(ctx context.Context, key string, ttl time.Duration, load func(context.Context) (Entry, error)) (Entry, error) {
	panic("todo")
}

// Add adds to a counter: see Driver.Add.
func (c *Cache) Add(ctx context.Context, key string, delta int64, ttl time.Duration) (uint64, error) {
	panic("todo")
}

// Delete removes entries whatever their version.
func (c *Cache) Delete(ctx context.Context, keys ...string) error { panic("todo") }

// Features are the driver's.
func (c *Cache) Features() Features { panic("todo") }

// Check reports health.
func (c *Cache) Check(ctx context.Context) fault.Report { panic("todo") }

// Close closes the driver. Closing twice is fine.
func (c *Cache) Close() error { panic("todo") }
