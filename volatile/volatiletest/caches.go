package volatiletest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

var cacheChecks = []check{
	{name: "Cache/Raise", promise: "Raise writes an entry unless a newer one is there; superseded tells.", run: checkRaise},
	{name: "Cache/RaiseRace", promise: "Whatever the order of concurrent raises, the newest (version, tie) is there in the end.", run: checkRaiseRace},
	{name: "Cache/Replace", promise: "Replace writes over an older entry and does nothing where nothing is.", run: checkReplace},
	{name: "Cache/Invalidate", promise: "Invalidate removes whatever is older than stamp, and an older raise after it loses.", run: checkInvalidate},
	{name: "Cache/WriteAll", promise: "WriteAll does each of its writes as it would be done alone, and of one key's writes the newest stays.", run: checkWriteAll},
	{name: "Cache/WriteAllRace", promise: "Groups of writes that race for the same keys leave the newest version of each.", run: checkWriteAllRace},
	{name: "Cache/TooLarge_C8", promise: "A value over MaxValue is no error for Fetch; Raise is fault.ErrTooLarge, and no older value stays.", run: checkCacheTooLarge},
	{name: "Cache/Keys", promise: "Keys are 1 to MaxKey bytes of valid UTF-8 without NUL; namespaces never meet.", run: checkCacheKeys},
	{name: "Cache/GetAll", promise: "GetAll returns the entries that are there.", run: checkGetAll},
	{name: "Cache/Fetch", promise: "Fetch returns the entry, or rebuilds it with load and keeps it.", run: checkFetch},
	{name: "Cache/Absent", promise: "A remembered absence is served like an entry, and lasts for Options.Absence.", waits: true, run: checkAbsent},
	{name: "Cache/Herd_C2", promise: "1,000 readers of a missing entry in two processes lead to at most 2 loads.", run: checkHerd},
	{name: "Cache/Takeover_C7", promise: "A reader that is gone is taken over when its lease ends, also by another process.", run: checkTakeover},
	{name: "Cache/LoadError", promise: "A load that fails gives its lease back; the readers that waited get its error, the next one loads again.", run: checkLoadError},
	{name: "Cache/LoaderLeaves", promise: "The end of the loader's own context is not passed on to readers that wait.", run: checkLoaderLeaves},
	{name: "Cache/SlowReader", promise: "A slow reader cannot put an old version back, whatever came in between.", run: checkSlowReader},
	{name: "Cache/Closed", promise: "After Close every method returns fault.ErrClosed. Closing twice is fine.", run: checkCacheClosed},
	{name: "Cache/Restart", promise: "A restart changes no answer of Fetch, only its speed.", needs: needsRestart, run: checkCacheRestart},
}

func stamp(version int64) volatile.Stamp { return volatile.Stamp{Version: version} }

// versioned is an entry whose value names its version.
func versioned(version int64) volatile.Entry {
	return volatile.Entry{Value: fmt.Appendf(nil, "v%d", version), Stamp: stamp(version)}
}

func mustRaise(t testing.TB, c *volatile.Cache, key string, e volatile.Entry) (superseded bool) {
	t.Helper()
	superseded, err := c.Raise(context.Background(), key, e, time.Minute)
	if err != nil {
		t.Fatalf("raise %q: %v", key, err)
	}
	return superseded
}

// wantVersion checks which version lies there; zero means none.
func wantVersion(t testing.TB, c *volatile.Cache, key string, version int64) {
	t.Helper()
	e, ok, err := c.Get(context.Background(), key)
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	if ok != (version != 0) || ok && (e.Stamp.Version != version || string(e.Value) != fmt.Sprintf("v%d", version)) {
		t.Errorf("%q holds %q at version %d (there: %v); want version %d", key, e.Value, e.Stamp.Version, ok, version)
	}
}

