package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/schemes"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

func init() {
	for _, scheme := range []string{"mysql", "mariadb"} {
		transactional.Register(scheme, func(ctx context.Context, url string) (transactional.Driver, error) {
			return Open(url, nil).OpenDriver(ctx)
		})
	}
}

// Open is the database that a URL names, mysql://user@host:3306/database; see
// the package documentation for its options, which win over opts. Nothing is
// connected before it is needed.
func Open(url string, opts *Options) transactional.Source {
	return transactional.SourceFunc(func(ctx context.Context) (transactional.Driver, error) {
		var own Options
		if opts != nil {
			own = *opts
		}
		if own.Logger == nil {
			own.Logger = schemes.Logger(ctx)
		}
		cfg, err := parseURL(url, &own)
		if err != nil {
			return nil, err
		}
		own, err = own.withDefaults()
		if err != nil {
			return nil, err
		}
		connector, err := connectorOf(cfg, own)
		if err != nil {
			return nil, err
		}
		return &database{db: pool(connector, own), opts: own, ours: true, address: cfg.Addr + "/" + cfg.DBName}, nil
	})
}

// pool keeps as many connections as there may be, none of them for long: of two
// idle ones, which is the default, a burst would open and close all others.
func pool(connector driver.Connector, opts Options) *sql.DB {
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(opts.MaxConns)
	db.SetMaxIdleConns(opts.MaxConns)
	db.SetConnMaxLifetime(3 * time.Minute)
	db.SetConnMaxIdleTime(keepIdle)
	return db
}

// FromDB is the database of a pool that the caller has opened with
// github.com/go-sql-driver/mysql, and closes after the store. Its connections
// must have a strict sql_mode, such as by the DSN's
// sql_mode='STRICT_ALL_TABLES'; one that has not is fault.ErrMisconfigured. Of
// opts only Durability, MaxConns and MaxRow count; MaxConns is by default what
// the caller has set with SetMaxOpenConns, two at least. A process that is
// stopped in a transaction holds its row locks until the server closes the
// connection: MariaDB's idle_transaction_timeout and MySQL's wait_timeout say
// when, and Open sets both.
func FromDB(db *sql.DB, opts *Options) transactional.Source {
	return transactional.SourceFunc(func(context.Context) (transactional.Driver, error) {
		if db == nil {
			return nil, invalid("there is no *sql.DB")
		}
		own, err := opts.of(db).withDefaults()
		if err != nil {
			return nil, err
		}
		return &database{db: db, opts: own, address: "the caller's *sql.DB", trusted: map[any]bool{}}, nil
	})
}

// of takes the bound of a caller's pool, where none is named.
func (o *Options) of(db *sql.DB) *Options {
	var own Options
	if o != nil {
		own = *o
	}
	if own.MaxConns == 0 {
		own.MaxConns = db.Stats().MaxOpenConnections // 0: there is none
	}
	return &own
}

// A database is a pool of connections to one server.
type database struct {
	db      *sql.DB
	opts    Options
	ours    bool // the pool: its sessions are set up by us, and Close closes it
	address string

	mu      sync.Mutex
	trusted map[any]bool // connections of a caller's pool that were found strict
	closed  bool
}

// maxTrusted bounds how many connections are remembered, those that the pool
// has closed among them.
const maxTrusted = 256

// groupsAtOnce is how many groups of units are worth having under way: one, and
// another past a group that is small, or stands for a lock or a slow disk. More of them are
// smaller ones, and each costs its own round trips, its own statements and its
// own fsync. It is also what keeps connections for transactions of the program's
// own.
const groupsAtOnce = 2

// othersAtOnce is how many connections transactions of the program's own leave
// to what is neither: what no caller waits for, settlements, claims, leases, reads.
const othersAtOnce = 3

// Features implements transactional.Driver.
func (d *database) Features() transactional.Features {
	return transactional.Features{
		Name: "mysql", Durability: d.opts.Durability, MaxRow: d.opts.MaxRow, MaxArgs: 65535,
		Parallel: groupsAtOnce, Transactions: max(1, d.opts.MaxConns-groupsAtOnce-othersAtOnce), SharedLog: true, Dialect: dialect,
	}
}

// Run implements transactional.Driver.
func (d *database) Run(ctx context.Context, unit func(transactional.Conn) error) error {
	sc, err := d.begin(ctx)
	if err != nil {
		return err
	}
	c := &conn{q: sc, d: d}
	done := false
	defer func() {
		if !done { // the unit panicked
			d.rollback(sc, true)
		}
	}()
	err = unit(c)
	done = true
	if err == nil {
		err = c.err
	}
	if err != nil {
		d.rollback(sc, c.lost)
		return err
	}
	return d.commit(ctx, sc)
}

// RunSingle implements transactional.Single: without START TRANSACTION each
// statement of the session commits itself.
func (d *database) RunSingle(ctx context.Context, unit func(transactional.Conn) error) error {
	for left := attempts; ; left-- {
		sc, err := d.take(ctx)
		if err != nil {
			return err
		}
		if !d.ours {
			if err := d.trust(ctx, sc); err != nil {
				discard(sc)
				return err
			}
		}
		c := &conn{q: sc, d: d, single: true}
		err = d.with(sc, c, unit)
		// A connection that the server has closed meanwhile took nothing.
		if left == 1 || !c.lost || !errors.Is(err, driver.ErrBadConn) {
			return err
		}
	}
}

