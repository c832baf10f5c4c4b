package amorphous

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Stamp orders the writes of one object: by Version, then by Tie. Tie is a
// digest of the content, so that two writers that hit the same version agree
// in every store on who won, and a repeat of one write is equal to itself.
type Stamp struct {
	Version int64  // microseconds since 1970 for a clock's version, else the user's own growing number
	Tie     uint64 // a digest of the object's content
}

// A Table is a collection of rows. Drivers derive their names for it from
// Name, which is valid by ValidName.
type Table struct {
	Name string // drivers see it with the Store's namespace in front
	// Placed tables hold at most one row per ID, wherever its newest version
	// belongs: a write whose Partition or Order differs from the row's present
	// place removes the old one, and a delete needs no place at all. So a cell
	// lives as long as no newer tombstone exists and no newer write put the row
	// elsewhere, in whatever order they arrive. A table is Placed, or not, for
	// good.
	Placed bool
	// Tallied tables hold no rows, but what a Tallier counted. Only drivers
	// that implement it see one.
	Tallied bool
}

// A Row is one object, or one property set of it, at its place.
//
// A row consists of cells: one per Shape, which names the set of properties
// that its body holds (zero for a tombstone). Writers that know the same
// properties write the same cell, and the newest Stamp wins; writers that know
// other properties write another cell beside it, so nothing that one of them
// does not know is lost. Readers get all live cells of a row and merge them by
// property (see Merge).
type Row struct {
	Partition string    // rows of one partition lie together; 1 to MaxKey bytes
	Order     []byte    // sorts bytewise within the partition; may be empty
	ID        string    // the object's key; 1 to MaxKey bytes
	Shape     uint64    // digest of the property names in Body
	Stamp     Stamp     // newest wins
	Deleted   bool      // a tombstone: it removes the cells of every shape with an older or equal Stamp, and Body is empty
	Body      []byte    // opaque
	Expires   time.Time // zero: never; afterwards the cell is not returned
}

// An Address names rows to Read. In a Placed table, ID is enough; otherwise
// Partition, Order and ID are all needed.
type Address struct {
	Partition string // as the Row's
	Order     []byte // as the Row's; nil and empty are the same
	ID        string // as the Row's
}

// A Range selects rows of one partition, or of the whole table.
type Range struct {
	Partition string // empty: every partition, in an order of the driver's own
	From, To  []byte // bounds of Order: From <= Order < To; nil: open
	Reverse   bool   // descending Order, and descending ID within it
	Limit     int    // rows, not cells; at most MaxLimit; zero means DefaultLimit
	After     []byte // a cursor of an earlier Page; nil: from the start
}

// A Page is a part of a Range. Cells of one row are never split between pages.
// A page of large rows may hold fewer than Limit.
type Page struct {
	Rows []Row  // cells in order of (Partition,) Order, ID
	Next []byte // cursor for the rest; nil: there is none. It survives restarts and concurrent writes, and may be empty-handed next time
}

// Features are the promises of a driver that differ between drivers.
type Features struct {
	Name       string           // such as "embedded" or "cassandra"
	Durability fault.Durability // of a write that returned nil
	MaxBody    int              // bytes; a larger body is fault.ErrTooLarge before anything is sent
	// Superseded: Write tells a loser of the newest-wins rule. A driver
	// without it (Cassandra, where a write is blind) returns nil for both, and
	// is spared Placed tables by a layer that can register places elsewhere.
	Superseded bool
}

