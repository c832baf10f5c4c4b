package volatile

import (
	"context"
	"errors"
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
	face   face
	shared bool // two round trips are worth a goroutine
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
	return &Meter{face: f, shared: cache.features.Shared}, err
}

// Hit counts n arrivals now; n is positive. An outcome that is unknown is
// never repeated: the arrivals were counted once, in part, or not.
func (m *Meter) Hit(ctx context.Context, key string, n int) error {
	if err := m.face.cache.ready("hit", key); err != nil {
		return err
	}
	if n < 1 {
		return fault.New(fault.ErrInvalid, purpose, "hit", fmt.Sprintf("%d arrivals", n))
	}
	now := time.Now().Unix()
	driver := m.face.cache.driver
	second := func() error {
		_, err := driver.Add(ctx, m.bucket('s', now, key), int64(n), secondsKept)
		return err
	}
	minute := func() error {
		_, err := driver.Add(ctx, m.bucket('m', now/60, key), int64(n), minutesKept)
		return err
	}
	if !m.shared {
		return m.face.cache.fail("hit", key, errors.Join(second(), minute()))
	}
	var wg sync.WaitGroup
	var errMinute error
	wg.Go(func() { errMinute = minute() })
	err := second()
	wg.Wait()
	return m.face.cache.fail("hit", key, errors.Join(err, errMinute))
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
	items, err := m.face.cache.driver.Get(ctx, keys)
	if err != nil {
		return Rates{}, m.face.cache.fail("rates", key, err)
	}
	counts := make(map[string]float64, len(items))
	for _, item := range items {
		if n, err := strconv.ParseUint(string(item.Value), 10, 64); err == nil {
			counts[item.Key] = float64(n)
		}
	}
	inSecond := float64(now.Nanosecond()) / 1e9
	inMinute := (float64(now.Unix()%60) + inSecond) / 60
	// keys alternates between seconds and minutes, youngest first.
	window := func(first, whole int, passed float64) float64 {
		sum := 0.0
		for age := range whole {
			sum += counts[keys[first+2*age]]
		}
		return sum + counts[keys[first+2*whole]]*(1-passed)
	}
	return Rates{PerSecond: window(0, 30, inSecond) / 30, Minute: window(0, 60, inSecond), Hour: window(1, 60, inMinute)}, nil
}
