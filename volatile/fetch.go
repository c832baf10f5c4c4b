package volatile

import (
	"context"
	"errors"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A loader reads an entry from the store of record.
type loader = func(context.Context) (Entry, error)

// Fetch returns the entry, or rebuilds it with load under a lease: one caller
// loads, the others wait for it or take over when it is gone. A cache that
// cannot be reached is no error: load is called, and nothing is kept. load
// returns Absent for what does not exist.
//
// What load returned is kept only if nothing newer was written or announced
// since the load began; it is returned in any case, unless a newer one lies in
// the cache by then. Readers that waited share the loader's answer and its
// error; the end of the loader's own context is not passed on to them.
func (c *Cache) Fetch(ctx context.Context, key string, ttl time.Duration, load func(context.Context) (Entry, error)) (Entry, error) {
	full, err := c.key("fetch", key)
	if err != nil {
		return Entry{}, err
	}
	if err := (Keeping{TTL: ttl}).check("fetch"); err != nil {
		return Entry{}, err
	}
	return c.fetch(ctx, full, policy{ttl: ttl}, load)
}

// FetchKeeping is Fetch with more to say about how long the entry is served.
func (c *Cache) FetchKeeping(ctx context.Context, key string, keep Keeping, load func(context.Context) (Entry, error)) (Entry, error) {
	full, err := c.key("fetch", key)
	if err == nil {
		err = keep.check("fetch")
	}
	if err != nil {
		return Entry{}, err
	}
	return c.fetch(ctx, full, keep.policy(), load)
}

func (c *Cache) fetch(ctx context.Context, key string, p policy, load loader) (Entry, error) {
	s, err := c.look(ctx, key)
	return c.fetchFrom(ctx, key, p, s, err, load)
}

// fresh reports whether a slot answers a Fetch as it is: also one that is being
// rebuilt ahead of its end.
func (p *policy) fresh(s *slot) bool {
	return s.value() && !p.stale(&s.Entry) || s.lease != 0 && p.offers(s) && !p.stale(&s.Entry)
}

// answers reports whether a slot's value answers a Fetch, and nothing else is to
// be done. Most entries are neither served stale nor rebuilt ahead, and ask no
// clock.
func (p *policy) answers(s *slot) bool {
	return !s.parts && (p.freshFor == 0 && s.value() || p.fresh(s) && !p.due(s))
}

// answer returns the entry of a fresh slot, and begins to rebuild it when that
// is due; false when a part of it is lost.
func (c *Cache) answer(ctx context.Context, key string, p policy, s *slot, load loader) (Entry, bool) {
	e, ok := c.whole(ctx, s)
	if !ok {
		s.hollow = true
		return Entry{}, false
	}
	c.stats.hits.Add(1)
	if load != nil && p.due(s) {
		c.stats.ahead.Add(1)
		c.rebuildBehind(ctx, key, *s, p, load)
	}
	return e, true
}

// fetchFrom goes on from what a first look found.
func (c *Cache) fetchFrom(ctx context.Context, key string, p policy, s slot, err error, load loader) (Entry, error) {
	counted := false
	miss := func() {
		if !counted {
			c.stats.misses.Add(1)
			counted = true
		}
	}
	var watch watch
	for ; ; s, err = c.look(ctx, key) {
		switch {
		case ctx.Err() != nil:
			return Entry{}, ctx.Err()
		case err != nil:
			return c.without(ctx, load)
		case p.fresh(&s):
			if e, ok := c.answer(ctx, key, p, &s, load); ok {
				return e, nil
			}
		case p.offers(&s):
			if e, ok := c.whole(ctx, &s); ok {
				c.stats.stale.Add(1)
				if s.lease == 0 || c.overdue(s.lease) {
					c.rebuildBehind(ctx, key, s, p, load)
				}
				return e, nil
			}
			s.hollow = true
		}
		switch {
		case s.lease != 0 && !watch.over(s.lease, c.opts.Lease):
			miss()
			if e, answered, err := c.await(ctx, &watch, s.Stamp); answered || err != nil {
				return e, err
			}
		default:
			miss()
			if s.lease != 0 {
				c.stats.takeovers.Add(1)
			}
			if e, done, err := c.rebuild(ctx, key, s, p, load); done {
				return e, err
			}
		}
	}
}

// A watch measures how long one reader has seen the same lease, by its own
// clock: the clocks of two machines never meet.
type watch struct {
	lease uint64
	since time.Time
	step  time.Duration
	total time.Duration
}

// over reports whether the lease has been seen for its whole time.
func (w *watch) over(lease uint64, most time.Duration) bool {
	if w.lease != lease {
		*w = watch{lease: lease, since: time.Now(), step: 2 * time.Millisecond, total: most}
	}
	return time.Since(w.since) >= most
}

// await waits for somebody else's rebuild: for its answer when it is this
// process's, else for the next time to look. floor is what the reader saw beside
// the lease.
func (c *Cache) await(ctx context.Context, w *watch, floor Stamp) (e Entry, answered bool, err error) {
	c.stats.waits.Add(1)
	left := w.total - time.Since(w.since)
	fl := c.flights.find(w.lease)
	if fl == nil {
		step := w.step
		w.step = min(2*w.step, 100*time.Millisecond)
		return Entry{}, false, wait(ctx, min(step, left))
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return Entry{}, false, ctx.Err()
	case <-timer.C:
		return Entry{}, false, nil
	case <-fl.done:
	}
	if fl.retry {
		return Entry{}, false, nil
	}
	e, err = fl.result()
	if err == nil && fl.floor.Less(floor) && e.Stamp.Less(floor) {
		return Entry{}, false, nil // a write was announced after that load began
	}
	return e, true, err
}

// rebuild takes the lease of a slot, loads, and keeps the result. done is
// false when somebody else was faster: look again.
func (c *Cache) rebuild(ctx context.Context, key string, s slot, p policy, load loader) (e Entry, done bool, err error) {
	// Of the readers of one key only one waits for a place in the budget, or
	// each of them would use up a turn for what one load answers. A load inside a
	// load has its place, and must not wait for who has none.
	asked := func() {}
	if ctx.Value(insideKey{}) != c {
		ahead, end := c.flights.ask(key)
		if ahead != nil {
			c.stats.waits.Add(1)
			select {
			case <-ahead:
				return Entry{}, false, nil
			case <-ctx.Done():
				return Entry{}, true, ctx.Err()
			}
		}
		asked = end
	}
	defer asked()
	ctx, leave, err := c.enter(ctx)
	if err != nil {
		return Entry{}, true, err
	}
	defer leave()
	return c.rebuildInside(ctx, key, s, p, load, asked)
}

// rebuildInside is rebuild for who has a place in the budget. It calls held when
// the lease is taken, or is not.
func (c *Cache) rebuildInside(ctx context.Context, key string, s slot, p policy, load loader, held func()) (e Entry, done bool, err error) {
	fl := c.flights.begin(s.Stamp)
	defer c.flights.end(fl)
	err = c.hold(ctx, key, s, fl.lease, p)
	held()
	switch {
	case errors.Is(err, fault.ErrConflict):
		return Entry{}, false, nil
	case ctx.Err() != nil:
		return Entry{}, true, ctx.Err()
	case err != nil:
		e, err := c.loadWithout(ctx, load)
		return e, true, err
	}
	e, err = c.loadHeld(ctx, key, fl, p, load)
	if err != nil {
		return Entry{}, true, err
	}
	e = c.keep(ctx, key, fl.lease, e, p)
	fl.answer(e, nil)
	return e, true, nil
}

// hold writes a placeholder over what s found. What lies there stays in it: a
// floor stays a floor, and an old value, whose time stays its own, is served
// meanwhile where the policy allows it. A placeholder without a value ends with
// the lease, so that a reader that crashed holds up nobody for longer; one that
// offers a value ends when that does, and is taken over meanwhile.
func (c *Cache) hold(ctx context.Context, key string, s slot, lease uint64, p policy) error {
	held := stored{Entry: Entry{Stamp: s.Stamp}, hollow: true, lease: lease}
	if p.freshFor > 0 && s.ours && !s.hollow {
		held.Entry, held.hollow, held.parts = s.Entry, false, s.parts
	}
	ttl := c.opts.Lease
	if !held.hollow {
		ttl = max(ttl, min(p.ttl, time.Until(s.Written.Add(p.ttl))))
	}
	if held.Written.IsZero() {
		held.Written = time.Now()
	}
	return c.driver.Swap(ctx, Item{Key: key, Value: held.encode(key), TTL: ttl, Token: s.token})
}

// loadHeld calls load under a lease, and gives the lease back when load fails
// or panics, so that the next reader need not wait for its end.
func (c *Cache) loadHeld(ctx context.Context, key string, fl *flight, p policy, load loader) (e Entry, err error) {
	loaded := false
	defer func() {
		if !loaded {
			c.release(ctx, key, fl.lease, p)
		}
	}()
	c.stats.loads.Add(1)
	e, err = load(ctx)
	if err != nil {
		if ctx.Err() == nil {
			fl.answer(Entry{}, err)
		}
		return Entry{}, err
	}
	loaded = true
	e.Written = time.Now().UTC().Truncate(time.Millisecond)
	return e, nil
}

// keep puts what was loaded over the reader's own placeholder, and returns
// what the reader should answer. Anything else that lies there means that a
// writer came in between, and what was loaded may be older than what it wrote:
// even an empty slot is not filled, for what was there may have been evicted.
func (c *Cache) keep(ctx context.Context, key string, lease uint64, e Entry, p policy) Entry {
	next, ttl, err := c.kept(ctx, e, p)
	for range changesMost {
		var s slot
		if err == nil {
			s, err = c.look(ctx, key)
		}
		switch {
		case err != nil:
			c.stats.skipped.Add(1)
			return e
		case s.value() && e.Stamp.Less(s.Stamp):
			c.stats.refused.Add(1)
			if newer, ok := c.whole(ctx, &s); ok {
				return newer
			}
			return e
		case !s.ours || s.lease != lease:
			c.stats.refused.Add(1)
			return e
		case e.Stamp.Less(s.Stamp):
			c.stats.refused.Add(1)
			next, ttl = barrier(s.Stamp), c.barrierTTL()
		}
		err = c.swap(ctx, key, s, next, ttl)
		if err == nil {
			return e
		}
		if errors.Is(err, fault.ErrConflict) {
			err = nil
		}
	}
	return e
}

// kept is the stored form of what was loaded, and its TTL.
func (c *Cache) kept(ctx context.Context, e Entry, p policy) (next stored, ttl time.Duration, err error) {
	next, ttl = c.real(e, p.ttl)
	switch {
	case e.Absent && (p.ttl == 0 || p.ttl > c.opts.Absence):
		ttl = c.opts.Absence
	case p.ahead > 0:
		ttl = p.ttl // to the end: who rebuilds ahead is spread already
	}
	if !c.tooLarge(e.Value) {
		return next, ttl, nil
	}
	if p.parts {
		divided, err := c.divide(ctx, e, ttl)
		if err == nil || !errors.Is(err, fault.ErrTooLarge) {
			return divided, ttl, err
		}
	}
	c.stats.tooLarge.Add(1)
	return barrier(e.Stamp), c.barrierTTL(), nil
}

// without answers while the cache cannot be reached.
func (c *Cache) without(ctx context.Context, load loader) (Entry, error) {
	ctx, leave, err := c.enter(ctx)
	if err != nil {
		return Entry{}, err
	}
	defer leave()
	return c.loadWithout(ctx, load)
}

func (c *Cache) loadWithout(ctx context.Context, load loader) (Entry, error) {
	c.stats.skipped.Add(1)
	c.stats.loads.Add(1)
	e, err := load(ctx)
	if err != nil {
		return Entry{}, err
	}
	e.Written = time.Now().UTC().Truncate(time.Millisecond)
	return e, nil
}

// insideKey marks the context of a load, which has a place in the budget.
type insideKey struct{}

// enter takes a place in the budget, waiting for one, and returns the context
// of the load. A load inside a load already has a place: were it to wait for
// another, loads could wait for each other for ever.
func (c *Cache) enter(ctx context.Context) (context.Context, func(), error) {
	if ctx.Value(insideKey{}) == c {
		return ctx, func() {}, nil
	}
	select {
	case c.budget <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	if err := c.pace.wait(ctx); err != nil {
		<-c.budget
		return nil, nil, err
	}
	return context.WithValue(ctx, insideKey{}, c), func() { <-c.budget }, nil
}
