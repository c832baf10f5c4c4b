package volatiletest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

var swapChecks = []check{
	{name: "SwapAbsent", promise: "Swap with a zero Token writes if nothing is there, else it is fault.ErrConflict.", run: checkSwapAbsent},
	{name: "SwapToken", promise: "Swap writes one entry if its Token still stands for what is there, else it is fault.ErrConflict.", run: checkSwapToken},
	{name: "TokenNeverReturns", promise: "A token stands for one state only: the same bytes written again, also after a delete, have another.", run: checkTokenNeverReturns},
	{name: "SwapRace", promise: "Of concurrent swaps with one token exactly one wins, so no increment by swap is lost.", run: checkSwapRace},
	{name: "SwapAfterRestart_C3", promise: "A driver whose server restarted does not let an old token win.", needs: needsRestart, run: checkSwapAfterRestart},
}

var counterChecks = []check{
	{name: "Add", promise: "Add adds to a counter that starts at zero and returns the sum; Get returns its decimal digits.", run: checkAdd},
	{name: "AddBounds_C12", promise: "A sum below zero is zero; a sum over 64 bits and Add on an entry that is no number are fault.ErrConflict.", run: checkAddBounds},
	{name: "AddToken", promise: "An Add is a write: a token from before it does not win.", run: checkAddToken},
	{name: "AddAll", promise: "AddAll adds to each counter as Add does.", run: checkAddAll},
	{name: "AddRace", promise: "Concurrent adds are all counted.", run: checkAddRace},
}

func conflict(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, fault.ErrConflict) {
		t.Errorf("%s: %v; want fault.ErrConflict", what, err)
	}
}

func (e *env) swap(t testing.TB, key string, value string, token volatile.Token) {
	t.Helper()
	if err := e.driver.Swap(e.ctx, volatile.Item{Key: key, Value: []byte(value), Token: token}); err != nil {
		t.Fatalf("swap %q: %v", key, err)
	}
}

func (e *env) delete(t testing.TB, key string) {
	t.Helper()
	if err := e.driver.Delete(e.ctx, []string{key})[0]; err != nil {
		t.Fatalf("delete %q: %v", key, err)
	}
}

func checkSwapAbsent(t *testing.T, e *env) {
	e.swap(t, "k", "first", 0)
	conflict(t, "swap with a zero token over an entry", e.driver.Swap(e.ctx, volatile.Item{Key: "k", Value: []byte("second")}))
	e.want(t, "k", []byte("first"))
	e.delete(t, "k")
	e.swap(t, "k", "third", 0)
	e.want(t, "k", []byte("third"))
}

func checkSwapToken(t *testing.T, e *env) {
	e.set(t, "k", []byte("one"), 0)
	item, _ := e.get(t, "k")
	if item.Token == 0 {
		t.Fatal("Get returned no token")
	}
	e.swap(t, "k", "two", item.Token)
	e.want(t, "k", []byte("two"))
	conflict(t, "swap with a used token", e.driver.Swap(e.ctx, item))
	item, _ = e.get(t, "k")
	e.set(t, "k", []byte("three"), 0)
	conflict(t, "swap after a set", e.driver.Swap(e.ctx, item))
	item, _ = e.get(t, "k")
	e.delete(t, "k")
	conflict(t, "swap over nothing", e.driver.Swap(e.ctx, item))
	e.want(t, "k", nil)
}

func checkTokenNeverReturns(t *testing.T, e *env) {
	seen := map[volatile.Token]bool{}
	for i := range 50 {
		if i%2 == 0 {
			e.delete(t, "k")
		}
		e.set(t, "k", []byte("same"), 0)
		item, ok := e.get(t, "k")
		if !ok || seen[item.Token] {
			t.Fatalf("write %d: there %v, token %d seen before %v", i, ok, item.Token, seen[item.Token])
		}
		seen[item.Token] = true
	}
	for token := range seen {
		item, _ := e.get(t, "k")
		if token != item.Token {
			conflict(t, "swap with a token of a former write", e.driver.Swap(e.ctx, volatile.Item{Key: "k", Token: token}))
		}
	}
}

// increment adds one by swap and tells how often it had to try.
func (e *env) increment(key string) error {
	for {
		items, err := e.driver.Get(e.ctx, []string{key})
		if err != nil {
			return err
		}
		next := volatile.Item{Key: key, Value: make([]byte, 8)}
		if len(items) == 1 {
			next.Token = items[0].Token
			binary.BigEndian.PutUint64(next.Value, binary.BigEndian.Uint64(items[0].Value)+1)
		} else {
			binary.BigEndian.PutUint64(next.Value, 1)
		}
		if err := e.driver.Swap(e.ctx, next); err == nil || !errors.Is(err, fault.ErrConflict) {
			return err
		}
	}
}

