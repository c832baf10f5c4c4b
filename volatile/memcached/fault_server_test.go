package memcached

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

// C15: connections are as many as operations under way, and are kept.
func TestConnectionsAreBounded_C15(t *testing.T) {
	s := startServer(t)
	d := openAt(t, Options{Timeout: patient, Conns: 4}, s.addr)
	before := s.stat("total_connections")
	var wg sync.WaitGroup
	for worker := range 32 {
		wg.Go(func() {
			for range 50 {
				must(t, d.set(fmt.Sprint("k", worker), "v"))
			}
		})
	}
	wg.Wait()
	// One more opened the epoch, one is the pipe, and one asks now.
	if n := s.stat("total_connections") - before; n > 4+3 {
		t.Errorf("1,600 sets opened %d connections; 4 may be under way", n)
	}
}

// A wait for a place among the operations under way ends with its context, and
// changes nothing.
func TestWaitForAPlace(t *testing.T) {
	s := startServer(t)
	d := openAt(t, Options{Timeout: patient, Conns: 1}, s.addr)
	must(t, d.set("k", "v"))
	d.members[0].conns <- struct{}{}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err := d.Set(ctx, []volatile.Item{{Key: "k", Value: []byte("w")}})[0]
	if !errors.Is(err, context.DeadlineExceeded) || fault.Unknown(err) {
		t.Errorf("%v", err)
	}
	<-d.members[0].conns
	d.want(t, "k", "v")
}

// A context that ends while a write is under way makes its outcome unknown,
// and the error is still the context's.
func TestContextEndsDuringAWrite(t *testing.T) {
	s := startServer(t)
	d := openAt(t, Options{Timeout: patient}, s.addr)
	must(t, d.set("k", "old"))
	s.pause()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	err := d.Set(ctx, []volatile.Item{{Key: "k", Value: []byte("new")}})[0]
	if !errors.Is(err, context.DeadlineExceeded) || !fault.Unknown(err) {
		t.Errorf("set: %v", err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if _, err := d.Get(ctx, []string{"k"}); !errors.Is(err, context.DeadlineExceeded) || fault.ClassOf(err) != nil {
		t.Errorf("get: %v", err)
	}
	s.resume()
	eventually(t, 5*time.Second, "the old value is gone, whether the set has landed or not", func() bool { got, err := d.get("k"); return err == nil && got != "old" })
}

// C9: a server without memory refuses, which is busy and no outage; what it
// evicts is a miss.
func TestServerWithoutMemory_C9(t *testing.T) {
	s := startServer(t, "-m", "2", "-M")
	d := openAt(t, Options{Timeout: patient}, s.addr)
	value := strings.Repeat("x", 100_000)
	var busy error
	for i := 0; i < 200 && busy == nil; i++ {
		busy = d.set(fmt.Sprint("k", i), value)
	}
	if !errors.Is(busy, fault.ErrBusy) {
		t.Errorf("a full server: %v", busy)
	}
	evicting := startServer(t, "-m", "2")
	d = openAt(t, Options{Timeout: patient}, evicting.addr)
	missed := 0
	for i := range 400 {
		must(t, d.set(fmt.Sprint("k", i), value[:10_000]))
	}
	for i := range 400 {
		if got, err := d.get(fmt.Sprint("k", i)); err != nil {
			t.Fatal(err)
		} else if got == "(miss)" {
			missed++
		}
	}
	if missed == 0 {
		t.Error("400 values of 10 kB in 2 MB, and none was evicted")
	}
}

// A server whose items are smaller than we think refuses, and Check says so.
func TestServerWithSmallItems_C8(t *testing.T) {
	s := startServer(t, "-I", "512k")
	d := openAt(t, Options{Timeout: patient}, s.addr)
	if err := d.set("k", strings.Repeat("x", 600_000)); !errors.Is(err, fault.ErrTooLarge) {
		t.Errorf("set: %v", err)
	}
	report := d.Check(context.Background())
	if report.OK() || !strings.Contains(strings.Join(report.Problems, ""), "-I") {
		t.Errorf("check: %v", report)
	}
	s = startServer(t, "-C")
	d = openAt(t, Options{Timeout: patient}, s.addr)
	if report := d.Check(context.Background()); report.OK() {
		t.Errorf("check of a server without compare-and-swap: %v", report)
	}
}

// C16: a server at its limit of connections is as good as down.
func TestServerAtItsConnectionLimit_C16(t *testing.T) {
	for _, args := range [][]string{{"-c", "20", "-o", "maxconns_fast"}, {"-c", "20", "-o", "no_maxconns_fast"}} {
		s := startServer(t, args...)
		var hogs []net.Conn
		for range 40 {
			if hog, err := net.DialTimeout("tcp", s.addr, 100*time.Millisecond); err == nil {
				hogs = append(hogs, hog)
			}
		}
		d := openAt(t, Options{Timeout: 200 * time.Millisecond}, s.addr)
		if err := d.set("k", "v"); !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("%v: %v", args, err)
		}
		for _, hog := range hogs {
			hog.Close()
		}
		eventually(t, 20*time.Second, "it serves when others leave", func() bool { return d.set("k", "v") == nil })
	}
}
