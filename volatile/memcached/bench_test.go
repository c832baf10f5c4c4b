package memcached

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/fourfold-dev/fourfold/internal/costtest"
	"github.com/fourfold-dev/fourfold/volatile"
)

// ratio compares two operations that so many goroutines do.
func ratio(b *testing.B, goroutines int, raw, ours func(i int) error) {
	b.Helper()
	const batch = 400
	costtest.RatioOfBatches(b, batch,
		func() { parallel(b, goroutines, batch, raw) }, func() { parallel(b, goroutines, batch, ours) })
}

// parallel runs n operations from so many goroutines.
func parallel(b *testing.B, goroutines, n int, op func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				if err := op(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkAgainstClient compares the driver with the bare client.
func BenchmarkAgainstClient(b *testing.B) {
	s := startServer(b)
	value := make([]byte, 300)
	raw := memcache.New(s.addr)
	raw.MaxIdleConns, raw.Timeout = 64, patient
	d := openAt(b, Options{Timeout: patient}, s.addr)
	background := context.Background()
	cancellable, cancel := context.WithCancel(background)
	defer cancel()
	key := func(i int) string { return fmt.Sprintf("key:%d", i%1000) }
	for i := range 1000 {
		must(b, raw.Set(&memcache.Item{Key: key(i), Value: value}))
		must(b, d.set(key(i), string(value)))
	}
	rawGet := func(i int) error { _, err := raw.Get(key(i)); return err }
	rawSet := func(i int) error { return raw.Set(&memcache.Item{Key: key(i), Value: value, Expiration: 60}) }
	for _, g := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("get-%d", g), func(b *testing.B) {
			ratio(b, g, rawGet, func(i int) error { _, _, err := d.GetOne(background, key(i)); return err })
		})
		b.Run(fmt.Sprintf("get-cancellable-%d", g), func(b *testing.B) {
			ratio(b, g, rawGet, func(i int) error { _, _, err := d.GetOne(cancellable, key(i)); return err })
		})
		b.Run(fmt.Sprintf("set-%d", g), func(b *testing.B) {
			ratio(b, g, rawSet, func(i int) error {
				return d.Set(background, []volatile.Item{{Key: key(i), Value: value, TTL: time.Minute}})[0]
			})
		})
	}
}

// BenchmarkLimiter compares Allow with the two commands that it is made of,
// and with counting by increments.
func BenchmarkLimiter(b *testing.B) {
	s := startServer(b)
	raw := memcache.New(s.addr)
	raw.MaxIdleConns, raw.Timeout = 64, patient
	cache, err := volatile.New(openAt(b, Options{Timeout: patient}, s.addr), nil)
	must(b, err)
	l, err := volatile.NewLimiter(cache, "l", volatile.Limit{Events: 1000, Burst: 1_000_000_000}, nil)
	must(b, err)
	m, err := volatile.NewMeter(cache, "m")
	must(b, err)
	must(b, raw.Set(&memcache.Item{Key: "n", Value: []byte("0")}))
	ctx := context.Background()
	swap := func(key string) error {
		item, err := raw.Get(key)
		if errors.Is(err, memcache.ErrCacheMiss) {
			return raw.Add(&memcache.Item{Key: key, Value: make([]byte, 8)})
		}
		if err != nil {
			return err
		}
		return raw.CompareAndSwap(item)
	}
	hot := func(int) error {
		for {
			if err := swap("hot"); !errors.Is(err, memcache.ErrCASConflict) && !errors.Is(err, memcache.ErrNotStored) {
				return err
			}
		}
	}
	increments := func(int) error {
		_, err := raw.Increment("n", 1)
		_, err2 := raw.Increment("n", 1)
		return errors.Join(err, err2)
	}
	b.Run("limiter", func(b *testing.B) {
		ratio(b, 1, func(int) error { return swap("k") }, func(int) error { _, err := l.Allow(ctx, "k", 1); return err })
	})
	b.Run("limiter-hot", func(b *testing.B) {
		ratio(b, 64, hot, func(int) error { _, err := l.Allow(ctx, "hot", 1); return err })
	})
	b.Run("meter", func(b *testing.B) {
		ratio(b, 16, increments, func(int) error { return m.Hit(ctx, "pier", 1) })
	})
}
