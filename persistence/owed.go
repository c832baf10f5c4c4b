package persistence

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/volatile"
)

// owed are the cache entries that a newer version could not reach: the cache
// was away, or its answer was lost. Until each is invalidated, this process
// reads its object past the cache; others may be served the old entry for as
// long as the cache needs, once it is back, to hear of it.
//
// The debt is in memory: a process that ends while its cache is away leaves the
// entry to its time to live, or to a driver that begins anew after an outage.
type owed struct {
	mu     sync.Mutex
	keys   map[string]transactional.Stamp
	paying bool
}

// payEvery is how often a cache that is away is asked to take what it is owed:
// well inside the second after which nobody is served an old entry.
const payEvery = 250 * time.Millisecond

// maxOwed bounds the entries. What is more is left to its time to live, and
// said in the log.
const maxOwed = 1 << 17

// owe notes that the entry of a key must go, unless it is newer than stamp.
func (l *Layer) owe(key string, stamp transactional.Stamp) {
	o := &l.owed
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.keys == nil {
		o.keys = map[string]transactional.Stamp{}
	}
	if before, there := o.keys[key]; !there && len(o.keys) >= maxOwed {
		l.log.Error("the cache is owed too many invalidations: an old entry stays until its time is over", "entry", key)
		return
	} else if there && !stamp.Newer(before) {
		return
	}
	o.keys[key] = stamp
	if !o.paying {
		o.paying = true
		l.spawn(l.pay)
	}
}

// owes reports whether the entry of a key is not to be believed.
func (l *Layer) owes(key string) bool {
	o := &l.owed
	o.mu.Lock()
	defer o.mu.Unlock()
	_, there := o.keys[key]
	return there
}

// pay invalidates what is owed, again and again, until nothing is.
func (l *Layer) pay(ctx context.Context) {
	for {
		pause(ctx, payEvery)
		l.owed.mu.Lock()
		due := maps.Clone(l.owed.keys)
		if l.owed.paying = len(due) > 0 && ctx.Err() == nil; !l.owed.paying {
			l.owed.mu.Unlock()
			return
		}
		l.owed.mu.Unlock()
		for key, stamp := range due {
			if err := l.cache.Invalidate(ctx, key, volatile.Stamp(stamp)); fault.Outage(err) {
				break // the others would hear the same
			} else if err != nil {
				continue
			}
			l.owed.mu.Lock()
			if l.owed.keys[key] == stamp {
				delete(l.owed.keys, key)
			}
			l.owed.mu.Unlock()
		}
	}
}
