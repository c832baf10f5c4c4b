package volatile

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Arrivals are how many arrived of one key.
type Arrivals struct {
	Key   string  // as Meter.Hit was given it
	Count float64 // over the time that was asked for, as in Rates: it need not be whole
}

// MaxTop is the largest n of Meter.Top.
const MaxTop = 100

// topKept is how many keys of a minute are remembered as candidates.
const topKept = 256

// topEvery is how often a process tells the others of its candidates.
const topEvery = time.Second

// A sketch finds the keys that arrive most in bounded memory (Misra and Gries):
// it counts 2*topKept keys at most, and takes the same from all counts when
// they are more. So no count is too low by more than one in topKept+1 of all
// arrivals, also after sketches were merged.
type sketch map[string]uint64

func (s sketch) add(key string, n uint64) {
	s[key] += n
	if len(s) > 2*topKept {
		s.shrink()
	}
}

func (s sketch) merge(other sketch) {
	for key, n := range other {
		s[key] += n
	}
	s.shrink()
}

// shrink leaves topKept keys at most.
func (s sketch) shrink() {
	if len(s) <= topKept {
		return
	}
	counts := slices.Sorted(maps.Values(s))
	less := counts[len(counts)-topKept-1]
	for key, n := range s {
		if n <= less {
			delete(s, key)
		} else {
			s[key] = n - less
		}
	}
}

func (s sketch) encode() []byte {
	var b []byte
	for key, n := range s {
		b = binary.AppendUvarint(b, uint64(len(key)))
		b = append(b, key...)
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// decodeSketch parses; bytes that are no sketch are an empty one, or a part.
func decodeSketch(b []byte) sketch {
	s := sketch{}
	for len(b) > 0 {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) || size > MaxKey {
			break
		}
		key := string(b[n : n+int(size)])
		b = b[n+int(size):]
		count, n := binary.Uvarint(b)
		if n <= 0 {
			break
		}
		s[key] += count
		b = b[n:]
	}
	s.shrink()
	return s
}

// note counts arrivals for the candidates of this minute, and sees to it that
// other processes hear of them.
func (m *Meter) note(minute int64, key string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.news == nil {
		m.news = map[int64]sketch{}
	}
	s := m.news[minute]
	if s == nil {
		s = sketch{}
		m.news[minute] = s
	}
	s.add(key, uint64(n))
	if !m.armed {
		m.armed = true
		time.AfterFunc(topEvery, m.tellBehind)
	}
}

// tellBehind is tell on nobody's time, unless the cache is closed.
func (m *Meter) tellBehind() {
	c := m.face.cache
	c.mu.Lock()
	if c.closed.Load() {
		c.mu.Unlock()
		return
	}
	c.background.Add(1)
	c.mu.Unlock()
	defer c.background.Done()
	ctx, cancel := context.WithTimeout(c.closing, topEvery)
	defer cancel()
	if err := m.tell(ctx); err != nil {
		c.stats.skipped.Add(1)
	}
}

// tell adds what this process counted to what all have. What cannot be told is
// lost, like all that is volatile.
func (m *Meter) tell(ctx context.Context) error {
	m.mu.Lock()
	news := m.news
	m.news, m.armed = nil, false
	m.mu.Unlock()
	for minute, mine := range news {
		err := m.face.cache.change(ctx, m.bucket('t', minute, "top"), func(s slot) (stored, time.Duration, bool) {
			all := sketch{}
			if s.value() {
				all = decodeSketch(s.Value)
			}
			all.merge(mine)
			return stored{Entry: Entry{Value: all.encode()}}, minutesKept, true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Top returns the n keys that arrived most over the last 30 seconds, minute or
// hour (over), the most first, n at most MaxTop. Their counts are those of
// Rates; which keys are looked at is an estimate: a key is sure to be among
// them when, in some minute of the time, it was more than one in 257 of all
// arrivals of the meter. What other processes counted in the last second may be
// missing. Another time, or an n out of range, is fault.ErrInvalid.
func (m *Meter) Top(ctx context.Context, over time.Duration, n int) ([]Arrivals, error) {
	if err := m.face.cache.ready("top", "top"); err != nil {
		return nil, err
	}
	if n < 1 || n > MaxTop || over != 30*time.Second && over != time.Minute && over != time.Hour {
		return nil, fault.New(fault.ErrInvalid, purpose, "top", fmt.Sprintf("the first %d over %v; 1 to %d, over 30s, 1m or 1h", n, over, MaxTop))
	}
	now := time.Now()
	if err := m.tell(ctx); err != nil {
		return nil, m.face.cache.fail("top", "", err)
	}
	candidates, err := m.candidates(ctx, now, over)
	if err != nil {
		return nil, m.face.cache.fail("top", "", err)
	}
	if most := 2*n + 8; len(candidates) > most {
		candidates = candidates[:most]
	}
	unit, whole := byte('s'), int(over/time.Second)
	if over == time.Hour {
		unit, whole = 'm', 60
	}
	counts, err := m.counts(ctx, unit, whole, now, candidates...)
	if err != nil {
		return nil, m.face.cache.fail("top", "", err)
	}
	out := make([]Arrivals, 0, len(candidates))
	for i, key := range candidates {
		if counts[i] > 0 {
			out = append(out, Arrivals{key, counts[i]})
		}
	}
	slices.SortFunc(out, func(a, b Arrivals) int { return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Key, b.Key)) })
	return out[:min(n, len(out))], nil
}

// candidates are the keys that all processes told of, the likeliest first.
func (m *Meter) candidates(ctx context.Context, now time.Time, over time.Duration) ([]string, error) {
	minutes := int64(over/time.Minute) + 1
	if over < time.Minute {
		minutes = 2
	}
	keys := make([]string, minutes)
	for age := range minutes {
		keys[age] = m.bucket('t', now.Unix()/60-age, "top")
	}
	items, err := m.face.cache.driver.Get(ctx, keys)
	if err != nil {
		return nil, err
	}
	all := sketch{}
	for _, item := range items {
		if s := m.face.cache.slotOf(item); s.value() {
			for key, n := range decodeSketch(s.Value) {
				all[key] += n
			}
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(cmp.Compare(all[b], all[a]), strings.Compare(a, b))
	}), nil
}
