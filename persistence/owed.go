package persistence

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/volatile"
)

// owed are the cache entries that a newer version could not reach: the cache
// was away, or its answer was lost. Until each is invalidated, this process
// reads its object past the cache.
//
// A cache that other processes share may be away for this one only, and this
// one may end before it has paid. So the debt is written down where the layer
// has a durable store (see debtBook), one row for each write of the cache that
// failed and none for those that did not; every process looks there, reads
// past the cache what is owed, and pays it. A debt that cannot be written down
// either leaves its task undone.
type owed struct {
	mu       sync.Mutex
	keys     map[string]debt
	some     atomic.Bool // there are keys: asked by every cached Get
	paying   bool
	watching sync.Once
}

// A debt is an invalidation that is owed: of everything older than the stamp.
type debt struct {
	stamp transactional.Stamp
	at    int64 // when it was to be written down first, Unix microseconds; zero: it need not be
	known bool  // it is written down
}

const (
	// payEvery is how often a cache that is away is asked to take what it is
	// owed, and watchEvery how often the debts of other processes are looked
	// for: together inside the second after which nobody is served an old entry.
	payEvery   = 250 * time.Millisecond
	watchEvery = 500 * time.Millisecond
	// maxOwed bounds the entries in memory.
	maxOwed = 1 << 17
	// payMost is how many debts are paid at once.
	payMost = 128
	// noteMost bounds the writing down of one debt.
	noteMost = 5 * time.Second
)

// errUnwritten is a debt that could not be written down: the store's error.
type errUnwritten struct{ error }

func (e errUnwritten) Unwrap() error { return e.error }

// owe notes that the entry of a key must go, unless it is newer than stamp. An
// error means that the debt would not outlive this process.
func (l *Layer) owe(ctx context.Context, k *kind, key string, stamp transactional.Stamp) error {
	book := l.debtBook()
	if len(k.record) == 0 {
		book = nil // there is nothing that the entry could be older than
	}
	d := l.oweHere(key, stamp, book != nil)
	switch {
	case book == nil || d.known:
		return nil
	case ctx.Err() != nil:
		// The caller has left; what it wrote is written all the same.
		l.spawn(func(ctx context.Context) { l.note(ctx, book, key, d) })
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, noteMost)
	defer cancel()
	return l.note(ctx, book, key, d)
}

// note writes one debt down.
func (l *Layer) note(ctx context.Context, book debtBook, key string, d debt) error {
	err := book.note(ctx, key, d)
	switch {
	case errors.Is(err, fault.ErrMisconfigured) || fault.Permanent(err):
		// No waiting mends this, and the object itself is where it belongs.
		l.log.Error("an invalidation that the cache is owed cannot be written down: should this process end before the cache is back, an old entry stays until its time is over",
			"entry", key, "error", err)
		return nil
	case err != nil:
		l.log.Warn("an invalidation that the cache is owed could not be written down", "entry", key, "error", err)
		return errUnwritten{err}
	}
	l.owed.mu.Lock()
	defer l.owed.mu.Unlock()
	if now, there := l.owed.keys[key]; there && now == d {
		now.known = true
		l.owed.keys[key] = now
	}
	return nil
}

// oweHere notes a debt in memory, and returns what is owed for the key.
func (l *Layer) oweHere(key string, stamp transactional.Stamp, write bool) debt {
	o := &l.owed
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.keys == nil {
		o.keys = map[string]debt{}
	}
	d, there := o.keys[key]
	if there && !stamp.Newer(d.stamp) {
		return d
	}
	d.stamp, d.known = stamp, false
	if write && d.at == 0 {
		d.at = nowMicro()
	}
	l.keepDebt(key, d)
	return d
}

