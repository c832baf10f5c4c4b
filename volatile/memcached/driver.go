package memcached

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

const (
	// getMost is how many keys one command asks for.
	getMost = 128
	// widesAtOnce is how many wide values of one Set are under way.
	widesAtOnce = 8
)

// A driver is the members and the ring that says which key lies where.
type driver struct {
	opts    Options
	members []*member
	ring    *ring
	closed  atomic.Bool
}

func open(addresses []address, opts Options) *driver {
	d := &driver{opts: opts}
	names := make([]string, len(addresses))
	for i, a := range addresses {
		names[i] = a.name
		d.members = append(d.members, newMember(a, opts))
	}
	d.ring = newRing(names)
	return d
}

// Features are this driver's promises.
func (d *driver) Features() volatile.Features {
	return volatile.Features{Name: "memcached", MaxValue: d.opts.MaxValue, Resolution: time.Second, Shared: true}
}

// member returns the member that a key belongs to.
func (d *driver) member(key string) *member { return d.members[d.ring.member(key)] }

// ready returns why an operation cannot run now, or nil.
func (d *driver) ready(ctx context.Context, op string) error {
	if d.closed.Load() {
		return fault.New(fault.ErrClosed, "volatile", op, "the driver is closed")
	}
	return ctx.Err()
}

// check returns why an item is not sent, or nil.
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
	if len(item.Value) > d.opts.MaxValue {
		// The server would refuse it too, and delete the old value with that.
		return fault.New(fault.ErrTooLarge, "volatile", op, fmt.Sprintf("a value of %d bytes; %d at most", len(item.Value), d.opts.MaxValue))
	}
	return nil
}

// GetOne returns the entry that is there.
func (d *driver) GetOne(ctx context.Context, key string) (volatile.Item, bool, error) {
	if err := d.check(ctx, "get", volatile.Item{Key: key}); err != nil {
		return volatile.Item{}, false, err
	}
	item, err := do(ctx, d.member(key), operation{name: "get", again: true}, func(l *lane) (volatile.Item, error) {
		wire := wireKey(l.epoch.gen, key)
		got, err := l.client.Get(wire)
		if err != nil || l.epoch.held.Load() {
			return volatile.Item{}, err
		}
		if got.Key != wire {
			return volatile.Item{}, fmt.Errorf("asked for one key, the answer is for another")
		}
		return volatile.Item{Key: key, Value: value(got.Value, got.Flags), Token: l.epoch.token(got.CasID)}, nil
	})
	return item, item.Key != "", err
}

// Get returns the entries that are there, also when some members are down.
func (d *driver) Get(ctx context.Context, keys []string) ([]volatile.Item, error) {
	if err := d.ready(ctx, "get"); err != nil {
		return nil, err
	}
	shares := make([][]string, len(d.members))
	for _, key := range keys {
		if err := volatile.CheckItemKey("get", key); err != nil {
			return nil, err
		}
		i := d.ring.member(key)
		shares[i] = append(shares[i], key)
	}
	results := make([][]volatile.Item, len(shares))
	errs := make([]error, len(shares))
	var wg sync.WaitGroup
	for i, share := range shares {
		if len(share) == 0 {
			continue
		}
		if len(share) == len(keys) {
			results[i], errs[i] = d.members[i].get(ctx, share)
			break
		}
		wg.Go(func() { results[i], errs[i] = d.members[i].get(ctx, share) })
	}
	wg.Wait()
	return slices.Concat(results...), errors.Join(errs...)
}

// get reads keys of one member.
func (m *member) get(ctx context.Context, keys []string) ([]volatile.Item, error) {
	var items []volatile.Item
	for some := range slices.Chunk(keys, getMost) {
		got, err := do(ctx, m, operation{name: "get", again: true}, func(l *lane) ([]volatile.Item, error) {
			return l.get(some)
		})
		items = append(items, got...)
		if err != nil {
			return items, err
		}
	}
	return items, nil
}

