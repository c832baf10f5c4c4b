package volatile_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/volatile"
	"github.com/fourfold-dev/fourfold/volatile/embedded"
)

// A counted driver counts its round trips.
type counted struct {
	volatile.Driver
	gets, swaps int
}

func (d *counted) Get(ctx context.Context, keys []string) ([]volatile.Item, error) {
	d.gets++
	return d.Driver.Get(ctx, keys)
}

func (d *counted) Swap(ctx context.Context, item volatile.Item) error {
	d.swaps++
	return d.Driver.Swap(ctx, item)
}

func (d *counted) SwapAll(ctx context.Context, items []volatile.Item) []error {
	d.swaps++
	errs := make([]error, len(items))
	for i, item := range items {
		errs[i] = d.Driver.Swap(ctx, item)
	}
	return errs
}

// vacancy is a cache whose round trips are counted; write writes the entries of
// one version, and took says what that took.
type vacancy struct {
	*testing.T
	driver *counted
	cache  *volatile.Cache
}

func newVacancy(t *testing.T) *vacancy {
	inner, err := embedded.New(nil).OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := &counted{Driver: inner}
	cache, err := volatile.New(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.Close() })
	return &vacancy{T: t, driver: d, cache: cache}
}

func entryOf(version int64) volatile.Entry {
	return volatile.Entry{Stamp: volatile.Stamp{Version: version}, Value: fmt.Append(nil, version)}
}

func (v *vacancy) write(mode volatile.WriteMode, version int64, superseded bool, keys ...string) {
	v.Helper()
	writes := make([]volatile.Write, len(keys))
	for i, key := range keys {
		writes[i] = volatile.Write{Key: key, Entry: entryOf(version), Mode: mode}
	}
	for i, w := range v.cache.WriteAll(v.Context(), writes) {
		if w.Err != nil || w.Superseded != superseded {
			v.Errorf("%s: %+v", keys[i], w)
		}
	}
}

func (v *vacancy) took(what string, gets, swaps int) {
	v.Helper()
	if v.driver.gets != gets || v.driver.swaps != swaps {
		v.Errorf("%s took %d gets and %d swaps; want %d and %d", what, v.driver.gets, v.driver.swaps, gets, swaps)
	}
	v.driver.gets, v.driver.swaps = 0, 0
}

func (v *vacancy) has(key string, version int64) {
	v.Helper()
	e, ok, err := v.cache.Get(v.Context(), key)
	if err != nil || ok != (version > 0) || e.Stamp.Version != version {
		v.Errorf("%s has version %d (there: %v), %v; want %d", key, e.Stamp.Version, ok, err, version)
	}
	v.driver.gets = 0
}

// What is new is written in one round trip, alone and together with others.
func TestNewEntriesAreNotLookedForFirst(t *testing.T) {
	v := newVacancy(t)
	v.write(volatile.Raising, 1, false, "a:1")
	v.took("a new entry", 0, 1)
	v.write(volatile.Raising, 1, false, "a:2", "a:3", "a:4")
	v.took("three new entries", 0, 1)
	for i := 1; i <= 4; i++ {
		v.has(fmt.Sprint("a:", i), 1)
	}
	// Where nothing is, these write nothing or something else.
	v.write(volatile.Replacing, 1, false, "a:5")
	v.took("a replacement", 1, 0)
	v.write(volatile.Replacing, 1, false, "a:6", "a:7")
	v.took("two replacements", 1, 0)
	v.has("a:6", 0)
	v.write(volatile.Invalidating, 1, false, "a:8")
	v.took("an invalidation", 1, 1)
}

// What was expected to be new, and is not, loses to a newer version and wins over
// an older one as if it had been looked for, and the next of its kind are.
func TestEntriesThatAreThereAreLookedForFirst(t *testing.T) {
	v := newVacancy(t)
	v.write(volatile.Raising, 5, false, "a:1", "a:2", "a:3")
	v.took("three new entries", 0, 1)
	v.write(volatile.Raising, 4, true, "a:1")
	v.took("an older version", 1, 1)
	v.write(volatile.Raising, 6, false, "a:2")
	v.took("the next newer version", 1, 1)
	v.has("a:1", 5)
	v.has("a:2", 6)
	v.write(volatile.Raising, 1, false, "b:1")
	v.took("another kind's new entry", 0, 1)
	for i := range 20 {
		v.write(volatile.Raising, 1, false, fmt.Sprint("a:more", i))
	}
	if v.driver.gets == 0 || v.driver.gets == 20 {
		t.Errorf("of twenty new entries after one that was there, %d were looked for; want some", v.driver.gets)
	}
	v.driver.gets, v.driver.swaps = 0, 0
	v.write(volatile.Raising, 7, false, "a:1", "a:new", "a:2")
	v.took("a group of new entries and others", 1, 2)
	v.write(volatile.Raising, 6, true, "a:1", "a:new")
	v.took("the next group", 1, 0)
	for _, key := range []string{"a:1", "a:new", "a:2"} {
		v.has(key, 7)
	}
}

// A reader's placeholder is something: a write that expects nothing does not fill
// the place under its reader's hands, nor does the reader put an older one over it.
func TestNewEntriesMeetAReader(t *testing.T) {
	v := newVacancy(t)
	e, err := v.cache.Fetch(t.Context(), "a:1", time.Minute, func(context.Context) (volatile.Entry, error) {
		old := entryOf(3) // read from the record before the write
		v.write(volatile.Raising, 4, false, "a:1")
		return old, nil
	})
	if err != nil || e.Stamp.Version > 4 {
		t.Fatalf("%+v, %v", e, err)
	}
	v.has("a:1", 4)
}
