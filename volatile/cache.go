package volatile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/internal/group"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// purpose is this package's name in errors and reports.
const purpose = "volatile"

// Options of a Cache; zero values are the defaults.
type Options struct {
	// Namespace prefixes every key: 1 to 32 letters, digits, '_' and '-'.
	// Caches with different namespaces never meet. Default "ff".
	Namespace string
	// Lease bounds how long one rebuild keeps the others waiting before one
	// of them takes over. Default 3 s.
	Lease time.Duration
	// Absence is how long a remembered absence lasts. Default 5 s.
	Absence time.Duration
	// Rebuilds is how many loads run at once; further ones wait until one
	// ends or their context does, so that a cold cache does not knock over
	// the store of record. A load inside a load needs no place of its own.
	// Default 64.
	Rebuilds int
	// RebuildRate is how many loads this process begins per second, after as
	// many at once; further ones wait for their turn or for their context's
	// end. Default: any number.
	RebuildRate int
}

// withDefaults returns the options with every zero replaced, or all faults.
func (o *Options) withDefaults() (Options, error) {
	opts := Options{}
	if o != nil {
		opts = *o
	}
	if opts.Namespace == "" {
		opts.Namespace = "ff"
	}
	if opts.Lease == 0 {
		opts.Lease = 3 * time.Second
	}
	if opts.Absence == 0 {
		opts.Absence = 5 * time.Second
	}
	if opts.Rebuilds == 0 {
		opts.Rebuilds = 64
	}
	faults := []error{checkName("the namespace", opts.Namespace, 32)}
	if opts.Lease < 0 {
		faults = append(faults, fmt.Errorf("a lease of %v; it must be positive", opts.Lease))
	}
	if opts.Absence < 0 {
		faults = append(faults, fmt.Errorf("an absence of %v; it must be positive", opts.Absence))
	}
	if opts.Rebuilds < 0 {
		faults = append(faults, fmt.Errorf("%d rebuilds at once; it must be positive", opts.Rebuilds))
	}
	if opts.RebuildRate < 0 || opts.RebuildRate > 1_000_000 {
		faults = append(faults, fmt.Errorf("%d rebuilds per second; 1 to 1,000,000", opts.RebuildRate))
	}
	return opts, fault.Wrap(fault.ErrInvalid, purpose, "options", errors.Join(faults...))
}

// A Cache is a cache of versioned entries: newest wins, and a slow reader
// cannot put an old version back. It is safe for concurrent use. After Close
// every method returns fault.ErrClosed.
//
// An entry with a TTL of ten seconds or more lives up to a tenth shorter, at
// random, so that entries written together do not end together. A TTL of zero
// is no expiry, a negative one is fault.ErrInvalid.
type Cache struct {
	driver    Driver
	one       OneGetter   // the driver, when it can
	lender    Borrower    // the driver, when it can
	many      ManySwapper // the driver, when it can
	adder     ManyAdder   // the driver, when it can
	opts      Options
	features  Features
	stats     counters
	flights   flights
	sightings sightings
	budget    chan struct{} // one place per load under way
	pace      pace          // of the loads that begin
	vacant    vacancies     // where writes expect nothing

	single atomic.Int32            // single writes under way
	among  *group.Group[*together] // of those that are more than a few; nil: the driver has no use for it

	closing    context.Context // ends with Close; background rebuilds live in it
	close      context.CancelFunc
	closed     atomic.Bool
	mu         sync.Mutex     // orders background.Add before background.Wait
	background sync.WaitGroup // rebuilds that no caller waits for
}

// New returns a Cache over a driver, which Close closes.
func New(driver Driver, opts *Options) (*Cache, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Cache{driver: driver, opts: o, budget: make(chan struct{}, o.Rebuilds)}
	if o.RebuildRate > 0 {
		c.pace.every = time.Second / time.Duration(o.RebuildRate)
	}
	if featured, ok := driver.(Featured); ok {
		c.features = featured.Features()
	}
	c.one, _ = driver.(OneGetter)
	c.lender, _ = driver.(Borrower)
	if c.many, _ = driver.(ManySwapper); c.many != nil {
		c.among = group.New(group.Options{MaxItems: togetherMost, Parallel: togetherAtOnce}, nil, c.writeTogether)
	}
	c.adder, _ = driver.(ManyAdder)
	c.closing, c.close = context.WithCancel(context.Background())
	return c, nil
}

// Get returns an entry; ok is false for a miss, an expired entry, a
// placeholder. The entry's value is the caller's own.
func (c *Cache) Get(ctx context.Context, key string) (e Entry, ok bool, err error) {
	full, err := c.key("get", key)
	if err != nil {
		return Entry{}, false, err
	}
	s, err := c.look(ctx, full)
	if err != nil {
		return Entry{}, false, c.fail("get", key, err)
	}
	if s.value() {
		e, ok = c.whole(ctx, &s)
	}
	if !ok {
		c.stats.misses.Add(1)
		return Entry{}, false, nil
	}
	c.stats.hits.Add(1)
	return e, true, nil
}