// get reads keys by one command. What the server says of keys that it was not
// asked for is ignored.
func (l *lane) get(keys []string) ([]volatile.Item, error) {
	asked := make(map[string]string, len(keys))
	wires := make([]string, 0, len(keys))
	for _, key := range keys {
		wire := wireKey(l.epoch.gen, key)
		if _, twice := asked[wire]; !twice {
			asked[wire] = key
			wires = append(wires, wire)
		}
	}
	found, err := l.client.GetMulti(wires)
	if err != nil || l.epoch.held.Load() {
		return nil, err
	}
	items := make([]volatile.Item, 0, len(found))
	for wire, item := range found {
		if key, ok := asked[wire]; ok {
			items = append(items, volatile.Item{Key: key, Value: value(item.Value, item.Flags), Token: l.epoch.token(item.CasID)})
		}
	}
	return items, nil
}

// Set writes entries whatever is there.
func (d *driver) Set(ctx context.Context, items []volatile.Item) []error {
	return d.group(ctx, verb{
		operation: operation{name: "set", write: true, again: true},
		command: func(e *epoch, b []byte, item *volatile.Item) ([]byte, error) {
			return appendStore(e, b, "set", item, 0), nil
		},
		single: func(ctx context.Context, item volatile.Item) error {
			return d.store(ctx, operation{name: "set", key: item.Key, write: true, again: true}, item,
				func(l *lane, item *memcache.Item) error { return l.client.Set(item) })
		},
	}, items)
}

// SwapAll is Swap for many.
func (d *driver) SwapAll(ctx context.Context, items []volatile.Item) []error {
	return d.group(ctx, verb{
		operation: operation{name: "swap", write: true},
		command: func(e *epoch, b []byte, item *volatile.Item) ([]byte, error) {
			if item.Token == 0 {
				return appendStore(e, b, "add", item, 0), nil
			}
			cas, ok := e.cas(item.Token)
			if !ok {
				return b, memcache.ErrCASConflict
			}
			return appendStore(e, b, "cas", item, cas), nil
		},
		single: d.swap,
	}, items)
}

// Swap writes one entry if its token stands for what is there.
func (d *driver) Swap(ctx context.Context, item volatile.Item) error {
	if err := d.check(ctx, "swap", item); err != nil {
		return err
	}
	return d.swap(ctx, item)
}

func (d *driver) swap(ctx context.Context, item volatile.Item) error {
	return d.store(ctx, operation{name: "swap", key: item.Key, write: true}, item, func(l *lane, wire *memcache.Item) error {
		if item.Token == 0 {
			return l.client.Add(wire)
		}
		var ok bool
		if wire.CasID, ok = l.epoch.cas(item.Token); !ok {
			return memcache.ErrCASConflict
		}
		err := l.client.CompareAndSwap(wire)
		if errors.Is(err, memcache.ErrCacheMiss) {
			return memcache.ErrCASConflict
		}
		return err
	})
}

// store sends one entry by a command.
func (d *driver) store(ctx context.Context, o operation, item volatile.Item, send func(*lane, *memcache.Item) error) error {
	body, flags := wireValue(item.Value)
	if len(body) >= wideFrom {
		o.how = never
	}
	_, err := do(ctx, d.member(item.Key), o, func(l *lane) (struct{}, error) {
		wire := &memcache.Item{Key: wireKey(l.epoch.gen, item.Key), Value: body, Flags: flags, Expiration: expiry(item.TTL, time.Now())}
		if l.epoch.held.Load() {
			return struct{}{}, l.settle(wire.Key)
		}
		return struct{}{}, send(l, wire)
	})
	return err
}

// settle stands for a write while the generation is young: nothing old stays.
func (l *lane) settle(wire string) error {
	if err := l.client.Delete(wire); err != nil && !errors.Is(err, memcache.ErrCacheMiss) {
		return err
	}
	return errSettling
}

