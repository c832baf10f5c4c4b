package volatile_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/fourfold-dev/fourfold/volatile"
	"github.com/fourfold-dev/fourfold/volatile/embedded"
)

// A reader that begins after a write was announced is not answered by a load
// that began before it, though it waits for it.
func TestAnAnnouncedWriteIsNotUnseen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		c, err := volatile.Open(ctx, embedded.New(nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		slow := make(chan bool)
		fetch := func(load func() int64) <-chan int64 {
			read := make(chan int64, 1)
			go func() {
				e, err := c.Fetch(ctx, "k", 0, func(context.Context) (volatile.Entry, error) {
					return volatile.Entry{Stamp: volatile.Stamp{Version: load()}}, nil
				})
				if err != nil {
					t.Error(err)
				}
				read <- e.Stamp.Version
			}()
			synctest.Wait()
			return read
		}
		before := fetch(func() int64 { <-slow; return 1 })
		beside := fetch(func() int64 { return 9 }) // waits for the first one's answer
		if _, err := c.Replace(ctx, "k", volatile.Entry{Stamp: volatile.Stamp{Version: 2}}, 0); err != nil {
			t.Fatal(err)
		}
		after := fetch(func() int64 { return 2 })
		close(slow)
		if a, b, c := <-before, <-beside, <-after; a != 1 || b != 1 || c != 2 {
			t.Errorf("read %d by the load, %d by who began before the write, and %d by who began after it; want 1, 1, 2", a, b, c)
		}
	})
}
