package volatile_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/fourfold-dev/fourfold/volatile"
	"github.com/fourfold-dev/fourfold/volatile/embedded"
)

// What is there is used where it lies and asks for no load; what use refuses is
// returned, and what is not there is loaded.
func TestFetchUsing(t *testing.T) {
	ctx := t.Context()
	c, err := volatile.Open(ctx, embedded.New(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	loads := 0
	fetch := func(takes bool) (value, seen string, used bool) {
		t.Helper()
		e, used, err := c.FetchUsing(ctx, "a:", "1", volatile.Keeping{}, func(e volatile.Entry) bool {
			seen = string(e.Value)
			return takes
		}, func() func(context.Context) (volatile.Entry, error) {
			return func(context.Context) (volatile.Entry, error) {
				loads++
				return volatile.Entry{Value: []byte("v")}, nil
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(e.Value), seen, used
	}
	if value, seen, used := fetch(true); value != "v" || seen != "" || used || loads != 1 {
		t.Errorf("a miss: value %q, use saw %q, used %v, %d loads", value, seen, used, loads)
	}
	if value, seen, used := fetch(true); value != "" || seen != "v" || !used || loads != 1 {
		t.Errorf("a hit: value %q, use saw %q, used %v, %d loads", value, seen, used, loads)
	}
	if value, seen, used := fetch(false); value != "v" || seen != "v" || used || loads != 1 {
		t.Errorf("refused: value %q, use saw %q, used %v, %d loads", value, seen, used, loads)
	}
	if e, ok, err := c.Get(ctx, "a:1"); err != nil || !ok || string(e.Value) != "v" {
		t.Errorf("prefix and key are the key: %q, %v, %v", e.Value, ok, err)
	}
	if _, _, err := c.FetchUsing(ctx, "", "", volatile.Keeping{}, nil, nil); err == nil {
		t.Error("an empty key is taken")
	}
	if s := c.Stats(); s.Hits != 3 || s.Misses != 1 {
		t.Errorf("%d hits and %d misses; want 3 and 1", s.Hits, s.Misses)
	}
}

// What is lent is checked once when it is sound, and each time when it is not; a
// write brings a new entry, which nobody has checked.
func TestALentEntryIsCheckedOnce(t *testing.T) {
	ctx := t.Context()
	d, err := embedded.New(nil).OpenDriver(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c, err := volatile.New(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	get := func() bool {
		_, used, err := c.FetchUsing(ctx, "a:", "1", volatile.Keeping{}, func(volatile.Entry) bool { return true },
			func() func(context.Context) (volatile.Entry, error) {
				return func(context.Context) (volatile.Entry, error) { return volatile.Entry{Value: []byte("v")}, nil }
			})
		if err != nil {
			t.Fatal(err)
		}
		return used
	}
	lent := func() *volatile.Lent {
		lent, found, err := d.(volatile.Borrower).Borrow(ctx, "ff:a:1")
		if err != nil || !found {
			t.Fatalf("%v, %v", found, err)
		}
		return lent
	}
	if get() || lent().Checked.Load() || !get() || !lent().Checked.Load() || !get() {
		t.Fatal("an entry is not loaded, then checked, then used")
	}
	damaged := bytes.Clone(lent().Value)
	damaged[len(damaged)-1]++
	for range 2 {
		if err := errors.Join(d.Set(ctx, []volatile.Item{{Key: "ff:a:1", Value: damaged}})...); err != nil {
			t.Fatal(err)
		}
		if lent().Checked.Load() || get() {
			t.Error("a damaged entry is used")
		}
	}
	if n := c.Stats().Foreign; n != 2 {
		t.Errorf("%d damaged entries were seen, want 2", n)
	}
}