// Delete removes entries.
func (d *driver) Delete(ctx context.Context, keys []string) []error {
	items := make([]volatile.Item, len(keys))
	for i, key := range keys {
		items[i].Key = key
	}
	return d.group(ctx, verb{
		operation: operation{name: "delete", write: true, again: true},
		command: func(e *epoch, b []byte, item *volatile.Item) ([]byte, error) {
			return appendDelete(e, b, item.Key), nil
		},
		single: func(ctx context.Context, item volatile.Item) error {
			_, err := do(ctx, d.member(item.Key), operation{name: "delete", key: item.Key, write: true, again: true},
				func(l *lane) (struct{}, error) { return struct{}{}, l.client.Delete(wireKey(l.epoch.gen, item.Key)) })
			return err
		},
	}, items)
}

// Add adds to a counter. An Add whose outcome is unknown is not repeated.
func (d *driver) Add(ctx context.Context, key string, delta int64, ttl time.Duration) (uint64, error) {
	if err := d.check(ctx, "add", volatile.Item{Key: key, TTL: ttl}); err != nil {
		return 0, err
	}
	return do(ctx, d.member(key), operation{name: "add", write: true}, func(l *lane) (uint64, error) {
		if l.epoch.held.Load() {
			return 0, errSettling
		}
		return l.add(wireKey(l.epoch.gen, key), delta, ttl)
	})
}

// AddAll is Add for many: those of one member leave together. Counters that are
// not there, and those that shrink, are added to one by one.
func (d *driver) AddAll(ctx context.Context, adds []volatile.Increment) ([]uint64, []error) {
	sums, errs := make([]uint64, len(adds)), make([]error, len(adds))
	shares := make([][]int, len(d.members))
	for i, a := range adds {
		if errs[i] = d.check(ctx, "add", volatile.Item{Key: a.Key, TTL: a.TTL}); errs[i] == nil {
			m := d.ring.member(a.Key)
			shares[m] = append(shares[m], i)
		}
	}
	var wg sync.WaitGroup
	for m, share := range shares {
		switch len(share) {
		case 0:
		case len(adds):
			d.members[m].addAll(ctx, adds, share, sums, errs)
		default:
			wg.Go(func() { d.members[m].addAll(ctx, adds, share, sums, errs) })
		}
	}
	wg.Wait()
	return sums, errs
}

// add increments, or begins a counter that is not there.
func (l *lane) add(wire string, delta int64, ttl time.Duration) (uint64, error) {
	for {
		sum, err := l.increment(wire, delta)
		if !errors.Is(err, memcache.ErrCacheMiss) {
			return sum, err
		}
		first := uint64(max(delta, 0))
		err = l.client.Add(&memcache.Item{Key: wire, Value: strconv.AppendUint(nil, first, 10), Flags: flagNumber, Expiration: expiry(ttl, time.Now())})
		if !errors.Is(err, memcache.ErrNotStored) {
			return first, err
		}
	}
}

// increment adds to a counter that is there.
func (l *lane) increment(wire string, delta int64) (uint64, error) {
	if delta < 0 {
		return l.client.Decrement(wire, uint64(-(delta+1))+1)
	}
	sum, err := l.client.Increment(wire, uint64(delta))
	if err == nil && sum > volatile.MaxCount {
		return 0, l.wrapped(wire)
	}
	return sum, err
}

// wrapped is the error of a counter that went over its bound: it begins again.
func (l *lane) wrapped(wire string) error {
	if err := l.client.Delete(wire); err != nil {
		return err
	}
	return memcache.ErrCASConflict
}

// each calls one for every index, some at once.
func each(n int, one func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, widesAtOnce) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				one(i)
			}
		})
	}
	wg.Wait()
}

// Close closes every connection and waits for the goroutines of its own.
func (d *driver) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	for _, m := range d.members {
		m.close()
	}
	return nil
}
