package volatile

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// ClaimsOptions of Claims; zero values are the defaults.
type ClaimsOptions struct {
	// TTL is how long a claim lasts that is not extended. Default 30 s.
	TTL time.Duration
}

// Claims let one of many processes at a time work on something, by key. A
// claim is no lock: the cache may forget it, and its holder may be slow. That
// is what its fence is for: the number grows with every claim of a key, and
// whoever is asked to act for a claim refuses a lower one than it has seen.
type Claims struct {
	holds, fences face
	ttl           time.Duration
}

// A Claim is held until its TTL ends or it is released.
type Claim struct {
	Key   string    // as Acquire was given it
	Fence uint64    // higher than that of every earlier claim of the key
	Until time.Time // when it ends, unless it is extended; by this process's clock, on the safe side

	claims *Claims
	holder uint64
	full   string
}

// fencesKept is how long a fence is remembered after the last claim. Past it
// the clock keeps fences growing.
const fencesKept = 24 * time.Hour

// NewClaims returns the claims of a name: 1 to 64 letters, digits, '_' and
// '-'.
func NewClaims(cache *Cache, name string, opts *ClaimsOptions) (*Claims, error) {
	c := &Claims{ttl: 30 * time.Second}
	if opts != nil && opts.TTL != 0 {
		c.ttl = opts.TTL
	}
	if c.ttl < 0 {
		return nil, fault.New(fault.ErrInvalid, purpose, "new claims", fmt.Sprintf("a TTL of %v", c.ttl))
	}
	var err error
	if c.holds, err = cache.face("c", name); err != nil {
		return nil, err
	}
	c.fences, err = cache.face("cf", name)
	return c, err
}

// Acquire claims a key. It is fault.ErrConflict while another one holds it,
// and fault.ErrUnavailable when the cache cannot be reached.
func (c *Claims) Acquire(ctx context.Context, key string) (*Claim, error) {
	full, err := c.holds.key("acquire", key)
	if err != nil {
		return nil, err
	}
	claim := &Claim{Key: key, claims: c, holder: newLease(), full: full}
	if err := claim.write(ctx, "acquire", func(holder uint64) bool { return holder == 0 }); err != nil {
		if fault.Unknown(err) {
			_ = claim.Release(context.WithoutCancel(ctx))
		}
		return nil, err
	}
	cache := c.holds.cache
	err = cache.change(ctx, c.fences.prefix+key, func(s slot) (stored, time.Duration, bool) {
		// The clock alone would let a fence fall when another machine's is
		// behind; what is remembered alone would when the cache forgets.
		claim.Fence = max(number(s)+1, uint64(time.Now().UnixMicro()))
		return fixed(claim.Fence), c.ttl + fencesKept, true
	})
	if err == nil && !time.Now().Before(claim.Until) {
		err = fault.New(fault.ErrConflict, purpose, "acquire", "the claim ended before it was fenced")
	}
	if err != nil {
		_ = claim.Release(context.WithoutCancel(ctx))
		return nil, cache.fail("acquire", key, err)
	}
	return claim, nil
}

// Extend makes the claim last for another TTL from now. fault.ErrConflict
// means that it has ended: its holder must stop.
func (c *Claim) Extend(ctx context.Context) error {
	return c.write(ctx, "extend", func(holder uint64) bool { return holder == c.holder })
}

// write writes the holder if the present one, zero for nobody, allows it.
func (c *Claim) write(ctx context.Context, op string, allowed func(holder uint64) bool) error {
	cache := c.claims.holds.cache
	until := time.Now().Add(c.claims.ttl)
	held := false
	err := cache.change(ctx, c.full, func(s slot) (stored, time.Duration, bool) {
		held = allowed(number(s))
		return fixed(c.holder), c.claims.ttl, held
	})
	if err == nil && !held {
		err = fault.New(fault.ErrConflict, purpose, op, "another one holds the claim, or nobody does any more")
	}
	if err != nil {
		return cache.fail(op, c.Key, err)
	}
	c.Until = until
	return nil
}

// Release ends the claim. One that has ended is fine.
func (c *Claim) Release(ctx context.Context) error {
	cache := c.claims.holds.cache
	err := cache.change(ctx, c.full, func(s slot) (stored, time.Duration, bool) {
		return fixed(0), time.Second, number(s) == c.holder
	})
	return cache.fail("release", c.Key, err)
}

// fixed is a stored number.
func fixed(n uint64) stored {
	return stored{Entry: Entry{Value: binary.BigEndian.AppendUint64(nil, n)}}
}

// number is what fixed stored, or zero.
func number(s slot) uint64 {
	if !s.value() || len(s.Value) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(s.Value)
}
