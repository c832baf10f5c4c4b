package volatile

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Keeping says how long an entry is kept and served.
type Keeping struct {
	// TTL is how long an entry is fresh. Zero: until it is replaced or lost.
	TTL time.Duration
	// Stale is how long past its TTL the old value is served, at once, while
	// one reader's rebuild runs behind. Zero: not at all, readers wait. It
	// needs a TTL.
	Stale time.Duration
	// Ahead is how long before the end of its TTL an entry that is read is
	// rebuilt behind the reader's back, so that what is read often never
	// expires. Entries written together are not rebuilt together: the chance
	// of a read to begin it rises from zero to one in the first half of that
	// time. Zero: not at all. It needs a TTL, and is shorter; let it be longer
	// than the tenth by which an entry may end early (see Cache).
	Ahead time.Duration
	// Parts lets a value over the cache's limit lie in parts, MaxParts at most.
	// Without it such a value is not kept.
	Parts bool
}

// check returns what is wrong, or nil.
func (k Keeping) check(op string) error {
	if k.TTL < 0 || k.Stale < 0 || k.Ahead < 0 || k.TTL == 0 && k.Stale+k.Ahead > 0 || k.Ahead > 0 && k.Ahead >= k.TTL {
		return fault.New(fault.ErrInvalid, purpose, op, fmt.Sprintf(
			"a TTL of %v, stale for %v, ahead by %v; none may be negative, and the others need a TTL that is longer than ahead", k.TTL, k.Stale, k.Ahead))
	}
	return nil
}

// policy is how a Keeping is carried out.
func (k Keeping) policy() policy {
	p := policy{ttl: k.TTL, parts: k.Parts, ahead: k.Ahead}
	if k.Stale > 0 || k.Ahead > 0 {
		p.ttl, p.freshFor = k.TTL+k.Stale, k.TTL
	}
	return p
}

// A policy says how long what is fetched is kept and served.
type policy struct {
	ttl      time.Duration // of a value; zero: no expiry
	freshFor time.Duration // past it the old value is served while one rebuilds; zero: as long as it is there
	ahead    time.Duration // before the end of freshFor a reader may begin to rebuild
	parts    bool
}

// stale reports whether an entry is past its time of freshness.
func (p *policy) stale(e *Entry) bool { return p.freshFor > 0 && time.Since(e.Written) > p.freshFor }

// offers reports whether a slot has a value for a reader while somebody
// rebuilds: it need not be fresh, but must not be past its end, which the time
// of a lease would let it live.
func (p *policy) offers(s *slot) bool {
	return s.ours && !s.hollow && p.freshFor > 0 && time.Since(s.Written) <= p.ttl
}

// due reports whether this reader is to rebuild ahead of the entry's end.
func (p *policy) due(s *slot) bool {
	if p.ahead == 0 || s.lease != 0 {
		return false
	}
	past := time.Since(s.Written) - (p.freshFor - p.ahead)
	return past > 0 && rand.N(p.ahead/2+1) < past
}
