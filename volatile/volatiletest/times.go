package volatiletest

import (
	"errors"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

const day = 24 * time.Hour

// restartWithin is how long a driver may be busy with a server that restarted.
const restartWithin = 5 * time.Second

var timeChecks = []check{
	{name: "TTL", promise: "An entry lives for its TTL, rounded up to the driver's resolution; zero is no expiry.", waits: true, run: checkTTL},
	{name: "TTLDays_C10", promise: "TTLs over 30 days mean what they say.", run: checkTTLDays},
	{name: "TTLDaysPass", promise: "TTLs over 30 days end when they should.", needs: needsVirtual("it takes 31 days of real time"), run: checkTTLDaysPass},
	{name: "TTLNegative_C10", promise: "A negative TTL is fault.ErrInvalid, and the old value stays.", run: checkTTLNegative},
	{name: "TTLReplaced", promise: "A write replaces the TTL with its own.", waits: true, run: checkTTLReplaced},
	{name: "TTLCounter", promise: "A counter that is not there starts with this TTL; the TTL of one that is there stays.", waits: true, run: checkTTLCounter},
}

// gone waits until an entry with this TTL must have ended, and not longer than
// one resolution (and a bit of real time) past it.
func (e *env) gone(t testing.TB, key string, ttl time.Duration) {
	t.Helper()
	e.eventually(t, ttl+2*e.features().Resolution+time.Second, key+" ends", func() bool {
		_, ok := e.get(t, key)
		return !ok
	})
}

func checkTTL(t *testing.T, e *env) {
	start := time.Now()
	e.set(t, "forever", []byte("v"), 0)
	e.set(t, "second", []byte("v"), time.Second)
	e.set(t, "short", []byte("v"), time.Millisecond)
	if err := e.driver.Swap(e.ctx, volatile.Item{Key: "swapped", Value: []byte("v"), TTL: time.Second}); err != nil {
		t.Fatal(err)
	}
	pass(900 * time.Millisecond)
	for _, key := range []string{"second", "swapped"} {
		// A machine that stands still lets the second pass.
		if _, ok := e.get(t, key); !ok && time.Since(start) < time.Second {
			t.Errorf("%q is not there before its second has passed", key)
		}
	}
	e.gone(t, "second", time.Second)
	e.gone(t, "swapped", time.Second)
	e.gone(t, "short", time.Millisecond)
	e.want(t, "forever", []byte("v"))
	// An entry that ended is nothing to Swap: only the zero token writes.
	e.swap(t, "second", "again", 0)
}

func checkTTLDays(t *testing.T, e *env) {
	for key, ttl := range map[string]time.Duration{
		"30 days": 30 * day, "30 days and a bit": 30*day + time.Second, "31 days": 31 * day, "a year": 365 * day, "20 years": 20 * 365 * day,
		"for ever": 1<<63 - 1,
	} {
		e.set(t, key, []byte("v"), ttl)
		e.want(t, key, []byte("v"))
		if _, err := e.driver.Add(e.ctx, "n"+key, 1, ttl); err != nil {
			t.Errorf("a counter for %s: %v", key, err)
		}
		e.want(t, "n"+key, []byte("1"))
	}
}

func checkTTLDaysPass(t *testing.T, e *env) {
	e.set(t, "30 days", []byte("v"), 30*day)
	e.set(t, "31 days", []byte("v"), 31*day)
	pass(30*day - time.Minute)
	e.want(t, "30 days", []byte("v"))
	pass(2 * time.Minute)
	e.want(t, "30 days", nil)
	e.want(t, "31 days", []byte("v"))
	pass(day)
	e.want(t, "31 days", nil)
}

func checkTTLNegative(t *testing.T, e *env) {
	e.set(t, "k", []byte("old"), 0)
	item, _ := e.get(t, "k")
	item.TTL = -time.Second
	for op, err := range map[string]error{
		"set":  e.driver.Set(e.ctx, []volatile.Item{{Key: "k", TTL: -1}})[0],
		"swap": e.driver.Swap(e.ctx, item),
	} {
		if !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("%s with a negative TTL: %v", op, err)
		}
	}
	if _, err := e.driver.Add(e.ctx, "n", 1, -time.Second); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("add with a negative TTL: %v", err)
	}
	e.want(t, "k", []byte("old"))
	e.want(t, "n", nil)
}

func checkTTLReplaced(t *testing.T, e *env) {
	e.set(t, "longer", []byte("v"), time.Second)
	e.set(t, "longer", []byte("v"), 0)
	e.set(t, "shorter", []byte("v"), 0)
	e.set(t, "shorter", []byte("v"), time.Second)
	e.gone(t, "shorter", time.Second)
	pass(2 * time.Second)
	e.want(t, "longer", []byte("v"))
}

func checkTTLCounter(t *testing.T, e *env) {
	e.driver.Add(e.ctx, "n", 1, 2*time.Second)
	e.driver.Add(e.ctx, "forever", 1, 0)
	pass(1200 * time.Millisecond)
	e.driver.Add(e.ctx, "n", 1, time.Hour)
	e.driver.Add(e.ctx, "forever", 1, time.Second)
	e.want(t, "n", []byte("2"))
	e.gone(t, "n", 800*time.Millisecond)
	pass(time.Second)
	e.want(t, "forever", []byte("2"))
	if sum, err := e.driver.Add(e.ctx, "n", 1, 0); sum != 1 || err != nil {
		t.Errorf("a counter that ended starts at %d, %v", sum, err)
	}
}
