package volatile

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Meter measures how many arrive, by key: per second over the last 30
// seconds, in the last minute and in the last hour. It is shared by all
// processes that use the same cache and name.
//
// Arrivals are counted in buckets of a second and of a minute. Of the bucket
// that a window begins in, the share that lies inside is counted, as if its
// arrivals were spread evenly: that is the whole error, besides what the cache
// lost and the difference of the processes' clocks.
type Meter struct {
	face face

	mu    sync.Mutex
	news  map[int64]sketch // what other processes have not heard of, by minute
	armed bool             // they will
}

// Rates are what a Meter measured.
type Rates struct {
	PerSecond float64 // arrivals per second over the last 30 seconds
	Minute    float64 // arrivals in the last 60 seconds
	Hour      float64 // arrivals in the last 60 minutes
}

// The buckets outlive the window that they are read for.
const (
	secondsKept = 65 * time.Second
	minutesKept = 62 * time.Minute
)

// NewMeter returns the meter of a name: 1 to 64 letters, digits, '_' and '-'.
func NewMeter(cache *Cache, name string) (*Meter, error) {
	f, err := cache.face("m", name)
	return &Meter{face: f}, err
}

// Hit counts n arrivals now; n is 1 or more. An outcome that is unknown is
// never repeated: the arrivals were counted once, in part, or not.
func (m *Meter) Hit(ctx context.Context, key string, n int) error {
	if err := m.face.cache.ready("hit", key); err != nil {
		return err
	}
	if n < 1 {
		return fault.New(fault.ErrInvalid, purpose, "hit", fmt.Sprintf("%d arrivals", n))
	}
	now := time.Now().Unix()
	err := m.face.cache.addAll(ctx,
		Increment{m.bucket('s', now, key), int64(n), secondsKept},
		Increment{m.bucket('m', now/60, key), int64(n), minutesKept})
	if err == nil {
		m.note(now/60, key, n)
	}
	return m.face.cache.fail("hit", key, err)
}

// bucket is the driver's key of one bucket.
func (m *Meter) bucket(unit byte, index int64, key string) string {
	b := make([]byte, 0, len(m.face.prefix)+16+len(key))
	b = append(b, m.face.prefix...)
	b = append(b, unit)
	b = strconv.AppendInt(b, index, 36)
	b = append(b, ':')
	return string(append(b, key...))
}

// Rates returns what was measured until now. Buckets that the cache has lost
// count as empty.
func (m *Meter) Rates(ctx context.Context, key string) (Rates, error) {
	if err := m.face.cache.ready("rates", key); err != nil {
		return Rates{}, err
	}
	now := time.Now()
	second, minute := now.Unix(), now.Unix()/60
	keys := make([]string, 0, 2*61)
	for age := range int64(61) {
		keys = append(keys, m.bucket('s', second-age, key), m.bucket('m', minute-age, key))
	}
	counts, err := m.read(ctx, keys)
	if err != nil {
		return Rates{}, m.face.cache.fail("rates", key, err)
	}
	// keys alternates between seconds and minutes, youngest first.
	window := func(first, whole int, unit byte) float64 {
		sum := 0.0
		for age := range whole {
			sum += counts[keys[first+2*age]]
		}
		return sum + counts[keys[first+2*whole]]*(1-passed(unit, now))
	}
	return Rates{PerSecond: window(0, 30, 's') / 30, Minute: window(0, 60, 's'), Hour: window(1, 60, 'm')}, nil
}

// counts are the arrivals of some keys over so many whole buckets, and the
// share of the one before them.
func (m *Meter) counts(ctx context.Context, unit byte, whole int, now time.Time, keys ...string) ([]float64, error) {
	index := now.Unix()
	if unit == 'm' {
		index /= 60
	}
	var buckets []string
	for _, key := range keys {
		for age := range int64(whole + 1) {
			buckets = append(buckets, m.bucket(unit, index-age, key))
		}
	}
	found, err := m.read(ctx, buckets)
	if err != nil {
		return nil, err
	}
	sums := make([]float64, len(keys))
	for i := range keys {
		for age := range whole {
			sums[i] += found[buckets[i*(whole+1)+age]]
		}
		sums[i] += found[buckets[i*(whole+1)+whole]] * (1 - passed(unit, now))
	}
	return sums, nil
}

// passed is how much of the present bucket has passed: what lies as far back in
// the oldest one is outside of the window.
func passed(unit byte, now time.Time) float64 {
	second := float64(now.Nanosecond()) / 1e9
	if unit == 's' {
		return second
	}
	return (float64(now.Unix()%60) + second) / 60
}

// read returns the counts of buckets; those that are not there have none.
func (m *Meter) read(ctx context.Context, buckets []string) (map[string]float64, error) {
	items, err := m.face.cache.driver.Get(ctx, buckets)
	if err != nil {
		return nil, err
	}
	counts := make(map[string]float64, len(items))
	for _, item := range items {
		if n, ok := ParseCount(item.Value); ok {
			counts[item.Key] = float64(n)
		}
	}
	return counts, nil
}
