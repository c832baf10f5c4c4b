package amorphous

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Limits.
const (
	MaxKey       = 255 // bytes of a Partition or an ID
	MaxOrder     = 255 // bytes of an Order
	DefaultLimit = 100 // rows of a page
	MaxLimit     = 10000
)

const purpose = "amorphous"

// ErrSuperseded is the result of a write that a newer one forestalled. It is
// not a failure: the store holds the newer version.
var ErrSuperseded = errors.New("superseded by a newer version")

// Options of a Store; zero values are the defaults.
type Options struct {
	// Namespace prefixes every table, so that two programs can share a
	// keyspace or a file: a lower-case letter, then lower-case letters, digits
	// and underscores, at most 16 bytes. Default "ff".
	Namespace string
}

func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Namespace == "" {
		opts.Namespace = "ff"
	}
	if !ValidName(opts.Namespace) || len(opts.Namespace) > maxNamespace {
		return opts, fault.New(fault.ErrInvalid, purpose, "open", "the namespace is a lower-case letter, then lower-case letters, digits and underscores, at most 16 bytes")
	}
	return opts, nil
}

// A Store is a store of rows in partitions. It validates what it is given
// before the driver sees it, and it is safe for concurrent use.
type Store struct {
	driver   Driver
	features Features
	prefix   string
	closed   atomic.Bool

	mu    sync.RWMutex
	names map[string]string // qualified names of tables, by name
}

// New returns a Store over a driver, which Close closes. The driver must
// implement Featured.
func New(driver Driver, opts *Options) (*Store, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if driver == nil {
		return nil, fault.New(fault.ErrInvalid, purpose, "open", "there is no driver")
	}
	featured, ok := driver.(Featured)
	if !ok {
		return nil, fault.New(fault.ErrInvalid, purpose, "open", "the driver does not tell its features")
	}
	return &Store{driver: driver, features: featured.Features(), prefix: o.Namespace + "_", names: map[string]string{}}, nil
}

// Write writes cells, newest wins, each on its own. The result is aligned with
// rows: nil where the row now has this cell or a newer one; with
// Features.Superseded, ErrSuperseded in the second case. A row that is not
// valid gets fault.ErrInvalid or fault.ErrTooLarge, and no store sees it; the
// others are written all the same. Rows may be reused when Write has returned.
func (s *Store) Write(ctx context.Context, table Table, rows ...Row) []error {
	qualified, err := s.enter(ctx, table)
	if err != nil {
		errs := make([]error, len(rows))
		for i := range rows {
			errs[i] = locate(err, "write", table.Name, rows[i].ID)
		}
		return errs
	}
	var errs []error // made for the first fault: hardly any row has one
	faulty := 0
	for i := range rows {
		if err := s.validateRow(table, &rows[i]); err != nil {
			if errs == nil {
				errs = make([]error, len(rows))
			}
			errs[i] = err
			faulty++
		}
	}
	switch {
	case len(rows) == faulty:
	case faulty > 0:
		s.writeValid(ctx, qualified, rows, errs)
	default:
		errs = s.driver.Write(ctx, qualified, rows)
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = locate(err, "write", table.Name, rows[i].ID)
		}
	}
	return errs
}

// writeValid writes the rows that have no error yet.
func (s *Store) writeValid(ctx context.Context, table Table, rows []Row, errs []error) {
	valid := make([]Row, 0, len(rows))
	at := make([]int, 0, len(rows))
	for i := range rows {
		if errs[i] == nil {
			valid = append(valid, rows[i])
			at = append(at, i)
		}
	}
	for i, err := range s.driver.Write(ctx, table, valid) {
		errs[at[i]] = err
	}
}

// Read returns the live cells at addresses; what is not there is left out.
// Cells of one row stand together, and rows stand in the order of their first
// address. In a Placed table an ID is enough, and the rows carry their place.
func (s *Store) Read(ctx context.Context, table Table, at ...Address) ([]Row, error) {
	qualified, err := s.enter(ctx, table)
	if err != nil {
		return nil, locate(err, "read", table.Name, "")
	}
	if len(at) == 0 {
		return nil, nil
	}
	if err := checkConsistency(ctx); err != nil {
		return nil, locate(err, "read", table.Name, "")
	}
	for i := range at {
		if err := validateAddress(table, &at[i]); err != nil {
			return nil, locate(err, "read", table.Name, at[i].ID)
		}
	}
	rows, err := s.driver.Read(ctx, qualified, at)
	if err != nil {
		return nil, locate(err, "read", table.Name, "")
	}
	return rows, nil
}