// GetAll returns the entries that are there. When a part of the servers is
// down it returns what it found together with the error.
func (c *Cache) GetAll(ctx context.Context, keys []string) (map[string]Entry, error) {
	full := make([]string, len(keys))
	for i, key := range keys {
		var err error
		if full[i], err = c.key("get all", key); err != nil {
			return nil, err
		}
	}
	prefix := len(c.opts.Namespace) + 1
	found := make(map[string]Entry, len(keys))
	items, err := c.driver.Get(ctx, full)
	for _, item := range items {
		if s := c.slotOf(item); s.value() {
			if e, ok := c.whole(ctx, &s); ok {
				found[item.Key[prefix:]] = e
			}
		}
	}
	c.stats.hits.Add(uint64(len(found)))
	c.stats.misses.Add(uint64(max(len(keys)-len(found), 0)))
	return found, c.fail("get all", "", err)
}

// Add adds to a counter: see Driver.Add.
func (c *Cache) Add(ctx context.Context, key string, delta int64, ttl time.Duration) (uint64, error) {
	full, err := c.key("add", key)
	if err != nil {
		return 0, err
	}
	sum, err := c.driver.Add(ctx, full, delta, ttl)
	return sum, c.fail("add", key, err)
}

// addAll adds to counters of the driver's keys, together when the driver can.
func (c *Cache) addAll(ctx context.Context, adds ...Increment) error {
	var errs []error
	if c.adder != nil {
		_, errs = c.adder.AddAll(ctx, adds)
		return errors.Join(errs...)
	}
	for _, a := range adds {
		_, err := c.driver.Add(ctx, a.Key, a.Delta, a.TTL)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Delete removes entries whatever their version; one that is not there is fine.
// A key that no cache takes is fault.ErrInvalid, and then nothing is removed; else
// the error joins those of the keys that failed, and the others are gone.
func (c *Cache) Delete(ctx context.Context, keys ...string) error {
	full := make([]string, len(keys))
	for i, key := range keys {
		var err error
		if full[i], err = c.key("delete", key); err != nil {
			return err
		}
	}
	var faults []error
	for i, err := range c.driver.Delete(ctx, full) {
		if err != nil {
			faults = append(faults, c.fail("delete", keys[i], err))
		}
	}
	return errors.Join(faults...)
}

// Features are the driver's, with MaxValue less what the cache itself needs in
// an entry.
func (c *Cache) Features() Features {
	f := c.features
	if f.MaxValue > 0 {
		f.MaxValue = max(f.MaxValue-entryOverhead, 1)
	}
	return f
}

// Stats returns the counts so far.
func (c *Cache) Stats() Stats { return c.stats.snapshot() }

// Check reports health. A closed cache is not reachable and says why.
func (c *Cache) Check(ctx context.Context) fault.Report {
	report := fault.Report{Purpose: purpose, Driver: c.features.Name, Durability: fault.Memory}
	if c.closed.Load() {
		report.Class, report.Problems = fault.ErrClosed, []string{"the cache is closed; open a new one"}
		return report
	}
	checker, ok := c.driver.(Checker)
	if !ok {
		report.Problems = []string{"the driver cannot report its health"}
		return report
	}
	report = checker.Check(ctx)
	report.MaxObject = c.Features().MaxValue
	return report
}

// Close closes the driver. Closing twice is fine.
func (c *Cache) Close() error {
	c.mu.Lock()
	already := c.closed.Swap(true)
	c.mu.Unlock()
	if already {
		return nil
	}
	c.close()
	c.background.Wait()
	if c.among != nil {
		c.among.Close()
	}
	return c.driver.Close()
}

// key validates a program's key and puts the namespace in front.
func (c *Cache) key(op, key string) (string, error) {
	if err := c.ready(op, key); err != nil {
		return "", err
	}
	return c.opts.Namespace + ":" + key, nil
}

// ready returns why an operation on a key cannot run, or nil.
func (c *Cache) ready(op, key string) error {
	if c.closed.Load() {
		return fault.New(fault.ErrClosed, purpose, op, "the cache is closed")
	}
	return checkKey(op, key, MaxKey)
}

// fail gives a driver's error its whereabouts; context errors that carry no
// class pass untouched.
func (c *Cache) fail(op, key string, err error) error {
	if err == nil {
		return nil
	}
	if own, ok := err.(*fault.Error); ok && own.Store == purpose {
		placed := *own
		placed.Op, placed.Key = op, key
		return &placed
	}
	class := fault.ClassOf(err)
	if class == nil {
		if fault.Cancelled(err) {
			return err
		}
		class = fault.ErrUnavailable
	}
	return &fault.Error{Op: op, Store: purpose, Key: key, Class: class, Err: err}
}

// tooLarge reports whether a value is over the driver's limit.
func (c *Cache) tooLarge(value []byte) bool {
	return c.features.MaxValue > 0 && len(value) > c.Features().MaxValue
}

// spread shortens a long TTL by up to a tenth: see Cache.
func spread(ttl time.Duration) time.Duration {
	if ttl < 10*time.Second {
		return ttl
	}
	return ttl - rand.N(ttl/10)
}
