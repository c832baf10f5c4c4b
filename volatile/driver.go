package volatile

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Token stands for one state of an entry, for Swap. It is opaque, and valid
// only on the driver that returned it; a driver whose server restarted must
// not let an old token win.
type Token uint64

// MaxCount is the largest sum of a counter. memcached keeps 64 bits, but reads
// digits of 2^63 and more as no number when a "-" happens to lie behind them in
// its memory (safe_strtoull of 1.6).
const MaxCount = 1<<63 - 1

// ParseCount reads a counter: decimal digits and nothing else, 19 at most, for
// a number up to MaxCount.
func ParseCount(value []byte) (n uint64, ok bool) {
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, len(value) > 0 && len(value) <= 19 && n <= MaxCount
}

// An Item is one entry of a cache.
type Item struct {
	Key   string        // any valid UTF-8 without NUL, 1 to MaxItemKey bytes; drivers encode what their server cannot take, injectively
	Value []byte        // nil and empty are the same
	TTL   time.Duration // zero: no expiry of its own; negative is fault.ErrInvalid; rounded up to the driver's resolution
	Token Token         // set by Get, used by Swap
}

// Features are the promises of a driver that differ between drivers.
type Features struct {
	Name       string        // such as "embedded" or "memcached"
	MaxValue   int           // bytes; a larger value is fault.ErrTooLarge before anything is sent, and the old value stays
	Resolution time.Duration // of TTL
	Shared     bool          // other processes see the same entries
}

// Driver is the contract of a cache: entries may vanish at any moment, and
// whoever uses it is prepared for that. Every method is safe for concurrent
// use, returns within 100 ms of its context's end, and copies what it keeps
// and what it returns. Slices of errors are aligned with the argument.
//
// Errors: fault.ErrUnavailable, fault.ErrUnknown (a set that timed out may
// land later), fault.ErrTooLarge, fault.ErrInvalid, fault.ErrClosed. A miss is
// not an error.
type Driver interface {
	// Get returns the entries that are there, in any order. It returns what it
	// found together with an error when a part of the servers is down.
	Get(ctx context.Context, keys []string) ([]Item, error)
	// Set writes entries whatever is there.
	Set(ctx context.Context, items []Item) []error
	// Swap writes one entry if its Token still stands for what is there, or,
	// with a zero Token, if nothing is there; else fault.ErrConflict.
	Swap(ctx context.Context, item Item) error
	// Delete removes entries; one that is not there is fine.
	Delete(ctx context.Context, keys []string) []error
	// Add adds delta to a counter and returns the sum. A counter that is not
	// there starts at zero with this TTL; the TTL of one that is there stays.
	// Counters are of their own: Get of one returns its decimal digits, Add on
	// an entry that is no number is fault.ErrConflict, and so is a sum over
	// MaxCount, after which the counter may be anything. A sum below zero is
	// zero. An Add that ended unknown is never repeated by the driver.
	Add(ctx context.Context, key string, delta int64, ttl time.Duration) (uint64, error)
	// Close frees everything. Closing twice is fine.
	Close() error
}

// Featured tells a driver's promises. Every driver implements it.
type Featured interface{ Features() Features }

// Checker reports a driver's health. Every driver implements it.
type Checker interface {
	// Check asks the server, where there is one; what is wrong is in the report.
	Check(ctx context.Context) fault.Report
}

// OneGetter reads one entry with less ado than Get. A driver may implement it;
// the answers are those of Get.
type OneGetter interface {
	// GetOne is Get of one key; found is false for a miss.
	GetOne(ctx context.Context, key string) (item Item, found bool, err error)
}

// Borrower reads one entry without a copy of its value, which its caller only
// reads, and the driver never changes. A driver in process may implement it;
// the answers are those of Get.
type Borrower interface {
	// Borrow is GetOne; lent is the driver's own. The key is not kept, nor
	// by an error.
	Borrow(ctx context.Context, key string) (lent *Lent, found bool, err error)
}

// A Lent is an entry that a Borrower keeps and shows. Nothing in it changes but
// Checked.
type Lent struct {
	Value   []byte      // as an Item's
	Token   Token       // as an Item's
	Checked atomic.Bool // who has borrowed it found the value sound, and need not look again
}

// ManySwapper swaps many entries, of different keys, in fewer round trips than
// one Swap each. A driver may implement it; the answers are those of Swap.
type ManySwapper interface {
	// SwapAll returns errors aligned with items: each is swapped, or not, by
	// itself.
	SwapAll(ctx context.Context, items []Item) []error
}

// An Increment is one Add of AddAll.
type Increment struct {
	Key   string        // as an Item's
	Delta int64         // negative takes away; a sum below zero is zero
	TTL   time.Duration // of a counter that is not there yet; zero: no expiry of its own
}

// ManyAdder adds to many counters in fewer round trips than one Add each. A
// driver may implement it; the answers are those of Add.
type ManyAdder interface {
	// AddAll returns sums and errors aligned with adds; a sum is valid where its
	// error is nil.
	AddAll(ctx context.Context, adds []Increment) (sums []uint64, errs []error)
}

// An Explainer is a driver that can say what it sends for an entry, without
// asking its server.
type Explainer interface {
	// Explain returns the commands by which Get and then Swap write an entry where
	// none is, and where one is, in this order: with its key, as the server gets
	// it, and the length of its value, which itself is not in them. What only the
	// server knows stands in angle brackets.
	Explain(item Item) []string
}
