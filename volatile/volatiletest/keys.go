package volatiletest

import (
	"errors"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

var keyChecks = []check{
	{name: "WeirdKeys_C11", promise: "Any valid UTF-8 without NUL is a key, and different keys never meet: drivers encode injectively.", run: checkWeirdKeys},
	{name: "InvalidKeys_C11", promise: "An empty key, one over MaxItemKey, invalid UTF-8 and NUL are fault.ErrInvalid, in every method.", run: checkInvalidKeys},
}

func checkWeirdKeys(t *testing.T, e *env) {
	for i, key := range weird {
		e.set(t, key, []byte(strings.Repeat("x", i)+key), 0)
	}
	for i, key := range weird {
		e.want(t, key, []byte(strings.Repeat("x", i)+key))
	}
	items, err := e.driver.Get(e.ctx, weird)
	if err != nil || len(items) != len(weird) {
		t.Errorf("all at once: %d of %d, %v", len(items), len(weird), err)
	}
	for _, item := range items {
		if !strings.HasSuffix(string(item.Value), item.Key) {
			t.Errorf("the value of %q came back for %q", item.Value, item.Key)
		}
	}
	for _, key := range weird {
		e.delete(t, key)
		if sum, err := e.driver.Add(e.ctx, key, 1, 0); sum != 1 || err != nil {
			t.Errorf("add to %q: %d, %v", key, sum, err)
		}
	}
}

func checkInvalidKeys(t *testing.T, e *env) {
	e.set(t, "k", []byte("v"), 0)
	for _, key := range []string{"", "a\x00b", "\xff", "a\xc3", strings.Repeat("k", volatile.MaxItemKey+1)} {
		_, errGet := e.driver.Get(e.ctx, []string{"k", key})
		_, errAdd := e.driver.Add(e.ctx, key, 1, 0)
		for op, err := range map[string]error{
			"get": errGet, "add": errAdd,
			"set":    e.driver.Set(e.ctx, []volatile.Item{{Key: key}})[0],
			"swap":   e.driver.Swap(e.ctx, volatile.Item{Key: key}),
			"delete": e.driver.Delete(e.ctx, []string{key})[0],
		} {
			if !errors.Is(err, fault.ErrInvalid) {
				t.Errorf("%s of the key %s: %v", op, brief([]byte(key)), err)
			}
		}
	}
	e.want(t, "k", []byte("v"))
}
