package beanstalkd

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// A check asks a server that counts as down: the layer must not learn later than
// the driver that it is back.
func TestCheckAsksAServerThatCountsAsDown(t *testing.T) {
	f := newFakeServer(t, func(string) (string, bool) { return "", false })
	opened, err := open(t.Context(), []string{f.listener.Addr().String()}, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	d := opened.(*driver)
	defer d.Close()
	s := d.servers[0]
	s.mu.Lock()
	idle := s.idle
	s.idle, s.down = nil, errors.New("it was")
	s.mu.Unlock()
	for _, l := range idle {
		s.drop(l)
	}
	if r := d.Check(t.Context()); !r.Reachable {
		t.Errorf("check: %v", r)
	}
}

// A put on its way to a server that is found to be unreachable does not wait for
// its own deadline: its caller has another place for the job.
func TestPutsToAStoppedServerEndSoon_B15(t *testing.T) {
	stop, silent := make(chan struct{}), make(chan struct{})
	defer close(stop)
	f := newFakeServer(t, func(command string) (string, bool) {
		if strings.HasPrefix(command, "put") {
			close(silent)
			<-stop // nor does it answer anybody else
		}
		return "", false
	})
	q := openFake(t, f, Options{Timeout: time.Hour, DialTimeout: time.Second, Producers: 1})
	under := make(chan error, 1)
	go func() { under <- q.Put(t.Context(), transitory.Job{Tube: "t"})[0] }()
	select {
	case <-silent:
	case err := <-under:
		t.Fatalf("the first put: %v", err)
	}
	// Its connection is the only one, and the second put waits for it.
	if err := q.Put(t.Context(), transitory.Job{Tube: "t"})[0]; fault.ClassOf(err) != fault.ErrUnavailable {
		t.Errorf("a put after it: %v", err)
	}
	select {
	case err := <-under:
		if !fault.Unknown(err) {
			t.Errorf("the put under way: %v, want unknown", err)
		}
	case <-time.After(time.Minute):
		t.Error("the put under way still waits")
	}
}
