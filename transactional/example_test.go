package transactional_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
)

// must ends an example that goes wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// tempStore opens a store in a directory of its own.
func tempStore(ctx context.Context) (store *transactional.Store, done func()) {
	dir := must(os.MkdirTemp("", "example"))
	store = must(transactional.Open(ctx, embedded.Dir(dir, nil), nil))
	return store, func() {
		store.Close()
		os.RemoveAll(dir)
	}
}

type Account struct {
	ID      string `persistence:"key"`
	Owner   string `transactional:",index"`
	Balance int64
}

// transfer moves money from one account to another, in the caller's transaction.
func transfer(ctx context.Context, tx *transactional.Tx, accounts *transactional.Rows[Account], from, to string, amount int64) error {
	err := accounts.Update(ctx, tx, from, func(a *Account) error {
		if a.Balance -= amount; a.Balance < 0 {
			return errors.New("not enough money")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return accounts.Update(ctx, tx, to, func(a *Account) error {
		a.Balance += amount
		return nil
	})
}

// Two objects of a Go type change together or not at all.
func ExampleRows() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	accounts := must(transactional.NewRows[Account]("accounts"))
	_ = store.Tx(ctx, func(ctx context.Context, tx *transactional.Tx) error {
		return errors.Join(
			accounts.Insert(ctx, tx, Account{ID: "a", Owner: "ann", Balance: 100}),
			accounts.Insert(ctx, tx, Account{ID: "b", Owner: "bob"}),
		)
	})
	for _, amount := range []int64{30, 300} {
		fmt.Println(store.Tx(ctx, func(ctx context.Context, tx *transactional.Tx) error {
			return transfer(ctx, tx, accounts, "a", "b", amount)
		}))
	}
	_ = store.Tx(ctx, func(ctx context.Context, tx *transactional.Tx) error {
		all, _, err := accounts.List(ctx, tx, transactional.Filter{By: "owner"})
		for _, a := range all {
			fmt.Println(a.Owner, a.Balance)
		}
		return err
	})
	// Output:
	// <nil>
	// not enough money
	// ann 70
	// bob 30
}

var users = &transactional.Table{
	Name:    "users",
	Columns: []transactional.Column{{Name: "email", Type: transactional.Text}, {Name: "welcomed", Type: transactional.Bool}},
	Unique:  [][]string{{"email"}},
}

func user(version int64, welcomed bool) transactional.Write {
	return transactional.Write{Table: users, Row: transactional.Row{
		ID: "u1", Stamp: transactional.Stamp{Version: version}, Values: []any{"ann@example.org", welcomed},
	}}
}

// An object and the work that it causes are accepted in one commit; whoever
// does the work later notes its effect and its end in one commit as well.
func ExampleStore_Claim() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	must(store.Apply(ctx, &transactional.Unit{
		Writes: []transactional.Write{user(1, false)},
		Add:    []transactional.Record{{ID: transactional.RecordID{1}, Kind: "welcome", Key: "u1", Lane: "mail", Body: []byte("hello")}},
	}))

	const worker = 7
	records := must(store.Claim(ctx, transactional.ClaimRequest{
		Lanes: []string{"mail"}, Max: 10, Owner: worker, Lease: time.Minute,
	}))
	for _, r := range records {
		fmt.Printf("%s %s: %s\n", r.Kind, r.Key, r.Body)
		settle := transactional.Settlement{ID: r.ID, Owner: worker, Seq: r.Seq, Done: true}
		unit := &transactional.Unit{Writes: []transactional.Write{user(2, true)}, Settle: []transactional.Settlement{settle}}
		must(store.Apply(ctx, unit))
		_, err := store.Apply(ctx, unit)
		fmt.Println("a second time:", errors.Is(err, fault.ErrConflict))
	}
	fmt.Println(must(store.Read(ctx, users, "u1"))[0].Values...)
	// Output:
	// welcome u1: hello
	// a second time: true
	// ann@example.org true
}

// Schema prints the statements for whoever creates tables by hand.
func ExampleStore_Schema() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	users := &transactional.Table{
		Name:    "users",
		Columns: []transactional.Column{{Name: "email", Type: transactional.Text}},
		Unique:  [][]string{{"email"}},
	}
	statements := store.Schema(users)
	for _, text := range statements[len(statements)-2:] {
		fmt.Println(text + ";")
	}
	// Output:
	// CREATE TABLE IF NOT EXISTS "ff_users" (
	//   "id" TEXT NOT NULL,
	//   "version" INTEGER NOT NULL,
	//   "tie" INTEGER NOT NULL,
	//   "deleted" INTEGER NOT NULL,
	//   "email" TEXT,
	//   PRIMARY KEY ("id")
	// ) WITHOUT ROWID;
	// CREATE UNIQUE INDEX IF NOT EXISTS "u_email_aa73c02e" ON "ff_users" ("email");
}