// Driver is the contract of a store of partitions. Every method is safe for
// concurrent use, returns within 100 ms of its context's end, and copies what
// it keeps and what it returns.
//
// Errors: fault.ErrUnavailable, fault.ErrBusy, fault.ErrUnknown,
// fault.ErrMisconfigured (the table is missing; the message holds the
// statement that mends it), fault.ErrTooLarge, fault.ErrInvalid,
// fault.ErrClosed.
type Driver interface {
	// Write writes cells, newest wins, each on its own; it groups what comes
	// at the same time by itself. A repeat of a write changes nothing. An
	// element of the result is nil when the row now has this cell or a newer
	// one; with Features.Superseded it is ErrSuperseded in the second case. A
	// delete is superseded when the row, in whatever shape, has a newer version;
	// what is older than the delete goes all the same. Of several rows of one
	// call for one cell the newest wins. Two writes of one Stamp to one cell are
	// one write.
	Write(ctx context.Context, table Table, rows []Row) []error
	// Read returns the live cells at the addresses. What is not there is left
	// out. Cells of one row stand together, rows in the order of the addresses.
	// In a Placed table the returned rows carry their place. Read and Scan honour
	// ConsistencyOf their context where the store has replicas.
	Read(ctx context.Context, table Table, at []Address) ([]Row, error)
	// Scan returns one page of a range.
	Scan(ctx context.Context, table Table, r Range) (Page, error)
	// Prepare makes known that a table will be used. A driver that owns its
	// schema (embedded) creates it, at first use at the latest; others check
	// lazily.
	Prepare(ctx context.Context, tables []Table) error
	// Schema returns the statements that create the tables, for CreateSchema
	// and for a DBA. They only ever add.
	Schema(tables []Table) []string
	// CreateSchema executes Schema.
	CreateSchema(ctx context.Context, tables []Table) error
	// Close frees everything. Closing twice is fine.
	Close() error
}

// Featured tells a driver's promises. Every driver implements it.
type Featured interface{ Features() Features }

// Checker reports a driver's health. Every driver implements it.
type Checker interface {
	// Check asks the server, where there is one; what is wrong is in the report.
	Check(ctx context.Context) fault.Report
}

// A Member is one version of an object, as a Counter counts it.
type Member struct {
	ID     string  // the object's key; 1 to MaxKey bytes
	Stamp  Stamp   // newest wins
	Counts []Tally // what it adds, one per place; none: it counts nowhere
}

// A Tally is a number at a place: what a member adds there, or the sum of what
// all members add.
type Tally struct {
	Partition string // what is counted together; 1 to MaxKey bytes
	Order     []byte // sorts bytewise within the partition; may be empty
	N         int64  // may be negative
}

// Tallier is implemented by drivers that keep sums in the transaction that
// changes them. For others, Counter keeps the members as rows, and counts
// those.
type Tallier interface {
	// Tally makes the members count as they say, in a table that is Tallied,
	// and no longer as an older version of them said; without Counts a member
	// counts nowhere, and older versions of it never again. Each member is on
	// its own: it counts wholly or, with an error, not at all. A repeat changes
	// nothing. An element is ErrSuperseded when a newer version counts.
	Tally(ctx context.Context, table Table, members []Member) []error
	// Tallies returns the sums other than zero in ranges of single partitions,
	// of which Partition, From and To are looked at. All are of one moment;
	// those of one range stand together, in the order of the ranges.
	Tallies(ctx context.Context, table Table, ranges []Range) ([]Tally, error)
}

// An Introduction is an entry of a register, and the rows that it says are there.
type Introduction struct {
	Entry Row   // of the register
	Rows  []Row // of the table that the register is about
}

// Registrar is implemented by drivers that register rows in the transaction
// that writes them. For others, DerivedRows registers, reads the register, and
// writes the rows, one after another.
type Registrar interface {
	// Register writes the entry of each introduction and, unless a newer cell is
	// at the entry's address then, its rows. Each introduction is on its own: it
	// is written wholly or, with an error, not at all; what a newer cell of its
	// own forestalls is no error. A repeat changes nothing. known is aligned with
	// all, and holds the live cells at the entry's address, its own among them.
	Register(ctx context.Context, register, table Table, all []Introduction) (known [][]Row, errs []error)
}

// Purger removes tombstones written, and cells expired, before a moment, where
// the server does not do so by itself.
type Purger interface {
	// Purge returns how many it removed, also with an error. A write older than a
	// purged tombstone is no longer refused.
	Purge(ctx context.Context, table Table, before time.Time) (removed int, err error)
}

// A Lister is a driver that keeps lists of places beside its Placed tables,
// because its writes are blind.
type Lister interface {
	// Listed reports whether the list of a Placed table is there. It asks the
	// server, and neither creates anything nor makes the table known.
	Listed(ctx context.Context, table Table) (bool, error)
}

// An Explainer is a driver that can say what it sends for a write, without
// asking its server.
type Explainer interface {
	// Explain returns the statements by which Write writes a row that is alive, in
	// their order, with placeholders: no value is in them, nor is what Write sends
	// on account of what it finds there. The row's Body may be nil.
	Explain(table Table, row Row) []string
}
