package persistence_test

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/fourfold-dev/fourfold/internal/costtest"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/volatile"
	_ "github.com/fourfold-dev/fourfold/volatile/memcached"
)

// A resident is an object of 120 bytes to some kilobytes.
type resident struct {
	ID      string `persistence:"key"`
	Name    string
	Email   string
	Home    string
	Tags    []string
	Visits  int64
	Created time.Time
	Bio     string
}

// residents are objects of several sizes, by how they are called in the benchmark.
// What a Get takes beside the decoding does not grow with the object.
func residents() map[string]resident {
	small := resident{ID: residentAnn.ID, Name: residentAnn.Name, Created: residentAnn.Created}
	large := residentAnn
	large.Bio = strings.Repeat(residentAnn.Bio+" ", 30)
	return map[string]resident{"120B": small, "250B": residentAnn, "2kB": large}
}

var residentAnn = resident{ID: "u-000001", Name: "Ann Example", Email: "ann@example.org", Home: "Pier 4, Old Harbour", Tags: []string{"gold", "early", "pier"},
	Visits: 1234, Created: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC), Bio: "Lives near the pier, and checks in there most days of the week."}

// BenchmarkCachedGet compares a Get that the cache answers with the decoding of
// the object's bytes, on memcached with the bare client's get and that.
func BenchmarkCachedGet(b *testing.B) {
	typ, faults := record.Compile(reflect.TypeFor[resident]())
	if len(faults) > 0 {
		b.Fatal(faults)
	}
	var fields []*record.Field
	for i := range typ.Fields {
		fields = append(fields, &typ.Fields[i])
	}
	set := typ.Set(fields)
	decode := func(body []byte) error {
		var o resident
		return set.Decode(body, reflect.ValueOf(&o).Elem())
	}
	all := residents()
	for _, size := range slices.Sorted(maps.Keys(all)) {
		object := all[size]
		body, err := set.Append(nil, reflect.ValueOf(object))
		if err != nil {
			b.Fatal(err)
		}
		b.Run("embedded/"+size, func(b *testing.B) {
			get := openCached(b, embedded.Stores(b.TempDir()), object)
			costtest.Ratio(b, 200, func() error { return decode(body) }, get)
		})
		benchMemcached(b, size, object, body, decode)
	}
}

// benchMemcached compares with the bare client's get and the decoding.
func benchMemcached(b *testing.B, size string, object resident, body []byte, decode func([]byte) error) {
	b.Run("memcached/"+size, func(b *testing.B) {
		server := servers.Test(b, servers.Memcached{})
		stores := embedded.Stores(b.TempDir())
		stores.Volatile = volatile.URL(server.URL())
		raw := memcache.New(server.Address())
		raw.Timeout = time.Minute
		if err := raw.Set(&memcache.Item{Key: "raw", Value: body}); err != nil {
			b.Fatal(err)
		}
		get := openCached(b, stores, object)
		costtest.Ratio(b, 200, func() error {
			item, err := raw.Get("raw")
			if err != nil {
				return err
			}
			return decode(item.Value)
		}, get)
	})
}

// What a Get takes from the heap beside the nine fields of its object is nothing;
// the race detector empties pools, for two more.
func TestACachedGetCosts(t *testing.T) {
	get := openCached(t, embedded.Stores(t.TempDir()), residentAnn)
	costtest.Check(t, "a cached Get", 1, costtest.Bound{Allocs: 11.5, Bytes: 640}, func() {
		if err := get(); err != nil {
			t.Fatal(err)
		}
	})
}

// openCached opens a layer whose cache has an object, and returns its Get.
func openCached(b testing.TB, stores persistence.Stores, object resident) func() error {
	b.Helper()
	ctx := context.Background()
	layer, err := persistence.Open(ctx, stores, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { layer.Close() })
	h := persistence.Declare(layer, "resident", persistence.Plan[resident]{
		{Name: "row", Purpose: persistence.Transactional},
		{Name: "cache", Purpose: persistence.Volatile},
	})
	if _, err := h.Put(ctx, object); err != nil {
		b.Fatal(err)
	}
	return func() error { _, err := h.Get(ctx, object.ID); return err }
}
