package volatile_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
	"github.com/fourfold-dev/fourfold/volatile/embedded"
)

// broken is a driver that fails on demand.
type broken struct {
	volatile.Driver
	mu   sync.Mutex
	err  error
	only string // the method that fails; empty: all
}

func (b *broken) fail(err error, only string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err, b.only = err, only
}

func (b *broken) now(method string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.only == "" || b.only == method {
		return b.err
	}
	return nil
}

func (b *broken) Features() volatile.Features { return b.Driver.(volatile.Featured).Features() }

func (b *broken) Get(ctx context.Context, keys []string) ([]volatile.Item, error) {
	if err := b.now("get"); err != nil {
		return nil, err
	}
	return b.Driver.Get(ctx, keys)
}

func (b *broken) Swap(ctx context.Context, item volatile.Item) error {
	if err := b.now("swap"); err != nil {
		return err
	}
	return b.Driver.Swap(ctx, item)
}

func (b *broken) Add(ctx context.Context, key string, delta int64, ttl time.Duration) (uint64, error) {
	if err := b.now("add"); err != nil {
		return 0, err
	}
	return b.Driver.Add(ctx, key, delta, ttl)
}

var down = fault.New(fault.ErrUnavailable, "volatile", "dial", "connection refused")

func openBroken(t testing.TB, opts *volatile.Options) (*volatile.Cache, *broken) {
	t.Helper()
	d, err := embedded.New(nil).OpenDriver(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b := &broken{Driver: d}
	c, err := volatile.New(b, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, b
}

func one(context.Context) (volatile.Entry, error) {
	return volatile.Entry{Value: []byte("one"), Stamp: volatile.Stamp{Version: 1}}, nil
}

// A cache that cannot be reached is no error for Fetch: load is called, and
// nothing is kept. Whatever fails, the answer is load's.
func TestFetchWithoutCache(t *testing.T) {
	unknown := fault.New(fault.ErrUnknown, "volatile", "swap", "timeout")
	for _, err := range []error{down, unknown, fault.New(fault.ErrBusy, "volatile", "get", "busy"), errors.New("a driver's error without a class")} {
		for _, method := range []string{"", "get", "swap"} {
			c, b := openBroken(t, nil)
			b.fail(err, method)
			for range 2 {
				e, got := c.Fetch(t.Context(), "k", time.Minute, one)
				if got != nil || string(e.Value) != "one" || e.Written.IsZero() {
					t.Errorf("with %v from %q: %+v, %v", err, method, e, got)
				}
			}
			if s := c.Stats(); s.Loads != 2 || s.Skipped != 2 {
				t.Errorf("with %v from %q: %+v", err, method, s)
			}
			b.fail(nil, "")
			if _, ok, _ := c.Get(t.Context(), "k"); ok {
				t.Errorf("with %v from %q something was kept", err, method)
			}
		}
	}
}

// A cache that dies while a reader loads is no error either.
func TestFetchCacheDiesMeanwhile(t *testing.T) {
	for _, method := range []string{"get", "swap", ""} {
		c, b := openBroken(t, nil)
		e, err := c.Fetch(t.Context(), "k", time.Minute, func(ctx context.Context) (volatile.Entry, error) {
			b.fail(down, method)
			return one(ctx)
		})
		if err != nil || string(e.Value) != "one" {
			t.Errorf("%q: %+v, %v", method, e, err)
		}
	}
}

// Writes say what happened: the class is the driver's, with operation and key.
func TestWritesWithoutCache(t *testing.T) {
	c, b := openBroken(t, nil)
	b.fail(down, "")
	e, _ := one(t.Context())
	_, errRaise := c.Raise(t.Context(), "some key", e, 0)
	_, _, errGet := c.Get(t.Context(), "some key")
	for _, err := range []error{errRaise, errGet, c.Invalidate(t.Context(), "some key", e.Stamp)} {
		if !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), `"some key"`) {
			t.Errorf("%v", err)
		}
	}
	b.fail(fault.New(fault.ErrUnknown, "volatile", "swap", "timeout"), "swap")
	if _, err := c.Raise(t.Context(), "k", e, 0); !fault.Unknown(err) {
		t.Errorf("a raise whose answer was lost: %v", err)
	}
}

// Without a cache a limiter opens, or closes if it was told so.
func TestLimiterWithoutCache(t *testing.T) {
	c, b := openBroken(t, nil)
	b.fail(down, "")
	limit := volatile.Limit{Events: 1}
	opens, _ := volatile.NewLimiter(c, "l", limit, nil)
	closes, _ := volatile.NewLimiter(c, "l", limit, &volatile.LimiterOptions{Closed: true})
	for range 3 {
		if wait, err := opens.Allow(t.Context(), "k", 1); wait != 0 || err != nil {
			t.Errorf("an open limiter: %v, %v", wait, err)
		}
	}
	if _, err := closes.Allow(t.Context(), "k", 1); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a closed limiter: %v", err)
	}
	if c.Stats().Skipped != 3 {
		t.Errorf("stats %+v", c.Stats())
	}
}

