package persistence_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/servertest"
	_ "github.com/fourfold-dev/fourfold/transactional/mysql"
)

// PerKey holds over all that share a database: here two layers, each with
// workers of its own, as two processes have.
func TestPerKeyHoldsAcrossProcesses(t *testing.T) {
	servers := servertest.Start(t, servertest.Options{Purposes: []persistence.Purpose{persistence.Transactional}})
	namespace := servers.Options().Namespace
	var now, most, runs atomic.Int64
	entered, held := make(chan struct{}, 100), make(chan struct{})
	open := func() *persistence.Handle[job] {
		layer, err := persistence.Open(t.Context(),
			persistence.Stores{Transactional: servers.Stores().Transactional},
			&persistence.Options{Namespace: namespace, Workers: 8, Lease: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { layer.Close() })
		jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
			{Priority: 1, Name: "run", Purpose: persistence.Transactional, PerKey: 2, Do: func(_ context.Context, j job) error {
				defer runs.Add(1)
				if j.ID != "hot" {
					return nil
				}
				n := now.Add(1)
				defer now.Add(-1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				entered <- struct{}{}
				<-held
				return nil
			}},
		})
		if err := layer.CreateSchema(t.Context()); err != nil {
			t.Fatal(err)
		}
		serve(t, layer)
		return jobs
	}
	handles := []*persistence.Handle[job]{open(), open()}
	const puts = 8
	put := func(id func(i int) string) (rs []*persistence.Receipt) {
		for i := range puts {
			r, err := handles[i%2].Put(t.Context(), job{ID: id(i), Group: fmt.Sprint(i)})
			if err != nil {
				t.Fatal(err)
			}
			rs = append(rs, r)
		}
		return rs
	}
	hot := put(func(int) string { return "hot" })
	<-entered
	<-entered
	// Both do what came later, and so have passed over the others of this key.
	for _, r := range put(func(i int) string { return fmt.Sprint("cold", i) }) {
		wait(t, r, nil)
	}
	close(held)
	for _, r := range hot {
		wait(t, r, nil)
	}
	if runs.Load() != 2*puts || most.Load() != 2 {
		t.Errorf("%d of %d ran, %d at a time over both; want 2", runs.Load(), 2*puts, most.Load())
	}
	t.Run("Join", func(t *testing.T) { joins(t, servers) })
}

// joins puts an object in a transaction of the caller's own pool: it is accepted
// when the caller commits, and not when the caller rolls back.
func joins(t *testing.T, servers *servertest.Servers) {
	at, err := url.Parse(servers.URL(persistence.Transactional))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", at.User.String()+"@tcp("+at.Host+")"+at.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	layer, err := persistence.Open(t.Context(), persistence.Stores{Transactional: servers.Stores().Transactional},
		&persistence.Options{Namespace: servers.Options().Namespace + "j"}) // whose workers are its own
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	var r ran
	pings := persistence.Declare(layer, "ping", append(pingPlan(r.do), persistence.Task[ping]{Purpose: persistence.Transactional}))
	if err := layer.CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"rolled back", "committed"} {
		own, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		tx, err := layer.Join(t.Context(), own)
		if err == nil {
			_, err = pings.In(tx).Put(t.Context(), ping{ID: id})
		}
		end := own.Rollback
		if id == "committed" {
			end = own.Commit
		}
		if err = errors.Join(err, end()); err != nil {
			t.Fatal(err)
		}
		layer.Wake()
	}
	drain(t, layer)
	_, err = pings.Get(t.Context(), "committed")
	_, gone := pings.Get(t.Context(), "rolled back")
	if err != nil || !errors.Is(gone, fault.ErrNotFound) || r.String() != "map[committed:1]" {
		t.Errorf("ran %s, and the rows are there: %v, %v; want what was committed alone", &r, err, gone)
	}
}
