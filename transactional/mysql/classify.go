package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A phase is how far a transaction was when an error came.
type phase int

const (
	connecting phase = iota
	executing        // COMMIT was not sent
	committing       // COMMIT may have been sent
)

// numbers are the classes of what the server answers to a statement. In all
// of them nothing of the transaction is applied.
var numbers = map[error][]uint16{
	fault.ErrExists: {1022, 1062, 1169, 1586},
	// Deadlock, lock wait, a row that changed under a snapshot, too many
	// connections, a statement that was killed or ran too long, and a schema
	// that somebody else was changing too.
	fault.ErrBusy: {1213, 1205, 1020, 3572, 1040, 1203, 1226, 1317, 1969, 3024, 1050, 1060, 1061, 1615},
	// Shutting down, a full disk or an engine in trouble, a server that is cut off
	// from its group, a broken connection.
	fault.ErrUnavailable: {1053, 1077, 1079, 1021, 1026, 1030, 1114, 1180, 3100, 1028, 1129, 1130, 1158, 1159, 1160, 1161, 2006, 2013},
	// Access, database, table, column, read-only.
	fault.ErrMisconfigured: {1044, 1045, 1046, 1049, 1054, 1142, 1143, 1146, 1227, 1290, 1364, 1370, 1461, 1698, 1792, 1836, 3159, 4151},
	fault.ErrTooLarge:      {1118, 1153, 1301, 1390},
	// Values that the columns do not take.
	fault.ErrRefused: {1048, 1216, 1217, 1264, 1265, 1292, 1300, 1365, 1366, 1406, 1411, 1451, 1452, 1525, 1690, 3140, 3156, 3819, 4025, 4038},
	fault.ErrInvalid: {1064, 1065, 1136, 1149, 1210, 1243, 1305},
}

// classes is numbers turned round.
var classes = func() map[uint16]error {
	out := map[uint16]error{}
	for class, list := range numbers {
		for _, n := range list {
			out[n] = class
		}
	}
	return out
}()

// states are the classes of the rest, by the first two digits of the SQLSTATE.
var states = map[string]error{
	"08": fault.ErrUnavailable, "22": fault.ErrRefused, "23": fault.ErrRefused,
	"25": fault.ErrMisconfigured, "28": fault.ErrMisconfigured, "40": fault.ErrBusy, "42": fault.ErrInvalid,
}

// unanswered are the numbers that say nothing about a COMMIT they answer: the
// server was stopped, or the session killed, while it committed; or the disk was
// full, or the group of servers fell apart, of which nobody says whether it was
// before the transaction lasts or after.
var unanswered = []uint16{1053, 1077, 1079, 1317, 1969, 2006, 2013, 3024, 1021, 1026, 1030, 1114, 1180, 3100}

// classify puts an error into the vocabulary of fault. Context errors pass
// untouched unless a COMMIT may have been sent.
func classify(err error, at phase) error {
	if err == nil || fault.ClassOf(err) != nil {
		return err
	}
	class, cause := classOf(err, at), err
	var server *mysql.MySQLError
	if errors.As(err, &server) {
		cause = &serverError{server}
	}
	if class == nil {
		return err
	}
	op := map[phase]string{connecting: "connect", executing: "exec", committing: "commit"}[at]
	return &fault.Error{Op: op, Class: class, Err: cause}
}

func classOf(err error, at phase) error {
	var (
		server  *mysql.MySQLError
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &server):
		return classOfServer(server, at)
	case errors.Is(err, driver.ErrBadConn):
		// The client library gives this for what it has not sent only.
		return fault.ErrUnavailable
	case at == committing:
		return fault.ErrUnknown
	case errors.Is(err, mysql.ErrPktTooLarge):
		return fault.ErrTooLarge
	case errors.As(err, &unknown), errors.As(err, &name), errors.As(err, &invalid), errors.As(err, &verify),
		errors.Is(err, mysql.ErrNoTLS), errors.Is(err, mysql.ErrCleartextPassword), errors.Is(err, mysql.ErrUnknownPlugin),
		errors.Is(err, mysql.ErrNativePassword), errors.Is(err, mysql.ErrOldPassword):
		return fault.ErrMisconfigured
	case at == executing && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
		return nil
	}
	return fault.ErrUnavailable
}

func classOfServer(e *mysql.MySQLError, at phase) error {
	if at == committing && slices.Contains(unanswered, e.Number) {
		return fault.ErrUnknown
	}
	if class := classes[e.Number]; class != nil {
		return class
	}
	if e.Number == 1105 && strings.Contains(e.Message, "max_") {
		return fault.ErrTooLarge // a parameter over max_long_data_size; the number alone says nothing
	}
	if class := states[string(e.SQLState[:2])]; class != nil {
		return class
	}
	return fault.ErrRefused
}

// A serverError shows the server's answer without the values that it quotes:
// a duplicate's message holds the duplicate.
type serverError struct{ err *mysql.MySQLError }

// quiet are the numbers whose messages hold names only.
var quiet = []uint16{
	1040, 1044, 1045, 1046, 1048, 1049, 1053, 1054, 1142, 1143, 1146, 1153, 1205, 1213, 1227, 1264, 1290, 1364, 1406, 1461, 1792, 1836, 4025,
}

// Error tells number and state, and what can be told of the message.
func (e *serverError) Error() string {
	s := fmt.Sprintf("the server answers %d (%s)", e.err.Number, e.err.SQLState[:])
	switch {
	case slices.Contains(quiet, e.err.Number):
		s += ": " + e.err.Message
	case e.err.Number == 1062:
		// The key's name stands last, behind the value.
		if i := strings.LastIndex(e.err.Message, " for key "); i >= 0 {
			s += ": duplicate" + e.err.Message[i:]
		}
	}
	return s
}

// Unwrap shows the client library's error to errors.As.
func (e *serverError) Unwrap() error { return e.err }