// A scan reads page by page, in the order of a column.
func ExampleStore_Scan() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	scores := &transactional.Table{
		Name:    "scores",
		Columns: []transactional.Column{{Name: "points", Type: transactional.Int}},
		Index:   [][]string{{"points"}},
	}
	for i, name := range []string{"ann", "bob", "cid", "dan", "eve"} {
		row := transactional.Row{ID: name, Stamp: transactional.Stamp{Version: 1}, Values: []any{int64(i * i)}}
		must(store.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{{Table: scores, Row: row}}}))
	}
	filter := transactional.Filter{By: "points", Reverse: true, Limit: 2}
	for {
		rows, next, err := store.Scan(ctx, scores, filter)
		var page []any
		for _, row := range rows {
			page = append(page, row.ID, row.Values[0])
		}
		fmt.Println(page...)
		if err != nil || next == nil {
			break
		}
		filter.After = next
	}
	// Output:
	// eve 16 dan 9
	// cid 4 bob 1
	// ann 0
}

// Plain SQL and units are one transaction.
func ExampleStore_Tx() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()
	pages := &transactional.Table{Name: "pages", Columns: []transactional.Column{{Name: "views", Type: transactional.Int}}}
	row := transactional.Row{ID: "home", Stamp: transactional.Stamp{Version: 1}, Values: []any{int64(41)}}
	must(store.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{{Table: pages, Row: row}}}))

	err := store.Tx(ctx, func(ctx context.Context, tx *transactional.Tx) error {
		update := "UPDATE " + store.Name(pages) + " SET views = views + 1, version = version + 1 WHERE id = ?"
		n, err := tx.Exec(ctx, update, "home")
		if err != nil || n != 1 {
			return fmt.Errorf("%d rows, %w", n, err)
		}
		_, err = tx.Apply(ctx, &transactional.Unit{Add: []transactional.Record{
			{ID: transactional.RecordID{1}, Kind: "viewed", Key: "home", Lane: "count"},
		}})
		return err
	})
	fmt.Println(err, must(store.Read(ctx, pages, "home"))[0].Values[0])
	// Output: <nil> 42
}

// At most one process at a time makes a customer's invoice, over all that share
// the database.
func ExampleStore_Enter() {
	ctx := context.Background()
	store, done := tempStore(ctx)
	defer done()

	slot := must(store.Enter(ctx, "invoice", "customer 7", 1, time.Minute))
	_, err := store.Enter(ctx, "invoice", "customer 7", 1, time.Minute)
	fmt.Println("another one meanwhile:", errors.Is(err, fault.ErrBusy))

	if err := store.Leave(ctx, slot); err != nil {
		panic(err)
	}
	_, err = store.Enter(ctx, "invoice", "customer 7", 1, time.Minute)
	fmt.Println("afterwards:", err)
	// Output:
	// another one meanwhile: true
	// afterwards: <nil>
}
