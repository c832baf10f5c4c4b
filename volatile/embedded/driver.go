package embedded

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

// MaxValue is the largest value, in bytes. It is what a memcached with its
// default item size takes, so that a program which runs on one runs on both.
const MaxValue = 1<<20 - 1024

// A driver is one opening of a store.
type driver struct {
	store   *store
	release func()
	closed  atomic.Bool
}

// Features are this driver's promises.
func (d *driver) Features() volatile.Features {
	return volatile.Features{Name: "embedded", MaxValue: MaxValue, Resolution: time.Nanosecond}
}

// ready returns why an operation cannot run now, or nil.
func (d *driver) ready(ctx context.Context, op string) error {
	if d.closed.Load() {
		return fault.New(fault.ErrClosed, "volatile", op, "the driver is closed")
	}
	return ctx.Err()
}

// Get returns copies of the entries that are there.
func (d *driver) Get(ctx context.Context, keys []string) ([]volatile.Item, error) {
	if err := d.ready(ctx, "get"); err != nil {
		return nil, err
	}
	for _, key := range keys {
		if err := volatile.CheckItemKey("get", key); err != nil {
			return nil, err
		}
	}
	items := make([]volatile.Item, 0, len(keys))
	for _, key := range keys {
		if r, ok := d.store.cache.GetIfPresent(key); ok {
			items = append(items, volatile.Item{Key: key, Value: bytes.Clone(r.Value), Token: r.Token})
		}
	}
	return items, nil
}

// GetOne returns a copy of the entry that is there.
func (d *driver) GetOne(ctx context.Context, key string) (volatile.Item, bool, error) {
	if err := d.ready(ctx, "get"); err != nil {
		return volatile.Item{}, false, err
	}
	if err := volatile.CheckItemKey("get", key); err != nil {
		return volatile.Item{}, false, err
	}
	r, ok := d.store.cache.GetIfPresent(key)
	if !ok {
		return volatile.Item{}, false, nil
	}
	return volatile.Item{Key: key, Value: bytes.Clone(r.Value), Token: r.Token}, true, nil
}

// Borrow returns the entry that is there, whose value is never changed.
func (d *driver) Borrow(ctx context.Context, key string) (*volatile.Lent, bool, error) {
	if err := d.ready(ctx, "get"); err != nil {
		return nil, false, err
	}
	r, ok := d.store.cache.GetIfPresent(key)
	if !ok {
		return nil, false, volatile.CheckItemKey("get", key) // a key that is there is valid
	}
	return &r.Lent, true, nil
}

// Set writes copies of the items.
func (d *driver) Set(ctx context.Context, items []volatile.Item) []error {
	errs := make([]error, len(items))
	for i, item := range items {
		if errs[i] = d.check(ctx, "set", item); errs[i] == nil {
			d.store.cache.Set(item.Key, d.store.record(bytes.Clone(item.Value), item.TTL))
		}
	}
	return errs
}

// Swap writes a copy of the item if its token stands for what is there.
func (d *driver) Swap(ctx context.Context, item volatile.Item) error {
	if err := d.check(ctx, "swap", item); err != nil {
		return err
	}
	if !d.store.swap(item.Key, item.Token, d.store.record(bytes.Clone(item.Value), item.TTL)) {
		return fault.New(fault.ErrConflict, "volatile", "swap", "something else is there")
	}
	return nil
}

// Delete removes entries.
func (d *driver) Delete(ctx context.Context, keys []string) []error {
	errs := make([]error, len(keys))
	for i, key := range keys {
		if errs[i] = d.ready(ctx, "delete"); errs[i] != nil {
			continue
		}
		if errs[i] = volatile.CheckItemKey("delete", key); errs[i] == nil {
			d.store.cache.Invalidate(key)
		}
	}
	return errs
}

// Add adds to a counter.
func (d *driver) Add(ctx context.Context, key string, delta int64, ttl time.Duration) (uint64, error) {
	if err := d.check(ctx, "add", volatile.Item{Key: key, TTL: ttl}); err != nil {
		return 0, err
	}
	sum, ok := d.store.add(key, delta, ttl)
	if !ok {
		return 0, fault.New(fault.ErrConflict, "volatile", "add", "what is there is no number, or the sum is over volatile.MaxCount")
	}
	return sum, nil
}

// check returns why an item is not written, or nil.
func (d *driver) check(ctx context.Context, op string, item volatile.Item) error {
	if err := d.ready(ctx, op); err != nil {
		return err
	}
	if err := volatile.CheckItemKey(op, item.Key); err != nil {
		return err
	}
	if item.TTL < 0 {
		return fault.New(fault.ErrInvalid, "volatile", op, fmt.Sprintf("a TTL of %v", item.TTL))
	}
	if len(item.Value) > MaxValue {
		return fault.New(fault.ErrTooLarge, "volatile", op, fmt.Sprintf("a value of %d bytes; %d at most", len(item.Value), MaxValue))
	}
	return nil
}

// Check reports health: in process there is little that can be wrong.
func (d *driver) Check(ctx context.Context) fault.Report {
	report := fault.Report{Purpose: "volatile", Driver: "embedded", Address: "in process", Version: runtime.Version(),
		Durability: fault.Memory, MaxObject: MaxValue}
	start := time.Now()
	if err := d.ready(ctx, "check"); err != nil {
		report.Problems = []string{err.Error()}
		return report
	}
	d.store.cache.GetIfPresent("")
	report.Reachable, report.Latency = true, time.Since(start)
	return report
}

// Close closes this opening. The store's last opening frees its entries.
func (d *driver) Close() error {
	if !d.closed.Swap(true) {
		d.release()
	}
	return nil
}
