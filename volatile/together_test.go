package volatile_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/volatile"
	"github.com/fourfold-dev/fourfold/volatile/embedded"
)

// A distant driver answers after a millisecond, and notes how many entries are
// swapped at a time.
type distant struct {
	volatile.Driver
	mu      sync.Mutex
	swapped []int
}

func (d *distant) Get(ctx context.Context, keys []string) ([]volatile.Item, error) {
	time.Sleep(time.Millisecond)
	return d.Driver.Get(ctx, keys)
}

func (d *distant) Swap(ctx context.Context, item volatile.Item) error {
	d.note(1)
	return d.Driver.Swap(ctx, item)
}

func (d *distant) SwapAll(ctx context.Context, items []volatile.Item) []error {
	d.note(len(items))
	errs := make([]error, len(items))
	for i, item := range items {
		errs[i] = d.Driver.Swap(ctx, item)
	}
	return errs
}

func (d *distant) note(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.swapped = append(d.swapped, n)
}

// Many callers with a write each need few round trips, a lone one is written at
// once, and each learns what became of its own.
func TestSingleWritesOfManyCallersGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner, err := embedded.New(nil).OpenDriver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		d := &distant{Driver: inner}
		cache, err := volatile.New(d, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer cache.Close()
		put := func(key string, version int64) volatile.Written {
			return cache.WriteAll(t.Context(), []volatile.Write{{Key: key, Entry: volatile.Entry{
				Stamp: volatile.Stamp{Version: version}, Value: []byte(key)}}})[0]
		}
		put("k7", 9)
		if len(d.swapped) != 1 || d.swapped[0] != 1 {
			t.Fatalf("a lone write swapped %d", d.swapped)
		}
		const callers = 100
		out := make([]volatile.Written, callers)
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() { out[i] = put(fmt.Sprint("k", i), 5) })
		}
		all.Wait()
		for i, w := range out {
			if w.Err != nil || w.Superseded != (i == 7) {
				t.Errorf("write %d: %+v", i, w)
			}
			if e, ok, err := cache.Get(t.Context(), fmt.Sprint("k", i)); err != nil || !ok || string(e.Value) != fmt.Sprint("k", i) {
				t.Errorf("entry %d: %q %v %v", i, e.Value, ok, err)
			}
		}
		if n := len(d.swapped); n > 20 {
			t.Errorf("%d writes took %d swaps", callers, n)
		}
	})
}
