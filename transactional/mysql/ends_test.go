package mysql_test

import (
	"context"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// claimed adds n records that owner 1 holds, and returns the units that end them.
func claimed(t *testing.T, store *transactional.Store, n int) []*transactional.Unit {
	t.Helper()
	add, ends := &transactional.Unit{}, make([]*transactional.Unit, n)
	for i := range n {
		id := recordID(i + 1)
		add.Add = append(add.Add, transactional.Record{ID: id, Kind: "k", Lane: "lane", Owner: 1, Lease: time.Minute})
		ends[i] = &transactional.Unit{Settle: []transactional.Settlement{{ID: id, Owner: 1, Done: true}}}
	}
	if _, err := store.Apply(t.Context(), add); err != nil {
		t.Fatal(err)
	}
	return ends
}

// end executes these units while something else is under way.
func end(t *testing.T, store *transactional.Store, ends []*transactional.Unit, beside string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	_, errs := store.ApplyAll(ctx, ends)
	for i := range ends {
		if errs[i] != nil {
			t.Fatalf("the end of record %d beside %s: %v", i, beside, errs[i])
		}
		if _, mark, err := store.Find(t.Context(), ends[i].Settle[0].ID); err != nil || mark == nil {
			t.Fatalf("record %d has ended, and its mark is %v, %v", i, mark, err)
		}
	}
}

// To end records touches these records only. By the size of the table alone the
// server would read all of it, and wait for what another transaction is about to
// add.
func TestEndsDoNotWaitForWhatIsAdded(t *testing.T) {
	_, _, store := fresh(t, &mysql.Options{LockWait: 5 * time.Second})
	ends := claimed(t, store, 100)
	err := store.Tx(t.Context(), func(ctx context.Context, tx *transactional.Tx) error {
		r := transactional.Record{ID: recordID(1000), Kind: "k", Lane: "lane", Owner: 1, Lease: time.Minute}
		if _, err := tx.Apply(ctx, &transactional.Unit{Add: []transactional.Record{r}}); err != nil {
			return err
		}
		end(t, store, ends, "a transaction that adds one")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
