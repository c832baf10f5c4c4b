package mysql_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// claimed adds n records that owner 1 holds, and returns the units that end all of
// them but every third, which goes back.
func claimed(t *testing.T, store *transactional.Store, n int) []*transactional.Unit {
	t.Helper()
	add, ends := &transactional.Unit{}, make([]*transactional.Unit, n)
	for i := range n {
		id := recordID(i + 1)
		add.Add = append(add.Add, transactional.Record{ID: id, Kind: "k", Lane: "lane", Owner: 1, Lease: time.Minute})
		ends[i] = &transactional.Unit{Settle: []transactional.Settlement{{ID: id, Owner: 1, Done: i%3 > 0, Lane: "later"}}}
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
		switch rec, mark, err := store.Find(t.Context(), ends[i].Settle[0].ID); {
		case err != nil, (i%3 > 0) != (mark != nil):
			t.Fatalf("record %d has ended, and its mark is %v, %v", i, mark, err)
		case mark == nil && (rec.Owner != 0 || rec.Lane != "later"):
			t.Fatalf("record %d has gone back, and is %+v", i, rec)
		}
	}
}

// What accepts something, what settles records and the rest, which no caller waits
// for, do not share groups: none waits for the other. Here as many groups of the last
// wait for a lock as there may be.
func TestGroupsGoBesideOtherGroups(t *testing.T) {
	const rows = 4 // a group that is not small
	s, name, store := fresh(t, &mysql.Options{LockWait: 20 * time.Second}, things)
	ends := claimed(t, store, 100)
	blocker, err := s.root.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Rollback()
	for _, id := range []string{"a0", "b0"} {
		if _, err := blocker.Exec("INSERT INTO "+name+".ff_things (id, version, tie, deleted) VALUES (?, 1, 0, 0)", id); err != nil {
			t.Fatal(err)
		}
	}
	var groups sync.WaitGroup
	for i, letter := range []string{"a", "b"} {
		units := make([]*transactional.Unit, rows)
		for n := range units {
			units[n] = unit(put(fmt.Sprint(letter, n), 2, 2))
		}
		groups.Go(func() {
			_, errs := store.ApplyAll(context.Background(), units)
			for _, err := range errs {
				if err != nil {
					t.Errorf("a group that waited for a lock: %v", err)
				}
			}
		})
		eventually(t, 8*time.Second, "group "+letter+" waits for a lock", func() (waits bool) {
			var name string
			var n int
			err := s.root.QueryRow("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'").Scan(&name, &n)
			return err == nil && n > i
		})
	}
	end(t, store, ends, "groups that wait")
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	accepts := make([]*transactional.Unit, rows)
	for n := range accepts {
		accepts[n] = &transactional.Unit{Add: []transactional.Record{{ID: recordID(2000 + n), Kind: "k", Lane: "lane"}}}
	}
	if _, errs := store.ApplyAll(ctx, accepts); errs[0] != nil {
		t.Errorf("an acceptance beside groups that wait: %v", errs[0])
	}
	if err := blocker.Rollback(); err != nil {
		t.Fatal(err)
	}
	groups.Wait()
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
		soon, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		var ids []transactional.RecordID
		for _, u := range ends {
			ids = append(ids, u.Settle[0].ID)
		}
		if errs := store.Extend(soon, 1, time.Minute, ids...); errs != nil {
			t.Errorf("the renewal of what is held: %v", errs)
		}
		end(t, store, ends, "a transaction that adds one")
		if recs, err := store.ClaimByID(soon, 2, time.Minute, ids...); err != nil || len(recs) != len(ids)/3+1 {
			t.Errorf("a claim by id took %d, %v", len(recs), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
