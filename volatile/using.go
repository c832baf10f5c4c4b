package volatile

import (
	"context"
	"strings"
)

// FetchUsing is FetchKeeping for who reads a value where it lies. An entry that
// is fresh is given to use, which must neither change nor keep its Value, and
// says whether it took it. Otherwise the entry is what FetchKeeping returns, with
// the load that loader is then asked for, and the same holds for its Value. The
// key is prefix and key together, which the caller need not put together.
func (c *Cache) FetchUsing(ctx context.Context, prefix, key string, keep Keeping, use func(e Entry) bool,
	loader func() func(context.Context) (Entry, error)) (e Entry, used bool, err error) {
	room := keyRooms.Get().(*keyRoom)
	defer keyRooms.Put(room)
	full := room.join(c.opts.Namespace, prefix, key)
	if err = c.ready("fetch", full[len(c.opts.Namespace)+1:]); err == nil {
		err = keep.check("fetch")
	}
	if err != nil {
		return Entry{}, false, err
	}
	if c.lender == nil {
		full = strings.Clone(full)
	}
	p := keep.policy()
	var s slot
	err = c.lookInto(ctx, full, true, &s)
	if err == nil && p.answers(&s) && use(s.Entry) {
		c.stats.hits.Add(1)
		return Entry{}, true, nil
	}
	e, err = c.fetchFrom(ctx, strings.Clone(full), p, s, err, loader())
	return e, false, err
}
