package mysql_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// Transactions of the program's own, however many want to run, leave
// connections to everything else: what custody writes does not wait for them.
func TestTransactionsLeaveConnections(t *testing.T) {
	_, _, store := fresh(t, &mysql.Options{MaxConns: 7}, things)
	const turns = 2 // of seven connections groups have two, and others three
	began, hold := make(chan struct{}, 20), make(chan struct{})
	var open sync.WaitGroup
	for range cap(began) {
		open.Go(func() {
			err := store.Tx(context.Background(), func(ctx context.Context, tx *transactional.Tx) error {
				began <- struct{}{}
				<-hold
				_, err := tx.Read(ctx, things, "a")
				return err
			})
			if err != nil {
				t.Errorf("a transaction waits for its turn: %v", err)
			}
		})
	}
	for range turns {
		<-began
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // less than a transaction may take
	defer cancel()
	if _, err := store.Apply(ctx, unit(put("a", 1, 1))); err != nil {
		t.Errorf("a unit beside twenty transactions: %v", err)
	}
	if _, err := store.Read(ctx, things, "a"); err != nil {
		t.Errorf("a read beside twenty transactions: %v", err)
	}
	close(hold)
	open.Wait()
}

// What our sessions ask of the server: it keeps a connection for longer than the
// pool does, so that none is closed that is about to be used, and not for eight
// hours; and a statement does not wait for a lock for most of a minute.
func TestSessionsBoundWhatTheServerWaits(t *testing.T) {
	s := theServer(t)
	for _, row := range []struct {
		opts       *mysql.Options
		idle, lock int // seconds
	}{
		{nil, 60, 2},
		{&mysql.Options{TxIdle: 7 * time.Second, LockWait: 3 * time.Second}, 57, 3},
	} {
		d, err := mysql.Open(s.url(s.database(t)), row.opts).OpenDriver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var idle, lock int
		err = d.View(t.Context(), func(c transactional.Conn) error {
			const query = "SELECT @@wait_timeout, @@innodb_lock_wait_timeout"
			return c.Query(t.Context(), query, nil, func(scan func(...any) error) error { return scan(&idle, &lock) })
		})
		if err != nil || idle != row.idle || lock != row.lock {
			t.Errorf("wait_timeout is %d and innodb_lock_wait_timeout %d, %v; want %d and %d", idle, lock, err, row.idle, row.lock)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
