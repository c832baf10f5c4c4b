package volatiletest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

// fetch fetches with a load that returns the version and counts.
func fetch(ctx context.Context, c *volatile.Cache, key string, version int64, loads *atomic.Int64) (volatile.Entry, error) {
	return c.Fetch(ctx, key, time.Minute, func(context.Context) (volatile.Entry, error) {
		loads.Add(1)
		return versioned(version), nil
	})
}

func checkFetch(t *testing.T, e *env) {
	c, other := e.cache(t, nil), e.cache(t, nil)
	var loads atomic.Int64
	for i := range 3 {
		got, err := fetch(e.ctx, []*volatile.Cache{c, other, c}[i], "k", 7, &loads)
		if err != nil || string(got.Value) != "v7" || got.Stamp != stamp(7) || got.Written.IsZero() {
			t.Errorf("fetch %d: %+v, %v", i, got, err)
		}
	}
	if loads.Load() != 1 {
		t.Errorf("%d loads for 3 fetches", loads.Load())
	}
	wantVersion(t, other, "k", 7)
	if _, err := c.Fetch(e.ctx, "k", -1, nil); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("fetch with a negative TTL: %v", err)
	}
	stats := c.Stats()
	if stats.Hits != 1 || stats.Misses != 1 || stats.Loads != 1 {
		t.Errorf("stats %+v", stats)
	}
}

func checkAbsent(t *testing.T, e *env) {
	c := e.cache(t, &volatile.Options{Absence: time.Second})
	loads, start := 0, time.Now()
	absent := func(context.Context) (volatile.Entry, error) {
		loads++
		return volatile.Entry{Absent: true}, nil
	}
	for range 3 {
		got, err := c.Fetch(e.ctx, "k", time.Hour, absent)
		if err != nil || !got.Absent {
			t.Errorf("fetch: %+v, %v", got, err)
		}
	}
	entry, ok, err := c.Get(e.ctx, "k")
	if remembered := time.Since(start) < time.Second; remembered && loads != 1 {
		t.Errorf("%d loads while the absence is remembered", loads)
	} else if remembered && !ok || ok && !entry.Absent || err != nil {
		t.Errorf("get of a remembered absence: %+v, %v, %v", entry, ok, err)
	}
	mustRaise(t, c, "raised", volatile.Entry{Absent: true, Stamp: stamp(1)})
	e.eventually(t, 4*time.Second, "the absence is forgotten", func() bool {
		_, ok, _ := c.Get(e.ctx, "k")
		return !ok
	})
	mustRaise(t, c, "k", versioned(1))
	wantVersion(t, c, "k", 1)
}

func checkHerd(t *testing.T, e *env) {
	caches := []*volatile.Cache{e.cache(t, nil), e.cache(t, nil)}
	var loads atomic.Int64
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			got, err := caches[i%2].Fetch(e.ctx, "hot", time.Minute, func(ctx context.Context) (volatile.Entry, error) {
				loads.Add(1)
				pass(50 * time.Millisecond)
				return versioned(1), ctx.Err()
			})
			if err != nil || string(got.Value) != "v1" {
				t.Errorf("%q, %v", got.Value, err)
			}
			if len(got.Value) > 0 {
				got.Value[0] = 'X' // every reader owns what it got
			}
		})
	}
	wg.Wait()
	if loads.Load() > 2 {
		t.Errorf("%d loads", loads.Load())
	}
	wantVersion(t, caches[0], "hot", 1)
}

