package mysql_test

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// A source is opened without its server, and says what it promises.
func ExampleOpen() {
	ctx := context.Background()
	source := mysql.Open("mysql://app@127.0.0.1:1/app", &mysql.Options{MaxConns: 4})
	store, err := transactional.Open(ctx, source, nil)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	fmt.Println(store.Features().Name, store.Features().Durability, store.Check(ctx).Reachable)
	// Output: mysql fsynced false
}

// A server on another machine is never spoken to in plaintext by accident, and
// what cannot work is said at once.
func ExampleOptions() {
	url := "mysql://app@db.example.org/app?plaintext=true&tls=true"
	_, err := transactional.Open(context.Background(), mysql.Open(url, nil), nil)
	fmt.Println(err)
	// Output: transactional: open: invalid: plaintext contradicts the options for TLS
}

// A service that has a pool of its own shares it, and runs units inside its own
// transactions.
func ExampleFromDB() {
	ctx := context.Background()
	db, err := sql.Open("mysql", "app@tcp(127.0.0.1:3306)/app?sql_mode='STRICT_ALL_TABLES'")
	if err != nil {
		panic(err)
	}
	defer db.Close()
	store, err := transactional.Open(ctx, mysql.FromDB(db, nil), nil)
	if err != nil {
		panic(err)
	}
	defer store.Close()

	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return // no server
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance - 1"); err != nil {
		return
	}
	joined, err := store.Join(ctx, tx)
	if err != nil {
		return
	}
	mail := transactional.Record{ID: transactional.RecordID{1}, Kind: "mail", Key: "a", Lane: "mail"}
	if _, err := joined.Apply(ctx, &transactional.Unit{Add: []transactional.Record{mail}}); err != nil {
		return
	}
	_ = tx.Commit()
}
