package persistence_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A bucketDriver counts the rows that make buckets known, and refuses some.
type bucketDriver struct {
	blindDriver
	told, refuse *atomic.Int64
}

func (d bucketDriver) Write(ctx context.Context, t amorphous.Table, rows []amorphous.Row) []error {
	if !strings.HasSuffix(t.Name, "__buckets") {
		return d.blindDriver.Write(ctx, t, rows)
	}
	if d.refuse.Add(-1) >= 0 {
		errs := make([]error, len(rows))
		for i := range errs {
			errs[i] = fault.New(fault.ErrBusy, "amorphous", "write", "not now")
		}
		return errs
	}
	d.told.Add(int64(len(rows)))
	return d.blindDriver.Write(ctx, t, rows)
}

// A bucket is made known for many objects at once, and again after a minute: a
// server that lost it hides no later object. What was not made known holds up
// its objects, and is tried again.
func TestABucketIsMadeKnownOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told, refuse atomic.Int64
		stores := blindStores(t.TempDir())
		blind := stores.Amorphous
		stores.Amorphous = amorphous.SourceFunc(func(ctx context.Context) (amorphous.Driver, error) {
			driver, err := blind.OpenDriver(ctx)
			return bucketDriver{driver.(blindDriver), &told, &refuse}, err
		})
		layer := openStores(t, stores)
		h := persistence.Declare(layer, "mover", moversPlan)
		put := func(what string, from, hour int, want int64) {
			t.Helper()
			told.Store(0)
			stays := make([]stay, 10)
			for i := range stays {
				stays[i] = stay{ID: fmt.Sprint(from + i), User: "ann", At: dawn.Add(time.Duration(hour)*time.Hour + time.Duration(i)*time.Second)}
			}
			putEach(t, h, stays...)
			drain(t, layer)
			time.Sleep(5 * time.Second) // what was refused waits for its next attempt
			drain(t, layer)
			if got := told.Load(); got != want {
				t.Errorf("%s: %d rows made buckets known, want %d", what, got, want)
			}
			for i := from; i < from+10; i++ {
				if got := lies(t, h, "activity", fmt.Sprint(i)); got == "" {
					t.Fatalf("%s: object %d is not found", what, i)
				}
			}
		}
		put("new", 0, 0, 1)
		put("known", 10, 0, 0)
		put("another", 20, 1, 1)
		time.Sleep(time.Minute)
		put("known for long", 30, 0, 1)
		refuse.Store(1)
		put("refused", 40, 2, 1)
		if refuse.Load() >= 0 {
			t.Error("nothing was refused")
		}
	})
}
