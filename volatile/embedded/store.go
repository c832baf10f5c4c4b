package embedded

import (
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/fourfold-dev/fourfold/volatile"
)

// overhead is what one entry costs beside its key and value: the hash table's
// slot, the node with its policy and timer links, the record.
const overhead = 128

// A record is one state of one entry. A write replaces it.
type record struct {
	volatile.Lent
	ttl   time.Duration // never zero: forever when the entry has no expiry
	keeps bool          // a counter's new state: the old one's expiry goes on
}

// forever is how otter spells no expiry.
const forever = time.Duration(math.MaxInt64)

// A store is the cache that all openings of one source share.
type store struct {
	cache *otter.Cache[string, *record]
	// tokens makes every write's token a new one, also after a delete and for
	// an entry written again, so that no old token can ever win.
	tokens atomic.Uint64
}

// newStore returns a store by a clock; nil is the time.
func newStore(size int64, by otter.Clock) (*store, error) {
	if by == nil {
		by = clock{time.Now()}
	}
	tidy := &upkeep{now: by.NowNano}
	cache, err := otter.New(&otter.Options[string, *record]{
		MaximumWeight: uint64(size),
		Clock:         by,
		Executor:      tidy.run,
		Weigher: func(key string, r *record) uint32 {
			return uint32(len(key) + len(r.Value) + overhead)
		},
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[string, *record]) time.Duration {
			if e.Value.keeps {
				return e.ExpiresAfter()
			}
			return e.Value.ttl
		}),
	})
	if err != nil {
		return nil, err
	}
	return &store{cache: cache}, nil
}

// record returns a new state with a token of its own.
func (s *store) record(value []byte, ttl time.Duration) *record {
	if ttl == 0 {
		ttl = forever
	}
	return &record{Lent: volatile.Lent{Value: value, Token: volatile.Token(s.tokens.Add(1))}, ttl: ttl}
}

// swap writes next if token stands for what is there.
func (s *store) swap(key string, token volatile.Token, next *record) bool {
	done := false
	s.cache.Compute(key, func(old *record, found bool) (*record, otter.ComputeOp) {
		// The function may run again when the table grows under it.
		done = found == (token != 0) && (!found || old.Token == token)
		if !done {
			return old, otter.CancelOp
		}
		return next, otter.WriteOp
	})
	return done
}

// add adds to a counter; ok is false when what is there is no number, or when
// the sum would not fit.
func (s *store) add(key string, delta int64, ttl time.Duration) (sum uint64, ok bool) {
	s.cache.Compute(key, func(old *record, found bool) (*record, otter.ComputeOp) {
		var n uint64
		ok = true
		if found {
			if n, ok = volatile.ParseCount(old.Value); !ok {
				return old, otter.CancelOp
			}
		}
		if sum, ok = plus(n, delta); !ok {
			return old, otter.CancelOp
		}
		next := s.record(strconv.AppendUint(nil, sum, 10), ttl)
		next.keeps = found
		return next, otter.WriteOp
	})
	return sum, ok
}

// plus adds; a sum below zero is zero, one over volatile.MaxCount is refused.
func plus(n uint64, delta int64) (uint64, bool) {
	if delta < 0 {
		if less := uint64(-(delta + 1)) + 1; less < n {
			return n - less, true
		}
		return 0, true
	}
	sum := n + uint64(delta)
	return sum, sum <= volatile.MaxCount
}

// clear drops every entry, as a restart of a server does.
func (s *store) clear() { s.cache.InvalidateAll() }

// close frees the entries and ends the goroutine that expires them.
func (s *store) close() {
	s.cache.InvalidateAll()
	s.cache.StopAllGoroutines()
}
