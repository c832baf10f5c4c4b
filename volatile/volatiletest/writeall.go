package volatiletest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

func checkWriteAll(t *testing.T, e *env) {
	c := e.cache(t, nil)
	for _, key := range []string{"old", "new", "drop", "huge"} {
		mustRaise(t, c, key, versioned(5))
	}
	write := func(key string, version int64, mode volatile.WriteMode) volatile.Write {
		return volatile.Write{Key: key, Entry: versioned(version), TTL: time.Minute, Mode: mode}
	}
	huge := write("huge", 6, volatile.Replacing)
	huge.Entry.Value = make([]byte, c.Features().MaxValue+1)
	wide := write("wide", 6, volatile.Raising)
	wide.Entry.Value = make([]byte, 100_000)
	negative := write("negative", 1, volatile.Raising)
	negative.TTL = -1
	writes := []volatile.Write{
		write("raised", 1, volatile.Raising), write("old", 4, volatile.Raising), write("new", 6, volatile.Replacing),
		write("nothing", 6, volatile.Replacing), write("drop", 6, volatile.Invalidating), write("", 1, volatile.Raising),
		negative, huge, wide, write("twice", 8, volatile.Raising), write("twice", 9, volatile.Raising), write("twice", 7, volatile.Raising),
		write("mode", 1, 77),
	}
	out := c.WriteAll(e.ctx, writes)
	for i, want := range []error{5: fault.ErrInvalid, 6: fault.ErrInvalid, 7: fault.ErrTooLarge, 12: fault.ErrInvalid} {
		if !errors.Is(out[i].Err, want) {
			t.Errorf("write %d: %v; want %v", i, out[i].Err, want)
		}
		if superseded := i == 1 || i == 11; out[i].Superseded != superseded {
			t.Errorf("write %d superseded: %v", i, out[i].Superseded)
		}
	}
	for key, version := range map[string]int64{"raised": 1, "old": 5, "new": 6, "nothing": 0, "drop": 0, "huge": 0, "wide": 6, "twice": 9} {
		e, ok, err := c.Get(e.ctx, key)
		if err != nil || ok != (version > 0) || e.Stamp.Version != version {
			t.Errorf("%q has version %d (there: %v), %v; want %d", key, e.Stamp.Version, ok, err, version)
		}
	}
	if s := c.Stats(); s.Superseded != 2 {
		t.Errorf("%d superseded; want 2", s.Superseded)
	}
	if out := c.WriteAll(e.ctx, nil); len(out) != 0 {
		t.Errorf("no writes: %v", out)
	}
}

func checkWriteAllRace(t *testing.T, e *env) {
	caches := []*volatile.Cache{e.cache(t, nil), e.cache(t, nil)}
	keys, most := 200, int64(8)
	var wg sync.WaitGroup
	for version := int64(1); version <= most; version++ {
		wg.Go(func() {
			writes := make([]volatile.Write, keys)
			for i := range writes {
				entry := versioned(version)
				entry.Value = []byte(strings.Repeat("x", 3000))
				writes[i] = volatile.Write{Key: fmt.Sprint("k", i), Entry: entry, TTL: time.Minute}
			}
			for i, w := range caches[version%2].WriteAll(e.ctx, writes) {
				if w.Err != nil {
					t.Errorf("write %d: %v", i, w.Err)
				}
			}
		})
	}
	wg.Wait()
	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprint("k", i)
	}
	all, err := caches[0].GetAll(e.ctx, names)
	if err != nil || len(all) != keys {
		t.Fatalf("%d of %d entries, %v", len(all), keys, err)
	}
	for key, e := range all {
		if e.Stamp.Version != most {
			t.Errorf("%q has version %d; want %d", key, e.Stamp.Version, most)
		}
	}
}
