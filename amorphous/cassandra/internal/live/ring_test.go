package live

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocql2 "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/amorphoustest"
	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// ringAlone makes TestRing the campaign that it is on a machine with nothing else
// to do: it runs the whole suite on the ring, which takes minutes, and holds the
// faults to a second. Beside other tests on two cores three JVMs may stand still
// for longer than that.
//
//	go test ./amorphous/cassandra/internal/live -run TestRing -v -args -ring
var ringAlone = flag.Bool("ring", false, "run the conformance suite on a ring too, and hold faults to a second")

// TestRing_E18: three nodes, each row written and read by a quorum of them. One is
// killed, comes back, and another is stopped, while rows are written.
func TestRing_E18(t *testing.T) {
	nodes := servers.TestRing(t, 3, servers.Cassandra{Heap: 448})
	url := servers.URL(nodes...) + "?consistency=quorum"
	t.Run("Faults", func(t *testing.T) { testRingFaults(t, nodes, url) })
	t.Run("Suite", func(t *testing.T) {
		if !*ringAlone {
			t.Skip("the campaign that -args -ring asks for: the suite on three nodes, one of which dies, NOT TESTED here")
		}
		testRingSuite(t, nodes, url)
	})
}

// testRingSuite runs the suite; one node dies in the middle of it and stays away
// for the rest.
func testRingSuite(t *testing.T, nodes []*servers.Server, url string) {
	var die sync.Once
	amorphoustest.Run(t, amorphoustest.Harness{
		Source: amorphous.URL(url), Rows: 150,
		Restart: func(t *testing.T) {
			die.Do(func() {
				nodes[2].Kill()
				convicted(t, nodes[0])
			})
		},
	})
	if nodes[2].PID() != 0 {
		t.Error("no node died during the suite: nothing is shown")
	}
}

// convicted waits until the others know that a node is dead. Until then a read
// may ask it, and wait for its own timeout: that is Cassandra's, and not the
// store's, which says ErrUnavailable.
func convicted(t *testing.T, witness *servers.Server) {
	t.Helper()
	session := dial(t, witness.Address())
	defer session.Close()
	for end := time.Now().Add(time.Minute); ; {
		err := session.Query("SELECT session_id FROM system_traces.sessions").Consistency(gocql2.All).Exec()
		if _, down := errors.AsType[*gocql2.RequestErrUnavailable](err); down {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the others do not notice that a node is dead: %v", err)
		}
	}
}

// testRingFaults: no write that was acknowledged is lost, an unknown outcome is
// resolved by repeating it at the same stamp, and writes go on within a second
// of a node's death.
func testRingFaults(t *testing.T, nodes []*servers.Server, url string) {
	store := open(t, url)
	plain, placed := amorphous.Table{Name: "ring"}, amorphous.Table{Name: "ring_placed", Placed: true}
	if err := store.CreateSchema(t.Context(), plain, placed); err != nil {
		t.Fatal(err)
	}
	// Beside other tests, and on a machine that may itself stand still for many
	// seconds, only that writes go on is asked.
	most, patience := time.Minute, 5*time.Second
	if *ringAlone {
		most, patience = time.Second, 500*time.Millisecond
	}
	load := &ringLoad{store: store, patience: patience, tables: []amorphous.Table{plain, placed}}
	load.start(t, 6)
	load.wait(t, 200)
	events := []struct {
		name string
		do   func() error
	}{
		{"killed", func() error { nodes[0].Kill(); return nil }},
		{"back", func() error { return nodes[0].Restart(t.Context()) }},
		{"stopped", nodes[1].Pause},
		{"goes on", nodes[1].Resume},
	}
	for _, e := range events {
		at := time.Now()
		if err := e.do(); err != nil {
			t.Fatal(err)
		}
		took := time.Since(at)
		load.wait(t, 200)
		read := load.readBack(t, plain)
		gap := load.longestGap(at)
		t.Logf("a node is %s (%.1f s): %d rows acknowledged so far, %d writes repeated, at most %v between two; the last row was read after %v",
			e.name, took.Seconds(), load.acked.Load(), load.repeated.Load(), gap.Round(time.Millisecond), read.Round(time.Millisecond))
		if gap > most {
			t.Errorf("a node is %s: for %v no write was acknowledged, want %v at most", e.name, gap, most)
		}
	}
	load.stop()
	load.check(t, url)
}

// pause lies between two rows of a writer: three nodes share the cores with other
// tests, and faults are to be seen, not a machine at its end.
const pause = 5 * time.Millisecond

