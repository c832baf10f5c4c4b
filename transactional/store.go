package transactional

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Defaults of Options.
const (
	DefaultKeep      = 15 * time.Minute
	DefaultTxTimeout = 5 * time.Second
)

// Options of a Store; zero values are the defaults.
type Options struct {
	// Namespace prefixes every table, so that two layers can share a
	// database: letters, digits and underscores, at most 16 bytes. Default
	// "ff".
	Namespace string
	// TxTimeout bounds one run of a transaction's function. Default
	// DefaultTxTimeout.
	TxTimeout time.Duration
	Logger    *slog.Logger
}

// A Store is a transactional store: versioned rows, an outbox, dead letters,
// and transactions over all of them.
type Store struct{}

// New returns a Store over a driver, which Close closes.
func New(driver Driver, opts *Options) (*Store, error) { panic("todo") }

// Apply executes a unit. Units that arrive while one commit is under way are
// committed together, in multi-row statements; a unit that fails fails alone.
// When ctx ends first the error is ctx's own, joined with fault.ErrUnknown if
// the unit may have been sent.
func (s *Store) Apply(ctx context.Context, unit *Unit) (Result, error) { panic("todo") }

// Tx runs fn in an interactive transaction, and again from the start when the
// database says fault.ErrBusy. The Tx is valid until fn returns.
func (s *Store) Tx(ctx context.Context, fn func(context.Context, *Tx) error) error { panic("todo") }

// Join returns a Tx on the caller's own transaction, which the caller commits.
// It is fault.ErrUnsupported where the driver cannot.
func (s *Store) Join(ctx context.Context, tx *sql.Tx) (*Tx, error) { panic("todo") }

// Prepare makes known that tables will be used: created at once where the
// driver owns its schema.
func (s *Store) Prepare(ctx context.Context, tables ...*Table) error { panic("todo") }

// Schema returns the statements that create the outbox and the tables.
func (s *Store) Schema(tables ...*Table) []string { panic("todo") }

// CreateSchema executes Schema; what is there stays, columns are added.
func (s *Store) CreateSchema(ctx context.Context, tables ...*Table) error { panic("todo") }

// Read returns the rows with these ids, tombstones included, in any order.
func (s *Store) Read(ctx context.Context, table *Table, ids ...string) ([]Row, error) { panic("todo") }

// A Filter selects rows for Scan.
type Filter struct {
	Equal map[string]any // column name to value
	// By orders by one column (and id); empty orders by id. From and To bound
	// it: From <= By < To, nil is open.
	By       string
	From, To any
	Reverse  bool
	Limit    int    // zero means 100
	After    []byte // cursor
}

// Scan returns live rows and a cursor, nil at the end.
func (s *Store) Scan(ctx context.Context, table *Table, f Filter) (rows []Row, next []byte, err error) {
	panic("todo")
}

// A ClaimRequest asks for records.
type ClaimRequest struct {
	Lanes []string
	Max   int
	Owner uint64        // not zero
	Lease time.Duration // until somebody else may claim it
}

// Claim returns due records of the lanes, by priority and then id, and makes
// Owner hold them.
func (s *Store) Claim(ctx context.Context, r ClaimRequest) ([]Record, error) { panic("todo") }

// ClaimByID claims the named records where nobody holds them, whatever their
// lane; the others are left out.
func (s *Store) ClaimByID(ctx context.Context, owner uint64, lease time.Duration, ids ...RecordID) ([]Record, error) {
	panic("todo")
}

// Urgent returns the smallest priority of a due record in the lanes; ok is
// false when there is none.
func (s *Store) Urgent(ctx context.Context, lanes []string) (priority uint32, ok bool, err error) {
	panic("todo")
}

// Extend renews the lease of held records; the result is aligned: an error is
// fault.ErrConflict where Owner no longer holds the record.
func (s *Store) Extend(ctx context.Context, owner uint64, lease time.Duration, ids ...RecordID) []error {
	panic("todo")
}

// Blocked tells, for each order of record id, whether an earlier record still
// holds it.
func (s *Store) Blocked(ctx context.Context, id RecordID, orders []Order) ([]bool, error) {
	panic("todo")
}

// Find returns a record that is still there, or the mark of one that is done
// (mark non-nil), or fault.ErrNotFound.
func (s *Store) Find(ctx context.Context, id RecordID) (rec Record, mark []byte, err error) {
	panic("todo")
}

// Walk calls fn for every record that is there, in id order, bodies left out,
// until fn returns false.
func (s *Store) Walk(ctx context.Context, fn func(Record) bool) error { panic("todo") }

// Orphans frees what crashed owners held: records whose lease is over are due
// again. It returns how many, and purges marks and tokens past their time.
func (s *Store) Sweep(ctx context.Context) (freed int, err error) { panic("todo") }

// Recover frees every claim at once: only for a driver without
// Features.SharedLog, at start, when no other process can hold one.
func (s *Store) Recover(ctx context.Context) (freed int, err error) { panic("todo") }

// A DeadFilter selects dead letters.
type DeadFilter struct {
	Kind, Task, Key string // empty: any
	Limit           int    // zero means 100
	After           string // an ID
}

// DeadLetters lists dead letters in order of ID.
func (s *Store) DeadLetters(ctx context.Context, f DeadFilter) ([]DeadLetter, error) { panic("todo") }

// CountDead counts them, by kind and task.
func (s *Store) CountDead(ctx context.Context) (map[[2]string]int, error) { panic("todo") }

// Raise sets a named number to at least value and returns what it is now: the
// clock's high-water mark lives here. Reading is Raise with zero.
func (s *Store) Raise(ctx context.Context, name string, value int64) (int64, error) { panic("todo") }

// Clock returns the server's UTC time.
func (s *Store) Clock(ctx context.Context) (time.Time, error) { panic("todo") }

// PurgeTombstones removes tombstones whose version is older.
func (s *Store) PurgeTombstones(ctx context.Context, table *Table, before int64) (int, error) {
	panic("todo")
}

// Features are the driver's.
func (s *Store) Features() Features { panic("todo") }

// Check reports health, including missing tables with the statement that
// mends them.
func (s *Store) Check(ctx context.Context) fault.Report { panic("todo") }

// Close closes the driver. Closing twice is fine.
func (s *Store) Close() error { panic("todo") }

// A Tx is an open transaction. It must not be used by two goroutines at a
// time, nor after its function returned (fault.ErrClosed).
type Tx struct{}

// Read returns rows, tombstones included, and locks them until the end.
func (t *Tx) Read(ctx context.Context, table *Table, ids ...string) ([]Row, error) { panic("todo") }

// Scan is Store.Scan inside the transaction.
func (t *Tx) Scan(ctx context.Context, table *Table, f Filter) (rows []Row, next []byte, err error) {
	panic("todo")
}

// Apply executes a unit inside the transaction. After an error the
// transaction can only be rolled back.
func (t *Tx) Apply(ctx context.Context, unit *Unit) (Result, error) { panic("todo") }

// Exec executes the user's own SQL.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) { panic("todo") }

// Query executes the user's own SQL and calls row once per row.
func (t *Tx) Query(ctx context.Context, query string, args []any, row func(scan func(dest ...any) error) error) error {
	panic("todo")
}
