package persistence_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
)

var degradation = flag.Duration("degradation", 0, "TestDegradation breaks each of four real servers for so long, in four ways, and prints the table; 0: two of them for a second")

// smallServers are those that start within a second or two.
func smallServers() map[persistence.Purpose]servers.Kind {
	return map[persistence.Purpose]servers.Kind{
		persistence.Transitory: servers.Beanstalkd{}, persistence.Volatile: servers.Memcached{}, persistence.Transactional: servers.MariaDB{Password: canary},
	}
}

// A program that a server leaves without an answer for a minute holds no more at
// its end than in its middle (P11), and loses nothing; its siblings go on, and what
// waited begins to drain within five seconds. Each server has a program of its own
// here, all at the same time; Cassandra, which is long in starting, half a minute.
func TestBoundsOfAMinute_F1(t *testing.T) {
	if os.Getenv("CI") == "" {
		t.Skip("skipped for its length: CI takes this minute, and -args -degradation=1m takes several")
	}
	cassandra, missing := make(chan *servers.Server, 1), make(chan error, 1)
	go func() {
		s, err := servers.Start(t.Context(), servers.Cassandra{}, nil)
		cassandra <- s
		missing <- err
	}()
	var all sync.WaitGroup
	for _, purpose := range []persistence.Purpose{persistence.Transitory, persistence.Volatile, persistence.Transactional} {
		w, patients := admit(t, smallServers(), 50*time.Second, false)
		for _, p := range patients {
			if p.purpose == purpose {
				all.Go(func() { w.bounds(p, time.Minute) })
			}
		}
	}
	w, p := admitCassandra(t, <-cassandra, <-missing)
	if w != nil {
		w.bounds(p, 30*time.Second)
	}
	all.Wait()
}

// admitCassandra is admit for a program with a server that was started already,
// or could not be.
func admitCassandra(t *testing.T, s *servers.Server, err error) (*ward, patient) {
	if err != nil {
		t.Logf("NOT TESTED on a real server: %v", err)
		return nil, patient{}
	}
	t.Cleanup(func() { _ = s.Close() })
	started := map[persistence.Purpose]*servers.Server{persistence.Amorphous: s}
	for p, kind := range smallServers() {
		started[p] = servers.Test(t, kind)
	}
	patients := patientsOf(started, nil)
	return openWard(t, wardStores(started, nil), 25*time.Second), patients[len(patients)-1]
}

// bounds has a server say nothing for so long. What its siblings keep of their rate
// is measured against the same program's a moment before, on a machine that may
// have more to do by now: so half of it will do.
func (w *ward) bounds(p patient, d time.Duration) {
	f := w.examine(p, "stopped", 3*time.Second, d)
	if f.spent > 0 {
		w.Errorf("%s: %d attempts were spent", p.name, f.spent)
	}
	if f.ratio < 0.5 {
		w.Errorf("%s: %s kept %.2f of its rate", p.name, f.slowest, f.ratio)
	}
	if f.begun > 5*time.Second {
		w.Errorf("%s: the drain begins after %v", p.name, f.begun)
	}
	w.Logf("%s: siblings kept %.2f of their rate, the drain began after %v, all was done %v after its return; the process held %d MB, %d goroutines and %d files at most",
		p.name, f.ratio, f.begun.Round(10*time.Millisecond), f.over.Round(10*time.Millisecond), f.most.Memory>>20, f.most.Goroutines, f.most.Files)
	w.judge()
}

// The degradation contract, measured over real servers: while one is away its
// siblings keep nine tenths of their rate, no attempt is spent, and what waited
// begins to drain within five seconds of its return.
//
//	go test ./persistence -run Degradation -v -timeout=30m -args -degradation=10s
func TestDegradation_F1(t *testing.T) {
	kinds := smallServers()
	d := time.Second
	if *degradation > 0 {
		d = *degradation
		kinds[persistence.Amorphous] = servers.Cassandra{}
	}
	w, patients := admit(t, kinds, min(d, 50*time.Second), *degradation > 0)
	w.load("warm", time.Second)
	ways := []string{"killed", "stopped", "cut", "slow"}
	if *degradation == 0 {
		patients = slices.DeleteFunc(patients, func(p patient) bool { return p.purpose == persistence.Transactional })
		ways = ways[:1]
	}
	var table strings.Builder
	out := tabwriter.NewWriter(&table, 2, 8, 2, ' ', 0)
	fmt.Fprintln(out, "server\tfor\tsiblings' rate\tslowest\tattempts spent\tdrain begins\tover\ttasks/s of the drain\tmost memory\tgoroutines\tfiles")
	for _, p := range patients {
		for _, how := range ways {
			lasts := d
			if how != "stopped" { // the connections are gone: there is less to hold
				lasts = min(d, time.Minute)
			}
			f := w.examine(p, how, min(d, 10*time.Second), lasts)
			fmt.Fprintf(out, "%s %s\t%v\t%.2f\t%s\t%d\t%v\t%v\t%.0f\t%d MB\t%d\t%d\n", p.name, how, lasts, f.ratio, f.slowest, f.spent,
				f.begun.Round(10*time.Millisecond), f.over.Round(10*time.Millisecond), f.rate, f.most.Memory>>20, f.most.Goroutines, f.most.Files)
			if f.spent > 0 {
				t.Errorf("%s %s: %d attempts were spent", p.name, how, f.spent)
			}
			if f.begun > 5*time.Second {
				t.Errorf("%s %s: the drain begins after %v", p.name, how, f.begun)
			}
			if *degradation >= 10*time.Second && f.ratio < 0.9 { // a server that is stopped is found out within seconds
				t.Errorf("%s %s: %s kept %.2f of its rate", p.name, how, f.slowest, f.ratio)
			}
		}
	}
	out.Flush()
	t.Log("\n" + table.String())
	w.judge()
}