// A ringLoad writes rows and remembers when which was acknowledged.
type ringLoad struct {
	store    *amorphous.Store
	tables   []amorphous.Table
	patience time.Duration // of one attempt
	acked    atomic.Int64
	repeated atomic.Int64
	ended    chan struct{}
	writing  sync.WaitGroup

	mu    sync.Mutex
	rows  []amorphous.Row // acknowledged, of each table the same
	times []time.Time
	last  error // why a write was repeated
}

func (l *ringLoad) start(t *testing.T, writers int) {
	l.ended = make(chan struct{})
	for w := range writers {
		l.writing.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-l.ended:
					return
				default:
				}
				id := fmt.Sprintf("w%d-%06d", w, n)
				row := amorphous.Row{Partition: fmt.Sprint("p", n%16), Order: []byte(id), ID: id, Shape: 1,
					Stamp: amorphous.Stamp{Version: int64(n + 1), Tie: uint64(w)}, Body: []byte(`{"n":1}`)}
				for _, table := range l.tables {
					if !l.write(t, table, row) {
						return
					}
				}
				l.mu.Lock()
				l.rows, l.times = append(l.rows, row), append(l.times, time.Now())
				l.mu.Unlock()
				l.acked.Add(1)
				select {
				case <-l.ended:
				case <-time.After(pause):
				}
			}
		})
	}
}

// write writes a row until it is acknowledged: what is unknown or unavailable is
// written again, with the same stamp.
func (l *ringLoad) write(t *testing.T, table amorphous.Table, row amorphous.Row) bool {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), l.patience)
		err := l.store.Write(ctx, table, row)[0]
		cancel()
		switch {
		case err == nil:
			return true
		case !fault.Unknown(err) && !fault.Retryable(err) && !errors.Is(err, context.DeadlineExceeded):
			t.Errorf("a write while a node is away: %v", err)
			return false
		}
		l.repeated.Add(1)
		l.mu.Lock()
		l.last = err
		l.mu.Unlock()
	}
}

// wait waits for so many more acknowledged writes.
func (l *ringLoad) wait(t *testing.T, more int64) {
	t.Helper()
	from := l.acked.Load()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for l.acked.Load() < from+more {
		if t.Failed() || ctx.Err() != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			t.Fatalf("%d writes were acknowledged in two minutes, want %d: %v", l.acked.Load()-from, more, l.last)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond): // real servers take part
		}
	}
}

// readBack reads the row that was acknowledged last, and returns how long that
// took with all repeats.
func (l *ringLoad) readBack(t *testing.T, table amorphous.Table) time.Duration {
	t.Helper()
	l.mu.Lock()
	want := l.rows[len(l.rows)-1]
	l.mu.Unlock()
	began := time.Now()
	for {
		rows, err := l.store.Read(t.Context(), table, amorphous.Address{Partition: want.Partition, Order: want.Order, ID: want.ID})
		if err == nil {
			if len(rows) != 1 {
				t.Errorf("an acknowledged row is read as %d rows", len(rows))
			}
			return time.Since(began)
		}
		if !fault.Retryable(err) || time.Since(began) > time.Minute {
			t.Fatalf("a read while a node is away: %v", err)
		}
	}
}

// longestGap is the longest time without an acknowledged write since a moment.
func (l *ringLoad) longestGap(since time.Time) (gap time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := since
	for _, at := range l.times {
		if at.After(since) {
			gap, last = max(gap, at.Sub(last)), at
		}
	}
	return gap
}

func (l *ringLoad) stop() {
	close(l.ended)
	l.writing.Wait()
}

// check reads everything back through a session of its own.
func (l *ringLoad) check(t *testing.T, url string) {
	store := open(t, url)
	for _, table := range l.tables {
		found := map[string]bool{}
		for p := range 16 {
			r := amorphous.Range{Partition: fmt.Sprint("p", p)}
			for {
				page, err := store.Scan(t.Context(), table, r)
				if err != nil {
					t.Fatal(err)
				}
				for _, row := range page.Rows {
					if found[row.ID] {
						t.Errorf("%s is there twice", row.ID)
					}
					found[row.ID] = true
				}
				if r.After = page.Next; r.After == nil {
					break
				}
			}
		}
		lost := slices.DeleteFunc(slices.Clone(l.rows), func(r amorphous.Row) bool { return found[r.ID] })
		if len(lost) > 0 {
			t.Errorf("%s: %d of %d acknowledged writes are lost, such as %s", table.Name, len(lost), len(l.rows), lost[0].ID)
		}
	}
}
