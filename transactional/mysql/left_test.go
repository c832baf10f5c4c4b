package mysql_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/leaktest"
	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// D3, D11: connections that break, however often and in whichever way, are
// replaced and not added to; every call ends with its context meanwhile; and Close
// leaves neither a goroutine nor a socket behind.
func TestReconnectionLeavesNothingBehind_D3_D11(t *testing.T) {
	const conns = 6
	s := ownServer(t)
	cable := servers.NewCable(t, s.addr)
	url := "mysql://root@" + cable.Address() + "/" + s.database(t)
	s.root.SetMaxIdleConns(-1) // what it has open is not counted
	defer s.root.SetMaxIdleConns(2)
	mark := leaktest.Now()
	store, err := transactional.Open(t.Context(), mysql.Open(url, &mysql.Options{MaxConns: conns, Timeout: time.Second}), nil)
	if err == nil {
		err = store.CreateSchema(t.Context(), things)
	}
	if err != nil {
		t.Fatal(err)
	}
	kill := func() error { s.kill(); return nil }
	cut := func() error { cable.Cut(); return nil }
	mend := func() error { cable.Mend(); return nil }
	for i, r := range []struct{ hurt, heal func() error }{
		{kill, s.start}, {cut, mend}, {s.Pause, s.Resume}, {cut, mend}, {kill, s.start}, {cut, mend}, {s.Pause, s.Resume},
	} {
		callAll(t, store, int64(i+1), r.hurt, r.heal)
	}
	// A connection is three sockets here, with the cable's, and three goroutines:
	// one is the client's, the others are the cable's.
	mark.Within(t, 3*conns+8, 3*conns)
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	mark.Nothing(t)
}

// callAll has many calls under way when the server goes, each of which ends with
// its context, and waits until it is back.
func callAll(t *testing.T, store *transactional.Store, version int64, hurt, heal func() error) {
	t.Helper()
	var callers sync.WaitGroup
	began := make(chan struct{}, 12)
	for i := range cap(began) {
		callers.Go(func() {
			for n := 0; ; n++ {
				ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
				start := time.Now()
				id := fmt.Sprint("row", i)
				var err error
				switch i % 3 {
				case 0:
					_, err = store.Apply(ctx, unit(put(id, version, version)))
				case 1:
					_, err = store.Read(ctx, things, id)
				default:
					err = store.Tx(ctx, func(ctx context.Context, tx *transactional.Tx) error {
						_, err := tx.Read(ctx, things, id)
						return err
					})
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("a call whose context ended after 200ms took %v", took)
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
	if err := hurt(); err != nil {
		t.Fatal(err)
	}
	callers.Wait()
	if err := heal(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := store.Apply(ctx, unit(put("row", version, version)))
		cancel()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("30 s after the server is back: %v", err)
		}
	}
}
