package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// D8: the server becomes read-only.
func TestReadOnly_D8(t *testing.T) {
	s := ownServer(t)
	name := s.database(t)
	s.exec(t, "CREATE USER app@'%' IDENTIFIED BY 'app-password'")
	t.Cleanup(func() { s.exec(t, "DROP USER app@'%'") })
	s.exec(t, "GRANT ALL ON "+name+".* TO app@'%'")
	store := open(t, mysql.Open("mysql://app:app-password@"+s.addr+"/"+name, nil), things)
	s.exec(t, "SET GLOBAL read_only = 1")
	_, err := store.Apply(t.Context(), unit(put("a", 1, 1)))
	class(t, "a read-only server is ErrMisconfigured: nothing is applied, no attempt is spent", err, fault.ErrMisconfigured)
	if r := store.Check(t.Context()); r.OK() {
		t.Errorf("Check says so: %v", r)
	}
	s.exec(t, "SET GLOBAL read_only = 0")
	if _, err := store.Apply(t.Context(), unit(put("a", 1, 1))); err != nil {
		t.Errorf("work resumes when it can write again: %v", err)
	}
	wrong, err := transactional.Open(t.Context(), mysql.Open("mysql://app:canary@"+s.addr+"/"+name, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	_, err = wrong.Apply(t.Context(), unit(put("a", 1, 1)))
	class(t, "a wrong password is ErrMisconfigured", err, fault.ErrMisconfigured)
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("and is in no error: %v", err)
	}
}

// D9: a transaction is read-only, because the pool's sessions are, or because the
// caller has begun one like that.
func TestReadOnlyTransaction_D9(t *testing.T) {
	s, name, writes := fresh(t, nil, things)
	db := s.pool(t, name, strict+"&tx_read_only=1")
	reads, err := transactional.Open(t.Context(), mysql.FromDB(db, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reads.Close()
	refused := func(what string, err error) {
		t.Helper()
		var server *driver.MySQLError
		if !errors.As(err, &server) || server.Number != 1792 || fault.OutcomeOf(err) != fault.NotApplied {
			t.Errorf("%s is refused with the server's own words: %v", what, err)
		}
		class(t, what, err, fault.ErrMisconfigured)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = reads.Apply(ctx, unit(put("a", 1, 1)))
	refused("a statement that commits itself", err)
	_, err = reads.Apply(ctx, unit(put("a", 1, 1), put("b", 1, 1)))
	refused("a unit", err)
	runs := 0
	err = reads.Tx(ctx, func(ctx context.Context, tx *transactional.Tx) error {
		runs++
		_, err := tx.Apply(ctx, unit(put("a", 1, 1)))
		return err
	})
	refused("a transaction", err)
	if runs != 1 {
		t.Errorf("it runs %d times", runs)
	}
	tx, err := s.pool(t, name, strict).BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	joined, err := writes.Join(ctx, tx)
	if err != nil {
		t.Fatal(err)
	}
	_, err = joined.Apply(ctx, unit(put("a", 1, 1)))
	refused("what is put into a caller's transaction", err)
	if value(t, reads, "a") != -1 {
		t.Error("reads go on, and nothing was written")
	}
}
