package sqlitefile

import (
	"context"
	"errors"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Classify puts an error of SQLite into the vocabulary of fault, under the
// operation that it came of. Errors that have a class, context errors, nil and
// errors that are not SQLite's are returned as they are. It is for statements;
// of a COMMIT that ends in an I/O error nobody knows the outcome, which Write
// reports itself.
func Classify(err error, op string) error {
	var e *sqlite.Error
	if err == nil || fault.ClassOf(err) != nil || !errors.As(err, &e) {
		return err
	}
	if e.Code()&0xff == sqlite3.SQLITE_INTERRUPT {
		return &interruptedError{op: op, err: err}
	}
	class := classOf(e.Code())
	if e.Code() == sqlite3.SQLITE_ERROR && strings.Contains(e.Error(), "no such table") {
		class = fault.ErrMisconfigured // a schema that nobody has created yet
	}
	return &fault.Error{Op: op, Class: class, Err: err}
}

// classOf maps a result code of SQLite, extended or not, to a class.
func classOf(code int) error {
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return fault.ErrExists
	}
	switch code & 0xff {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH:
		return fault.ErrRefused
	case sqlite3.SQLITE_TOOBIG:
		return fault.ErrTooLarge
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL:
		return fault.ErrBusy
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM:
		return fault.ErrUnavailable
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fault.ErrCorrupt
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_NOLFS:
		return fault.ErrMisconfigured
	case sqlite3.SQLITE_ABORT:
		return fault.ErrBusy
	}
	// SQLITE_ERROR is a faulty statement; the rest are misuses of the library.
	return fault.ErrInvalid
}

// classifyWrite is Classify for the connection that writes. A read that the disk
// refuses in the middle of a change makes SQLite take the file for corrupt, which
// it is not for the connection that comes after: so it is an outage, and whoever
// comes again finds out. A file that is corrupt is found by those who read it.
func classifyWrite(err error, op string) error {
	switch codeOf(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return &fault.Error{Op: op, Class: fault.ErrUnavailable, Err: err}
	}
	return Classify(err, op)
}

// An interruptedError is a statement that was cut off. Like every context
// error it has no class.
type interruptedError struct {
	op  string
	err error
}

func (e *interruptedError) Error() string   { return e.op + ": interrupted: " + e.err.Error() }
func (e *interruptedError) Unwrap() []error { return []error{context.Canceled, e.err} }

// codeOf returns the primary result code in err, 0 when there is none.
func codeOf(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}

// doomsGroup reports whether a transaction must not be committed after one of
// its statements ended with err, or is rolled back already.
func doomsGroup(err error) bool {
	switch codeOf(err) {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM,
		sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return true
	}
	return false
}

// breaksConn reports whether a connection must not be used after err: its
// file may hold what the kernel has given up writing.
func breaksConn(err error) bool {
	switch codeOf(err) {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB,
		sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_CANTOPEN:
		return true
	}
	return false
}

// commitError is the answer to the units of a group whose COMMIT failed. A
// database that is busy or full said so before the commit record was written;
// after everything else the record may be there or not.
func commitError(err error) error {
	switch codeOf(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_READONLY:
		return Classify(err, "commit")
	}
	return &fault.Error{Op: "commit", Class: fault.ErrUnknown, Err: err}
}
