package volatile

import (
	"context"
	"time"
)

// What a cache does behind its callers' backs, and Close waits for.

// rebuildBehind refreshes an entry while its old value is served. Without a
// place in the budget it leaves that to a later reader.
func (c *Cache) rebuildBehind(ctx context.Context, key string, s slot, p policy, load loader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return
	}
	select {
	case c.budget <- struct{}{}:
	default:
		return
	}
	if c.pace.every > 0 && c.pace.take(false) > 0 {
		<-c.budget
		return
	}
	c.background.Add(1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.Lease)
	stop := context.AfterFunc(c.closing, cancel)
	go func() {
		defer c.background.Done()
		defer func() { <-c.budget }()
		defer cancel()
		defer stop()
		// A load that panics here would take the program down on behalf of
		// nobody; the first reader past the old value's end meets the panic.
		defer func() { _ = recover() }()
		_, _, _ = c.rebuildInside(context.WithValue(ctx, insideKey{}, c), key, s, p, load, func() {})
	}()
}

// begin begins something behind a caller's back, which Close waits for; false when
// the cache is closed.
func (c *Cache) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return false
	}
	c.background.Add(1)
	return true
}

// releaseWait is how long a reader whose load failed waits for its lease to be
// given back. A cache that takes longer over the two calls, because it or this
// machine is busy, is told behind the reader's back: were the lease not given
// back then, the next readers would wait for the whole of it.
const releaseWait = 50 * time.Millisecond

// release gives the reader's own placeholder back, within the time of its lease.
func (c *Cache) release(ctx context.Context, key string, lease uint64, p policy) {
	if !c.begin() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.Lease)
	stop := context.AfterFunc(c.closing, cancel)
	released := make(chan struct{})
	go func() {
		defer c.background.Done()
		defer cancel()
		defer stop()
		defer close(released)
		c.giveBack(ctx, key, lease, p)
	}()
	select {
	case <-released:
	case <-time.After(releaseWait):
	}
}

// giveBack puts back what the placeholder lies over: the old value that it
// offered, else a barrier of the same floor. Its outcome does not matter: the
// placeholder ends by itself.
func (c *Cache) giveBack(ctx context.Context, key string, lease uint64, p policy) {
	s, err := c.look(ctx, key)
	if err != nil || !s.ours || s.lease != lease {
		return
	}
	next, ttl := barrier(s.Stamp), c.barrierTTL()
	if !s.hollow {
		next, ttl = stored{Entry: s.Entry, parts: s.parts}, time.Until(s.Written.Add(p.ttl))
	}
	if ttl > 0 {
		next.Written = s.Written
		_ = c.driver.Swap(ctx, Item{Key: key, Value: next.encode(key), TTL: ttl, Token: s.token})
	}
}
