package mysql

import (
	"container/list"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// cachedStmts is how many prepared statements a connection keeps.
const cachedStmts = 384

// keepIdle is how long the pool keeps a connection that has nothing to do. The
// server keeps it for TxIdle longer, so that it never closes one that is about
// to be used.
const keepIdle = 50 * time.Second

// strict is the sql_mode of our sessions: data that does not fit is an error,
// never a shorter value.
const strict = "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"

// A connector opens sessions.
type connector struct {
	inner driver.Connector
	opts  Options
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return c.inner.Driver() }

// Connect implements driver.Connector: it opens a connection, sets it up and
// refuses a server that cannot keep our promises.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.inner.Connect(ctx)
	if err != nil {
		return nil, err
	}
	raw, ok := inner.(rawConn)
	if !ok {
		inner.Close()
		return nil, fault.New(fault.ErrUnsupported, purpose, "connect", "the client library lacks a method that we need")
	}
	s := &session{rawConn: raw, byText: map[string]*list.Element{}, recent: list.New()}
	if err := s.setUp(ctx, &c.opts); err != nil {
		inner.Close()
		return nil, err
	}
	return s, nil
}

// rawConn is what a connection of the client library can do.
type rawConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

// A session is a connection that keeps its prepared statements. database/sql
// would prepare on one connection while another's transaction waits for it.
type session struct {
	rawConn
	byText map[string]*list.Element
	recent *list.List          // of *prepared, the latest in front
	args   []driver.NamedValue // of exec, for its next use
	maria  bool                // the server is a MariaDB
}

type prepared struct {
	text string
	stmt driver.Stmt
}

func (s *session) setUp(ctx context.Context, opts *Options) error {
	for _, text := range []string{
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
		fmt.Sprintf("SET SESSION sql_mode = '%s', innodb_lock_wait_timeout = %d", strict, int(opts.LockWait.Seconds())),
		// Only MariaDB reads what stands within /*M! */.
		fmt.Sprintf("SET SESSION wait_timeout = %d /*M!100300 , idle_transaction_timeout = %d */",
			int((opts.TxIdle + keepIdle).Seconds()), int(opts.TxIdle.Seconds())),
	} {
		if _, err := s.rawConn.ExecContext(ctx, text, nil); err != nil {
			return err
		}
	}
	query := "SELECT VERSION(), " + flushVariable
	row, err := s.one(ctx, query)
	if lacksFlush(err) {
		row, err = s.one(ctx, withoutFlush(query))
	}
	if err != nil {
		return err
	}
	s.maria = strings.Contains(row[0], "MariaDB")
	for _, problem := range []string{versionProblem(row[0]), flushProblem(row[1], opts.Durability)} {
		if problem != "" {
			return &unfitError{row[0], fault.New(fault.ErrMisconfigured, purpose, "connect", problem)}
		}
	}
	return nil
}

// flushVariable is InnoDB's, of when a COMMIT is on the disk.
const flushVariable = "@@innodb_flush_log_at_trx_commit"

// lacksFlush reports whether the server does not know that variable: it has
// durability of its own.
func lacksFlush(err error) bool {
	var server *mysql.MySQLError
	return errors.As(err, &server) && server.Number == 1193
}

// withoutFlush is a query for a server that lacks the variable.
func withoutFlush(query string) string { return strings.Replace(query, flushVariable, "1", 1) }

// An unfitError is a server that answered, and cannot keep our promises.
type unfitError struct {
	version string
	err     error
}

func (e *unfitError) Error() string { return e.err.Error() }
func (e *unfitError) Unwrap() error { return e.err }

