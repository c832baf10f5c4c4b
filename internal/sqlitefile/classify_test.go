package sqlitefile

import (
	"context"
	"errors"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func TestClasses(t *testing.T) {
	for code, want := range map[int]error{
		sqlite3.SQLITE_CONSTRAINT_UNIQUE:     fault.ErrExists,
		sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: fault.ErrExists,
		sqlite3.SQLITE_CONSTRAINT_ROWID:      fault.ErrExists,
		sqlite3.SQLITE_CONSTRAINT:            fault.ErrRefused,
		sqlite3.SQLITE_CONSTRAINT_CHECK:      fault.ErrRefused,
		sqlite3.SQLITE_CONSTRAINT_NOTNULL:    fault.ErrRefused,
		sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: fault.ErrRefused,
		sqlite3.SQLITE_CONSTRAINT_DATATYPE:   fault.ErrRefused,
		sqlite3.SQLITE_MISMATCH:              fault.ErrRefused,
		sqlite3.SQLITE_TOOBIG:                fault.ErrTooLarge,
		sqlite3.SQLITE_BUSY:                  fault.ErrBusy,
		sqlite3.SQLITE_BUSY_SNAPSHOT:         fault.ErrBusy,
		sqlite3.SQLITE_LOCKED:                fault.ErrBusy,
		sqlite3.SQLITE_PROTOCOL:              fault.ErrBusy,
		sqlite3.SQLITE_FULL:                  fault.ErrUnavailable,
		sqlite3.SQLITE_IOERR:                 fault.ErrUnavailable,
		sqlite3.SQLITE_IOERR_WRITE:           fault.ErrUnavailable,
		sqlite3.SQLITE_NOMEM:                 fault.ErrUnavailable,
		sqlite3.SQLITE_CORRUPT:               fault.ErrCorrupt,
		sqlite3.SQLITE_CORRUPT_INDEX:         fault.ErrCorrupt,
		sqlite3.SQLITE_NOTADB:                fault.ErrCorrupt,
		sqlite3.SQLITE_READONLY:              fault.ErrMisconfigured,
		sqlite3.SQLITE_CANTOPEN:              fault.ErrMisconfigured,
		sqlite3.SQLITE_PERM:                  fault.ErrMisconfigured,
		sqlite3.SQLITE_ERROR:                 fault.ErrInvalid,
		sqlite3.SQLITE_RANGE:                 fault.ErrInvalid,
	} {
		if got := classOf(code); got != want {
			t.Errorf("code %d: %v, want %v", code, got, want)
		}
	}
}

// TestClassify provokes errors of SQLite and asks for their classes.
func TestClassify(t *testing.T) {
	f := openTest(t, Options{Relaxed: true})
	mustWrite(t, f, "CREATE TABLE c (a INTEGER NOT NULL CHECK (a > 0), b TEXT UNIQUE, d INTEGER REFERENCES t (k)) STRICT")
	mustWrite(t, f, "INSERT INTO c VALUES (1, 'x', NULL)")
	for query, want := range map[string]error{
		"INSERT INTO c VALUES (1, 'x', NULL)":      fault.ErrExists,
		"INSERT INTO c VALUES (0, 'y', NULL)":      fault.ErrRefused,
		"INSERT INTO c VALUES (NULL, 'y', NULL)":   fault.ErrRefused,
		"INSERT INTO c VALUES ('text', 'y', NULL)": fault.ErrRefused,
		"INSERT INTO c VALUES (1, 'y', 99)":        fault.ErrRefused,
		"SELECT zeroblob(2000000000)":              fault.ErrTooLarge,
		"INSERT INTO missing VALUES (1)":           fault.ErrMisconfigured,
		"INSERT INTO c VALUES (":                   fault.ErrInvalid,
		"INSERT INTO c VALUES (?, ?, ?)":           fault.ErrInvalid, // arguments are missing
	} {
		err := write(t.Context(), f, query)
		if fault.ClassOf(err) != want {
			t.Errorf("%s: %v, want %v", query, err, want)
		}
		if fault.OutcomeOf(err) != fault.NotApplied {
			t.Errorf("%s: %v, want not applied", query, err)
		}
	}
}

func TestClassifyLeavesOthersAlone(t *testing.T) {
	mine := errors.New("mine")
	classed := fault.New(fault.ErrConflict, "", "", "")
	for _, err := range []error{nil, mine, context.Canceled, classed} {
		if got := Classify(err, "x"); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}
