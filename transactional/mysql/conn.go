package mysql

import (
	"context"
	"database/sql"
	"errors"

	"github.com/go-sql-driver/mysql"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A querier is a *sql.Conn or a *sql.Tx.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// A conn is the connection of one unit. After an error of the server it sends
// nothing any more.
type conn struct {
	q      querier
	d      *database
	single bool  // each statement commits itself
	err    error // the first error of the server
	lost   bool  // the connection is of no use any more
}

// Exec implements transactional.Conn.
func (c *conn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if c.err != nil {
		return 0, c.err
	}
	if err := c.fits(args); err != nil {
		return 0, err
	}
	res, err := c.q.ExecContext(ctx, query, args...)
	if err != nil {
		at := executing
		if c.single && !errors.Is(err, mysql.ErrPktTooLarge) { // which is not sent
			at = committing
		}
		return 0, c.fail(ctx, err, at)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, c.fail(ctx, err, executing)
	}
	return n, nil
}

// Query implements transactional.Conn.
func (c *conn) Query(ctx context.Context, query string, args []any, row func(scan func(dest ...any) error) error) error {
	if c.err != nil {
		return c.err
	}
	rows, err := c.q.QueryContext(ctx, query, args...)
	if err != nil {
		return c.fail(ctx, err, executing)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return c.fail(ctx, err, executing)
	}
	return nil
}

// fits refuses a value that no packet can hold, before the server drops the
// connection over it.
func (c *conn) fits(args []any) error {
	for _, arg := range args {
		size := 0
		switch v := arg.(type) {
		case string:
			size = len(v)
		case []byte:
			size = len(v)
		}
		if size > c.d.opts.MaxRow {
			c.err = fault.New(fault.ErrTooLarge, "", "exec", "a value is larger than MaxRow")
			return c.err
		}
	}
	return nil
}

// fail remembers and classifies an error of a statement.
func (c *conn) fail(ctx context.Context, err error, at phase) error {
	var server *mysql.MySQLError
	answered := errors.As(err, &server)
	// A connection whose statement was abandoned is out of step; one whose
	// server is read-only, or shutting down, leads to the wrong server.
	c.lost = !answered || server.Number == 1153 || readOnly(server.Number) || classes[server.Number] == fault.ErrUnavailable
	if ctx.Err() != nil && !answered {
		err = ctx.Err()
	}
	c.err = classify(err, at)
	return c.err
}

func readOnly(number uint16) bool { return number == 1290 || number == 1792 || number == 1836 }

// joined is a conn on the caller's own transaction.
type joined struct {
	conn
	name string // of our database
}

// Join implements transactional.Joiner.
func (d *database) Join(ctx context.Context, tx *sql.Tx) (transactional.Conn, error) {
	if tx == nil {
		return nil, fault.New(fault.ErrInvalid, "", "join", "there is no *sql.Tx")
	}
	sc, err := d.take(ctx)
	if err != nil {
		return nil, err
	}
	defer sc.Close()
	j := &joined{conn: conn{q: tx, d: d}}
	var ours, theirs [3]string
	const where = "SELECT @@hostname, @@port, COALESCE(DATABASE(), '')"
	if err := scanInto(ctx, sc, where, &ours); err != nil {
		return nil, err
	}
	if err := scanInto(ctx, tx, where, &theirs); err != nil {
		return nil, err
	}
	if ours != theirs {
		return nil, fault.New(fault.ErrInvalid, "", "join", "the transaction is in another database than the store")
	}
	j.name = ours[2]
	return j, j.Prove(ctx)
}

func scanInto(ctx context.Context, q querier, query string, into *[3]string) error {
	rows, err := q.QueryContext(ctx, query)
	if err == nil {
		defer rows.Close()
		if rows.Next() {
			err = rows.Scan(&into[0], &into[1], &into[2])
		}
		err = errors.Join(err, rows.Err())
	}
	if errors.Is(err, sql.ErrTxDone) {
		return over("the transaction is over")
	}
	return classify(err, executing)
}

func over(message string) error { return fault.New(fault.ErrClosed, "", "join", message) }

// Prove implements transactional.Prover: the transaction is open, strict, and
// in our database. Outside of a transaction a savepoint is gone as soon as it
// is made, so going back to it fails.
func (j *joined) Prove(ctx context.Context) error {
	if j.err != nil {
		return j.err
	}
	if _, err := j.q.ExecContext(ctx, "SAVEPOINT fourfold"); err != nil {
		return j.refuse(ctx, err)
	}
	if _, err := j.q.ExecContext(ctx, "ROLLBACK TO SAVEPOINT fourfold"); err != nil {
		return j.refuse(ctx, err)
	}
	var now [3]string
	if err := scanInto(ctx, j.q, "SELECT COALESCE(DATABASE(), ''), @@sql_mode, ''", &now); err != nil {
		return j.refuse(ctx, err)
	}
	switch {
	case now[0] != j.name:
		j.err = fault.New(fault.ErrInvalid, "", "join", "the transaction is in another database than the store")
	case !isStrict(now[1]):
		j.err = fault.New(fault.ErrMisconfigured, "", "join", "the transaction's session has no strict sql_mode, so that values would be cut silently")
	}
	return j.err
}

// refuse remembers why the transaction cannot be used.
func (j *joined) refuse(ctx context.Context, err error) error {
	var server *mysql.MySQLError
	switch {
	case errors.Is(err, sql.ErrTxDone):
		j.err = over("the transaction is over")
	case errors.As(err, &server) && server.Number == 1305:
		j.err = over("no transaction is open on the connection: the server has ended it, as it does after a deadlock")
	default:
		j.fail(ctx, err, executing)
	}
	return j.err
}

// Undo implements transactional.Prover: what was executed since Prove is gone,
// also when the caller commits in spite of the error.
func (j *joined) Undo(ctx context.Context) error {
	_, err := j.q.ExecContext(ctx, "ROLLBACK TO SAVEPOINT fourfold")
	return classify(err, executing)
}