func checkRaise(t *testing.T, e *env) {
	c := e.cache(t, nil)
	before := time.Now().Add(-time.Millisecond)
	if mustRaise(t, c, "k", versioned(2)) {
		t.Error("the first raise was superseded")
	}
	entry, _, _ := c.Get(e.ctx, "k")
	if entry.Written.Before(before.Truncate(time.Millisecond)) || entry.Written.After(time.Now()) || entry.Written.Location() != time.UTC {
		t.Errorf("written at %v", entry.Written)
	}
	if !mustRaise(t, c, "k", versioned(1)) {
		t.Error("an older raise was not superseded")
	}
	wantVersion(t, c, "k", 2)
	if mustRaise(t, c, "k", versioned(2)) {
		t.Error("the same raise again was superseded")
	}
	mustRaise(t, c, "k", versioned(3))
	wantVersion(t, c, "k", 3)
	tied := volatile.Entry{Value: []byte("tie"), Stamp: volatile.Stamp{Version: 3, Tie: 9}}
	mustRaise(t, c, "k", tied)
	if !mustRaise(t, c, "k", volatile.Entry{Stamp: volatile.Stamp{Version: 3, Tie: 8}}) {
		t.Error("a lower tie was not superseded")
	}
	entry, _, _ = c.Get(e.ctx, "k")
	if string(entry.Value) != "tie" {
		t.Errorf("after a higher tie %q is there", entry.Value)
	}
	mustRaise(t, c, "negative", versioned(-5))
	mustRaise(t, c, "negative", versioned(-4))
	wantVersion(t, c, "negative", -4)
	if _, err := c.Raise(e.ctx, "k", versioned(9), -1); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("raise with a negative TTL: %v", err)
	}
}

