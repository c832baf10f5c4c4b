package servertest_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/servertest"
	"github.com/fourfold-dev/fourfold/volatile"
	"github.com/fourfold-dev/fourfold/volatile/memcached"
)

// A trip is counted per line in a view that a handler keeps.
type trip struct {
	ID   string `persistence:"key"`
	Line string `transactional:",index"`
}

// A train is a record that is cached; its number of trips only grows.
type train struct {
	Line  string `persistence:"key"`
	Trips int
}

// A railway is a program over three memcacheds, with its record in process.
type railway struct {
	*testing.T
	layer  *persistence.Layer
	trips  *persistence.Handle[trip]
	trains *persistence.Handle[train]
	made   *volatile.View[int]
	counts atomic.Int64 // how often a line was counted anew
	put    [railLines]atomic.Int64
	told   [railLines]atomic.Int64 // of which the view has been told
}

const railLines = 12

func openRailway(t *testing.T, addresses []string) *railway {
	t.Helper()
	stores := embedded.Stores(t.TempDir())
	stores.Volatile = memcached.New(addresses, &memcached.Options{Timeout: 200 * time.Millisecond})
	layer, err := persistence.Open(t.Context(), stores, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { layer.Close() })
	r := &railway{T: t, layer: layer}
	r.trips = persistence.Declare(layer, "trip", persistence.Plan[trip]{
		{Purpose: persistence.Transactional},
		{Priority: 1, Name: "made", Purpose: persistence.Volatile, TTL: time.Hour, Rebuild: persistence.Rebuild(r.count), Do: r.tell},
	})
	r.trains = persistence.Declare(layer, "train", persistence.Plan[train]{
		{Name: "row", Purpose: persistence.Transactional},
		{Name: "cache", Purpose: persistence.Volatile, TTL: time.Hour},
	})
	r.made = persistence.ViewOf[int](r.trips, "made")
	return r
}

func (r *railway) tell(ctx context.Context, one trip) error {
	if err := r.made.Drop(ctx, one.Line); err != nil {
		return err
	}
	var line int
	_, err := fmt.Sscan(one.Line, &line)
	r.told[line].Add(1)
	return err
}

func (r *railway) count(ctx context.Context, line string) (n int, err error) {
	r.counts.Add(1)
	for _, err := range r.trips.Find(ctx, persistence.Query{Where: map[string]any{"Line": line}}) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// round makes one trip per line, and in the middle of it something happens to the
// caches, while others read. Then what is read is what was put.
func (r *railway) round(n int, what string, happens func()) {
	r.Helper()
	ctx := r.Context()
	var reading sync.WaitGroup
	for line := range railLines {
		if line == railLines/2 {
			happens()
		}
		name := fmt.Sprint(line)
		least := r.told[line].Load()
		if _, err := r.trips.Put(ctx, trip{ID: fmt.Sprintf("%d-%d", line, n), Line: name}); err != nil {
			r.Fatalf("%s: put: %v", what, err)
		}
		r.put[line].Add(1)
		if _, err := r.trains.Put(ctx, train{Line: name, Trips: n}); err != nil {
			r.Fatalf("%s: put: %v", what, err)
		}
		reading.Go(func() {
			got, err := r.made.Get(ctx, name)
			if most := r.put[line].Load(); err != nil || int64(got) < least || int64(got) > most {
				r.Errorf("%s: line %d has made %d trips, %v; want %d to %d", what, line, got, err, least, most)
			}
			if one, err := r.trains.Get(ctx, name); err != nil || one.Trips != n {
				r.Errorf("%s: train %d has made %d trips, %v; want %d", what, line, one.Trips, err, n)
			}
		})
	}
	left, err := r.layer.Drain(ctx)
	if err != nil {
		r.Fatalf("%s: drain: %v", what, err)
	}
	reading.Wait()
	r.exact(what, n, len(left) > 0)
	r.Logf("%s: %d kinds have tasks left, %d counted anew", what, len(left), r.counts.Load())
}

// exact reads everything. Of what the view could not be told yet it may not know.
func (r *railway) exact(what string, n int, owing bool) {
	r.Helper()
	for line := range railLines {
		if one, err := r.trains.Get(r.Context(), fmt.Sprint(line)); err != nil || one.Trips != n {
			r.Errorf("after %s: train %d has made %d trips, %v; want %d", what, line, one.Trips, err, n)
		}
		got, err := r.made.Get(r.Context(), fmt.Sprint(line))
		least, most := r.put[line].Load(), r.put[line].Load()
		if owing {
			least = r.told[line].Load()
		}
		if err != nil || int64(got) < least || int64(got) > most {
			r.Errorf("after %s: line %d has made %d trips, %v; want %d to %d", what, line, got, err, least, most)
		}
	}
}

// flush makes a memcached forget everything, as its operator does.
func flush(t *testing.T, address string) {
	t.Helper()
	nc, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(nc, "flush_all\r\n")
	if line, err := bufio.NewReader(nc).ReadString('\n'); err != nil || !strings.HasPrefix(line, "OK") {
		t.Fatalf("flush_all: %q, %v", line, err)
	}
}

// Flushing real caches, killing one and stopping one in mid-run changes no answer,
// neither of a view that a handler keeps nor of a cached record, only its speed.
func TestLossesChangeNoAnswer_C17(t *testing.T) {
	servers := servertest.Start(t, servertest.Options{
		Purposes: []persistence.Purpose{persistence.Volatile},
		Nodes:    map[persistence.Purpose]int{persistence.Volatile: 3}, Own: true,
	})
	u, err := url.Parse(servers.URL(persistence.Volatile))
	if err != nil {
		t.Fatal(err)
	}
	addresses := strings.Split(u.Host, ",")
	r := openRailway(t, addresses)
	steps := []struct {
		what    string
		happens func()
		quiet   bool // nothing is written in the second in which it is noticed, so that what is old would show
	}{
		{"a quiet round", func() {}, false},
		{"a kill of the first", func() { servers.Kill(persistence.Volatile, 0) }, false},
		{"its return", func() { servers.Restart(persistence.Volatile, 0) }, false},
		{"a stop of the second", func() { servers.Pause(persistence.Volatile, 1) }, false},
		{"a round without it", func() {}, false},
		{"the return of the second", func() { servers.Resume(persistence.Volatile, 1) }, true},
		// From now on the members settle for seconds, and nothing is kept.
		{"a flush of all caches", func() {
			for _, address := range addresses {
				flush(t, address)
			}
		}, false},
		{"a round without any", func() {}, false},
		{"a restart of all", func() {
			servers.Kill(persistence.Volatile)
			servers.Restart(persistence.Volatile)
		}, false},
	}
	last := 0
	for n, step := range steps {
		if !step.quiet {
			r.round(n, step.what, step.happens)
			last = n
			continue
		}
		step.happens()
		for back := time.Now(); time.Since(back) < 1200*time.Millisecond; {
			r.exact(step.what, last, true)
		}
	}
	eventually(t, 30*time.Second, "the view is told of everything", func() bool {
		left, err := r.layer.Drain(t.Context())
		return err == nil && len(left) == 0
	})
	r.exact("all of it", last, false)
	if r.counts.Load() < railLines*2 {
		t.Errorf("%d lines were counted anew: nothing was lost", r.counts.Load())
	}
}