func checkSwapRace(t *testing.T, e *env) {
	each := e.size(100, 20)
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for range each {
				if err := e.increment("shared" + strconv.Itoa(worker%2)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for i := range 2 {
		item, _ := e.get(t, fmt.Sprintf("shared%d", i))
		if got := binary.BigEndian.Uint64(item.Value); got != uint64(8*each) {
			t.Errorf("%d increments became %d", 8*each, got)
		}
	}
}

func checkSwapAfterRestart(t *testing.T, e *env) {
	// A server that numbers its writes from one again gives new entries the
	// numbers of old ones: every one of the old tokens is tried.
	var old []volatile.Item
	for i := range 20 {
		key := fmt.Sprintf("k%d", i)
		e.set(t, key, []byte("old"), 0)
		item, _ := e.get(t, key)
		old = append(old, item)
	}
	e.server.Restart()
	e.eventually(t, restartWithin, "the entries are gone and writes work again", func() bool {
		errs := e.driver.Set(e.ctx, []volatile.Item{{Key: "probe", Value: []byte("x")}})
		return errs[0] == nil
	})
	for _, item := range old {
		e.want(t, item.Key, nil)
		e.set(t, item.Key, []byte("new"), 0)
	}
	for _, item := range old {
		for _, other := range old {
			conflict(t, "swap with a token from before the restart",
				e.driver.Swap(e.ctx, volatile.Item{Key: item.Key, Value: []byte("stale"), Token: other.Token}))
		}
		e.want(t, item.Key, []byte("new"))
	}
}

func checkAdd(t *testing.T, e *env) {
	for _, step := range []struct {
		delta int64
		sum   uint64
	}{{5, 5}, {0, 5}, {37, 42}, {-2, 40}, {-39, 1}, {9, 10}, {-1, 9}, {1 << 40, 1<<40 + 9}} {
		sum, err := e.driver.Add(e.ctx, "n", step.delta, 0)
		if err != nil || sum != step.sum {
			t.Errorf("add %d: %d, %v; want %d", step.delta, sum, err, step.sum)
		}
		e.want(t, "n", []byte(strconv.FormatUint(step.sum, 10)))
	}
	e.set(t, "written", []byte("7"), 0)
	if sum, err := e.driver.Add(e.ctx, "written", 1, 0); sum != 8 || err != nil {
		t.Errorf("add to digits that were set: %d, %v", sum, err)
	}
	e.delete(t, "n")
	if sum, err := e.driver.Add(e.ctx, "n", 3, 0); sum != 3 || err != nil {
		t.Errorf("add after a delete: %d, %v", sum, err)
	}
}

func checkAddBounds(t *testing.T, e *env) {
	if sum, err := e.driver.Add(e.ctx, "below", -5, 0); sum != 0 || err != nil {
		t.Errorf("a counter that starts below zero: %d, %v", sum, err)
	}
	e.driver.Add(e.ctx, "n", 3, 0)
	if sum, err := e.driver.Add(e.ctx, "n", -9223372036854775808, 0); sum != 0 || err != nil {
		t.Errorf("a sum far below zero: %d, %v", sum, err)
	}
	e.want(t, "n", []byte("0"))
	for _, value := range []string{"", "x", "-1", "1x", "99999999999999999999999", "9223372036854775808", "1.5"} {
		e.set(t, "text", []byte(value), 0)
		_, err := e.driver.Add(e.ctx, "text", 1, 0)
		conflict(t, fmt.Sprintf("add to %q", value), err)
		e.want(t, "text", []byte(value))
	}
	e.set(t, "full", []byte("9223372036854775807"), 0)
	_, err := e.driver.Add(e.ctx, "full", 1, 0)
	conflict(t, "a sum over MaxCount", err)
}

func checkAddToken(t *testing.T, e *env) {
	e.driver.Add(e.ctx, "n", 1, 0)
	item, _ := e.get(t, "n")
	e.driver.Add(e.ctx, "n", 1, 0)
	item.Value = []byte("100")
	conflict(t, "swap over a counter that moved", e.driver.Swap(e.ctx, item))
	e.want(t, "n", []byte("2"))
}

func checkAddAll(t *testing.T, e *env) {
	e.set(t, "text", []byte("x"), 0)
	e.set(t, "full", []byte("9223372036854775807"), 0)
	e.set(t, "old", []byte("7"), 0)
	adds := []volatile.Increment{{Key: "new", Delta: 5, TTL: time.Minute}, {Key: "old", Delta: 1}, {Key: "text", Delta: 1}, {Key: "full", Delta: 1},
		{Key: "", Delta: 1}, {Key: "down", Delta: -3}, {Key: "old", Delta: -2}, {Key: "n", Delta: 0}}
	sums, errs := e.addAll(adds)
	for i, want := range []uint64{5, 8, 0, 0, 0, 0, 6, 0} {
		switch {
		case i == 2 || i == 3:
			conflict(t, adds[i].Key, errs[i])
		case i == 4:
			if !errors.Is(errs[i], fault.ErrInvalid) {
				t.Errorf("an empty key: %v", errs[i])
			}
		case errs[i] != nil || sums[i] != want:
			t.Errorf("add %d to %q: %d, %v; want %d", adds[i].Delta, adds[i].Key, sums[i], errs[i], want)
		}
	}
	e.want(t, "new", []byte("5"))
	e.want(t, "old", []byte("6"))
	e.want(t, "text", []byte("x"))
}

// addAll is the driver's AddAll, or Add in its place.
func (e *env) addAll(adds []volatile.Increment) ([]uint64, []error) {
	if many, ok := e.driver.(volatile.ManyAdder); ok {
		return many.AddAll(e.ctx, adds)
	}
	sums, errs := make([]uint64, len(adds)), make([]error, len(adds))
	for i, a := range adds {
		sums[i], errs[i] = e.driver.Add(e.ctx, a.Key, a.Delta, a.TTL)
	}
	return sums, errs
}

func checkAddRace(t *testing.T, e *env) {
	each := e.size(500, 50)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range each {
				if _, err := e.driver.Add(e.ctx, "n", 1, 0); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	e.want(t, "n", []byte(strconv.Itoa(64*each)))
}
