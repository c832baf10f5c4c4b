package amorphoustest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// RunKilled has every client write to one server, and read, over a store that stays
// open, while the server is killed without a warning and brought back by restart,
// when every client has done these parts of its rows, such as a third and a half. A call
// ends with its context, fails as an outage does or with an unknown outcome, and
// succeeds when the server is back; what was acknowledged is there. For servers
// whose writes survive a kill (Features.Durability).
func RunKilled(t *testing.T, restart func(ctx context.Context) error, parts []float64, clients map[string]Harness) {
	r := &killed{T: t, clients: int64(len(clients)), over: make(chan struct{})}
	for _, part := range parts {
		r.kills = append(r.kills, &kill{part: part, here: make(chan struct{}), past: make(chan struct{})})
	}
	var (
		writers sync.WaitGroup
		tables  [][2]*table
		names   = slices.Sorted(maps.Keys(clients))
		runs    = make([]run, len(names))
	)
	for _, name := range names {
		plain := clients[name].table(t, false)
		placed := &table{t, plain.store, amorphous.Table{Name: plain.table.Name + "placed", Placed: true}}
		if err := plain.store.CreateSchema(t.Context(), placed.table); err != nil {
			t.Fatalf("create schema: %v", err)
		}
		tables = append(tables, [2]*table{plain, placed})
	}
	for i, name := range names {
		runs[i].rows = int64(clients[name].Rows)
		for range 4 {
			writers.Go(func() {
				for n := runs[i].next.Add(1); n <= runs[i].rows; n = runs[i].next.Add(1) {
					if !r.acknowledged(tables[i][n%2], n, &runs[i]) {
						r.giveUp()
						return
					}
					r.wait(&runs[i])
				}
			})
		}
	}
	for _, m := range r.kills {
		select {
		case <-m.here:
		case <-r.over: // a writer has said why
		}
		close(m.past) // calls are under way when the server goes
		if err := restart(context.Background()); err != nil {
			t.Errorf("restart: %v", err)
			r.giveUp()
		}
	}
	writers.Wait()
	for i, name := range names {
		if n := runs[i].failed.Load(); n == 0 && len(parts) > 0 {
			t.Errorf("%s: no call failed while the server was down: nothing is proved", name)
		}
		for placed, tb := range tables[i] {
			same(tb, name+": what was acknowledged is there", tb.all(amorphous.Range{Partition: "r"}), wanted(clients[name].Rows, placed))
		}
	}
}

// killed is what all clients share.
type killed struct {
	*testing.T
	clients int64
	kills   []*kill
	over    chan struct{} // closed when a client gives up

	once sync.Once
}

// A kill is a moment at which the server is killed. A client that is there waits for
// the others, or a quick one would be done before.
type kill struct {
	part    float64
	arrived atomic.Int64  // clients
	here    chan struct{} // closed when all are
	past    chan struct{} // closed when the server is about to be killed
}

// A run is what one client has done.
type run struct {
	rows               int64
	next, done, failed atomic.Int64 // rows, rows, calls
}

func (r *killed) giveUp() { r.once.Do(func() { close(r.over) }) }

// wait counts a row, and waits where the client has to.
func (r *killed) wait(mine *run) {
	done := mine.done.Add(1)
	for _, m := range r.kills {
		at := int64(m.part * float64(mine.rows))
		if done == at && m.arrived.Add(1) == r.clients {
			close(m.here)
		}
		if done >= at {
			select {
			case <-m.past:
			case <-r.over:
			}
		}
	}
}

// acknowledged writes a row, or what it became, until the server says that it has
// it. Every third row is deleted again.
func (r *killed) acknowledged(tb *table, n int64, mine *run) bool {
	first := numbered(n)
	rows := []amorphous.Row{first}
	if n%3 == 0 {
		rows = append(rows, tombstone(first, 2, 0))
	}
	for _, row := range rows {
		if !r.insist(mine, func(ctx context.Context) error { return tb.store.Write(ctx, tb.table, row)[0] }) {
			return false
		}
	}
	var found []amorphous.Row
	if !r.insist(mine, func(ctx context.Context) (err error) {
		found, err = tb.store.Read(ctx, tb.table, first.Address())
		return err
	}) {
		return false
	}
	if alive := n%3 != 0; alive != (len(found) == 1) {
		r.Errorf("row %d is read as %s, by who has just written it", n, show(found))
	}
	return true
}

// insist makes a call until it succeeds. Every one may be repeated.
func (r *killed) insist(mine *run, call func(ctx context.Context) error) bool {
	const within, patience = 2 * time.Second, 2 * time.Minute
	for began := time.Now(); ; <-time.After(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		start := time.Now()
		err := call(ctx)
		took := time.Since(start)
		cancel()
		switch {
		case took > within+5*time.Second:
			r.Errorf("a call whose context ended after %v took %v: %v", within, took, err)
			return false
		case err == nil:
			return true
		case !fault.Retryable(err) && !fault.Unknown(err) && !errors.Is(err, context.DeadlineExceeded):
			r.Errorf("a server that is killed is an outage, or leaves the outcome unknown: %v", err)
			return false
		case time.Since(began) > patience:
			r.Errorf("after %v the server does not serve the store: %v", patience, err)
			return false
		}
		mine.failed.Add(1)
	}
}

// numbered is the row of a number.
func numbered(n int64) amorphous.Row {
	return row("r", fmt.Sprintf("%06d", n), fmt.Sprint("r", n), 1)
}

// wanted is what one of a client's two tables holds in the end.
func wanted(rows, parity int) (want []amorphous.Row) {
	for n := int64(1); n <= int64(rows); n++ {
		if n%3 != 0 && int(n%2) == parity {
			want = append(want, numbered(n))
		}
	}
	return want
}
