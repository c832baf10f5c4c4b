package persistence

import (
	"context"
	"encoding/binary"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A countKeeper keeps where objects count, and the sums of that.
type countKeeper struct {
	layer *Layer
	kind  *kind
	task  *task
}

func (c *countKeeper) follows() bool { return false }

func (c *countKeeper) counter() *amorphous.Counter { return c.task.count.counter }

// What is kept beside the counts.
const (
	registerAt   = "the register of places"
	partitionsAt = "the list of partitions"
)

func (c *countKeeper) expect(_ context.Context, s *subject) ([]trace, error) {
	if s.err != nil || s.obj == nil {
		return nil, s.err
	}
	counted, err := c.task.implied(&version{obj: s.obj, key: s.key, stamp: s.stamp})
	if err != nil {
		return nil, err
	}
	m, err := c.counter().Member(counted)
	if err != nil || len(m.Counts) == 0 {
		return nil, err
	}
	out := make([]trace, 0, len(m.Counts)+2)
	for _, t := range m.Counts {
		out = append(out, c.trace(amorphous.Held{ID: s.key, Stamp: m.Stamp, Tally: t}))
	}
	out = append(out, trace{at: partitionsAt, aside: true})
	if c.counter().Registers() {
		out = append(out, c.trace(amorphous.Held{ID: s.key, Stamp: m.Stamp, Register: true}))
	}
	return out, nil
}

func (c *countKeeper) trace(h amorphous.Held) trace {
	if h.Register {
		return trace{at: registerAt, stamp: transactional.Stamp(h.Stamp), aside: true, held: h}
	}
	return trace{at: c.counter().Where(h.Tally), stamp: transactional.Stamp(h.Stamp), content: binary.AppendVarint(nil, h.N), held: h}
}

func (c *countKeeper) find(ctx context.Context, of []sought) (map[string][]trace, error) {
	members := make([]amorphous.Member, len(of))
	var places []amorphous.Tally
	for i := range of {
		members[i] = amorphous.Member{ID: of[i].key, Counts: tallies(of[i].expected)}
		places = append(places, members[i].Counts...)
	}
	held, err := c.counter().Held(ctx, members...)
	if err != nil {
		return nil, err
	}
	lacking, err := c.counter().Unlisted(ctx, places...)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]trace, len(of))
	for _, h := range held {
		out[h.ID] = append(out[h.ID], c.trace(h))
	}
	unlisted := map[string]bool{}
	for _, t := range lacking {
		unlisted[t.Partition] = true
	}
	for _, m := range members {
		listed := len(m.Counts) > 0
		for _, t := range m.Counts {
			listed = listed && !unlisted[t.Partition]
		}
		if listed {
			out[m.ID] = append(out[m.ID], trace{at: partitionsAt, aside: true})
		}
	}
	return out, nil
}

// tallies are the places of traces at which something is counted.
func tallies(traces []trace) (out []amorphous.Tally) {
	for i := range traces {
		if !traces[i].aside {
			out = append(out, traces[i].held.Tally)
		}
	}
	return out
}

func (c *countKeeper) walk(ctx context.Context, after []byte, n int) (w walked, err error) {
	held, next, err := c.counter().Walk(ctx, after, n)
	for _, h := range held {
		w.add(h.ID, c.trace(h))
	}
	w.next = next
	return w, err
}

// there reports whether something is counted for the key at the place.
func (c *countKeeper) there(ctx context.Context, key string, t *trace) (bool, error) {
	held, err := c.counter().Held(ctx, amorphous.Member{ID: key, Counts: tallies([]trace{*t})})
	for _, h := range held {
		if !h.Register && h.Partition == t.held.Partition && string(h.Order) == string(t.held.Order) {
			return true, err
		}
	}
	return false, err
}

// write counts the object anew, and makes right the sums of all places that it
// may have touched: what was damaged is not what the sums were made of.
func (c *countKeeper) write(ctx context.Context, s *subject, stamp transactional.Stamp) error {
	expected, err := c.expect(ctx, s)
	if err != nil {
		return err
	}
	places := tallies(expected)
	before, err := c.find(ctx, []sought{{s.key, expected}})
	if err != nil {
		return err
	}
	places = append(places, tallies(before[s.key])...)
	relist := int64(1)
	if stamp != s.stamp {
		relist = stamp.Version // the list may have a tombstone
	}
	if err := c.counter().Relist(ctx, relist, tallies(expected)...); err != nil {
		return err
	}
	v, err := c.kind.versionOf(s)
	if err != nil {
		return err
	}
	v.stamp = stamp
	if _, err := c.layer.engine.writeObject(ctx, c.kind, c.task, v); err != nil {
		return err
	}
	return c.counter().Recount(ctx, places...)
}

func (c *countKeeper) drop(ctx context.Context, key string, t *trace, stamp transactional.Stamp) (all bool, err error) {
	if t != nil {
		return true, c.counter().Remove(ctx, newerOf(amorphous.Stamp(stamp), t.held.Stamp), t.held)
	}
	gone := &version{key: key, stamp: stamp, deleted: true, late: true}
	_, err = c.layer.engine.writeObject(ctx, c.kind, c.task, gone)
	return false, err
}

func newerOf(a, b amorphous.Stamp) amorphous.Stamp {
	if b.Compare(a) > 0 {
		return b
	}
	return a
}

func (c *countKeeper) audit(ctx context.Context, after []byte) (w walked, err error) {
	wrong, next, err := c.counter().Audit(ctx, after)
	for _, t := range wrong {
		w.add("", trace{at: "the sum of " + c.counter().Where(t), held: amorphous.Held{Tally: t}})
	}
	w.next = next
	return w, err
}

func (c *countKeeper) recount(ctx context.Context, t *trace) error {
	return c.counter().Recount(ctx, t.held.Tally)
}
