package memcached

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

// openPiped opens a driver whose operations all go over a pipe, which is there.
func openPiped(t testing.TB, opts Options, address string) *driver {
	t.Helper()
	d := openAt(t, opts, address)
	d.members[0].pipeFrom = 0
	e, err := d.members[0].current(context.Background())
	must(t, err)
	l := e.takeShared(context.Background(), group)
	if l == nil {
		t.Fatal("there is no pipe")
	}
	e.give(l)
	return d
}

// either runs a test over connections of the operations' own, and over a pipe.
func either(t *testing.T, name string, test func(t *testing.T, open func(testing.TB, Options, string) *driver)) {
	t.Run(name, func(t *testing.T) {
		test(t, func(t testing.TB, opts Options, address string) *driver { return openAt(t, opts, address) })
	})
	t.Run(name+" piped", func(t *testing.T) { test(t, openPiped) })
}

// Every operation on a pipe that fails is told so, at once; a write does not
// know whether it was done.
func TestPipeFailsAllWhoWait(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	d := openPiped(t, Options{Timeout: patient}, fake(t, func(string) string {
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked < 10 {
			return "STORED\r\n"
		}
		return "" // and the connection is closed
	}))
	start := time.Now()
	errs := make([]error, 40)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			errs[i] = d.Swap(context.Background(), volatile.Item{Key: fmt.Sprint("k", i), Value: []byte("v")})
		})
	}
	wg.Wait()
	done := 0
	for i, err := range errs {
		switch {
		case err == nil:
			done++
		case !fault.Unknown(err) && !errors.Is(err, fault.ErrUnavailable):
			t.Errorf("swap %d: %v", i, err)
		}
	}
	if done != 9 {
		t.Errorf("%d of 9 answers were given to those who asked", done)
	}
	if took := time.Since(start); took > patient/2 {
		t.Errorf("it took %v", took)
	}
}

// A caller that leaves a pipe leaves its answer there: what the others get is
// theirs.
func TestPipeCallersLeave(t *testing.T) {
	s := startServer(t)
	d := openPiped(t, Options{Timeout: patient}, s.addr)
	for i := range 50 {
		must(t, d.set(fmt.Sprint("k", i), fmt.Sprint("v", i)))
	}
	s.pause()
	var leave, stay sync.WaitGroup
	for i := range 50 {
		if i%2 == 1 {
			stay.Go(func() { d.want(t, fmt.Sprint("k", i), fmt.Sprint("v", i)) })
			continue
		}
		leave.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if _, _, err := d.GetOne(ctx, fmt.Sprint("k", i)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%d, who leaves: %v", i, err)
			}
		})
	}
	leave.Wait()
	s.resume()
	stay.Wait()
	for i := range 50 {
		d.want(t, fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
}

// A group over several members, one of which is down, says of each item what
// became of it.
func TestGroupOverMembers(t *testing.T) {
	a, b := startServer(t), startServer(t)
	d := openAt(t, Options{Timeout: patient}, a.addr, b.addr)
	items := make([]volatile.Item, 300)
	for i := range items {
		items[i] = volatile.Item{Key: fmt.Sprint("k", i), Value: bytes.Repeat([]byte("v"), i*100)}
	}
	items[7].Key = ""
	for i, err := range d.Set(t.Context(), items) {
		if (err != nil) != (i == 7) {
			t.Errorf("set %d: %v", i, err)
		}
	}
	items[7].Key = "k7"
	must(t, d.set("k7", strings.Repeat("v", 700)))
	b.kill()
	for i, err := range d.Set(t.Context(), items) {
		if up := d.member(items[i].Key).addr.name == a.addr; (err == nil) != up {
			t.Errorf("set %d with its member up %v: %v", i, up, err)
		} else if !up && (!fault.Unknown(err) && !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), items[i].Key)) {
			t.Errorf("set %d: %v", i, err)
		}
	}
}

// A command is whole when its last byte has come, however it is cut, and what
// follows it before its answer is refused.
func TestCommandFraming(t *testing.T) {
	for _, text := range []string{"gets k\r\n", "set k 0 0 5\r\nhello\r\n", "cas k 0 0 0 17\r\n\r\n", "add k 1 60 4\r\n\r\n\r\n\r\n", "delete k\r\n", "incr k 5\r\n"} {
		for cut := 0; cut < len(text); cut++ {
			var c command
			whole, err := c.feed([]byte(text[:cut]))
			if whole || err != nil {
				t.Fatalf("%q is whole: %v, %v", text[:cut], whole, err)
			}
			if whole, err = c.feed([]byte(text[cut:])); !whole || err != nil || string(c.take()) != text {
				t.Fatalf("%q, then %q: %v, %v", text[:cut], text[cut:], whole, err)
			}
		}
		var c command
		if _, err := c.feed([]byte(text + "x")); err == nil {
			t.Errorf("%q and one byte more is taken", text)
		}
	}
	for _, text := range []string{"set k\r\n", "set k 0 0 x\r\n", "cas k 0 0 99999999999\r\n"} {
		var c command
		if _, err := c.feed([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
