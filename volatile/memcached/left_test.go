package memcached

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/leaktest"
	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/volatile"
)

// C14, C15: connections that break, however often and in whichever way, are
// replaced and not added to; every call ends with its context meanwhile; and Close
// leaves neither a goroutine nor a socket behind. So it is by our own way to dial,
// and by a caller's client.
func TestReconnectionLeavesNothingBehind_C14_C15(t *testing.T) {
	const conns = 4
	s := startServer(t)
	cable := servers.NewCable(t, s.addr)
	client := new(dialHook).client(cable.Address())
	for name, source := range map[string]volatile.Source{
		"New":        New([]string{cable.Address()}, &Options{Timeout: patient, Conns: conns}),
		"FromClient": FromClient(client, []string{cable.Address()}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			mark := leaktest.Now()
			opened, err := source.OpenDriver(t.Context())
			must(t, err)
			d := opened.(*driver)
			for _, r := range []struct{ hurt, heal func() }{
				{s.kill, s.start}, {cable.Cut, cable.Mend}, {s.pause, s.resume},
				{s.kill, s.start}, {cable.Cut, cable.Mend}, {s.pause, s.resume},
			} {
				callAll(t, d, r.hurt, r.heal)
			}
			// A connection is three sockets here, with the cable's, and two goroutines
			// of the cable's; beside them are the pipe and one that verifies. The server's
			// process is watched by a goroutine.
			mark.Within(t, 3*(conns+2)+4, 3*(conns+2))
			must(t, d.Close())
			mark.Nothing(t)
		})
	}
}

// callAll has many calls under way when the server goes, each of which ends with
// its context, and waits until it is back.
func callAll(t *testing.T, d *driver, hurt, heal func()) {
	t.Helper()
	works := func() bool { return d.set("k", "v") == nil }
	eventually(t, 10*time.Second, "writes work", works)
	var callers sync.WaitGroup
	began := make(chan struct{}, 16)
	for i := range cap(began) {
		callers.Go(func() {
			for n := 0; ; n++ {
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
				start := time.Now()
				var err error
				if i%2 == 0 {
					_, err = d.Get(ctx, []string{fmt.Sprint("k", i)})
				} else {
					err = errors.Join(d.Set(ctx, []volatile.Item{{Key: fmt.Sprint("k", i)}, {Key: fmt.Sprint("l", i)}})...)
				}
				if took := time.Since(start); took > patient/2 {
					t.Errorf("a call whose context ended after 30ms took %v", took)
				}
				cancel()
				if n == 1 {
					began <- struct{}{}
				}
				if err != nil && n > 0 {
					return
				}
			}
		})
	}
	for range cap(began) {
		<-began
	}
	hurt()
	callers.Wait()
	heal()
	eventually(t, 10*time.Second, "writes work again", works)
}
