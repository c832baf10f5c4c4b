package volatile_test

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/costtest"
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
	body := items[0].Value[30:]
	decode := volatile.DecodeForBench[user](b)
	costtest.Ratio(b, 1000, func() error { _, err := decode(body); return err }, func() error { _, err := view.Get(ctx, ann.ID); return err })
}

// BenchmarkLimiter compares Allow with the swap of a number by hand.
func BenchmarkLimiter(b *testing.B) {
	ctx := context.Background()
	c, d := benchCache(b)
	l, err := volatile.NewLimiter(c, "l", volatile.Limit{Events: 1000, Burst: 1_000_000_000}, nil)
	if err != nil {
		b.Fatal(err)
	}
	costtest.Ratio(b, 1000, func() error {
		key := "raw.l." + ann.ID
		next := volatile.Item{Key: key, Value: make([]byte, 8), TTL: time.Hour}
		if items, _ := d.Get(ctx, []string{key}); len(items) == 1 {
			next.Token = items[0].Token
			binary.BigEndian.PutUint64(next.Value, binary.BigEndian.Uint64(items[0].Value)+1)
		}
		return d.Swap(ctx, next)
	}, func() error { _, err := l.Allow(ctx, ann.ID, 1); return err })
}

// BenchmarkMeter compares Hit with the two increments that it is made of.
func BenchmarkMeter(b *testing.B) {
	ctx := context.Background()
	c, d := benchCache(b)
	m, err := volatile.NewMeter(c, "m")
	if err != nil {
		b.Fatal(err)
	}
	costtest.Ratio(b, 1000, func() error {
		now := time.Now().Unix()
		_, err := d.Add(ctx, "m:s:pier:"+strconv.FormatInt(now, 10), 1, time.Minute)
		_, err2 := d.Add(ctx, "m:m:pier:"+strconv.FormatInt(now/60, 10), 1, time.Hour)
		return errors.Join(err, err2)
	}, func() error { return m.Hit(ctx, "pier", 1) })
}
