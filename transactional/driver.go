package transactional

import (
	"context"
	"database/sql"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Conn executes SQL inside one unit. It is valid only until the function
// that received it returns, and must not be used by two goroutines at a time.
// Statements are prepared and kept by their text, so texts should come from a
// small set.
type Conn interface {
	// Exec returns the number of rows affected, counted as the server counts. When
	// it has returned without an error nobody reads args any more.
	Exec(ctx context.Context, query string, args ...any) (int64, error)
	// Query calls row once per row with a function that scans it, and stops at
	// row's first error.
	Query(ctx context.Context, query string, args []any, row func(scan func(dest ...any) error) error) error
}

// Features are the promises and the dialect of a driver.
type Features struct {
	Name       string           // such as "embedded" or "mysql"
	Durability fault.Durability // of a unit whose Run returned nil
	MaxRow     int              // bytes of a row's values; more is fault.ErrTooLarge before anything is sent
	MaxArgs    int              // placeholders per statement; zero means 999
	Parallel   int              // groups of units worth having under way at once, when one takes long; zero means 1
	// Transactions is how many Store.Tx may be under way at once, so that
	// everything else finds a connection; zero means any number.
	Transactions int
	OwnsSchema   bool    // tables are created at first use; else they are reported as missing
	SharedLog    bool    // other processes use the same database: claims need leases that outlive us
	Dialect      Dialect // the SQL that it speaks
}

// Driver is the contract of a transactional SQL database. It is deliberately
// low: the tables, the guarded writes, the outbox and the grouping above it
// are written once, in this package, in SQL that every dialect takes.
//
// Errors of both methods: what the function returned, untouched, when it
// returned an error (the unit is rolled back), else one of
// fault.ErrUnavailable, fault.ErrBusy (deadlock, lock wait: run the whole unit
// again), fault.ErrUnknown (the answer to COMMIT was lost), fault.ErrExists
// (unique violation), fault.ErrRefused (data error), fault.ErrMisconfigured,
// fault.ErrTooLarge, fault.ErrClosed. Errors from Exec and Query inside the
// function have these classes too. After an error from the server the unit
// can only be rolled back: a Conn refuses further statements.
type Driver interface {
	// Run executes unit in a read-write transaction at READ COMMITTED or
	// stronger and commits it when unit returns nil. A driver may commit
	// several units together; each is atomic all the same. It does not run
	// unit again by itself.
	Run(ctx context.Context, unit func(Conn) error) error
	// View executes unit on one consistent read-only snapshot, where the
	// server has such a thing cheaply, else on committed data.
	View(ctx context.Context, unit func(Conn) error) error
	// Features never changes while the driver is open.
	Features() Features
	// Check reports the driver's health.
	Check(ctx context.Context) fault.Report
	// Close frees everything. Closing twice is fine.
	Close() error
}

// A Single is a Driver that can have one statement begin and end a transaction
// of its own, without the two round trips of a transaction around it: a lone
// caller waits for one answer, and not for three.
type Single interface {
	// RunSingle is Run for a unit that writes by one statement at most, and reads
	// before or after it. The statement is committed when its Exec returns nil;
	// when its answer is lost, fault.ErrUnknown. What the unit returns changes
	// nothing any more.
	RunSingle(ctx context.Context, unit func(Conn) error) error
}

// A Cutter is a Driver that can take a transaction away from a function which
// does not return, so that the function needs no goroutine of its own.
type Cutter interface {
	// RunUntil is Run, but when end ends while the unit runs, the transaction is
	// rolled back, the unit's Conn answers fault.ErrClosed from then on, and
	// RunUntil returns end's error, although the unit may still run.
	RunUntil(ctx, end context.Context, unit func(Conn) error) error
}

// A Counting is a Driver of a database that only this process changes. Commits
// counts what was committed, whatever of it changed something, after it can be
// seen: what was looked for and not found is not there before the count grows.
// It is false as long as that cannot be said.
type Counting interface {
	// Commits asks no server; n never falls while the driver is open.
	Commits() (n uint64, ok bool)
}

// Joiner is implemented by drivers whose database a caller may share: Join
// wraps the caller's own transaction, after it has proved that one is open. It
// takes no second connection: the pool may be the caller's, and have none left.
// That the transaction is in our database the Store proves, by Dialect.Database
// and Dialect.LockShared. The Conn may be a Prover.
type Joiner interface {
	// Join neither commits nor rolls back tx, which stays the caller's to end.
	Join(ctx context.Context, tx *sql.Tx) (Conn, error)
}

// A Prover is a Conn on a transaction that somebody else may end or break.
// Before each operation Prove proves again what Join proved, and that the
// database is still the same; after one that
// failed, Undo takes back what was executed since, so that a caller who
// commits in spite of the error commits nothing of it.
type Prover interface {
	// Prove marks what Undo goes back to. An error means that nothing may be
	// executed on the Conn any more.
	Prove(ctx context.Context) error
	// Undo goes back to the last Prove, and leaves what was there before.
	Undo(ctx context.Context) error
}
