package volatiletest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

var lifeChecks = []check{
	{name: "Cancelled", promise: "A call whose context has ended changes nothing and returns the context's error.", run: checkCancelled},
	{name: "CancelDuring", promise: "Every method returns within 100 ms of its context's end.", needs: needsPause, run: checkCancelDuring},
	{name: "Closed", promise: "After Close every method is fault.ErrClosed. Closing twice is fine.", run: checkClosed},
	{name: "OpenClose", promise: "Opening and closing is safe concurrently with everything.", run: checkOpenClose},
	{name: "TwoOpenings", promise: "Two openings of one source see the same entries, and their tokens hold across both.", run: checkTwoOpenings},
	{name: "Mixed", promise: "Every method is safe for concurrent use: 64 goroutines of mixed calls see only values that were written.", run: checkMixed},
	{name: "Restarts", promise: "Entries may vanish at any moment, but what is read was written, also across restarts in mid-run.", needs: needsRestart, run: checkRestarts},
}

// everyMethod calls each method once on key "k" and returns the errors.
func everyMethod(ctx context.Context, d volatile.Driver) map[string]error {
	_, errGet := d.Get(ctx, []string{"k"})
	_, errAdd := d.Add(ctx, "n", 1, 0)
	errs := map[string]error{
		"get": errGet, "add": errAdd,
		"set":    d.Set(ctx, []volatile.Item{{Key: "k", Value: []byte("changed")}})[0],
		"swap":   d.Swap(ctx, volatile.Item{Key: "k2", Value: []byte("changed")}),
		"delete": d.Delete(ctx, []string{"k"})[0],
	}
	if one, ok := d.(volatile.OneGetter); ok {
		_, _, errs["get one"] = one.GetOne(ctx, "k")
	}
	return errs
}

func checkCancelled(t *testing.T, e *env) {
	e.set(t, "k", []byte("v"), 0)
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	for op, err := range everyMethod(ctx, e.driver) {
		if !errors.Is(err, context.Canceled) || fault.Unknown(err) {
			t.Errorf("%s with a context that has ended: %v", op, err)
		}
	}
	e.want(t, "k", []byte("v"))
	e.want(t, "k2", nil)
	e.want(t, "n", nil)
}

func checkCancelDuring(t *testing.T, e *env) {
	e.set(t, "k", []byte("v"), 0)
	e.server.Pause()
	resume := sync.OnceFunc(e.server.Resume)
	defer resume()
	calls := map[string]func(context.Context, volatile.Driver) error{
		"get":    func(ctx context.Context, d volatile.Driver) error { _, err := d.Get(ctx, []string{"k"}); return err },
		"add":    func(ctx context.Context, d volatile.Driver) error { _, err := d.Add(ctx, "n", 1, 0); return err },
		"set":    func(ctx context.Context, d volatile.Driver) error { return d.Set(ctx, []volatile.Item{{Key: "k"}})[0] },
		"swap":   func(ctx context.Context, d volatile.Driver) error { return d.Swap(ctx, volatile.Item{Key: "k2"}) },
		"delete": func(ctx context.Context, d volatile.Driver) error { return d.Delete(ctx, []string{"k"})[0] },
	}
	for op, call := range calls {
		driver := e.open(t)
		ctx, cancel := context.WithTimeout(e.ctx, 30*time.Millisecond)
		start := time.Now()
		err := call(ctx, driver)
		late := time.Since(start) - 30*time.Millisecond
		cancel()
		if err == nil || fault.ClassOf(err) == nil && !fault.Cancelled(err) {
			t.Errorf("%s of a silent server: %v", op, err)
		}
		if late > 100*time.Millisecond {
			t.Errorf("%s returned %v after its context's end", op, late)
		}
	}
	resume()
}

