package sqlitefile

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A unitConn is the Conn of one unit: a view of a connection that can be taken
// away at any moment. The mutex is held for each step of a statement and never
// while code of the unit runs, so that a unit that sleeps in a callback holds
// up nobody.
type unitConn struct {
	mu     sync.Mutex
	raw    *rawConn
	open   []*cursor // queries whose rows are not read to their end
	doom   error     // the first error that dooms the group
	broken bool      // the connection must not be used again
	closed bool

	// over is what every further statement answers, nil while the unit lasts.
	// It is set before the mutex is asked for, so that a unit that runs
	// statement after statement stops at the next one.
	over atomic.Pointer[error]
	// giveBack, if any, gets the connection when the unit is over.
	giveBack func(raw *rawConn, broken bool)
}

// newUnit makes a view of a connection that nobody else uses.
func newUnit(raw *rawConn, giveBack func(*rawConn, bool)) *unitConn {
	u := &unitConn{raw: raw, giveBack: giveBack}
	raw.cutter.own(u)
	return u
}

// A cursor is an open query.
type cursor struct {
	stmt *stmt
	rows driver.Rows
}

// Exec implements Conn.
func (u *unitConn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.admit(query); err != nil {
		return 0, err
	}
	n, err := u.raw.exec(&u.raw.cache, query, args)
	return n, u.note(err, "exec")
}

// Query implements Conn.
func (u *unitConn) Query(ctx context.Context, query string, args []any, row func(scan func(dest ...any) error) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := u.start(query, args)
	if err != nil {
		return err
	}
	defer u.end(c)
	values := make([]driver.Value, len(c.rows.Columns()))
	scan := func(dest ...any) error { return scanRow(values, dest) }
	for {
		if err := u.next(c, values); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		if err := row(scan); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// admit says whether the unit may run a statement; the mutex is held.
func (u *unitConn) admit(query string) error {
	if err := u.ended(); err != nil {
		return err
	}
	if u.raw.cache.knows(query) {
		return nil
	}
	return refuseControl(query)
}

func (u *unitConn) ended() error {
	if why := u.over.Load(); why != nil {
		return *why
	}
	return nil
}

func (u *unitConn) start(query string, args []any) (*cursor, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.admit(query); err != nil {
		return nil, err
	}
	s, rows, err := u.raw.query(&u.raw.cache, query, args)
	if err != nil {
		return nil, u.note(err, "query")
	}
	c := &cursor{stmt: s, rows: rows}
	u.open = append(u.open, c)
	return c, nil
}

func (u *unitConn) next(c *cursor, values []driver.Value) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.ended(); err != nil {
		return err
	}
	err := c.rows.Next(values)
	if err == io.EOF {
		return err
	}
	return u.note(err, "query")
}

// end closes a query, unless the unit was revoked meanwhile, which has closed
// it.
func (u *unitConn) end(c *cursor) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, o := range u.open {
		if o == c {
			u.open = append(u.open[:i], u.open[i+1:]...)
			u.shut(c)
			return
		}
	}
}

// shut gives a query's statement back; the mutex is held. What Close answers
// is the error of the last step, which was reported then.
func (u *unitConn) shut(c *cursor) {
	_ = c.rows.Close()
	u.raw.cache.put(c.stmt)
}

// note classifies the error of a statement and remembers what it means for
// the others; the mutex is held. After an error that dooms the group no
// further statement runs: SQLite may have ended the transaction, and then each
// would be a transaction of its own.
func (u *unitConn) note(err error, op string) error {
	if err == nil {
		return nil
	}
	if why := u.ended(); why != nil && codeOf(err) == sqlite3.SQLITE_INTERRUPT {
		return why
	}
	classify := Classify
	if u.giveBack == nil {
		classify = classifyWrite
	}
	if u.doom == nil && doomsGroup(err) {
		u.doom = classify(err, op)
		u.over.CompareAndSwap(nil, &u.doom)
	}
	u.broken = u.broken || breaksConn(err)
	err = classify(err, op)
	if fault.ClassOf(err) == nil && !fault.Cancelled(err) {
		err = &fault.Error{Op: op, Class: fault.ErrInvalid, Err: err} // the driver's own, such as a missing argument
	}
	return err
}

// finish ends the unit in good order: whoever kept its Conn gets
// fault.ErrClosed from now on.
func (u *unitConn) finish() {
	u.over.CompareAndSwap(nil, &errUnitOver)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.close()
}

// revoke takes the connection away from a unit that may be in the middle of a
// statement. An interrupt that comes just before a statement starts is lost,
// so it is repeated until the statement has let go.
func (u *unitConn) revoke(why error) {
	u.over.CompareAndSwap(nil, &why)
	for pause := 50 * time.Microsecond; !u.mu.TryLock(); pause = min(2*pause, 5*time.Millisecond) {
		u.raw.cutter.interrupt(u)
		time.Sleep(pause)
	}
	defer u.mu.Unlock()
	u.close()
}

// close lets go of the connection, once; the mutex is held.
func (u *unitConn) close() {
	if u.closed {
		return
	}
	u.closed = true
	for _, c := range u.open {
		u.shut(c)
	}
	u.open = nil
	u.raw.cutter.disown()
	if u.giveBack != nil {
		u.giveBack(u.raw, u.broken)
	}
}

// errUnitOver is what a Conn answers that outlives its unit.
var errUnitOver error = &fault.Error{Op: "use a connection", Class: fault.ErrClosed, Err: errors.New("its unit is over")}
