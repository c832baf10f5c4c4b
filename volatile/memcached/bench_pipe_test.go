package memcached

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/fourfold-dev/fourfold/volatile"
)

// BenchmarkPipe compares the pipe with a connection for every operation under
// way, for sets of 300 bytes.
func BenchmarkPipe(b *testing.B) {
	s := startServer(b)
	lanes := openAt(b, Options{Timeout: patient, Conns: 256}, s.addr)
	lanes.members[0].pipeFrom = math.MaxInt
	always := openAt(b, Options{Timeout: patient}, s.addr)
	always.members[0].pipeFrom = 0
	auto := openAt(b, Options{Timeout: patient}, s.addr)
	value := string(make([]byte, 300))
	set := func(d *driver) func(i int) error {
		return func(i int) error { return d.set(fmt.Sprintf("key:%d", i%1000), value) }
	}
	for _, g := range []int{1, 4, 16, 64, 256} {
		b.Run(fmt.Sprintf("always-%d", g), func(b *testing.B) { ratio(b, g, set(lanes), set(always)) })
		b.Run(fmt.Sprintf("auto-%d", g), func(b *testing.B) { ratio(b, g, set(lanes), set(auto)) })
	}
}

// BenchmarkGroup compares a Set of 64 entries with the client's sets from as
// many goroutines as a driver without a pipe would have used; per entry.
func BenchmarkGroup(b *testing.B) {
	s := startServer(b)
	raw := memcache.New(s.addr)
	raw.MaxIdleConns, raw.Timeout = 64, patient
	d := openAt(b, Options{Timeout: patient}, s.addr)
	value := make([]byte, 300)
	items := make([]volatile.Item, 64)
	for i := range items {
		items[i] = volatile.Item{Key: fmt.Sprintf("key:%d", i), Value: value, TTL: time.Minute}
	}
	for _, g := range []int{1, 4} {
		b.Run(fmt.Sprintf("set-%d", g), func(b *testing.B) {
			ratio(b, g, func(int) error {
				parallel(b, 8, len(items), func(i int) error {
					return raw.Set(&memcache.Item{Key: items[i-1].Key, Value: value, Expiration: 60})
				})
				return nil
			}, func(int) error {
				for _, err := range d.Set(context.Background(), items) {
					if err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

// A guest is an object of about 300 bytes.
type guest struct {
	ID, Name, Email, Home, Bio string
	Tags                       []string
	Visits                     int64
}

func mustJSON(b *testing.B, v any) []byte {
	data, err := json.Marshal(v)
	must(b, err)
	return data
}

// BenchmarkCachedGet compares a View's Get with the client's and the decoding
// of its bytes.
func BenchmarkCachedGet(b *testing.B) {
	s := startServer(b)
	raw := memcache.New(s.addr)
	raw.MaxIdleConns, raw.Timeout = 64, patient
	cache, err := volatile.New(openAt(b, Options{Timeout: patient}, s.addr), nil)
	must(b, err)
	ann := guest{ID: "u-000001", Name: "Ann Example", Email: "ann@example.org", Home: "Pier 4, Old Harbour", Tags: []string{"gold", "early", "pier"},
		Visits: 1234, Bio: "Lives near the pier, and checks in there most days of the week, mostly before eight in the morning."}
	view, err := volatile.NewView(cache, "guests", &volatile.ViewOptions[guest]{
		Rebuild: func(context.Context, string) (guest, error) { return ann, nil }})
	must(b, err)
	body := mustJSON(b, ann)
	must(b, raw.Set(&memcache.Item{Key: "raw", Value: body}))
	ctx := context.Background()
	for _, g := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("get-%d", g), func(b *testing.B) {
			ratio(b, g, func(int) error {
				item, err := raw.Get("raw")
				if err != nil {
					return err
				}
				var g guest
				return json.Unmarshal(item.Value, &g)
			}, func(int) error { _, err := view.Get(ctx, ann.ID); return err })
		})
	}
}
