package volatile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Raise writes an entry unless a newer one is there; superseded tells. It is a
// compare-and-swap loop over what is there, never a blind set; an entry of the
// same stamp is left as it is. An absence without a TTL gets Options.Absence.
//
// A value over Features.MaxValue is fault.ErrTooLarge, after making sure that
// no older one stays.
//
// Raise also writes where nothing is: it suits entries that live only here. An
// entry that can be rebuilt from a store of record is better served by
// [Cache.Replace].
func (c *Cache) Raise(ctx context.Context, key string, e Entry, ttl time.Duration) (superseded bool, err error) {
	return c.write(ctx, "raise", key, e, ttl, false, e.raises)
}

func (e Entry) raises(s slot) verdict {
	if s.ours && e.Stamp.Less(s.Stamp) {
		return yield
	}
	if s.value() && e.Stamp == s.Stamp {
		return leave
	}
	return put
}

// Replace is what the writer of a store of record calls once its write is
// done: it writes the entry over an older one, tells readers that are
// rebuilding to keep nothing older than it, and does nothing where nothing is.
//
// The difference from [Cache.Raise] is the late writer: a cache that evicted
// the newest version no longer knows it, and would take an older one for the
// newest. The next reader fills the gap from the store of record instead.
func (c *Cache) Replace(ctx context.Context, key string, e Entry, ttl time.Duration) (superseded bool, err error) {
	return c.write(ctx, "replace", key, e, ttl, false, e.replaces)
}

func (e Entry) replaces(s slot) verdict {
	switch {
	case !s.taken:
		return leave
	case s.ours && e.Stamp.Less(s.Stamp):
		return yield
	case s.ours && e.Stamp == s.Stamp:
		return leave
	case !s.ours || s.hollow || s.lease != 0:
		return raiseFloor
	}
	return put
}

// Invalidate removes whatever is older than stamp, and leaves a short-lived
// placeholder that keeps slower readers from filling in an older version.
func (c *Cache) Invalidate(ctx context.Context, key string, stamp Stamp) error {
	full, err := c.key("invalidate", key)
	if err != nil {
		return err
	}
	return c.fail("invalidate", key, c.invalidate(ctx, full, stamp))
}

func (c *Cache) invalidate(ctx context.Context, key string, stamp Stamp) error {
	return c.change(ctx, key, func(s slot) (stored, time.Duration, bool) { return c.invalidation(s, stamp) })
}

// invalidation says what an invalidation writes over what it found, if it does.
func (c *Cache) invalidation(s slot, stamp Stamp) (next stored, ttl time.Duration, write bool) {
	if s.ours && !s.Stamp.Less(stamp) {
		return stored{}, 0, false
	}
	return barrier(stamp), c.barrierTTL(), true
}

// barrier is a placeholder that nobody rebuilds behind.
func barrier(floor Stamp) stored { return stored{Entry: Entry{Stamp: floor}, hollow: true} }

// barrierTTL outlives the rebuilds that a barrier is meant for. Nothing hangs
// on it: a fill succeeds only over the reader's own placeholder, which the
// barrier has removed.
func (c *Cache) barrierTTL() time.Duration { return max(2*c.opts.Lease, 10*time.Second) }

// A verdict is what a write does about what it found.
type verdict int

const (
	put        verdict = iota // write the entry
	leave                     // nothing to do
	yield                     // something newer is there
	raiseFloor                // write no value, but let nothing older be filled in
)

func (c *Cache) write(ctx context.Context, op, key string, e Entry, ttl time.Duration, parts bool, judge func(slot) verdict) (bool, error) {
	full, err := c.key(op, key)
	if err != nil {
		return false, err
	}
	if ttl < 0 {
		return false, fault.New(fault.ErrInvalid, purpose, op, fmt.Sprintf("a TTL of %v", ttl))
	}
	return c.writeFull(ctx, op, key, full, e, ttl, parts, judge)
}

