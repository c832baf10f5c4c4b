package sqlitefile

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"

	"modernc.org/sqlite"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A rawConn is one SQLite connection, used through the interfaces of
// database/sql/driver and not through database/sql: its pool, its locks and
// its conversions cost a fifth of a small insert, and a pool that replaces
// connections by itself has no place under a transaction of ours. One
// goroutine at a time uses it; only interrupt may be called beside that.
type rawConn struct {
	conn   driver.Conn
	cache  stmtCache           // of units; what is in it may be run by units
	own    stmtCache           // of the writer itself, such as COMMIT
	args   []driver.NamedValue // reused by every statement
	cutter *cutter
}

func openWriter(path string, opts Options) (*rawConn, error) {
	synchronous := "FULL"
	if opts.Relaxed {
		synchronous = "NORMAL"
	}
	return openRaw(path,
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = "+synchronous,
		"PRAGMA fullfsync = 1", // what macOS calls an fsync does not reach the disk
		fmt.Sprintf("PRAGMA cache_size = %d", -opts.CacheMB*1024),
		"PRAGMA wal_autocheckpoint = 0",                       // see logKeeper
		fmt.Sprintf("PRAGMA journal_size_limit = %d", 64<<20), // gives the disk back after a spike
		"PRAGMA foreign_keys = ON",
	)
}

func openReader(path string) (*rawConn, error) {
	return openRaw(path,
		"PRAGMA query_only = ON",
		fmt.Sprintf("PRAGMA cache_size = %d", -8*1024),
		"PRAGMA wal_autocheckpoint = 0",
	)
}

// openRaw opens a connection. Memory-mapped reading stays off, as is SQLite's
// default: an I/O error would be a SIGBUS, which ends the host process.
func openRaw(path string, pragmas ...string) (*rawConn, error) {
	dsn := (&url.URL{Scheme: "file", Path: path, RawQuery: "_dqs=0"}).String()
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, misconfigured(err)
	}
	conn, err := connector.Connect(context.Background())
	if err != nil {
		return nil, Classify(fmt.Errorf("%s: %w", path, err), "open")
	}
	c := &rawConn{conn: conn, cache: newStmtCache(), own: newStmtCache(), cutter: newCutter(conn)}
	// Another program may look at the file, or hold it for a moment; ours do
	// not get in each other's way.
	pragmas = append([]string{"PRAGMA busy_timeout = 2000", "PRAGMA trusted_schema = OFF", "PRAGMA temp_store = MEMORY"}, pragmas...)
	for _, p := range pragmas {
		if err := c.control(p); err != nil {
			return nil, errors.Join(Classify(fmt.Errorf("%s: %w", path, err), "open"), c.close())
		}
	}
	return c, nil
}

// control runs a statement of ours that takes no arguments. Its error is the
// driver's.
func (c *rawConn) control(query string) error {
	_, err := c.exec(&c.own, query, nil)
	return err
}

// exec runs a statement. Its error is the driver's, or has a class already.
func (c *rawConn) exec(cache *stmtCache, query string, args []any) (int64, error) {
	named, err := c.bind(args)
	if err != nil {
		return 0, err
	}
	s, err := cache.take(c.conn, query)
	if err != nil {
		return 0, err
	}
	defer cache.put(s)
	result, err := s.exec.ExecContext(c.cutter.context(), named)
	clear(c.args)
	if err != nil || result == nil { // nil: nothing but comments
		return 0, err
	}
	return result.RowsAffected()
}

// query starts a statement; the rows must be closed, and then the statement
// given back to the cache.
func (c *rawConn) query(cache *stmtCache, query string, args []any) (*stmt, driver.Rows, error) {
	named, err := c.bind(args)
	if err != nil {
		return nil, nil, err
	}
	s, err := cache.take(c.conn, query)
	if err != nil {
		return nil, nil, err
	}
	rows, err := s.query.QueryContext(c.cutter.context(), named)
	clear(c.args)
	if err != nil {
		cache.put(s)
		return nil, nil, err
	}
	return s, rows, nil
}

// bind converts arguments into a slice that is reused.
func (c *rawConn) bind(args []any) ([]driver.NamedValue, error) {
	c.args = c.args[:0]
	for i, arg := range args {
		v, err := bindValue(arg)
		if err != nil {
			return nil, &fault.Error{Op: "bind", Class: fault.ErrInvalid, Err: fmt.Errorf("argument %d: %w", i+1, err)}
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return c.args, nil
}

func (c *rawConn) close() error {
	c.cutter.forget()
	return errors.Join(c.cache.close(), c.own.close(), c.conn.Close())
}
