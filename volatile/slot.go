package volatile

import (
	"context"
	"time"
)

// A slot is what one look found under a key, with the token that stands for
// it. The zero slot is an empty one, whose token asks Swap for emptiness.
type slot struct {
	stored
	token Token
	taken bool // something is there
	ours  bool // and it is an entry of ours
}

// value reports whether a reader may be given the slot's entry.
func (s *slot) value() bool { return s.ours && !s.hollow && s.lease == 0 }

// item reads one item of the driver.
func (c *Cache) item(ctx context.Context, key string) (item Item, found bool, err error) {
	if c.one != nil {
		return c.one.GetOne(ctx, key)
	}
	items, err := c.driver.Get(ctx, []string{key})
	if len(items) == 0 || err != nil {
		return Item{}, false, err
	}
	return items[0], true, nil
}

// look reads one slot.
func (c *Cache) look(ctx context.Context, key string) (slot, error) {
	item, found, err := c.item(ctx, key)
	if !found || err != nil {
		return slot{}, err
	}
	return c.slotOf(item), nil
}

// glance returns what lies under a key, for who only reads it.
func (c *Cache) glance(ctx context.Context, key string) (value []byte, token Token, err error) {
	if c.lender == nil {
		item, _, err := c.item(ctx, key)
		return item.Value, item.Token, err
	}
	lent, found, err := c.lender.Borrow(ctx, key)
	if !found || err != nil {
		return nil, 0, err
	}
	return lent.Value, lent.Token, nil
}

// lookInto is look into a zero slot. Who only reads the value, and does not hand
// it on, borrows it.
func (c *Cache) lookInto(ctx context.Context, key string, borrow bool, s *slot) error {
	if borrow && c.lender != nil {
		lent, found, err := c.lender.Borrow(ctx, key)
		if found && err == nil {
			c.lentInto(key, lent, s)
		}
		return err
	}
	item, found, err := c.item(ctx, key)
	if found && err == nil {
		c.fillSlot(&item, s)
	}
	return err
}

// lentInto makes a zero slot that of a lent entry. What is lent does not change,
// so its checksum is computed once.
func (c *Cache) lentInto(key string, lent *Lent, s *slot) {
	checked := lent.Checked.Load()
	if !checked {
		checked = sound(key, lent.Value)
		lent.Checked.Store(checked)
	}
	s.ours = checked && s.parse(lent.Value)
	c.found(s, lent.Token)
}

func (c *Cache) slotOf(item Item) (s slot) {
	c.fillSlot(&item, &s)
	return s
}

// fillSlot makes a zero slot that of an item.
func (c *Cache) fillSlot(item *Item, s *slot) {
	s.ours = s.decode(item.Key, item.Value)
	c.found(s, item.Token)
}

// found completes a slot in which something is.
func (c *Cache) found(s *slot, token Token) {
	if !s.ours {
		s.stored = stored{}
		c.stats.foreign.Add(1)
	}
	s.token, s.taken = token, true
}

// swap writes next over what s found.
func (c *Cache) swap(ctx context.Context, key string, s slot, next stored, ttl time.Duration) error {
	next.Written = time.Now()
	return c.driver.Swap(ctx, Item{Key: key, Value: next.encode(key), TTL: ttl, Token: s.token})
}
