package volatiletest

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

var modelChecks = []check{
	{name: "Model", promise: "Every driver gives the same answers, states and error classes to the same operations: those of a plain map.", run: checkModel},
}

// A model is the contract of volatile.Driver in the plainest Go: a map.
type model struct {
	entries map[string]modelEntry
	writes  int
	keys    map[int]string         // which key a write was to
	tokens  map[int]volatile.Token // that stood for a write when it was read
}

type modelEntry struct {
	value   string
	write   int // which write it was: a driver's token stands for it
	expires time.Time
}

func (m *model) get(key string) (modelEntry, bool) {
	e, ok := m.entries[key]
	if ok && !e.expires.IsZero() && !time.Now().Before(e.expires) {
		delete(m.entries, key)
		return modelEntry{}, false
	}
	return e, ok
}

func (m *model) set(key, value string, expires time.Time) {
	m.writes++
	m.keys[m.writes] = key
	m.entries[key] = modelEntry{value: value, write: m.writes, expires: expires}
}

func expiry(ttl time.Duration) time.Time {
	if ttl == 0 {
		return time.Time{}
	}
	return time.Now().Add(ttl)
}

// add follows the contract of Driver.Add; ok is false for a conflict.
func (m *model) add(key string, delta int64, ttl time.Duration) (sum uint64, ok bool) {
	e, there := m.get(key)
	n := uint64(0)
	expires := expiry(ttl)
	if there {
		var err error
		if n, err = strconv.ParseUint(e.value, 10, 63); err != nil {
			return 0, false
		}
		expires = e.expires
	}
	switch {
	case delta < 0 && uint64(-delta) >= n:
		n = 0
	case delta < 0:
		n -= uint64(-delta)
	case delta > 0 && n+uint64(delta) > volatile.MaxCount:
		return 0, false
	default:
		n += uint64(delta)
	}
	m.set(key, strconv.FormatUint(n, 10), expires)
	return n, true
}

// checkModel runs random operations on the driver and on the model, and
// compares every answer.
func checkModel(t *testing.T, e *env) {
	runs := 0
	// A bubble has no deadline, and asking for it panics: what is passed on
	// cannot be asked.
	rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
		runs++
		m := &machine{e: e, run: runs, model: model{entries: map[string]modelEntry{}, keys: map[int]string{}, tokens: map[int]volatile.Token{}}}
		actions := map[string]func(*rapid.T){"set": m.set, "get": m.get, "swap": m.swap, "delete": m.delete, "add": m.add}
		if e.harness.Virtual {
			actions["wait"] = func(rt *rapid.T) { pass(ttls.Draw(rt, "wait")) }
		}
		rt.Repeat(actions)
	})
}

// A machine is the driver and the model side by side.
type machine struct {
	e     *env
	run   int
	model model
}

var (
	modelKeys   = rapid.SampledFrom([]string{"a", "A", "ключ", "a b"})
	modelValues = rapid.SampledFrom([]string{"", "x", "7", "9223372036854775807", "9223372036854775808", "922337203685477580x", "0"})
	modelDeltas = rapid.SampledFrom([]int64{0, 1, -1, 5, -7, 1 << 62, -1 << 63})
	ttls        = rapid.SampledFrom([]time.Duration{0, time.Second, 2 * time.Second, 5 * time.Second})
)

func (m *machine) key(rt *rapid.T) string {
	return fmt.Sprintf("%d %s", m.run, modelKeys.Draw(rt, "key"))
}

// ttl draws one. Where time is real nothing may end while the check runs.
func (m *machine) ttl(rt *rapid.T) time.Duration {
	ttl := ttls.Draw(rt, "ttl")
	if ttl > 0 && !m.e.harness.Virtual {
		ttl = time.Hour
	}
	return ttl
}

func (m *machine) set(rt *rapid.T) {
	key, value, ttl := m.key(rt), modelValues.Draw(rt, "value"), m.ttl(rt)
	if err := m.e.driver.Set(m.e.ctx, []volatile.Item{{Key: key, Value: []byte(value), TTL: ttl}})[0]; err != nil {
		rt.Fatalf("set: %v", err)
	}
	m.model.set(key, value, expiry(ttl))
}

func (m *machine) get(rt *rapid.T) {
	key := m.key(rt)
	items, err := m.e.driver.Get(m.e.ctx, []string{key})
	want, there := m.model.get(key)
	switch {
	case err != nil:
		rt.Fatalf("get: %v", err)
	case there != (len(items) == 1):
		rt.Fatalf("%q is there: %v; want %v", key, len(items) == 1, there)
	case there && string(items[0].Value) != want.value:
		rt.Fatalf("%q holds %q; want %q", key, items[0].Value, want.value)
	case there:
		m.model.tokens[want.write] = items[0].Token
	}
}

// swap uses the token of the present write, of a former one, or none.
func (m *machine) swap(rt *rapid.T) {
	key, value, ttl := m.key(rt), modelValues.Draw(rt, "value"), m.ttl(rt)
	write := 0
	if m.model.writes > 0 {
		write = rapid.IntRange(0, m.model.writes).Draw(rt, "write")
	}
	present, there := m.model.get(key)
	if there && rapid.Bool().Draw(rt, "present") {
		write = present.write
	}
	token := m.model.tokens[write]
	if m.model.keys[write] != key {
		token = 0 // a token says nothing of another key, which may lie on another server
	}
	err := m.e.driver.Swap(m.e.ctx, volatile.Item{Key: key, Value: []byte(value), TTL: ttl, Token: token})
	wins := !there && token == 0 || there && token != 0 && write == present.write
	if wins != (err == nil) || !wins && !errors.Is(err, fault.ErrConflict) {
		rt.Fatalf("swap over %v with token %d: %v; it should win: %v", there, token, err, wins)
	}
	if wins {
		m.model.set(key, value, expiry(ttl))
	}
}

func (m *machine) delete(rt *rapid.T) {
	key := m.key(rt)
	if err := m.e.driver.Delete(m.e.ctx, []string{key})[0]; err != nil {
		rt.Fatalf("delete: %v", err)
	}
	delete(m.model.entries, key)
}

func (m *machine) add(rt *rapid.T) {
	key, delta, ttl := m.key(rt), modelDeltas.Draw(rt, "delta"), m.ttl(rt)
	sum, err := m.e.driver.Add(m.e.ctx, key, delta, ttl)
	before, _ := m.model.get(key)
	want, ok := m.model.add(key, delta, ttl)
	if ok != (err == nil) || !ok && !errors.Is(err, fault.ErrConflict) || sum != want {
		rt.Fatalf("add %d to %q: %d, %v; want %d, fine: %v", delta, before.value, sum, err, want, ok)
	}
	if !ok {
		// What an overflow leaves is the driver's own: go on with nothing.
		m.e.driver.Delete(m.e.ctx, []string{key})
		delete(m.model.entries, key)
	}
}