func checkRaiseRace(t *testing.T, e *env) {
	first, second := e.cache(t, nil), e.cache(t, nil)
	most := int64(e.size(64, 16))
	var wg sync.WaitGroup
	for version := int64(1); version <= most; version++ {
		c := first
		if version%2 == 0 {
			c = second
		}
		wg.Go(func() {
			if _, err := c.Raise(e.ctx, "k", versioned(version), time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantVersion(t, first, "k", most)
}

func checkReplace(t *testing.T, e *env) {
	c := e.cache(t, nil)
	replace := func(version int64) bool {
		superseded, err := c.Replace(e.ctx, "k", versioned(version), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return superseded
	}
	if replace(1) {
		t.Error("a replace of nothing was superseded")
	}
	wantVersion(t, c, "k", 0)
	mustRaise(t, c, "k", versioned(2))
	if !replace(1) {
		t.Error("an older replace was not superseded")
	}
	replace(3)
	wantVersion(t, c, "k", 3)
}

func checkInvalidate(t *testing.T, e *env) {
	c := e.cache(t, nil)
	invalidate := func(version int64) {
		if err := c.Invalidate(e.ctx, "k", stamp(version)); err != nil {
			t.Fatal(err)
		}
	}
	mustRaise(t, c, "k", versioned(5))
	invalidate(5)
	wantVersion(t, c, "k", 5)
	invalidate(4)
	wantVersion(t, c, "k", 5)
	invalidate(6)
	wantVersion(t, c, "k", 0)
	if !mustRaise(t, c, "k", versioned(5)) {
		t.Error("a raise of what was invalidated was not superseded")
	}
	wantVersion(t, c, "k", 0)
	mustRaise(t, c, "k", versioned(6))
	wantVersion(t, c, "k", 6)
}

func checkCacheTooLarge(t *testing.T, e *env) {
	c := e.cache(t, nil)
	most := c.Features().MaxValue
	largest := volatile.Entry{Value: []byte(strings.Repeat("x", most)), Stamp: stamp(1)}
	mustRaise(t, c, "k", largest)
	if entry, ok, _ := c.Get(e.ctx, "k"); !ok || len(entry.Value) != most {
		t.Errorf("a value of MaxValue is not there: %v, %d bytes", ok, len(entry.Value))
	}
	larger := volatile.Entry{Value: []byte(strings.Repeat("x", most+1)), Stamp: stamp(2)}
	if _, err := c.Raise(e.ctx, "k", larger, 0); !errors.Is(err, fault.ErrTooLarge) {
		t.Errorf("raise of a larger one: %v", err)
	}
	wantVersion(t, c, "k", 0)
	for range 2 {
		got, err := c.Fetch(e.ctx, "f", time.Minute, func(context.Context) (volatile.Entry, error) { return larger, nil })
		if err != nil || len(got.Value) != most+1 {
			t.Errorf("fetch of a larger one: %d bytes, %v", len(got.Value), err)
		}
	}
	if c.Stats().Loads != 2 || c.Stats().TooLarge != 3 {
		t.Errorf("stats %+v", c.Stats())
	}
}

func checkCacheKeys(t *testing.T, e *env) {
	c := e.cache(t, nil)
	for _, key := range []string{"", "a\x00", "\xff", strings.Repeat("k", volatile.MaxKey+1)} {
		_, _, errGet := c.Get(e.ctx, key)
		_, errAll := c.GetAll(e.ctx, []string{"k", key})
		_, errRaise := c.Raise(e.ctx, key, versioned(1), 0)
		_, errReplace := c.Replace(e.ctx, key, versioned(1), 0)
		_, errFetch := c.Fetch(e.ctx, key, 0, func(context.Context) (volatile.Entry, error) { return volatile.Entry{}, nil })
		_, errAdd := c.Add(e.ctx, key, 1, 0)
		for i, err := range []error{errGet, errAll, errRaise, errReplace, errFetch, errAdd, c.Invalidate(e.ctx, key, stamp(1)), c.Delete(e.ctx, key)} {
			if !errors.Is(err, fault.ErrInvalid) {
				t.Errorf("method %d with the key %s: %v", i, brief([]byte(key)), err)
			}
		}
	}
	long := strings.Repeat("k", volatile.MaxKey)
	mustRaise(t, c, long, versioned(1))
	wantVersion(t, c, long, 1)
	other := e.cache(t, &volatile.Options{Namespace: strings.Repeat("n", 32)})
	wantVersion(t, other, long, 0)
	mustRaise(t, other, long, versioned(2))
	wantVersion(t, c, long, 1)
}

func checkGetAll(t *testing.T, e *env) {
	c := e.cache(t, nil)
	mustRaise(t, c, "a", versioned(1))
	mustRaise(t, c, "b", versioned(2))
	if err := c.Invalidate(e.ctx, "hidden", stamp(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Add(e.ctx, "counter", 1, 0); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetAll(e.ctx, []string{"a", "b", "a", "missing", "hidden", "counter"})
	if err != nil || len(got) != 2 || string(got["a"].Value) != "v1" || got["b"].Stamp != stamp(2) {
		t.Errorf("get all: %v, %v", got, err)
	}
	if err := c.Delete(e.ctx, "a", "missing"); err != nil {
		t.Errorf("delete: %v", err)
	}
	got, err = c.GetAll(e.ctx, []string{"a", "b"})
	if err != nil || len(got) != 1 {
		t.Errorf("get all after a delete: %v, %v", got, err)
	}
}

func checkCacheClosed(t *testing.T, e *env) {
	c := e.cache(t, nil)
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	_, _, errGet := c.Get(e.ctx, "k")
	_, errAll := c.GetAll(e.ctx, []string{"k"})
	_, errRaise := c.Raise(e.ctx, "k", versioned(1), 0)
	_, errFetch := c.Fetch(e.ctx, "k", 0, func(context.Context) (volatile.Entry, error) { return volatile.Entry{}, nil })
	_, errAdd := c.Add(e.ctx, "k", 1, 0)
	for i, err := range []error{errGet, errAll, errRaise, errFetch, errAdd, c.Invalidate(e.ctx, "k", stamp(1)), c.Delete(e.ctx, "k")} {
		if !errors.Is(err, fault.ErrClosed) {
			t.Errorf("method %d after Close: %v", i, err)
		}
	}
}

func checkCacheRestart(t *testing.T, e *env) {
	c := e.cache(t, nil)
	var loads atomic.Int64
	for i := range 30 {
		if i%10 == 5 {
			e.server.Restart()
		}
		if got, err := fetch(e.ctx, c, "k", 1, &loads); err != nil || got.Stamp != stamp(1) {
			t.Fatalf("fetch %d: %+v, %v", i, got, err)
		}
	}
}
