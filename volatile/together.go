package volatile

import (
	"bytes"
	"context"
)

// A single write is a round trip or two of its own, which is the fastest for a lone
// caller and dear when there are many. So while writesApart of them are under
// way, others form groups, togetherAtOnce at a time, without ever waiting for
// company.
const (
	writesApart    = 2
	togetherAtOnce = 4
	togetherMost   = 128
)

// A together is a single write in a group. It owns its value: the caller may be
// gone before it is written.
type together struct {
	Write
	out Written
}

// writeAmong does one write, by itself or together with those of other callers.
func (c *Cache) writeAmong(ctx context.Context, w Write) Written {
	defer c.single.Add(-1)
	if c.single.Add(1) <= writesApart || c.among == nil || c.tooLarge(w.Entry.Value) {
		return c.writeOne(ctx, w)
	}
	w.Entry.Value = bytes.Clone(w.Entry.Value)
	t := &together{Write: w}
	if err := c.among.Do(ctx, t); err != nil {
		return Written{Err: c.fail(w.Mode.op(), w.Key, err)}
	}
	return t.out
}

// writeTogether is the run of a group. What became of each write is in it.
func (c *Cache) writeTogether(ctx context.Context, group []*together) []error {
	writes := make([]Write, len(group))
	for i, t := range group {
		writes[i] = t.Write
	}
	if len(group) == 1 {
		group[0].out = c.writeOne(ctx, writes[0])
		return nil
	}
	for i, out := range c.writeMany(ctx, writes) {
		group[i].out = out
	}
	return nil
}
