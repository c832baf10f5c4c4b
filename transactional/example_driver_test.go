package transactional_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
)

// tempDriver opens the in-process driver in a directory of its own.
func tempDriver(ctx context.Context) (driver transactional.Driver, done func()) {
	dir := must(os.MkdirTemp("", "example"))
	driver = must(embedded.Dir(dir, nil).OpenDriver(ctx))
	return driver, func() {
		driver.Close()
		os.RemoveAll(dir)
	}
}

// A unit is committed when it returns nil, and rolled back when it does not.
func ExampleDriver() {
	ctx := context.Background()
	driver, done := tempDriver(ctx)
	defer done()
	fmt.Println(driver.Run(ctx, func(c transactional.Conn) error {
		_, err := c.Exec(ctx, "CREATE TABLE pages (views INTEGER)")
		return err
	}))
	fmt.Println(driver.Run(ctx, func(c transactional.Conn) error {
		_, err := c.Exec(ctx, "INSERT INTO pages VALUES (1)")
		return errors.Join(err, errors.New("on second thought"))
	}))
	fmt.Println(driver.View(ctx, func(c transactional.Conn) error {
		return c.Query(ctx, "SELECT COUNT(*) FROM pages", nil, func(scan func(...any) error) error {
			var n int
			err := scan(&n)
			fmt.Println(n, "rows")
			return err
		})
	}))
	// Output:
	// <nil>
	// on second thought
	// 0 rows
	// <nil>
}

// After an error from the server a Conn refuses further statements.
func ExampleConn() {
	ctx := context.Background()
	driver, done := tempDriver(ctx)
	defer done()
	err := driver.Run(ctx, func(c transactional.Conn) error {
		_, first := c.Exec(ctx, "INSERT INTO nowhere VALUES (1)")
		_, second := c.Exec(ctx, "CREATE TABLE pages (views INTEGER)")
		fmt.Println(first != nil, second != nil)
		return first
	})
	fmt.Println(err != nil)
	// Output:
	// true true
	// true
}

// A program that needs what only some drivers promise asks for it at start.
func ExampleFeatures() {
	driver, done := tempDriver(context.Background())
	defer done()
	f := driver.Features()
	fmt.Println(f.Name, f.Dialect.Name, f.OwnsSchema, f.SharedLog)
	// Output: embedded sqlite true false
}

// SQL that is to run on every server takes from the dialect what they write in
// different ways.
func ExampleDialect() {
	driver, done := tempDriver(context.Background())
	defer done()
	d := driver.Features().Dialect
	fmt.Printf("SELECT %s FROM %s%s\n", d.Quote("views"), d.Quote("pages"), d.Lock)
	// Output: SELECT "views" FROM "pages"
}

// A column has a type of ours, and the server's own for it.
func ExampleType() {
	driver, done := tempDriver(context.Background())
	defer done()
	for _, t := range []transactional.Type{transactional.Int, transactional.Text, transactional.Time} {
		fmt.Println(t, driver.Features().Dialect.Types[t])
	}
	// Output:
	// int INTEGER
	// text TEXT
	// time INTEGER
}

// A Cutter takes the transaction away from a function that does not return, and
// the function learns it from its next statement.
func ExampleCutter() {
	ctx := context.Background()
	driver, done := tempDriver(ctx)
	defer done()
	if cutter, ok := driver.(transactional.Cutter); ok {
		end, cut := context.WithCancel(ctx)
		err := cutter.RunUntil(ctx, end, func(c transactional.Conn) error {
			cut()
			for {
				if _, err := c.Exec(ctx, "CREATE TABLE IF NOT EXISTS pages (views INTEGER)"); err != nil {
					return err
				}
			}
		})
		fmt.Println(errors.Is(err, context.Canceled))
	}
	// Output: true
}

