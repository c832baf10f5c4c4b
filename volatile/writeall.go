package volatile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A WriteMode says which of a Cache's writes a Write is.
type WriteMode uint8

// The writes of a Cache.
const (
	Raising      WriteMode = iota // as Cache.Raise
	Replacing                     // as Cache.Replace
	Invalidating                  // as Cache.Invalidate, by the entry's Stamp alone
)

// A Write is one of the writes of [Cache.WriteAll].
type Write struct {
	Key   string        // 1 to MaxKey bytes
	Entry Entry         // of Invalidating, the Stamp alone matters
	TTL   time.Duration // zero: no expiry of its own, or Options.Absence for an absence; negative is fault.ErrInvalid; not for Invalidating
	Mode  WriteMode     // zero: Raising
	Parts bool          // a value over the cache's limit may lie in parts: see Keeping
}

// A Written is what became of a Write.
type Written struct {
	Superseded bool  // something newer is there
	Err        error // nil when the write was done, or superseded; see Cache.Raise for the others
}

// WriteAll does many writes, each as Raise, Replace or Invalidate would alone,
// in a few round trips together: one reads what is there, one swaps, and again
// for those who met another writer. The first is left out where nothing is expected
// to be. The answers are aligned with the writes,
// and none depends on another. Of writes to one key the newest stays, in
// whatever order they stand.
func (c *Cache) WriteAll(ctx context.Context, writes []Write) []Written {
	if len(writes) == 1 {
		return []Written{c.writeAmong(ctx, writes[0])}
	}
	return c.writeMany(ctx, writes)
}

// writeMany is WriteAll of more than one.
func (c *Cache) writeMany(ctx context.Context, writes []Write) []Written {
	g := &writeGroup{cache: c, writes: writes, full: make([]string, len(writes)), out: make([]Written, len(writes))}
	var pending []int
	for i, w := range writes {
		if g.full[i], g.out[i].Err = c.key(w.Mode.op(), w.Key); g.out[i].Err != nil {
			continue
		}
		if w.TTL < 0 || w.Mode > Invalidating || w.Mode != Invalidating && c.tooLarge(w.Entry.Value) {
			g.out[i] = c.writeOne(ctx, w) // which says what is wrong with it
			continue
		}
		pending = append(pending, i)
	}
	// Those of one group are of one kind, mostly: the first speaks for all.
	g.blind = len(pending) > 0 && c.vacant.expects(g.full[pending[0]])
	for attempt := 0; len(pending) > 0; attempt++ {
		pending = g.round(ctx, pending)
		g.blind = false
		if len(pending) == 0 {
			break
		}
		if err := g.rest(ctx, attempt); err != nil {
			for _, i := range pending {
				g.out[i].Err = c.fail(writes[i].Mode.op(), writes[i].Key, err)
			}
			break
		}
	}
	return g.out
}

func (m WriteMode) op() string {
	switch m {
	case Raising:
		return "raise"
	case Replacing:
		return "replace"
	}
	return "invalidate"
}

// writeOne does one write by itself.
func (c *Cache) writeOne(ctx context.Context, w Write) (out Written) {
	switch w.Mode {
	case Raising:
		out.Superseded, out.Err = c.write(ctx, "raise", w.Key, w.Entry, w.TTL, w.Parts, w.Entry.raises)
	case Replacing:
		out.Superseded, out.Err = c.write(ctx, "replace", w.Key, w.Entry, w.TTL, w.Parts, w.Entry.replaces)
	case Invalidating:
		out.Err = c.Invalidate(ctx, w.Key, w.Entry.Stamp)
	default:
		out.Err = fault.New(fault.ErrInvalid, purpose, "write all", fmt.Sprintf("a mode %d", w.Mode))
	}
	return out
}

// A writeGroup is a WriteAll under way.
type writeGroup struct {
	cache  *Cache
	writes []Write
	full   []string // the driver's keys
	out    []Written
	blind  bool // nothing is expected under the keys, and so nothing is read
}

// rest lets others go on between two rounds.
func (g *writeGroup) rest(ctx context.Context, attempt int) error {
	if attempt >= changesMost {
		return errStorm
	}
	return pause(ctx, attempt)
}

// unseen reports whether a write does not look first.
func (g *writeGroup) unseen(i int) bool { return g.blind && g.writes[i].Mode == Raising }

// round reads what is there, swaps, and returns the writes that must look
// again: they met another writer, or stand behind one of the same key.
func (g *writeGroup) round(ctx context.Context, pending []int) (again []int) {
	c := g.cache
	keys := make([]string, 0, len(pending))
	turn := make([]int, 0, len(pending)) // whose turn it is, one per key
	seen := make(map[string]slot, len(pending))
	for _, i := range pending {
		if _, twice := seen[g.full[i]]; twice {
			again = append(again, i)
			continue
		}
		seen[g.full[i]] = slot{}
		turn = append(turn, i)
		if !g.unseen(i) {
			keys = append(keys, g.full[i])
		}
	}
	var items []Item
	var err error
	if len(keys) > 0 {
		items, err = c.driver.Get(ctx, keys)
	}
	for _, item := range items {
		seen[item.Key] = c.slotOf(item)
	}
	swaps := make([]Item, 0, len(turn))
	whose := make([]int, 0, len(turn))
	for _, i := range turn {
		s := seen[g.full[i]]
		if err != nil && !s.taken && !g.unseen(i) {
			// A miss, or a part of the servers that did not answer.
			g.out[i] = c.writeOne(ctx, g.writes[i])
			continue
		}
		if item, write := g.judge(i, &s); write {
			swaps = append(swaps, item)
			whose = append(whose, i)
		}
	}
	for n, err := range c.swapAll(ctx, swaps) {
		i := whose[n]
		switch {
		case errors.Is(err, fault.ErrConflict) && !fault.Unknown(err):
			if again = append(again, i); g.unseen(i) {
				c.vacant.met(g.full[i])
			}
		default:
			g.out[i].Err = c.fail(g.writes[i].Mode.op(), g.writes[i].Key, err)
		}
	}
	return again
}

// judge says what a write does about what it found.
func (g *writeGroup) judge(i int, s *slot) (item Item, write bool) {
	w := &g.writes[i]
	var next stored
	var ttl time.Duration
	if w.Mode == Invalidating {
		next, ttl, write = g.cache.invalidation(*s, w.Entry.Stamp)
	} else {
		judge := w.Entry.raises
		if w.Mode == Replacing {
			judge = w.Entry.replaces
		}
		next, ttl = g.cache.real(w.Entry, w.TTL)
		next, ttl, write = g.cache.verdict(next, ttl, *s, judge, &g.out[i].Superseded)
	}
	if !write {
		if g.out[i].Superseded {
			g.cache.stats.superseded.Add(1)
		}
		return Item{}, false
	}
	next.Written = time.Now()
	return Item{Key: g.full[i], Value: next.encode(g.full[i]), TTL: ttl, Token: s.token}, true
}

// swapAll is Swap for many, together when the driver can.
func (c *Cache) swapAll(ctx context.Context, items []Item) []error {
	if len(items) == 0 {
		return nil
	}
	if c.many != nil && len(items) > 1 {
		return c.many.SwapAll(ctx, items)
	}
	errs := make([]error, len(items))
	for i, item := range items {
		errs[i] = c.driver.Swap(ctx, item)
	}
	return errs
}
