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
	_, _, store := fresh(t, &mysql.Options{MaxConns: 6}, things)
	const turns = 2 // of six connections groups have two, and others two
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