// As long as the count stays the same, what was not found is still not there.
func ExampleCounting() {
	ctx := context.Background()
	driver, done := tempDriver(ctx)
	defer done()
	if c, ok := driver.(transactional.Counting); ok {
		before, _ := c.Commits()
		driver.Run(ctx, func(c transactional.Conn) error {
			_, err := c.Exec(ctx, "CREATE TABLE pages (views INTEGER)")
			return err
		})
		after, ok := c.Commits()
		fmt.Println(after > before, ok)
	}
	// Output: true true
}

// A driver whose server takes a statement as a transaction of its own is a
// Single; the others run the unit as any other.
func ExampleSingle() {
	ctx := context.Background()
	driver, done := tempDriver(ctx)
	defer done()
	run := driver.Run
	if single, ok := driver.(transactional.Single); ok {
		run = single.RunSingle
	}
	fmt.Println(run(ctx, func(c transactional.Conn) error {
		_, err := c.Exec(ctx, "CREATE TABLE pages (views INTEGER)")
		return err
	}))
	// Output: <nil>
}

// A driver whose server takes a whole transaction at once is a Sequencer; where it
// is none, or cannot, the statements are run one by one.
func ExampleSequencer() {
	ctx := context.Background()
	driver, done := tempDriver(ctx)
	defer done()
	statements := []transactional.Statement{
		{Text: "CREATE TABLE pages (views INTEGER)"},
		{Text: "INSERT INTO pages (views) VALUES (?)", Args: []any{int64(7)}},
	}
	together := false
	if sequencer, ok := driver.(transactional.Sequencer); ok {
		together, _ = sequencer.RunSequence(ctx, ctx.Err, statements)
	}
	if !together {
		fmt.Println(driver.Run(ctx, func(c transactional.Conn) error {
			for _, s := range statements {
				if _, err := c.Exec(ctx, s.Text, s.Args...); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	// Output: <nil>
}

// A Joiner enters a transaction that the caller began by itself; a database in
// process has no such callers.
func ExampleJoiner() {
	ctx := context.Background()
	driver, done := tempDriver(ctx)
	defer done()
	_, ok := driver.(transactional.Joiner)
	store, err := transactional.New(driver, nil)
	if err != nil {
		panic(err)
	}
	_, err = store.Join(ctx, new(sql.Tx))
	fmt.Println(ok, errors.Is(err, fault.ErrUnsupported))
	// Output: false true
}

// A Conn on somebody else's transaction is proved before it is used.
func ExampleProver() {
	ctx := context.Background()
	driver, done := tempDriver(ctx)
	defer done()
	fmt.Println(driver.Run(ctx, func(c transactional.Conn) error {
		if p, ok := c.(transactional.Prover); ok {
			if err := p.Prove(ctx); err != nil {
				return errors.Join(err, p.Undo(ctx))
			}
		}
		_, err := c.Exec(ctx, "CREATE TABLE pages (views INTEGER)")
		return err
	}))
	// Output: <nil>
}

// A Source is what a program passes around before anything is open.
func ExampleSource() {
	ctx := context.Background()
	dir := must(os.MkdirTemp("", "example"))
	defer os.RemoveAll(dir)
	for _, source := range []transactional.Source{embedded.Dir(dir, nil), transactional.URL("embeded://" + dir)} {
		store, err := transactional.Open(ctx, source, nil)
		if err != nil {
			fmt.Println(errors.Is(err, fault.ErrInvalid))
			continue
		}
		fmt.Println(store.Features().Name, store.Close())
	}
	// Output:
	// embedded <nil>
	// true
}

// A function that opens a driver, such as one of your own, is a Source.
func ExampleSourceFunc() {
	ctx := context.Background()
	dir := must(os.MkdirTemp("", "example"))
	defer os.RemoveAll(dir)
	source := transactional.SourceFunc(func(ctx context.Context) (transactional.Driver, error) {
		return embedded.Dir(dir, nil).OpenDriver(ctx)
	})
	store, err := transactional.Open(ctx, source, nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(store.Features().Name, store.Close())
	// Output: embedded <nil>
}
