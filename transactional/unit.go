package transactional

import (
	"encoding/hex"
	"time"
)

// MaxKey is the longest key of an object, in bytes.
const MaxKey = 255

// A Stamp orders the writes of one object: by Version, then by Tie. It is the
// same order in every store.
type Stamp struct {
	Version int64  // microseconds since 1970 for a clock's version, else the program's own growing number
	Tie     uint64 // decides between equal versions: a digest of the content
}

// Newer reports whether s wins over t.
func (s Stamp) Newer(t Stamp) bool {
	return s.Version > t.Version || s.Version == t.Version && s.Tie > t.Tie
}

// A Column is a property that SQL can read under its name.
type Column struct {
	Name string // valid by ValidName; SQL does not tell upper case from lower
	Type Type   // one of the column types
}

// A Table holds the current version of objects: one row per ID, with its
// stamp. Columns that a program does not list keep what another program wrote.
// The physical columns id, version, tie and deleted are ours.
type Table struct {
	Name    string     // valid by ValidName
	Columns []Column   // those that the program knows
	Unique  [][]string // names of Columns, one or more each; NULLs never collide, tombstones neither
	Index   [][]string // names of Columns, one or more each, in the order of the index
}

// A Row is one object.
type Row struct {
	ID      string // the object's key; 1 to MaxKey bytes
	Stamp   Stamp  // of this version
	Deleted bool   // a tombstone: Values is empty, and the columns become NULL
	Values  []any  // aligned with the Columns of the Table that it goes with: int64, uint64, float64, bool, string, []byte, time.Time or nil
}

// A Mode says when a Write applies.
type Mode int

// The modes.
const (
	// Newest writes when the row is absent or older, else it is superseded,
	// which is no error.
	Newest Mode = iota
	// Insert writes when the row is absent or a tombstone (whose stamp must be
	// older), else fault.ErrExists.
	Insert
	// IfVersion writes when the row's version is Expect (zero: absent or a
	// tombstone), else fault.ErrConflict.
	IfVersion
	// Above writes when the row is absent or older, else fault.ErrConflict.
	Above
)

// A Write is one row to write.
type Write struct {
	Table  *Table // never nil
	Row    Row    // the new version
	Mode   Mode   // zero: Newest
	Expect int64  // for IfVersion
}

// A RecordID names an outbox record; the first eight bytes grow with time, so
// that rows are appended and not scattered.
type RecordID [16]byte

// String is 32 hexadecimal digits.
func (id RecordID) String() string { return hex.EncodeToString(id[:]) }

// An Order makes a task wait for earlier records with the same Task and Key.
type Order struct {
	Task string // its name; MaxKey bytes at most
	Key  string // the ordering key; MaxKey bytes at most
}

// A Record is an accepted envelope in the outbox.
type Record struct {
	ID       RecordID  // never zero
	Kind     string    // the object's; 1 to MaxKey bytes
	Key      string    // the object's; MaxKey bytes at most
	Lane     string    // where it waits; workers claim by lane
	Priority uint32    // within lanes, smaller first; then by ID
	Due      time.Time // not claimed earlier
	Progress []byte    // what remains; rewritten as tasks are done
	Body     []byte    // the object; never rewritten
	Orders   []Order   // of its tasks, if any

	Token    string        // accepted once per Kind within Remember; may be empty
	Digest   uint64        // of the content, to tell a repeat from a conflict
	Remember time.Duration // how long the token is kept after acceptance
	// Seq counts the settlements of the record, from 0. Set by Claim and Find.
	Seq uint64
	// Lost counts the claims that ended without a settlement: the owner
	// crashed, or its lease ran out. Set by Claim and Find. It is how a poison
	// task is found that takes its worker down each time.
	Lost int

	Owner      uint64        // claimed by this owner from the start (a direct hand-over); zero: claimed by nobody
	Lease      time.Duration // of that claim
	AcceptedAt time.Time     // UTC, microseconds
}

// A Settlement ends or continues what a claim holds. It applies only while
// Owner still holds the record and nothing settled it since Seq (fencing: a
// COMMIT whose answer was lost and that lands late is seen by the next
// settlement), else fault.ErrConflict, and the unit that it is part of is
// rolled back. Applying raises the record's Seq by one.
type Settlement struct {
	ID    RecordID // once per unit
	Owner uint64   // who claimed it; never zero
	Seq   uint64   // the record's when it was claimed, and one more for each settlement since
	// Done removes the record and leaves a mark for Keep (see Marks). What
	// follows is for a record that goes on.
	Done bool
	Mark []byte        // what the mark says, such as task outcomes; small
	Keep time.Duration // zero means DefaultKeep

	Progress []byte // nil: unchanged
	// Hold keeps the claim (a progress report in mid-run). Otherwise the record
	// goes back to Lane with Priority, to be claimed when it is Due.
	Hold     bool
	Lane     string // 1 to MaxKey bytes
	Priority uint32
	Due      time.Time // zero: at once
	// Release names the orders that this record no longer holds, so that the
	// next record in each becomes due now. Done releases all.
	Release []Order
}

// A DeadLetter is a task that cannot succeed, with everything that a person
// needs to decide about it.
type DeadLetter struct {
	ID       string    // task id
	Kind     string    // of the object; MaxKey bytes at most, as Key and Task
	Key      string    // of the object
	Task     string    // by name
	Reason   string    // one line
	Detail   string    // the error's full text, a stack
	Attempts int       // that were spent, the last one included
	Accepted time.Time // UTC, microseconds
	Died     time.Time // UTC, microseconds
	Envelope []byte    // header and object as they were
}

// A Unit is one atomic change: all of it is committed, or none.
type Unit struct {
	Writes []Write      // in any order
	Add    []Record     // what is accepted
	Settle []Settlement // of different records
	Bury   []DeadLetter // a letter whose ID is there is left as it is
	Unbury []string     // ids of dead letters to remove; fault.ErrNotFound when one is not there
	Place  []Placement  // in their order
}

// A Result tells what a Unit did beyond succeeding.
type Result struct {
	// Superseded is aligned with Unit.Writes: a newer version was there. Nil
	// when none was.
	Superseded []bool
	// Repeats is aligned with Unit.Add: a record whose token was accepted
	// before, with the same digest, has the first record's id here, and then
	// nothing of the unit was applied. Nil when none was. The same token with
	// another digest is fault.ErrConflict.
	Repeats []RecordID
	// Placed is aligned with Unit.Place: what is known of its ID then. A newer
	// Stamp than that of the placement says that it came too late.
	Placed []Placed
}
