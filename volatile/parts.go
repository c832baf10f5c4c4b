package volatile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A value over the driver's limit may lie in parts: entries under names that
// nobody else knows, and in the entry itself what finds them. The parts are
// written first, so whoever sees the entry finds them all, or finds that one is
// lost, and then the whole is.

// MaxParts is how many parts a value has at most: what is larger is
// fault.ErrTooLarge.
const MaxParts = 64

// manifestSize: the parts' name, how many they are, the size of the value.
const manifestSize = 8 + 4 + 4

// part is the driver's key of one part.
func (c *Cache) part(name uint64, n int) string {
	b := append(make([]byte, 0, 64), c.opts.Namespace...)
	b = append(b, ".x."...)
	b = strconv.AppendUint(b, name, 16)
	b = append(b, ':')
	return string(strconv.AppendInt(b, int64(n), 10))
}

// divide writes the parts of a value that is too large for one entry, and
// returns the entry that finds them.
func (c *Cache) divide(ctx context.Context, e Entry, ttl time.Duration) (stored, error) {
	size := c.Features().MaxValue
	count := (len(e.Value) + size - 1) / size
	if count > MaxParts {
		return stored{}, c.largeError(e, size*MaxParts)
	}
	name, now := newLease(), time.Now()
	items := make([]Item, count)
	for i := range items {
		part := stored{Entry: Entry{Value: e.Value[i*size : min((i+1)*size, len(e.Value))], Stamp: e.Stamp, Written: now}}
		key := c.part(name, i)
		items[i] = Item{Key: key, Value: part.encode(key), TTL: ttl}
	}
	if err := errors.Join(c.driver.Set(ctx, items)...); err != nil {
		return stored{}, err
	}
	manifest := binary.BigEndian.AppendUint64(make([]byte, 0, manifestSize), name)
	manifest = binary.BigEndian.AppendUint32(manifest, uint32(count))
	manifest = binary.BigEndian.AppendUint32(manifest, uint32(len(e.Value)))
	e.Value = manifest
	return stored{Entry: e, parts: true}, nil
}

// whole returns the entry of a slot with its whole value; false when a part of
// it is lost.
func (c *Cache) whole(ctx context.Context, s *slot) (Entry, bool) {
	if !s.parts {
		return s.Entry, true
	}
	if len(s.Value) != manifestSize {
		return Entry{}, false
	}
	name, count := binary.BigEndian.Uint64(s.Value), int(binary.BigEndian.Uint32(s.Value[8:]))
	size := int(binary.BigEndian.Uint32(s.Value[12:]))
	if count < 1 || count > MaxParts || size > count*c.Features().MaxValue {
		return Entry{}, false
	}
	keys := make([]string, count)
	for i := range keys {
		keys[i] = c.part(name, i)
	}
	items, err := c.driver.Get(ctx, keys)
	if err != nil || len(items) != count {
		return Entry{}, false
	}
	values := make(map[string][]byte, count)
	for _, item := range items {
		if part := c.slotOf(item); part.value() && part.Stamp == s.Stamp {
			values[item.Key] = part.Value
		}
	}
	e := s.Entry
	e.Value = make([]byte, 0, size)
	for _, key := range keys {
		e.Value = append(e.Value, values[key]...)
	}
	return e, len(e.Value) == size
}

// largeError is the error of a value that is not kept.
func (c *Cache) largeError(e Entry, most int) error {
	return &fault.Error{Store: purpose, Class: fault.ErrTooLarge, Err: fmt.Errorf("a value of %d bytes; %d at most", len(e.Value), most)}
}
