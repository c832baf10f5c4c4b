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

	"github.com/fourfold-dev/fourfold/volatile"
)

// parallel runs b.N operations from so many goroutines.
func parallel(b *testing.B, goroutines int, op func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range goroutines {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= b.N; i = int(next.Add(1)) {
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
	for _, g := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("get/raw-%d", g), func(b *testing.B) {
			parallel(b, g, func(i int) error { _, err := raw.Get(key(i)); return err })
		})
		b.Run(fmt.Sprintf("get/driver-%d", g), func(b *testing.B) {
			parallel(b, g, func(i int) error { _, _, err := d.GetOne(background, key(i)); return err })
		})
		b.Run(fmt.Sprintf("get/cancellable-%d", g), func(b *testing.B) {
			parallel(b, g, func(i int) error { _, _, err := d.GetOne(cancellable, key(i)); return err })
		})
		b.Run(fmt.Sprintf("set/raw-%d", g), func(b *testing.B) {
			parallel(b, g, func(i int) error { return raw.Set(&memcache.Item{Key: key(i), Value: value, Expiration: 60}) })
		})
		b.Run(fmt.Sprintf("set/driver-%d", g), func(b *testing.B) {
			parallel(b, g, func(i int) error {
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
	b.Run("raw swap", func(b *testing.B) { parallel(b, 1, func(int) error { return swap("k") }) })
	b.Run("allow", func(b *testing.B) { parallel(b, 1, func(int) error { _, err := l.Allow(ctx, "k", 1); return err }) })
	b.Run("raw swap hot", func(b *testing.B) {
		parallel(b, 64, func(int) error {
			for {
				if err := swap("hot"); !errors.Is(err, memcache.ErrCASConflict) && !errors.Is(err, memcache.ErrNotStored) {
					return err
				}
			}
		})
	})
	b.Run("allow hot", func(b *testing.B) { parallel(b, 64, func(int) error { _, err := l.Allow(ctx, "hot", 1); return err }) })
	b.Run("raw two increments", func(b *testing.B) {
		parallel(b, 16, func(int) error {
			_, err := raw.Increment("n", 1)
			_, err2 := raw.Increment("n", 1)
			return errors.Join(err, err2)
		})
	})
	b.Run("hit", func(b *testing.B) { parallel(b, 16, func(int) error { return m.Hit(ctx, "pier", 1) }) })
}
