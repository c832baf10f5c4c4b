package volatile_test

import (
	"context"
	"encoding/binary"
	"strconv"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/volatile"
	"github.com/fourfold-dev/fourfold/volatile/embedded"
)

// A user is an object of about 300 bytes.
type user struct {
	ID      string `persistence:"key"`
	Name    string
	Email   string
	Home    string
	Tags    []string
	Visits  int64
	Created time.Time
	Bio     string
}

var ann = user{ID: "u-000001", Name: "Ann Example", Email: "ann@example.org", Home: "Pier 4, Old Harbour", Tags: []string{"gold", "early", "pier"},
	Visits: 1234, Created: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC), Bio: "Lives near the pier, and checks in there most days of the week."}

func benchCache(b *testing.B) (*volatile.Cache, volatile.Driver) {
	b.Helper()
	d, err := embedded.New(nil).OpenDriver(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	c, err := volatile.New(d, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c, d
}

// BenchmarkCachedGet compares a cached Get with the decoding of its bytes,
// which no cache of bytes can do without.
func BenchmarkCachedGet(b *testing.B) {
	ctx := context.Background()
	c, d := benchCache(b)
	view, err := volatile.NewView(c, "users", &volatile.ViewOptions[user]{Rebuild: func(context.Context, string) (user, error) { return ann, nil }})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := view.Get(ctx, ann.ID); err != nil {
		b.Fatal(err)
	}
	items, _ := d.Get(ctx, []string{"ff.v.users:" + ann.ID})
	decode := volatile.DecodeForBench[user](b)
	body := items[0].Value[30:]
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decode(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("view", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := view.Get(ctx, ann.ID); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bytes", func(b *testing.B) {
		b.ReportAllocs()
		c.Raise(ctx, ann.ID, volatile.Entry{Value: body}, 0)
		for b.Loop() {
			if _, _, err := c.Get(ctx, ann.ID); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLimiter compares Allow with the swap of a number by hand.
func BenchmarkLimiter(b *testing.B) {
	ctx := context.Background()
	c, d := benchCache(b)
	l, err := volatile.NewLimiter(c, "l", volatile.Limit{Events: 1000, Burst: 1_000_000_000}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("raw", func(b *testing.B) {
		for b.Loop() {
			next := volatile.Item{Key: "k", Value: make([]byte, 8), TTL: time.Second}
			if items, _ := d.Get(ctx, []string{"k"}); len(items) == 1 {
				next.Token = items[0].Token
				binary.BigEndian.PutUint64(next.Value, binary.BigEndian.Uint64(items[0].Value)+1)
			}
			if err := d.Swap(ctx, next); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("allow", func(b *testing.B) {
		for b.Loop() {
			if _, err := l.Allow(ctx, "k", 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMeter compares Hit with the two increments that it is made of.
func BenchmarkMeter(b *testing.B) {
	ctx := context.Background()
	c, d := benchCache(b)
	m, err := volatile.NewMeter(c, "m")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("raw", func(b *testing.B) {
		for b.Loop() {
			now := time.Now().Unix()
			d.Add(ctx, "m:s:pier:"+strconv.FormatInt(now, 10), 1, time.Minute)
			d.Add(ctx, "m:m:pier:"+strconv.FormatInt(now/60, 10), 1, time.Hour)
		}
	})
	b.Run("hit", func(b *testing.B) {
		for b.Loop() {
			if err := m.Hit(ctx, "pier", 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}