// one reads the one row of a query, as text.
func (s *session) one(ctx context.Context, query string) ([]string, error) {
	rows, err := s.rawConn.QueryContext(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	values := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(values); err != nil {
		return nil, err
	}
	out := make([]string, len(values))
	for i, v := range values {
		if b, ok := v.([]byte); ok {
			v = string(b)
		}
		out[i] = fmt.Sprint(v)
	}
	return out, nil
}

// versionProblem says what a server lacks: SKIP LOCKED, and a collation of
// texts that compares bytes. TiDB is none of the versions that it greets with: it
// takes SKIP LOCKED and locks nothing, so that claims would be given out twice.
func versionProblem(version string) string {
	if strings.Contains(strings.ToLower(version), "tidb") {
		return "the server is " + version + "; TiDB takes SELECT ... FOR UPDATE SKIP LOCKED and locks no row, so that two workers would get the same record"
	}
	v := strings.TrimPrefix(version, "5.5.5-") // a prefix by which old MariaDBs greet
	maria := strings.Contains(v, "MariaDB")
	want := [3]int{8, 0, 17}
	if maria {
		want = [3]int{10, 6, 0}
	}
	var got [3]int
	for i, part := range strings.SplitN(v, ".", 3) {
		digits := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		if digits >= 0 {
			part = part[:digits]
		}
		got[i], _ = strconv.Atoi(part)
	}
	for i := range want {
		if got[i] != want[i] {
			if got[i] > want[i] {
				return ""
			}
			return "the server is " + version + "; MySQL 8.0.17 or MariaDB 10.6 is needed"
		}
	}
	return ""
}

// flushProblem says what a COMMIT of the server does not survive.
func flushProblem(flush string, want fault.Durability) string {
	const set = "; set it to 1, or accept less by the option durability"
	switch {
	case flush == "1" || want == fault.Memory:
		return ""
	case flush == "2" && want == fault.Written:
		return ""
	case flush == "2":
		return "innodb_flush_log_at_trx_commit is 2: a power cut loses what was committed" + set + "=written"
	}
	return "innodb_flush_log_at_trx_commit is " + flush + ": a crash of the server loses what was committed" + set + "=memory"
}

// ExecContext implements driver.ExecerContext by a prepared statement.
func (s *session) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 {
		return s.rawConn.ExecContext(ctx, query, nil)
	}
	var res driver.Result
	err := s.withStmt(ctx, query, func(stmt driver.Stmt) (err error) {
		res, err = stmt.(driver.StmtExecContext).ExecContext(ctx, args)
		return err
	})
	return res, err
}

// exec is ExecContext for arguments as a caller gives them.
func (s *session) exec(ctx context.Context, query string, args []any) (res driver.Result, err error) {
	err = s.withArgs(args, func(named []driver.NamedValue) error {
		res, err = s.ExecContext(ctx, query, named)
		return err
	})
	return res, err
}

// withArgs calls use with arguments as the client library takes them.
func (s *session) withArgs(args []any, use func([]driver.NamedValue) error) error {
	named := s.args[:0]
	defer func() {
		clear(named)
		s.args = named[:0]
	}()
	for i, arg := range args {
		named = append(named, driver.NamedValue{Ordinal: i + 1, Value: arg})
		switch arg.(type) {
		case nil, int64, uint64, float64, bool, string, []byte, time.Time:
		default:
			if err := s.rawConn.CheckNamedValue(&named[i]); err != nil {
				return err
			}
		}
	}
	return use(named)
}

// QueryContext implements driver.QueryerContext by a prepared statement.
func (s *session) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if len(args) == 0 {
		return s.rawConn.QueryContext(ctx, query, nil)
	}
	var rows driver.Rows
	err := s.withStmt(ctx, query, func(stmt driver.Stmt) (err error) {
		rows, err = stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
		return err
	})
	return rows, err
}

// stale are the answers after which a statement is of no use: it is unknown,
// it has to be prepared again, or a parameter that was too large sticks to it.
var stale = []uint16{1243, 1615, 1105}

// withStmt uses a statement, and once more a new one when the server has
// forgotten the old, which then did nothing.
func (s *session) withStmt(ctx context.Context, query string, use func(driver.Stmt) error) error {
	for again := false; ; again = true {
		stmt, err := s.prepare(ctx, query)
		if err != nil {
			return err
		}
		err = use(stmt)
		var server *mysql.MySQLError
		if !errors.As(err, &server) || !slices.Contains(stale, server.Number) {
			return err
		}
		s.forget(s.byText[query])
		if again || server.Number == 1105 {
			return err
		}
	}
}

func (s *session) prepare(ctx context.Context, query string) (driver.Stmt, error) {
	if e := s.byText[query]; e != nil {
		s.recent.MoveToFront(e)
		return e.Value.(*prepared).stmt, nil
	}
	stmt, err := s.rawConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.byText[query] = s.recent.PushFront(&prepared{query, stmt})
	if s.recent.Len() > cachedStmts {
		s.forget(s.recent.Back())
	}
	return stmt, nil
}

func (s *session) forget(e *list.Element) {
	p := s.recent.Remove(e).(*prepared)
	delete(s.byText, p.text)
	_ = p.stmt.Close() // nothing comes of it but a broken connection, which the next statement reports
}