// with lets a unit use a connection outside of a transaction.
func (d *database) with(sc *sql.Conn, c *conn, unit func(transactional.Conn) error) error {
	defer func() {
		if c.lost {
			discard(sc)
			return
		}
		sc.Close()
	}()
	return unit(c)
}

// attempts is how many connections are tried before a transaction begins: a
// pool may hold some that the server has closed.
const attempts = 3

// begin opens a transaction. Nothing has happened when it fails, so it may try
// again.
func (d *database) begin(ctx context.Context) (*sql.Conn, error) {
	var last error
	for range attempts {
		sc, err := d.take(ctx)
		if err != nil {
			return nil, err
		}
		err = d.start(ctx, sc)
		if err == nil {
			return sc, nil
		}
		discard(sc)
		if last = err; !errors.Is(err, fault.ErrUnavailable) {
			break
		}
	}
	return nil, last
}

// take gets a connection.
func (d *database) take(ctx context.Context) (*sql.Conn, error) {
	if d.isClosed() {
		return nil, errClosed()
	}
	sc, err := d.db.Conn(ctx)
	switch {
	case err == nil:
		return sc, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, sql.ErrConnDone) || strings.Contains(err.Error(), "database is closed"):
		return nil, fault.New(fault.ErrClosed, "", "connect", "the pool was closed")
	}
	return nil, classify(err, connecting)
}

func (d *database) start(ctx context.Context, sc *sql.Conn) error {
	if !d.ours {
		if err := d.trust(ctx, sc); err != nil {
			return err
		}
		if _, err := sc.ExecContext(ctx, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"); err != nil {
			return classify(err, executing)
		}
	}
	_, err := sc.ExecContext(ctx, "START TRANSACTION")
	return classify(err, executing)
}

// trust makes sure, once per connection of a caller's pool, that it refuses
// what does not fit.
func (d *database) trust(ctx context.Context, sc *sql.Conn) error {
	var key any
	if err := sc.Raw(func(dc any) error { key = dc; return nil }); err != nil {
		return classify(err, executing)
	}
	if !reflect.TypeOf(key).Comparable() {
		key = nil // some wrapper's struct: it is looked at each time
	}
	d.mu.Lock()
	known := key != nil && d.trusted[key]
	d.mu.Unlock()
	if known {
		return nil
	}
	var mode, version, flush string
	err := ask(ctx, sc, "SELECT @@sql_mode, VERSION(), "+flushVariable, &mode, &version, &flush)
	if err != nil {
		return classify(err, executing)
	}
	problem := versionProblem(version)
	if problem == "" {
		problem = flushProblem(flush, d.opts.Durability)
	}
	if problem == "" && !isStrict(mode) {
		problem = "the pool's sessions have no strict sql_mode, so that values would be cut silently; add sql_mode='STRICT_ALL_TABLES' to the DSN"
	}
	if problem != "" {
		return fault.New(fault.ErrMisconfigured, "", "connect", problem)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.trusted) >= maxTrusted {
		clear(d.trusted)
	}
	d.trusted[key] = true
	return nil
}

// ask reads one row of the server's variables.
func ask(ctx context.Context, sc *sql.Conn, query string, to ...any) error {
	err := sc.QueryRowContext(ctx, query).Scan(to...)
	if lacksFlush(err) {
		err = sc.QueryRowContext(ctx, withoutFlush(query)).Scan(to...)
	}
	return err
}

func isStrict(mode string) bool {
	return strings.Contains(mode, "STRICT_ALL_TABLES") || strings.Contains(mode, "STRICT_TRANS_TABLES") || strings.Contains(mode, "TRADITIONAL")
}

// commit sends COMMIT. Only the server's own answer settles what became of it.
func (d *database) commit(ctx context.Context, sc *sql.Conn) error {
	_, err := sc.ExecContext(ctx, "COMMIT")
	if err != nil {
		discard(sc)
		return classify(err, committing)
	}
	sc.Close()
	return nil
}

// rollback ends a transaction. A connection that does not answer is closed,
// upon which the server rolls back.
func (d *database) rollback(sc *sql.Conn, lost bool) {
	if !lost {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_, err := sc.ExecContext(ctx, "ROLLBACK")
		lost = err != nil
	}
	if lost {
		discard(sc)
		return
	}
	sc.Close()
}

// discard closes a connection instead of giving it back to the pool.
func discard(sc *sql.Conn) {
	_ = sc.Raw(func(any) error { return driver.ErrBadConn })
	_ = sc.Close()
}

// View implements transactional.Driver: each statement reads committed data.
func (d *database) View(ctx context.Context, unit func(transactional.Conn) error) error {
	sc, err := d.take(ctx)
	if err != nil {
		return err
	}
	return d.with(sc, &conn{q: sc, d: d}, unit)
}

// Close implements transactional.Driver. A caller's own pool stays open.
func (d *database) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	if d.ours {
		return d.db.Close()
	}
	return nil
}

func (d *database) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}
