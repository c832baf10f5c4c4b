package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
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
	res, err := c.exec(ctx, query, args)
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
	if id, err := res.LastInsertId(); err == nil && id == leftAloneID {
		return leftAlone, nil
	}
	return n, nil
}

// exec executes a statement, on a session of ours without the pool's copy of its
// arguments, of which a group has hundreds.
func (c *conn) exec(ctx context.Context, query string, args []any) (driver.Result, error) {
	sc, ok := c.q.(*sql.Conn)
	if !ok || !c.d.ours {
		return c.q.ExecContext(ctx, query, args...)
	}
	var res driver.Result
	err := sc.Raw(func(dc any) (err error) {
		res, err = dc.(*session).exec(ctx, query, args)
		return err
	})
	return res, err
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
	if errors.Is(err, sql.ErrTxDone) {
		c.err = over("the transaction is over")
		return c.err
	}
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
	proved bool   // once, so that name counts
	name   string // of the database
}

// Join implements transactional.Joiner.
func (d *database) Join(ctx context.Context, tx *sql.Tx) (transactional.Conn, error) {
	switch {
	case tx == nil:
		return nil, fault.New(fault.ErrInvalid, "", "join", "there is no *sql.Tx")
	case d.isClosed():
		return nil, errClosed()
	}
	j := &joined{conn: conn{q: tx, d: d}}
	if err := j.Prove(ctx); err != nil {
		return nil, err
	}
	return j, nil
}

func errClosed() error { return fault.New(fault.ErrClosed, "", "connect", "the store was closed") }

func over(message string) error { return fault.New(fault.ErrClosed, "", "join", message) }

// Prove implements transactional.Prover: the transaction is open, strict, and
// in the database that it was in at first. Outside of a transaction a savepoint
// is gone as soon as it is made, so going back to it fails.
func (j *joined) Prove(ctx context.Context) error {
	if j.err != nil {
		return j.err
	}
	for _, text := range []string{"SAVEPOINT fourfold", "ROLLBACK TO SAVEPOINT fourfold"} {
		if _, err := j.q.ExecContext(ctx, text); err != nil {
			return j.refuse(ctx, err)
		}
	}
	var name, mode string
	err := j.Query(ctx, "SELECT "+dialect.Database+", @@sql_mode", nil, func(scan func(...any) error) error { return scan(&name, &mode) })
	switch {
	case err != nil:
		return err
	case j.proved && name != j.name:
		j.err = fault.New(fault.ErrInvalid, "", "join", "the transaction is in another database than the store")
	case !isStrict(mode):
		j.err = fault.New(fault.ErrMisconfigured, "", "join", "the transaction's session has no strict sql_mode, so that values would be cut silently")
	}
	j.proved, j.name = true, name
	return j.err
}

// refuse remembers why the transaction cannot be used.
func (j *joined) refuse(ctx context.Context, err error) error {
	var server *mysql.MySQLError
	if errors.As(err, &server) && server.Number == 1305 {
		j.err = over("no transaction is open on the connection: the server has ended it, as it does after a deadlock")
		return j.err
	}
	return j.fail(ctx, err, executing)
}

// Undo implements transactional.Prover: what was executed since Prove is gone,
// also when the caller commits in spite of the error.
func (j *joined) Undo(ctx context.Context) error {
	_, err := j.q.ExecContext(ctx, "ROLLBACK TO SAVEPOINT fourfold")
	return classify(err, executing)
}