func checkClosed(t *testing.T, e *env) {
	driver := e.open(t)
	for range 2 {
		if err := driver.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	for op, err := range everyMethod(e.ctx, driver) {
		if !errors.Is(err, fault.ErrClosed) {
			t.Errorf("%s after Close: %v", op, err)
		}
	}
	if driver.(volatile.Checker).Check(e.ctx).OK() {
		t.Error("a closed driver reports that it is well")
	}
	cache, err := volatile.New(driver, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = cache.Close()
	if r := cache.Check(e.ctx); r.OK() || r.Class != fault.ErrClosed {
		t.Errorf("a closed cache reports that it is not well, and why: %v", r)
	}
	e.set(t, "k", []byte("v"), 0) // the other opening goes on
}

func checkOpenClose(t *testing.T, e *env) {
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range e.size(50, 10) {
				driver, err := e.server.Source.OpenDriver(e.ctx)
				if err != nil {
					t.Errorf("open: %v", err)
					return
				}
				var inner sync.WaitGroup
				inner.Go(func() { everyMethod(e.ctx, driver) })
				inner.Go(func() { driver.Close() })
				driver.Close()
				inner.Wait()
			}
		})
	}
	wg.Wait()
}

func checkTwoOpenings(t *testing.T, e *env) {
	second := e.open(t)
	e.set(t, "k", []byte("one"), 0)
	items, err := second.Get(e.ctx, []string{"k"})
	if err != nil || len(items) != 1 || string(items[0].Value) != "one" {
		t.Fatalf("the second opening sees %v, %v", items, err)
	}
	e.set(t, "k", []byte("two"), 0)
	conflict(t, "swap by the second opening over a write of the first", second.Swap(e.ctx, items[0]))
	if _, err := second.Add(e.ctx, "n", 2, 0); err != nil {
		t.Fatal(err)
	}
	if sum, err := e.driver.Add(e.ctx, "n", 3, 0); sum != 5 || err != nil {
		t.Errorf("a counter of both openings: %d, %v", sum, err)
	}
}

// checkMixed writes values that name their key, so that any mix-up shows.
func checkMixed(t *testing.T, e *env) {
	var wg sync.WaitGroup
	for worker := range 64 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(worker)))
			for i := range e.size(1000, 60) {
				if err := mixed(e, r, fmt.Sprintf("k%d", r.IntN(40)), i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// mixed makes one random call; a conflict is no error, another key's value is.
func mixed(e *env, r *rand.Rand, key string, i int) error {
	value := fmt.Appendf(nil, "%s=%d", key, i)
	switch r.IntN(6) {
	case 0:
		return e.driver.Set(e.ctx, []volatile.Item{{Key: key, Value: value}})[0]
	case 1:
		return e.driver.Delete(e.ctx, []string{key})[0]
	case 2:
		_, err := e.driver.Add(e.ctx, "n"+key, 1, 0)
		return err
	}
	items, err := e.driver.Get(e.ctx, []string{key, "other" + key})
	if err != nil {
		return err
	}
	next := volatile.Item{Key: key, Value: value}
	for _, item := range items {
		var of string
		var n int
		if _, err := fmt.Sscanf(string(item.Value), "k%s", &of); err != nil || item.Key != key {
			return fmt.Errorf("%q came back for %q", item.Value, key)
		}
		if _, err := fmt.Sscanf(string(item.Value), key+"=%d", &n); err != nil {
			return fmt.Errorf("%q came back for %q", item.Value, key)
		}
		next.Token = item.Token
	}
	if err := e.driver.Swap(e.ctx, next); err != nil && !errors.Is(err, fault.ErrConflict) {
		return err
	}
	return nil
}

func checkRestarts(t *testing.T, e *env) {
	total := e.size(10_000, 600)
	for i := range total {
		if i == total/3 || i == total/2 {
			e.server.Restart()
			e.eventually(t, restartWithin, "writes work again", func() bool {
				return e.driver.Set(e.ctx, []volatile.Item{{Key: "probe", Value: []byte("x")}})[0] == nil
			})
			e.want(t, "k0", nil)
		}
		key := fmt.Sprintf("k%d", i%50)
		e.set(t, key, fmt.Appendf(nil, "%s=%d", key, i), 0)
		e.want(t, key, fmt.Appendf(nil, "%s=%d", key, i))
	}
}
