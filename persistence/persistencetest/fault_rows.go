package persistencetest

import (
	"context"
	"database/sql"
	"errors"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A rows is a transactional driver with faults.
type rows struct {
	transactional.Driver
	faults *faulty
}

// newRows keeps the driver's ability to join, or its lack of it.
func newRows(d transactional.Driver, s *faulty) transactional.Driver {
	r := &rows{d, s}
	if j, ok := d.(transactional.Joiner); ok {
		return &joiningRows{r, j}
	}
	return r
}

// errRollback rolls a unit back whose COMMIT is to be lost.
var errRollback = errors.New("persistencetest: roll back")

func (r *rows) Run(ctx context.Context, unit func(transactional.Conn) error) error {
	if err := r.faults.enter(ctx, "run"); err != nil {
		return err
	}
	var lost bool
	var answer error
	err := r.Driver.Run(ctx, func(c transactional.Conn) error {
		lost, answer = false, nil
		watched := &conn{Conn: c, faults: r.faults}
		if err := unit(watched); err != nil {
			return err
		}
		op := Op{Name: "run", On: watched.on, SQL: watched.sql}
		if answer = r.faults.refused(op); answer != nil {
			return errRollback
		}
		what, struck := r.faults.draw(op)
		switch {
		case !struck:
			return nil
		case what == busy:
			answer = r.faults.error(fault.ErrBusy, "run", "deadlock")
			return errRollback
		case what == dropped:
			answer = r.faults.lost("commit")
			return errRollback
		}
		lost = true
		return nil
	})
	switch {
	case errors.Is(err, errRollback):
		return answer
	case err == nil && lost:
		return r.faults.lost("commit")
	}
	return err
}

func (r *rows) View(ctx context.Context, unit func(transactional.Conn) error) error {
	if err := r.faults.enter(ctx, "view"); err != nil {
		return err
	}
	return r.Driver.View(ctx, func(c transactional.Conn) error {
		return unit(&conn{Conn: c, faults: r.faults})
	})
}

// Commits implements transactional.Counting where the driver does, and as long
// as there is no fault that a look might meet.
func (r *rows) Commits() (uint64, bool) {
	counting, ok := r.Driver.(transactional.Counting)
	if !ok || !r.faults.none() {
		return 0, false
	}
	return counting.Commits()
}

func (r *rows) Check(ctx context.Context) fault.Report {
	return r.faults.report(ctx, r.Driver.Check)
}

type joiningRows struct {
	*rows
	joiner transactional.Joiner
}

func (r *joiningRows) Join(ctx context.Context, tx *sql.Tx) (transactional.Conn, error) {
	if err := r.faults.enter(ctx, "join"); err != nil {
		return nil, err
	}
	c, err := r.joiner.Join(ctx, tx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, faults: r.faults}, nil
}

// A conn watches the statements of one unit.
type conn struct {
	transactional.Conn
	faults *faulty
	sql    []string
	on     []string
	failed error
}

func (c *conn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := c.admit("exec", query, args); err != nil {
		return 0, err
	}
	return c.Conn.Exec(ctx, query, args...)
}

func (c *conn) Query(ctx context.Context, query string, args []any, row func(scan func(dest ...any) error) error) error {
	if err := c.admit("query", query, args); err != nil {
		return err
	}
	return c.Conn.Query(ctx, query, args, row)
}

// admit notes a statement and asks whether it is refused. After a refusal the
// unit can only be rolled back, as with a server.
func (c *conn) admit(name, query string, args []any) error {
	if c.failed != nil {
		return c.failed
	}
	op := Op{Name: name, SQL: []string{query}}
	for _, arg := range args {
		if text, ok := arg.(string); ok {
			op.On = append(op.On, text)
		}
	}
	c.sql, c.on = append(c.sql, query), append(c.on, op.On...)
	c.failed = c.faults.refused(op)
	return c.failed
}