// Without a cache a presence with a Rebuild still knows who is there.
func TestPresenceWithoutCache(t *testing.T) {
	c, b := openBroken(t, nil)
	p, err := volatile.NewPresence(c, "p", &volatile.PresenceOptions{Rebuild: func(context.Context, string) ([]volatile.Member, error) {
		return []volatile.Member{{ID: "ann"}}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	b.fail(down, "")
	if members, err := p.Members(t.Context(), "k"); err != nil || len(members) != 1 {
		t.Errorf("members: %v, %v", members, err)
	}
	if err := p.Enter(t.Context(), "k", volatile.Member{ID: "bob"}); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("enter: %v", err)
	}
}

// Loads are held to the budget, and a load inside a load does not wait for it.
func TestRebuildBudget_C19(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := openBroken(t, &volatile.Options{Rebuilds: 3})
		b.fail(down, "")
		var running, most atomic.Int64
		load := func(ctx context.Context) (volatile.Entry, error) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			time.Sleep(time.Second)
			return c.Fetch(ctx, "inner", 0, one)
		}
		start := time.Now()
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				if _, err := c.Fetch(t.Context(), "k", 0, load); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most.Load() != 3 || time.Since(start) != 4*time.Second {
			t.Errorf("%d loads at once, %v in all", most.Load(), time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		for range 3 {
			wg.Go(func() { c.Fetch(t.Context(), "k", 0, load) })
		}
		synctest.Wait()
		if _, err := c.Fetch(ctx, "k", 0, load); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a reader whose context ended before there was a place: %v", err)
		}
		wg.Wait()
	})
}

// Close waits for the rebuilds that run behind, which end with it.
func TestCloseEndsRebuildsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := openBroken(t, nil)
		var ended atomic.Bool
		calls := 0
		v, err := volatile.NewView(c, "v", &volatile.ViewOptions[string]{TTL: time.Second, Stale: time.Hour,
			Rebuild: func(ctx context.Context, _ string) (string, error) {
				if calls++; calls == 1 {
					return "old", nil
				}
				<-ctx.Done()
				ended.Store(true)
				return "", ctx.Err()
			}})
		if err != nil {
			t.Fatal(err)
		}
		v.Get(t.Context(), "k")
		time.Sleep(2 * time.Second)
		if got, err := v.Get(t.Context(), "k"); got != "old" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		synctest.Wait() // the rebuild behind has begun
		if err := c.Close(); err != nil || !ended.Load() {
			t.Errorf("close: %v; the rebuild behind has ended: %v", err, ended.Load())
		}
	})
}

// A faulty declaration is refused with all its faults.
func TestOptionsRefused(t *testing.T) {
	d, _ := embedded.New(nil).OpenDriver(t.Context())
	defer d.Close()
	_, err := volatile.New(d, &volatile.Options{Namespace: "a:b", Lease: -1, Absence: -1, Rebuilds: -1})
	if !errors.Is(err, fault.ErrInvalid) {
		t.Fatalf("%v", err)
	}
	for _, word := range []string{"namespace", "lease", "absence", "rebuilds"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not name the %s", err, word)
		}
	}
	if _, err := volatile.Open(t.Context(), nil, nil); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("no source: %v", err)
	}
	c, _ := openBroken(t, nil)
	for _, name := range []string{"", "a.b", "a:b", "é", strings.Repeat("x", 65)} {
		if _, err := volatile.NewMeter(c, name); !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("a meter named %q: %v", name, err)
		}
	}
	for _, limit := range []volatile.Limit{{}, {Events: -1}, {Events: 1, Per: -1}, {Events: 1, Burst: -1}, {Events: 1, Per: time.Hour, Burst: 1_000_000_000}} {
		if _, err := volatile.NewLimiter(c, "l", limit, nil); !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("a limit of %+v: %v", limit, err)
		}
	}
}

// A scheme without a driver says which import mends it, and no error shows a
// password.
func TestURLErrors(t *testing.T) {
	for url, want := range map[string]string{
		"memcached://user:secret@h": "volatile/memcached", "memcache://user:secret@h": "known are embedded, memcached", "nothing": "scheme", "": "scheme",
	} {
		_, err := volatile.URL(url).OpenDriver(t.Context())
		if !errors.Is(err, fault.ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A late driver answers after a while; what is asked of it is done then, unless
// its caller has left.
type late struct {
	volatile.Driver
	by time.Duration
}

func (l *late) wait(ctx context.Context) error {
	select {
	case <-time.After(l.by):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *late) Features() volatile.Features { return l.Driver.(volatile.Featured).Features() }

func (l *late) Get(ctx context.Context, keys []string) ([]volatile.Item, error) {
	if err := l.wait(ctx); err != nil {
		return nil, err
	}
	return l.Driver.Get(ctx, keys)
}

func (l *late) Swap(ctx context.Context, item volatile.Item) error {
	if err := l.wait(ctx); err != nil {
		return err
	}
	return l.Driver.Swap(ctx, item)
}

// A busy server gets the lease of a load that failed back as well, and neither
// the reader whose load failed nor the next one waits for long.
func TestALeaseIsGivenBackToABusyServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := embedded.New(nil).OpenDriver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c, err := volatile.New(&late{d, 200 * time.Millisecond}, &volatile.Options{Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		broken := errors.New("the store of record is broken")
		began := time.Now()
		_, err = c.Fetch(t.Context(), "k", time.Minute, func(context.Context) (volatile.Entry, error) { return volatile.Entry{}, broken })
		if took := time.Since(began); !errors.Is(err, broken) || took > 500*time.Millisecond {
			t.Errorf("the reader whose load failed got %v after %v", err, took)
		}
		began = time.Now()
		e, err := c.Fetch(t.Context(), "k", time.Minute, one)
		if took := time.Since(began); err != nil || string(e.Value) != "one" || took > 2*time.Second {
			t.Errorf("the next one got %+v, %v after %v", e, err, took)
		}
	})
}
