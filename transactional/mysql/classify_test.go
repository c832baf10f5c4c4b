package mysql

import (
	"context"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func answer(number uint16, state, message string) error {
	e := &mysql.MySQLError{Number: number, Message: message}
	copy(e.SQLState[:], state)
	return e
}

// TestClasses has a row for each row of what the server and the client library
// are known to say, in and before COMMIT.
func TestClasses(t *testing.T) {
	timeout := &net.OpError{Op: "read", Err: errors.New("i/o timeout")}
	for _, row := range []struct {
		what              string
		err               error
		statement, commit error
	}{
		{"duplicate key", answer(1062, "23000", ""), fault.ErrExists, fault.ErrExists},
		{"deadlock", answer(1213, "40001", ""), fault.ErrBusy, fault.ErrBusy},
		{"lock wait", answer(1205, "HY000", ""), fault.ErrBusy, fault.ErrBusy},
		{"record changed since last read", answer(1020, "HY000", ""), fault.ErrBusy, fault.ErrBusy},
		{"read-only server", answer(1290, "HY000", ""), fault.ErrMisconfigured, fault.ErrMisconfigured},
		{"read-only transaction", answer(1792, "25006", ""), fault.ErrMisconfigured, fault.ErrMisconfigured},
		{"read-only mode", answer(1836, "HY000", ""), fault.ErrMisconfigured, fault.ErrMisconfigured},
		{"too many connections", answer(1040, "08004", ""), fault.ErrBusy, fault.ErrBusy},
		{"packet too large for the server", answer(1153, "08S01", ""), fault.ErrTooLarge, fault.ErrTooLarge},
		{"parameter too large", answer(1105, "HY000", "Parameter of prepared statement which is set through mysql_send_long_data() is longer than 'max_long_data_size' bytes"), fault.ErrTooLarge, fault.ErrTooLarge},
		{"unknown error", answer(1105, "HY000", "something"), fault.ErrRefused, fault.ErrRefused},
		{"packet too large for the client", mysql.ErrPktTooLarge, fault.ErrTooLarge, fault.ErrUnknown},
		{"data too long", answer(1406, "22001", ""), fault.ErrRefused, fault.ErrRefused},
		{"out of range", answer(1264, "22003", ""), fault.ErrRefused, fault.ErrRefused},
		{"incorrect string", answer(1366, "22007", ""), fault.ErrRefused, fault.ErrRefused},
		{"data truncated", answer(1265, "01000", ""), fault.ErrRefused, fault.ErrRefused},
		{"incorrect value", answer(1292, "22007", ""), fault.ErrRefused, fault.ErrRefused},
		{"column cannot be null", answer(1048, "23000", ""), fault.ErrRefused, fault.ErrRefused},
		{"foreign key", answer(1452, "23000", ""), fault.ErrRefused, fault.ErrRefused},
		{"check constraint (MySQL)", answer(3819, "HY000", ""), fault.ErrRefused, fault.ErrRefused},
		{"check constraint (MariaDB)", answer(4025, "23000", ""), fault.ErrRefused, fault.ErrRefused},
		{"access denied", answer(1045, "28000", ""), fault.ErrMisconfigured, fault.ErrMisconfigured},
		{"no rights on the database", answer(1044, "42000", ""), fault.ErrMisconfigured, fault.ErrMisconfigured},
		{"no rights on the table", answer(1142, "42000", ""), fault.ErrMisconfigured, fault.ErrMisconfigured},
		{"unknown database", answer(1049, "42000", ""), fault.ErrMisconfigured, fault.ErrMisconfigured},
		{"no such table", answer(1146, "42S02", ""), fault.ErrMisconfigured, fault.ErrMisconfigured},
		{"no such column", answer(1054, "42S22", ""), fault.ErrMisconfigured, fault.ErrMisconfigured},
		{"syntax", answer(1064, "42000", ""), fault.ErrInvalid, fault.ErrInvalid},
		{"shutdown", answer(1053, "08S01", ""), fault.ErrUnavailable, fault.ErrUnknown},
		{"interrupted", answer(1317, "70100", ""), fault.ErrBusy, fault.ErrUnknown},
		{"statement took too long (MySQL)", answer(3024, "HY000", ""), fault.ErrBusy, fault.ErrUnknown},
		{"statement took too long (MariaDB)", answer(1969, "70100", ""), fault.ErrBusy, fault.ErrUnknown},
		{"disk full", answer(1021, "HY000", ""), fault.ErrUnavailable, fault.ErrUnknown},
		{"table full", answer(1114, "HY000", ""), fault.ErrUnavailable, fault.ErrUnknown},
		{"error of the engine", answer(1030, "HY000", ""), fault.ErrUnavailable, fault.ErrUnknown},
		{"error on writing a file", answer(1026, "HY000", ""), fault.ErrUnavailable, fault.ErrUnknown},
		{"error during COMMIT", answer(1180, "HY000", ""), fault.ErrUnavailable, fault.ErrUnknown},
		{"certification in a group", answer(3101, "40000", ""), fault.ErrBusy, fault.ErrBusy},
		{"a group that falls apart", answer(3100, "HY000", ""), fault.ErrUnavailable, fault.ErrUnknown},
		{"a node outside of its cluster", answer(1047, "08S01", ""), fault.ErrUnavailable, fault.ErrUnavailable},
		{"invalid connection", mysql.ErrInvalidConn, fault.ErrUnavailable, fault.ErrUnknown},
		{"lost connection", answer(2013, "HY000", ""), fault.ErrUnavailable, fault.ErrUnknown},
		{"read timeout", timeout, fault.ErrUnavailable, fault.ErrUnknown},
		{"end of file", io.ErrUnexpectedEOF, fault.ErrUnavailable, fault.ErrUnknown},
		{"context deadline", context.DeadlineExceeded, nil, fault.ErrUnknown},
		{"context cancelled", context.Canceled, nil, fault.ErrUnknown},
		{"nothing was written", driver.ErrBadConn, fault.ErrUnavailable, fault.ErrUnavailable},
		{"a state of a data error", answer(9999, "22999", ""), fault.ErrRefused, fault.ErrRefused},
		{"anything else that the server says", answer(9998, "HY000", ""), fault.ErrRefused, fault.ErrRefused},
		{"a certificate of nobody's", x509.UnknownAuthorityError{}, fault.ErrMisconfigured, fault.ErrUnknown},
	} {
		for at, want := range map[phase]error{executing: row.statement, committing: row.commit} {
			err := classify(row.err, at)
			if fault.ClassOf(err) != want {
				t.Errorf("%s, phase %d: %v, want %v", row.what, at, err, want)
			}
			if !errors.Is(err, row.err) {
				t.Errorf("%s: the client library's own error is lost in %v", row.what, err)
			}
			if want != nil && want != fault.ErrUnknown && fault.OutcomeOf(err) != fault.NotApplied {
				t.Errorf("%s: outcome %v", row.what, fault.OutcomeOf(err))
			}
		}
	}
}

// TestNoValuesInErrors: what a row holds never reaches an error's text.
func TestNoValuesInErrors(t *testing.T) {
	for _, err := range []error{
		answer(1062, "23000", "Duplicate entry 'canary for key 'x'' for key 'email'"),
		answer(1366, "22007", `Incorrect string value: 'canary' for column 's'`),
		answer(1292, "22007", "Truncated incorrect INTEGER value: 'canary'"),
		answer(9999, "HY000", "something with canary"),
	} {
		if text := classify(err, executing).Error(); strings.Contains(text, "canary") {
			t.Errorf("a value is in %q", text)
		}
	}
	if text := classify(answer(1062, "23000", "Duplicate entry 'x' for key 'email'"), executing).Error(); !strings.Contains(text, "email") {
		t.Errorf("the index is not named in %q", text)
	}
}

func TestNumbersStandOnce(t *testing.T) {
	seen := map[uint16]bool{}
	for class, list := range numbers {
		for _, n := range list {
			if seen[n] {
				t.Errorf("%d stands twice, once under %v", n, class)
			}
			seen[n] = true
		}
	}
}

func TestVersions(t *testing.T) {
	for version, good := range map[string]bool{
		"8.0.17": true, "8.0.36-0ubuntu0.22.04.1": true, "8.4.0": true, "9.1.0": true, "10.6.0-MariaDB": true,
		"5.5.5-10.11.6-MariaDB-log": true, "11.4.2-MariaDB": true, "8.0.16": false, "5.7.44-log": false, "10.5.9-MariaDB": false, "": false,
		"8.0.36-28.1": true, "8.0.40-Vitess": true, "8.0.11-TiDB-v8.1.0": false, "8.0.36-TiDB-v9.0.0": false,
	} {
		if (versionProblem(version) == "") != good {
			t.Errorf("%q: %q", version, versionProblem(version))
		}
	}
}

// TestTiDBIsRefusedForItsLocks: the sentence is about what would happen, and not
// about the version that TiDB pretends to be.
func TestTiDBIsRefusedForItsLocks(t *testing.T) {
	for _, flush := range []error{nil, answer(1193, "HY000", "Unknown system variable")} {
		s := &session{rawConn: &greeting{version: "8.0.11-TiDB-v8.1.0", flush: flush}}
		err := s.setUp(t.Context(), &Options{Durability: fault.Fsynced})
		if !errors.Is(err, fault.ErrMisconfigured) || !strings.Contains(err.Error(), "SKIP LOCKED") {
			t.Errorf("flush variable %v: %v", flush, err)
		}
	}
	for _, flush := range []error{nil, answer(1193, "HY000", "Unknown system variable")} {
		s := &session{rawConn: &greeting{version: "8.0.36", flush: flush}}
		if err := s.setUp(t.Context(), &Options{Durability: fault.Fsynced}); err != nil {
			t.Errorf("flush variable %v: %v", flush, err)
		}
	}
}

// A greeting is a connection to a server of some version; flush is what it answers
// to who asks for InnoDB's variable.
type greeting struct {
	rawConn
	version string
	flush   error
}

func (g *greeting) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(0), nil
}

func (g *greeting) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	if g.flush != nil && strings.Contains(query, "@@innodb") {
		return nil, g.flush
	}
	return g, nil
}

func (g *greeting) Columns() []string { return []string{"version", "flush"} }
func (g *greeting) Close() error      { return nil }

func (g *greeting) Next(row []driver.Value) error {
	row[0], row[1] = []byte(g.version), int64(1)
	return nil
}
