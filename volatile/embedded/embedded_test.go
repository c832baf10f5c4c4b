package embedded

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
	"github.com/fourfold-dev/fourfold/volatile/volatiletest"
)

// Close frees goroutines: none is left when the tests are done.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// minutely is the time, but what has expired is cleaned up every minute only.
// By default that is every second: 2.7 million times in the month that a check
// waits. What expires is not seen in either case.
type minutely struct{}

func (minutely) NowNano() int64                      { return time.Now().UnixNano() }
func (minutely) Tick(time.Duration) <-chan time.Time { return time.Tick(time.Minute) }

func TestConformance(t *testing.T) {
	volatiletest.Run(t, volatiletest.Harness{
		Virtual: true,
		Start: func(t testing.TB) volatiletest.Server {
			s := New(nil).(*source)
			s.clock = minutely{}
			return volatiletest.Server{Source: s, Restart: func() { s.store.clear() }}
		},
	})
}

func openSize(t testing.TB, size int64) *driver {
	t.Helper()
	d, err := New(&Options{Size: size}).OpenDriver(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d.(*driver)
}

// Up to the size nothing is evicted.
func TestNothingEvictedWithinBounds(t *testing.T) {
	d := openSize(t, 1_000_000)
	ctx := context.Background()
	value := make([]byte, 1000)
	most := 1_000_000 / (1000 + overhead + len("key 000"))
	for i := range most {
		d.Set(ctx, []volatile.Item{{Key: fmt.Sprintf("key %03d", i), Value: value}})
	}
	for i := range most {
		if items, _ := d.Get(ctx, []string{fmt.Sprintf("key %03d", i)}); len(items) != 1 {
			t.Errorf("entry %d of %d was evicted", i, most)
		}
	}
}

// Past the size entries go, whatever is written: memory is bounded.
func TestBounded(t *testing.T) {
	d := openSize(t, 1_000_000)
	ctx := context.Background()
	for i := range 20_000 {
		d.Set(ctx, []volatile.Item{{Key: fmt.Sprintf("key %d", i), Value: make([]byte, 900)}})
	}
	d.store.cache.CleanUp()
	if size := d.store.cache.WeightedSize(); size > 1_000_000 {
		t.Errorf("%d bytes in a cache of 1,000,000", size)
	}
	var weighed int
	for key, r := range d.store.cache.All() {
		weighed += len(key) + len(r.Value) + overhead
	}
	if weighed > 1_000_000 {
		t.Errorf("the entries weigh %d bytes in a cache of 1,000,000", weighed)
	}
}

// Two sources never meet; opening one again after its last Close starts empty.
func TestSources(t *testing.T) {
	ctx := context.Background()
	source := New(nil)
	d, _ := source.OpenDriver(ctx)
	other, _ := New(nil).OpenDriver(ctx)
	d.Set(ctx, []volatile.Item{{Key: "k"}})
	if items, _ := other.Get(ctx, []string{"k"}); len(items) != 0 {
		t.Error("another source sees the entry")
	}
	d.Close()
	other.Close()
	d, _ = source.OpenDriver(ctx)
	defer d.Close()
	if items, _ := d.Get(ctx, []string{"k"}); len(items) != 0 {
		t.Error("an entry outlived the last Close")
	}
}

func TestURL(t *testing.T) {
	for url, size := range map[string]int64{
		"embedded:": 0, "embedded://": 0, "embedded:?size=64MB": 64_000_000, "embedded:?size=1GiB": 1 << 30, "embedded:?size=64kB": 64_000,
		"embedded:?size=100000": 100_000, "embedded:?size=1.5 MB": 1_500_000,
	} {
		opts, err := parse(url)
		if err != nil || opts.Size != size {
			t.Errorf("%s: %+v, %v; want %d bytes", url, opts, err, size)
		}
	}
	for _, url := range []string{"embedded:?size=", "embedded:?size=64", "embedded:?size=-5MB", "embedded:?size=NaNMB", "embedded:?size=1e300GB",
		"embedded:?sice=64MB", "embedded:/var/cache", "embedded:?%zz", "embedded:?size=10XB",
		"embedded:?size=1MB&size=2MB", "embedded:#size=1MB"} {
		_, err := volatile.URL(url).OpenDriver(context.Background())
		if !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("%s: %v", url, err)
		}
	}
	d, err := volatile.URL("embedded:?size=1MB").OpenDriver(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if _, err := New(&Options{Size: 1}).OpenDriver(context.Background()); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("a size of one byte: %v", err)
	}
}

func FuzzParseSize(f *testing.F) {
	f.Add("64MB")
	f.Add("1e9")
	f.Add("0x1pMB")
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := parseSize(text); err == nil && n < leastSize || err != nil && n != 0 {
			t.Errorf("%q is %d, %v", text, n, err)
		}
	})
}

// TestAllocations pins what a hit costs: the result, the copy of the value.
func TestAllocations(t *testing.T) {
	d := openSize(t, 1_000_000)
	ctx := context.Background()
	d.Set(ctx, []volatile.Item{{Key: "k", Value: []byte(strings.Repeat("x", 300))}})
	keys := []string{"k"}
	if n := testing.AllocsPerRun(1000, func() { d.Get(ctx, keys) }); n > 2 {
		t.Errorf("%v allocations per Get", n)
	}
}

func BenchmarkGet(b *testing.B) {
	d := openSize(b, defaultSize)
	ctx := context.Background()
	d.Set(ctx, []volatile.Item{{Key: "k", Value: make([]byte, 300), TTL: time.Hour}})
	keys := []string{"k"}
	b.ReportAllocs()
	for b.Loop() {
		d.Get(ctx, keys)
	}
}

func BenchmarkSet(b *testing.B) {
	d := openSize(b, defaultSize)
	ctx := context.Background()
	items := []volatile.Item{{Key: "k", Value: make([]byte, 300), TTL: time.Hour}}
	b.ReportAllocs()
	for b.Loop() {
		d.Set(ctx, items)
	}
}

func BenchmarkAdd(b *testing.B) {
	d := openSize(b, defaultSize)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		d.Add(ctx, "n", 1, time.Hour)
	}
}
