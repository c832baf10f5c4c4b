package amorphous

import (
	"context"
	"errors"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Limits.
const (
	MaxKey       = 255 // bytes of a Partition or an ID
	MaxOrder     = 255 // bytes of an Order
	DefaultLimit = 100
)

// ErrSuperseded is the result of a write that a newer one forestalled. It is
// not a failure: the store holds the newer version.
var ErrSuperseded = errors.New("superseded by a newer version")

// Options of a Store; zero values are the defaults.
type Options struct {
	// Namespace prefixes every table. Default "ff".
	Namespace string
}

// A Store is a store of rows in partitions. It validates what it is given
// before the driver sees it.
type Store struct{}

// New returns a Store over a driver, which Close closes.
func New(driver Driver, opts *Options) (*Store, error) { panic("todo") }

// Write writes cells: see Driver.Write. The result is aligned with rows.
func (s *Store) Write(ctx context.Context, table Table, rows ...Row) []error { panic("todo") }

// Read returns the live cells at addresses: see Driver.Read.
func (s *Store) Read(ctx context.Context, table Table, at ...Address) ([]Row, error) { panic("todo") }

// Scan returns one page of a range: see Driver.Scan.
func (s *Store) Scan(ctx context.Context, table Table, r Range) (Page, error) { panic("todo") }

// Prepare, Schema and CreateSchema: see Driver.
func (s *Store) Prepare(ctx context.Context, tables ...Table) error { panic("todo") }

// Schema returns the statements that create the tables.
func (s *Store) Schema(tables ...Table) []string { panic("todo") }

// CreateSchema executes Schema.
func (s *Store) CreateSchema(ctx context.Context, tables ...Table) error { panic("todo") }

// Features are the driver's.
func (s *Store) Features() Features { panic("todo") }

// Check reports health.
func (s *Store) Check(ctx context.Context) fault.Report { panic("todo") }

// Close closes the driver. Closing twice is fine.
func (s *Store) Close() error { panic("todo") }
