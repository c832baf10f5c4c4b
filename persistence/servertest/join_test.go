package servertest_test

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/servertest"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// What is put in a caller's own transaction is accepted by its commit, with the
// caller's rows, and not by a rollback. The two transactions hold all connections
// that the pool has.
func TestPutInTheCallersTransaction(t *testing.T) {
	servers := servertest.Start(t, servertest.Options{Purposes: []persistence.Purpose{persistence.Transactional}})
	opts := servers.Options()
	at, err := url.Parse(servers.URL(persistence.Transactional))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", at.User.String()+"@tcp("+at.Host+")"+at.Path+"?sql_mode=%27STRICT_ALL_TABLES%27")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(2)
	mine := opts.Namespace + "_mine"
	if _, err := db.Exec("CREATE TABLE " + mine + " (id VARCHAR(20))"); err != nil {
		t.Fatal(err)
	}
	defer db.Exec("DROP TABLE " + mine)
	layer, err := persistence.Open(t.Context(), persistence.Stores{Transactional: mysql.FromDB(db, nil)}, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	var done runs
	errands := persistence.Declare(layer, "errand", persistence.Plan[errand]{{Priority: 3, Name: "run", Purpose: persistence.Transactional, Do: done.do}})
	must(t, layer.CreateSchema(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	begin := func(id string) *sql.Tx {
		t.Helper()
		tx, err := db.BeginTx(ctx, nil)
		if err == nil {
			_, err = tx.ExecContext(ctx, "INSERT INTO "+mine+" VALUES (?)", id)
		}
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	put := func(tx *sql.Tx, id string) error {
		joined, err := layer.Join(ctx, tx)
		if err == nil {
			_, err = errands.In(joined).Put(ctx, errand{ID: id})
		}
		return err
	}
	first := begin("first")
	if err := put(first, "first"); err != nil {
		t.Errorf("the first that a layer is asked for: %v", err)
	}
	must(t, first.Commit())
	for {
		kept, dropped := begin("kept"), begin("dropped")
		errKept, errDropped := put(kept, "kept"), put(dropped, "dropped")
		must(t, dropped.Rollback())
		if errKept == nil && errDropped == nil {
			must(t, kept.Commit())
			break
		}
		if err := errors.Join(errKept, errDropped); !fault.Retryable(err) || kept.Rollback() != nil {
			t.Fatal(err)
		}
	}
	worked := make(chan error, 1)
	work, stop := context.WithCancel(t.Context())
	go func() { worked <- layer.Work(work) }()
	defer func() { stop(); <-worked }()
	layer.Wake()
	if left, err := layer.Drain(ctx); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	var rows int
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+mine).Scan(&rows); err != nil || rows != 2 {
		t.Errorf("%d rows of the caller's, %v; want 2", rows, err)
	}
	if n := done.count(); n != 2 || done.times["first"] != 1 || done.times["kept"] != 1 {
		t.Errorf("done: %v; want what was committed, once", done.times)
	}
}

// must ends a test whose preparation fails.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