// Scan returns one page of a range. A page may hold fewer rows than the limit
// when they are large; Next tells whether there is more.
func (s *Store) Scan(ctx context.Context, table Table, r Range) (Page, error) {
	qualified, err := s.enter(ctx, table)
	if err == nil {
		err = errors.Join(validateRange(&r), checkConsistency(ctx))
	}
	if err != nil {
		return Page{}, locate(err, "scan", table.Name, "")
	}
	if r.Limit == 0 {
		r.Limit = DefaultLimit
	}
	page, err := s.driver.Scan(ctx, qualified, r)
	if err != nil {
		return Page{}, locate(err, "scan", table.Name, "")
	}
	return page, nil
}

// Prepare makes known that tables will be used. Where the store owns its
// schema it creates them; elsewhere a missing table is fault.ErrMisconfigured
// at first use, with the statement that mends it.
func (s *Store) Prepare(ctx context.Context, tables ...Table) error {
	return s.schema(ctx, "prepare", tables, s.driver.Prepare)
}

// Schema returns the statements that create the tables, or nil when the name
// of one is not valid.
func (s *Store) Schema(tables ...Table) []string {
	qualified, err := s.qualifyAll(tables)
	if err != nil {
		return nil
	}
	return s.driver.Schema(qualified)
}

// CreateSchema executes Schema. It only ever adds.
func (s *Store) CreateSchema(ctx context.Context, tables ...Table) error {
	return s.schema(ctx, "create schema", tables, s.driver.CreateSchema)
}

func (s *Store) schema(ctx context.Context, op string, tables []Table, do func(context.Context, []Table) error) error {
	if s.closed.Load() {
		return locate(errClosed(), op, "", "")
	}
	qualified, err := s.qualifyAll(tables)
	if err == nil {
		err = do(ctx, qualified)
	}
	return locate(err, op, "", "")
}

// Purge removes tombstones that were written before a moment, and cells that
// expired before it, where the server does not do so by itself; elsewhere it
// does nothing. A write older than a purged tombstone is no longer refused.
func (s *Store) Purge(ctx context.Context, table Table, before time.Time) (removed int, err error) {
	qualified, err := s.enter(ctx, table)
	if err != nil {
		return 0, locate(err, "purge", table.Name, "")
	}
	purger, ok := s.driver.(Purger)
	if !ok {
		return 0, nil
	}
	removed, err = purger.Purge(ctx, qualified, before)
	return removed, locate(err, "purge", table.Name, "")
}

// Listed reports whether the list of places of a Placed table is there, where
// the driver keeps one beside it (see Lister); true where nobody can tell.
func (s *Store) Listed(ctx context.Context, table Table) (bool, error) {
	qualified, err := s.enter(ctx, table)
	if err != nil {
		return false, locate(err, "look for a list", table.Name, "")
	}
	lister, ok := s.driver.(Lister)
	if !ok {
		return true, nil
	}
	listed, err := lister.Listed(ctx, qualified)
	return listed, locate(err, "look for a list", table.Name, "")
}

// Explain returns the statements that Write sends for a row, as the driver's
// Explainer says them; nil when it is none, or the table's name is not valid.
// Nothing is read or written.
func (s *Store) Explain(table Table, row Row) []string {
	explainer, ok := s.driver.(Explainer)
	if qualified, err := s.qualify(table); ok && err == nil {
		return explainer.Explain(qualified, row)
	}
	return nil
}

// Features are the driver's.
func (s *Store) Features() Features { return s.features }

// Check reports health.
func (s *Store) Check(ctx context.Context) fault.Report {
	report := fault.Report{Purpose: purpose, Driver: s.features.Name}
	if s.closed.Load() {
		report.Class, report.Problems = fault.ErrClosed, []string{"the store is closed; open a new one"}
		return report
	}
	checker, ok := s.driver.(Checker)
	if !ok {
		report.Problems = []string{"the driver cannot be asked for its health"}
		return report
	}
	return checker.Check(ctx)
}

// Close closes the driver. Closing twice is fine.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return locate(s.driver.Close(), "close", "", "")
}

// enter is what every operation on a table asks first.
func (s *Store) enter(ctx context.Context, table Table) (Table, error) {
	if s.closed.Load() {
		return table, errClosed()
	}
	if err := ctx.Err(); err != nil {
		return table, err
	}
	return s.qualify(table)
}

func errClosed() error { return fault.New(fault.ErrClosed, "", "", "the store was closed") }

// locate adds the whereabouts to an error. Context errors that say nothing
// more, and ErrSuperseded, pass untouched.
func locate(err error, op, table, key string) error {
	class := fault.ClassOf(err)
	if err == nil || class == nil {
		return err
	}
	out := &fault.Error{Op: op, Store: purpose, Kind: table, Key: key, Class: class, Err: err}
	if e, ok := err.(*fault.Error); ok && e.Store == "" && e.Key == "" {
		// The driver left the whereabouts to us: no need to say it twice.
		out.Err = e.Err
	}
	return out
}
