package beanstalkd

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beanstalkd/go-beanstalk"
)

// What a rush has opened is closed again when nobody has used it for a while,
// as others are used.
func TestConsumersOfARushAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &driver{consumers: map[uint64]*consumer{}}
		d.ctx, d.stop = context.WithCancel(t.Context())
		defer d.stop()
		s := newServer(d, "fake", Options{}.withDefaults())
		p := &s.consumers
		for range 20 {
			near, far := net.Pipe()
			defer far.Close()
			w := newWire(near)
			l := &link{wire: w, client: beanstalk.NewConn(w)}
			c := newConsumer(s, l, []string{"t"}, "t")
			s.links[l], p.all[c] = true, true
			d.register(c)
			p.free(c, taken)
		}
		use := func() {
			t.Helper()
			c, stale, _, _ := p.next("t")
			if c == nil || stale != nil {
				t.Fatal("no consumer is free")
			}
			p.free(c, taken)
		}
		for range 100 {
			use()
		}
		if len(p.all) != 20 || len(s.links) != 20 {
			t.Errorf("%d consumers and %d links while they are young, want 20", len(p.all), len(s.links))
		}
		time.Sleep(unused + time.Second)
		for range 100 {
			use()
		}
		if len(p.all) != 1 || len(s.links) != 1 || len(d.consumers) != 1 {
			t.Errorf("%d consumers, %d links and %d to settle with, want the one that is used", len(p.all), len(s.links), len(d.consumers))
		}
	})
}