func checkTakeover(t *testing.T, e *env) {
	opts := &volatile.Options{Lease: 300 * time.Millisecond}
	crashed, same, other := e.cache(t, opts), e.cache(t, opts), e.cache(t, opts)
	hang, loading := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		got, err := crashed.Fetch(e.ctx, "k", time.Minute, func(context.Context) (volatile.Entry, error) {
			close(loading)
			<-hang
			return versioned(1), nil
		})
		if err != nil || got.Stamp != stamp(2) {
			t.Errorf("the reader that came back got version %d, %v; want the newer one", got.Stamp.Version, err)
		}
	})
	<-loading
	var loads atomic.Int64
	start := time.Now()
	var readers sync.WaitGroup
	for _, c := range []*volatile.Cache{crashed, same, other} {
		readers.Go(func() {
			if got, err := fetch(e.ctx, c, "k", 2, &loads); err != nil || got.Stamp != stamp(2) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	readers.Wait()
	if waited := time.Since(start); waited < 250*time.Millisecond {
		t.Errorf("taken over after %v, before the lease ended", waited)
	}
	if loads.Load() > 2 {
		t.Errorf("%d loads by three readers that took over", loads.Load())
	}
	close(hang)
	wg.Wait()
	wantVersion(t, other, "k", 2)
}

func checkLoadError(t *testing.T, e *env) {
	c := e.cache(t, nil)
	broken := errors.New("the store of record is broken")
	loading := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := c.Fetch(e.ctx, "k", 0, func(context.Context) (volatile.Entry, error) {
			close(loading)
			pass(50 * time.Millisecond)
			return volatile.Entry{}, broken
		})
		if !errors.Is(err, broken) {
			t.Errorf("the loader got %v", err)
		}
	})
	<-loading
	var loads atomic.Int64
	if _, err := fetch(e.ctx, c, "k", 1, &loads); err != nil && !errors.Is(err, broken) {
		t.Errorf("the waiting reader got %v", err)
	}
	wg.Wait()
	start := time.Now()
	if _, err := fetch(e.ctx, e.cache(t, nil), "k", 1, &loads); err != nil {
		t.Errorf("the next reader got %v", err)
	}
	if time.Since(start) > 2*time.Second {
		t.Error("the next reader waited for the end of a lease that was given back")
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a panic of load did not reach its caller")
			}
		}()
		c.Fetch(e.ctx, "p", 0, func(context.Context) (volatile.Entry, error) { panic("load") })
	}()
	if _, err := fetch(e.ctx, c, "p", 1, &loads); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

func checkLoaderLeaves(t *testing.T, e *env) {
	c := e.cache(t, nil)
	ctx, leave := context.WithCancel(e.ctx)
	loading := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := c.Fetch(ctx, "k", 0, func(ctx context.Context) (volatile.Entry, error) {
			close(loading)
			<-ctx.Done()
			return volatile.Entry{}, ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the reader that left got %v", err)
		}
	})
	<-loading
	var loads atomic.Int64
	for range 5 {
		wg.Go(func() {
			if got, err := fetch(e.ctx, c, "k", 1, &loads); err != nil || got.Stamp != stamp(1) {
				t.Errorf("a reader that waited got %+v, %v", got, err)
			}
		})
	}
	e.eventually(t, 2*time.Second, "the readers wait", func() bool { return c.Stats().Waits >= 5 })
	leave()
	wg.Wait()
	if loads.Load() != 1 {
		t.Errorf("%d loads by five readers that took over", loads.Load())
	}
}

func checkSlowReader(t *testing.T, e *env) {
	between := map[string]func(c *volatile.Cache, key string) error{
		"raise": func(c *volatile.Cache, key string) error { _, err := c.Raise(e.ctx, key, versioned(2), 0); return err },
		"replace": func(c *volatile.Cache, key string) error {
			_, err := c.Replace(e.ctx, key, versioned(2), 0)
			return err
		},
		"invalidate": func(c *volatile.Cache, key string) error { return c.Invalidate(e.ctx, key, stamp(2)) },
		"delete":     func(c *volatile.Cache, key string) error { return c.Delete(e.ctx, key) },
		"raise and evict": func(c *volatile.Cache, key string) error {
			_, err := c.Raise(e.ctx, key, versioned(2), 0)
			return errors.Join(err, c.Delete(e.ctx, key))
		},
		"invalidate newer, then older": func(c *volatile.Cache, key string) error {
			err := c.Invalidate(e.ctx, key, stamp(3))
			return errors.Join(err, c.Delete(e.ctx, key), c.Invalidate(e.ctx, key, stamp(1)))
		},
	}
	reader, writer := e.cache(t, nil), e.cache(t, nil)
	for name, act := range between {
		key := "k " + name
		got, err := reader.Fetch(e.ctx, key, time.Minute, func(context.Context) (volatile.Entry, error) {
			return versioned(1), act(writer, key)
		})
		if err != nil || got.Stamp != stamp(1) && got.Stamp != stamp(2) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		entry, ok, err := reader.Get(e.ctx, key)
		if err != nil || ok && entry.Stamp != stamp(2) {
			t.Errorf("after %s the reader put back version %d, %v", name, entry.Stamp.Version, err)
		}
	}
}