// writeFull is write for a key that is already the driver's.
func (c *Cache) writeFull(ctx context.Context, op, key, full string, e Entry, ttl time.Duration, parts bool, judge func(slot) verdict) (bool, error) {
	next, ttl := c.real(e, ttl)
	if c.tooLarge(e.Value) {
		if !parts || len(e.Value) > MaxParts*c.Features().MaxValue {
			return false, c.refuse(ctx, op, key, full, e)
		}
		var err error
		if next, err = c.divide(ctx, e, ttl); err != nil {
			return false, c.fail(op, key, err)
		}
	}
	var superseded bool
	vacant := judge(slot{}) == put && c.vacant.expects(full)
	err := c.changeFrom(ctx, full, vacant, func(s slot) (stored, time.Duration, bool) {
		return c.verdict(next, ttl, s, judge, &superseded)
	})
	if err != nil {
		return false, c.fail(op, key, err)
	}
	if superseded {
		c.stats.superseded.Add(1)
	}
	return superseded, nil
}

// verdict says what a write puts over what it found, if it does.
func (c *Cache) verdict(next stored, ttl time.Duration, s slot, judge func(slot) verdict, superseded *bool) (stored, time.Duration, bool) {
	v := judge(s)
	*superseded = v == yield
	switch v {
	case put:
		return next, ttl, true
	case raiseFloor:
		// The lease stays whose it was: its reader may fill in what is new enough.
		return stored{Entry: Entry{Stamp: next.Stamp}, hollow: true, lease: s.lease}, c.barrierTTL(), true
	}
	return stored{}, 0, false
}

// real is the stored form of a program's entry, and its TTL.
func (c *Cache) real(e Entry, ttl time.Duration) (stored, time.Duration) {
	if e.Absent {
		e.Value = nil
		if ttl == 0 {
			ttl = c.opts.Absence
		}
	}
	return stored{Entry: e}, spread(ttl)
}

// refuse answers for a value that the driver does not take.
func (c *Cache) refuse(ctx context.Context, op, key, full string, e Entry) error {
	c.stats.tooLarge.Add(1)
	if err := c.invalidate(ctx, full, e.Stamp); err != nil {
		return c.fail(op, key, err)
	}
	return &fault.Error{Op: op, Store: purpose, Key: key, Class: fault.ErrTooLarge,
		Err: fmt.Errorf("a value of %d bytes; %d at most", len(e.Value), c.Features().MaxValue)}
}

// changesMost bounds the attempts of one change. Every conflict means that
// somebody else succeeded, so it is reached only under a storm of writers to
// one key.
const changesMost = 1000

// change is the compare-and-swap loop: decide looks at what is there and says
// what to write, or that there is nothing to do.
func (c *Cache) change(ctx context.Context, key string, decide func(slot) (next stored, ttl time.Duration, write bool)) error {
	return c.changeFrom(ctx, key, false, decide)
}

// changeFrom is change without the first look where nothing is expected to be.
func (c *Cache) changeFrom(ctx context.Context, key string, vacant bool, decide func(slot) (next stored, ttl time.Duration, write bool)) error {
	for attempt := range changesMost {
		var s slot
		var err error
		if !vacant {
			if s, err = c.look(ctx, key); err != nil {
				return err
			}
		}
		next, ttl, write := decide(s)
		if !write {
			return nil
		}
		err = c.swap(ctx, key, s, next, ttl)
		if err == nil || !errors.Is(err, fault.ErrConflict) || fault.Unknown(err) {
			return err
		}
		if vacant {
			c.vacant.met(key)
			vacant = false
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
	return errStorm
}

// errStorm is what changesMost leads to.
var errStorm = fault.New(fault.ErrBusy, purpose, "swap", "too many writers of one key")

// pause lets the others go on after a conflict: at once at first, then after
// random steps of up to a few milliseconds.
func pause(ctx context.Context, attempt int) error {
	if attempt < 4 {
		runtime.Gosched()
		return ctx.Err()
	}
	return wait(ctx, rand.N(min(time.Duration(attempt)*100*time.Microsecond, 4*time.Millisecond)))
}

// wait waits for d or for the context's end, whose error it returns.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Explain returns the commands that Raise and its likes send for a value of so
// many bytes, as the driver's Explainer says them; nil when it is none, or the
// cache does not take the key, or not the value in one entry. What is sent may
// live for a tenth less, so that not all entries end at once. Nothing is read or
// written.
func (c *Cache) Explain(key string, ttl time.Duration, bytes int) []string {
	explainer, ok := c.driver.(Explainer)
	full, err := c.key("explain", key)
	if !ok || err != nil || bytes > c.Features().MaxValue && c.features.MaxValue > 0 {
		return nil
	}
	entry := stored{Entry: Entry{Value: make([]byte, bytes)}}
	return explainer.Explain(Item{Key: full, TTL: ttl, Value: entry.encode(full)})
}
