package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

const strict = "?sql_mode=%27STRICT_ALL_TABLES%27"

// joining opens a store over a caller's pool.
func joining(t *testing.T) (*server, string, *sql.DB, *transactional.Store) {
	s := theServer(t)
	name := s.database(t)
	db := s.pool(t, name, strict)
	return s, name, db, open(t, mysql.FromDB(db, nil), things)
}

func begin(t *testing.T, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback() })
	return tx
}

// TestJoin: units are part of the caller's own transaction.
func TestJoin(t *testing.T) {
	_, _, db, store := joining(t)
	if _, err := db.Exec("CREATE TABLE orders_of_mine (n INT)"); err != nil {
		t.Fatal(err)
	}
	for _, commit := range []bool{false, true} {
		tx := begin(t, db)
		if _, err := tx.Exec("INSERT INTO orders_of_mine VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		joined, err := store.Join(t.Context(), tx)
		if err != nil {
			t.Fatal(err)
		}
		r := transactional.Record{ID: transactional.RecordID{1}, Kind: "k", Lane: "lane"}
		if _, err := joined.Apply(t.Context(), &transactional.Unit{Writes: unit(put("a", 1, 1)).Writes, Add: []transactional.Record{r}}); err != nil {
			t.Fatal(err)
		}
		if value(t, store, "a") != -1 {
			t.Error("nobody sees it before the caller commits")
		}
		if !commit {
			tx.Rollback()
			continue
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if value(t, store, "a") != 1 {
			t.Error("it is committed with the caller's own rows")
		}
		_, err = joined.Apply(t.Context(), unit(put("b", 1, 1)))
		class(t, "a transaction that is over takes nothing any more", err, fault.ErrClosed)
	}
	if records, err := store.Claim(t.Context(), transactional.ClaimRequest{Lanes: []string{"lane"}, Max: 9, Owner: 1, Lease: 1e9}); err != nil || len(records) != 1 {
		t.Errorf("%d records, %v", len(records), err)
	}
	store.Close()
	if err := db.Ping(); err != nil {
		t.Errorf("the caller's pool stays open: %v", err)
	}
}

// TestJoinFailedUnit: a caller who commits in spite of an error commits
// nothing of the unit that failed.
func TestJoinFailedUnit(t *testing.T) {
	_, _, db, store := joining(t)
	if _, err := store.Apply(t.Context(), unit(put("there", 5, 1))); err != nil {
		t.Fatal(err)
	}
	tx := begin(t, db)
	joined, err := store.Join(t.Context(), tx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := joined.Apply(t.Context(), unit(put("first", 1, 1))); err != nil {
		t.Fatal(err)
	}
	taken := put("there", 9, 2)
	taken.Mode = transactional.Insert
	_, err = joined.Apply(t.Context(), unit(put("second", 1, 1), put("second", 2, 2), taken))
	class(t, "the unit fails", err, fault.ErrExists)
	_, err = joined.Apply(t.Context(), unit(put("third", 1, 1)))
	class(t, "after an error nothing more is taken", err, fault.ErrExists)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if value(t, store, "first") != 1 || value(t, store, "second") != -1 || value(t, store, "third") != -1 {
		t.Error("units are whole or not there, also when the caller commits in spite of the error")
	}
}

// TestJoinProves: a transaction that is not what it seems is refused.
func TestJoinProves(t *testing.T) {
	s, name, db, store := joining(t)
	other := s.database(t)
	_, err := store.Join(t.Context(), begin(t, s.pool(t, other, strict)))
	class(t, "a transaction in another database is refused", err, fault.ErrInvalid)
	tx := begin(t, db)
	tx.Rollback()
	_, err = store.Join(t.Context(), tx)
	class(t, "a transaction that is over is refused", err, fault.ErrClosed)
	_, err = store.Join(t.Context(), nil)
	class(t, "no transaction is refused", err, fault.ErrInvalid)
	_, err = store.Join(t.Context(), begin(t, s.pool(t, name, "?sql_mode=%27%27")))
	class(t, "a session that cuts values is refused", err, fault.ErrMisconfigured)

	tx = begin(t, db)
	joined, err := store.Join(t.Context(), tx)
	if err != nil {
		t.Fatal(err)
	}
	tx.Exec("ROLLBACK") // behind the back of *sql.Tx, as a deadlock does it
	_, err = joined.Apply(t.Context(), unit(put("a", 1, 1)))
	class(t, "a transaction that the server has ended takes nothing: it would be committed at once", err, fault.ErrClosed)
	tx.Commit()
	if value(t, store, "a") != -1 {
		t.Error("nothing is written")
	}

	tx = begin(t, db)
	if joined, err = store.Join(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	tx.Exec("USE " + other)
	_, err = joined.Apply(t.Context(), unit(put("a", 1, 1)))
	class(t, "a transaction that moved to another database is refused", err, fault.ErrInvalid)
}

// TestJoinNeedsNoSecondConnection: the caller's transaction holds the only
// connection that the pool has, and Join proves by it alone where it is.
func TestJoinNeedsNoSecondConnection(t *testing.T) {
	s := theServer(t)
	single := func(name string) (*sql.DB, *transactional.Store) {
		db := s.pool(t, name, strict)
		db.SetMaxOpenConns(1)
		return db, open(t, mysql.FromDB(db, &mysql.Options{MaxConns: 2}), things)
	}
	name, other, copied := s.database(t), s.database(t), s.database(t)
	db, store := single(name)
	elsewhere, _ := single(other)
	s.exec(t, "CREATE TABLE "+copied+".ff_meta AS SELECT * FROM "+name+".ff_meta")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range 2 {
		tx := begin(t, elsewhere)
		_, err := store.Join(ctx, tx)
		class(t, "another layer's database is refused", err, fault.ErrInvalid)
		tx.Rollback()
		_, err = store.Join(ctx, begin(t, s.pool(t, copied, strict)))
		class(t, "so is a copy of the store's own", err, fault.ErrInvalid)
		tx = begin(t, db)
		joined, err := store.Join(ctx, tx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := joined.Apply(ctx, unit(put("a", 1, 1))); err != nil {
			t.Error(err)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
	}
	if value(t, store, "a") != 1 {
		t.Error("the caller's commit has it")
	}
}

// TestJoinOnAnotherNode: behind a load balancer the transaction is on a server of
// another name, which has the same data.
func TestJoinOnAnotherNode(t *testing.T) {
	s, name, _, store := joining(t)
	node := ownServer(t)
	node.exec(t, "CREATE DATABASE IF NOT EXISTS "+name)
	t.Cleanup(func() { node.exec(t, "DROP DATABASE "+name) })
	db := node.pool(t, name, strict)
	open(t, mysql.FromDB(db, nil), things)
	tx := begin(t, db)
	_, err := store.Join(t.Context(), tx)
	class(t, "a database that only bears the same name is refused", err, fault.ErrInvalid)
	tx.Rollback()
	var number int64
	const where = ".ff_meta WHERE name = 'fourfold.identity'"
	if err := s.root.QueryRow("SELECT value FROM " + name + where).Scan(&number); err != nil {
		t.Fatal(err)
	}
	node.exec(t, "UPDATE "+name+".ff_meta SET value = ? WHERE name = 'fourfold.identity'", number)
	if _, err := store.Join(t.Context(), begin(t, db)); err != nil {
		t.Errorf("another server with the store's data is the store's: %v", err)
	}
}

// TestJoinLeavesTheSnapshot: the caller's reads begin where the caller begins
// them, and not with Join.
func TestJoinLeavesTheSnapshot(t *testing.T) {
	_, _, db, store := joining(t)
	tx := begin(t, db)
	if _, err := store.Join(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Apply(t.Context(), unit(put("late", 1, 1))); err != nil {
		t.Fatal(err)
	}
	var n int64
	if err := tx.QueryRow("SELECT n FROM " + store.Name(things) + " WHERE id = 'late'").Scan(&n); err != nil || n != 1 {
		t.Errorf("what was committed before the caller's first read: %d, %v", n, err)
	}
}

// TestJoinAfterDeadlock: the caller's own statement deadlocks and the error is
// not looked at.
func TestJoinAfterDeadlock(t *testing.T) {
	_, _, db, store := joining(t)
	if _, err := store.Apply(t.Context(), unit(put("a", 1, 0), put("b", 1, 0))); err != nil {
		t.Fatal(err)
	}
	lock := func(tx *sql.Tx, id string) error {
		_, err := tx.ExecContext(context.Background(), "UPDATE "+store.Name(things)+" SET n = n + 1 WHERE id = ?", id)
		return err
	}
	one, two := begin(t, db), begin(t, db)
	if err := errors.Join(lock(one, "a"), lock(two, "b")); err != nil {
		t.Fatal(err)
	}
	result := make(chan error)
	go func() { result <- lock(one, "b") }()
	second := lock(two, "a")
	first := <-result
	victim := one
	if second != nil {
		victim = two
	}
	if (first == nil) == (second == nil) {
		t.Fatalf("one of the two is the victim: %v, %v", first, second)
	}
	_, err := store.Join(t.Context(), victim)
	class(t, "after a deadlock the server has ended the transaction, and joining it is refused", err, fault.ErrClosed)
}