// keepDebt keeps a debt in memory and sees to it that it is paid; the mutex is
// held.
func (l *Layer) keepDebt(key string, d debt) {
	o := &l.owed
	if _, there := o.keys[key]; !there && len(o.keys) >= maxOwed {
		if d.at == 0 {
			l.log.Error("the cache is owed too many invalidations: an old entry stays until its time is over", "entry", key)
		}
		return // what is written down comes back when there is room
	}
	o.keys[key] = d
	o.some.Store(true)
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

// owesAny reports whether anything is owed.
func (l *Layer) owesAny() bool {
	l.owed.mu.Lock()
	defer l.owed.mu.Unlock()
	return len(l.owed.keys) > 0
}

// pay invalidates what is owed, again and again, until nothing is.
func (l *Layer) pay(ctx context.Context) {
	for first := true; ; first = false {
		if !first {
			pause(ctx, payEvery)
		}
		l.owed.mu.Lock()
		due := maps.Clone(l.owed.keys)
		l.owed.paying = len(due) > 0 && ctx.Err() == nil
		paying := l.owed.paying
		l.owed.mu.Unlock()
		if !paying {
			if book := l.debtBook(); book != nil && ctx.Err() == nil {
				book.tidy(ctx)
			}
			return
		}
		for keys := range slices.Chunk(slices.Collect(maps.Keys(due)), payMost) {
			if !l.paySome(ctx, keys, due) {
				break // the others would hear the same
			}
		}
	}
}

// paySome pays some debts together; false when the cache is away.
func (l *Layer) paySome(ctx context.Context, keys []string, due map[string]debt) bool {
	writes := make([]volatile.Write, len(keys))
	for i, key := range keys {
		writes[i] = volatile.Write{Key: key, Entry: volatile.Entry{Stamp: volatile.Stamp(due[key].stamp)}, Mode: volatile.Invalidating}
	}
	away := false
	paid := make(map[string]debt, len(keys))
	for i, w := range l.cache.WriteAll(ctx, writes) {
		if w.Err == nil {
			paid[keys[i]] = due[keys[i]]
		}
		away = away || fault.Outage(w.Err)
	}
	written := maps.Clone(paid)
	maps.DeleteFunc(written, func(_ string, d debt) bool { return d.at == 0 })
	if book := l.debtBook(); book != nil && len(written) > 0 {
		if err := book.strike(ctx, written); err != nil && ctx.Err() == nil {
			// It is paid once more when it is found there.
			l.log.Debug("a debt that is paid is still written down", "error", err)
		}
	}
	l.owed.mu.Lock()
	defer l.owed.mu.Unlock()
	for key, d := range paid {
		if l.owed.keys[key] == d {
			delete(l.owed.keys, key)
		}
	}
	l.owed.some.Store(len(l.owed.keys) > 0)
	return !away
}

// watchOwed begins to look for what processes owe: all there is at once, so
// that nothing is served that one of them left, then what is new.
func (l *Layer) watchOwed(ctx context.Context) {
	book := l.debtBook()
	if book == nil {
		return
	}
	l.owed.watching.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, probeEvery)
		defer cancel()
		known := l.takeOver(ctx, book, true)
		l.spawn(func(ctx context.Context) {
			var before uint64 // commits before the last look
			for pause(ctx, watchEvery); ctx.Err() == nil; pause(ctx, watchEvery) {
				n, counts := book.commits()
				if known && counts && n == before && !l.owesAny() {
					continue // nothing was written there since
				}
				if l.takeOver(ctx, book, !known) {
					known, before = true, n
				}
			}
		})
	})
}

// takeOver makes debts that are written down this process's too.
func (l *Layer) takeOver(ctx context.Context, book debtBook, all bool) (ok bool) {
	found, err := book.list(ctx, all)
	if err != nil {
		if ctx.Err() == nil {
			l.log.Debug("what the cache is owed cannot be read", "error", err)
		}
		return false
	}
	o := &l.owed
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.keys == nil {
		o.keys = map[string]debt{}
	}
	for key, d := range found {
		if known, there := o.keys[key]; !there || d.stamp.Newer(known.stamp) || !known.known {
			l.keepDebt(key, d)
		}
	}
	return true
}
