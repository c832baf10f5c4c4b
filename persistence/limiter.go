package persistence

import (
	"context"
	"sync"
)

// A limiter bounds the runs of one task in this process: all of them, and
// those for one key.
type limiter struct {
	all    chan struct{} // nil: unbounded
	perKey int           // zero: unbounded

	mu   sync.Mutex
	keys map[string]*keySlots
}

type keySlots struct {
	slots chan struct{}
	users int // who holds or waits for a slot; the entry goes with the last
}

// newLimiter returns nil when there is nothing to bound.
func newLimiter(concurrency, perKey int) *limiter {
	if concurrency == 0 && perKey == 0 {
		return nil
	}
	l := &limiter{perKey: perKey, keys: map[string]*keySlots{}}
	if concurrency > 0 {
		l.all = make(chan struct{}, concurrency)
	}
	return l
}

// enter waits for a slot and returns the function that frees it. The key's
// slot comes first, so that a busy key does not occupy slots of others.
func (l *limiter) enter(ctx context.Context, key string) (leave func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	release := func() {}
	if l.perKey > 0 {
		if release, err = l.enterKey(ctx, key); err != nil {
			return nil, err
		}
	}
	if l.all == nil {
		return release, nil
	}
	select {
	case l.all <- struct{}{}:
		return func() { <-l.all; release() }, nil
	case <-ctx.Done():
		release()
		return nil, ctx.Err()
	}
}

func (l *limiter) enterKey(ctx context.Context, key string) (func(), error) {
	l.mu.Lock()
	k := l.keys[key]
	if k == nil {
		k = &keySlots{slots: make(chan struct{}, l.perKey)}
		l.keys[key] = k
	}
	k.users++
	l.mu.Unlock()
	forget := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.keys, key)
		}
	}
	select {
	case k.slots <- struct{}{}:
		return func() { <-k.slots; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, ctx.Err()
	}
}
