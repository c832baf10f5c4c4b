package transactional

import (
	"context"
	"database/sql"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/internal/group"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// purpose is this package's name in errors and reports.
const purpose = "transactional"

// Defaults of Options.
const (
	DefaultKeep      = 15 * time.Minute
	DefaultTxTimeout = 5 * time.Second
)

// Bounds of a group of units.
const (
	groupItems = 256 // twice as many where there is one writer
	groupBytes = 4 << 20
	groupQueue = 16384
)

// groupPatience is how long a group keeps the next one from beginning beside it,
// and groupSmall how many units it must have for that.
const (
	groupPatience = 10 * time.Millisecond
	groupSmall    = 4
)

// Options of a Store; zero values are the defaults.
type Options struct {
	// Namespace prefixes every table, so that two layers can share a
	// database: letters, digits and underscores, at most 16 bytes. Default
	// "ff".
	Namespace string
	// TxTimeout bounds one run of a transaction's function. Default
	// DefaultTxTimeout.
	TxTimeout time.Duration
	// Logger gets what no error can carry, such as a group that had to be
	// bisected. Nil logs nothing.
	Logger *slog.Logger
}

func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Namespace == "" {
		opts.Namespace = "ff"
	}
	if opts.TxTimeout == 0 {
		opts.TxTimeout = DefaultTxTimeout
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	var faults []string
	if !ValidName(opts.Namespace) || len(opts.Namespace) > 16 {
		faults = append(faults, "the namespace is a name of letters, digits and underscores, 16 bytes at most")
	}
	if opts.TxTimeout < 0 {
		faults = append(faults, "TxTimeout is not negative")
	}
	if faults != nil {
		return opts, fault.New(fault.ErrInvalid, purpose, "open", strings.Join(faults, "; "))
	}
	return opts, nil
}

// A Store is a transactional store: versioned rows, an outbox, dead letters,
// and transactions over all of them. It is safe for concurrent use.
type Store struct {
	driver   Driver
	features Features
	dialect  Dialect
	opts     Options
	prefix   string // of every table
	maxArgs  int
	group    *group.Group[*job]
	settles  *group.Group[*job] // of units that only settle records; nil: they go with the others
	behind   *group.Group[*job] // of others that accept nothing; nil likewise
	turns    chan struct{}      // one for each Tx that may be under way; nil: any number
	closed   atomic.Bool
	ours     ourSQL
	clock    clock
	lulls    lulls
	again    atomic.Int32 // as plan.again, of units that write no row
	self     acquaintance

	mu       sync.Mutex // guards plans; never held while the database works
	plans    map[*Table]*plan
	creating sync.Mutex  // one goroutine at a time creates tables
	ready    atomic.Bool // our own tables are known to be there
}

// New returns a Store over a driver, which Close closes.
func New(driver Driver, opts *Options) (*Store, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if driver == nil {
		return nil, fault.New(fault.ErrInvalid, purpose, "open", "there is no driver")
	}
	f := driver.Features()
	s := &Store{driver: driver, features: f, dialect: f.Dialect, opts: o, prefix: o.Namespace + "_", plans: map[*Table]*plan{}}
	s.maxArgs = f.MaxArgs
	if s.maxArgs <= 0 {
		s.maxArgs = 999
	}
	if f.Transactions > 0 {
		s.turns = make(chan struct{}, f.Transactions)
	}
	s.ours.compile(s)
	items := groupItems
	if !f.SharedLog {
		items *= 2 // nobody else waits for its locks, and everything for its fsync
	}
	size := func(j *job) int { return j.size }
	callers := group.Options{
		MaxItems: items, MaxSize: groupBytes, MaxQueue: groupQueue,
		Parallel: max(1, f.Parallel), Eager: 1, Small: groupSmall, Patience: groupPatience,
	}
	s.group = group.New(callers, size, s.runGroup)
	if f.SharedLog {
		s.behind = group.New(callers, size, s.runGroup)
		s.settles = group.New(group.Options{MaxItems: 2 * groupItems, MaxSize: groupBytes, MaxQueue: groupQueue}, size, s.runGroup)
	}
	return s, nil
}

// Features are the driver's.
func (s *Store) Features() Features { return s.features }

// Explain returns the SQL that Apply sends for a plain write of one row, with
// its placeholders; rows that are written together are one statement. No value
// is in it, and no database is asked. A faulty table is fault.ErrInvalid.
func (s *Store) Explain(t *Table) (string, error) {
	p, err := s.compiled(t)
	if err != nil {
		return "", err
	}
	return p.upsert.text(1), nil
}

// Name returns the quoted physical name of a table, for SQL of one's own
// inside a Tx. Columns bear their own names; one that is called id, version,
// tie or deleted has an underscore behind it.
func (s *Store) Name(table *Table) string {
	return s.dialect.Quote(s.prefix + escape(table.Name, ourTables))
}

// Read returns the rows with these ids, tombstones included, in any order.
// What is not there is left out.
func (s *Store) Read(ctx context.Context, table *Table, ids ...string) ([]Row, error) {
	p, err := s.enter(ctx, table)
	if err != nil || len(ids) == 0 {
		return nil, s.locate(err, "read", table, "")
	}
	var rows []Row
	err = s.view(ctx, func(c Conn) error {
		var err error
		rows, err = s.readRows(ctx, c, p, &p.read, ids)
		return err
	})
	if err != nil {
		return nil, s.explain(ctx, err, "read", p)
	}
	return rows, nil
}

// Close lets what is under way finish and closes the driver. Closing twice is
// fine.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.group.Close()
	if s.settles != nil {
		s.behind.Close()
		s.settles.Close()
	}
	return s.driver.Close()
}

// enter is what every operation asks first: that the store is open, that the
// context has not ended, and that the tables are known.
func (s *Store) enter(ctx context.Context, table *Table) (*plan, error) {
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	return s.plan(ctx, table)
}

func (s *Store) open(ctx context.Context) error {
	if s.closed.Load() {
		return fault.New(fault.ErrClosed, purpose, "", "the store was closed")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.features.OwnsSchema && !s.ready.Load() {
		return s.createOurs(ctx)
	}
	return nil
}

// locate adds the whereabouts to an error of ours. What has no class, such as
// the end of a context, passes untouched.
func (s *Store) locate(err error, op string, table *Table, key string) error {
	class := fault.ClassOf(err)
	if err == nil || class == nil {
		return err
	}
	e := &fault.Error{Op: op, Store: purpose, Key: key, Class: class, Err: err, Accepted: fault.Accepted(err)}
	if table != nil {
		e.Kind = table.Name
	}
	switch inner, ok := err.(*fault.Error); {
	case !ok:
	case inner.Store == purpose:
		return inner // it tells already where it happened
	case inner.Store == "" && inner.Err != nil:
		e.Err = inner.Err // the driver left the whereabouts to us: no need to say it twice
	}
	return e
}

// nested refuses to start a unit from inside a transaction of the same store
// where there is one writer: it would wait for itself until it is cut off.
func (s *Store) nested(ctx context.Context) error {
	if !s.features.SharedLog && s.inside(ctx) {
		return fault.New(fault.ErrInvalid, purpose, "apply", "a transaction of this store is open in this context; use its Tx")
	}
	return nil
}

// insideTx is the key of contexts that a transaction of the store hands out.
type insideTx struct{ s *Store }

func (s *Store) inside(ctx context.Context) bool { return ctx.Value(insideTx{s}) != nil }

// Join returns a Tx on the caller's own transaction, which the caller commits.
// It is fault.ErrUnsupported where the driver cannot, and fault.ErrInvalid for a
// transaction in another database. It needs no connection but the caller's,
// unless nothing was read by the store before: then it is fault.ErrBusy when none
// is free. The Tx is valid until the commit, and after an error the caller must
// roll back.
func (s *Store) Join(ctx context.Context, tx *sql.Tx) (*Tx, error) {
	if err := s.open(ctx); err != nil {
		return nil, s.locate(err, "join", nil, "")
	}
	joiner, ok := s.driver.(Joiner)
	if !ok {
		return nil, fault.New(fault.ErrUnsupported, purpose, "join", "the driver "+s.features.Name+" cannot share a transaction")
	}
	c, err := joiner.Join(ctx, tx)
	if err == nil {
		err = s.same(ctx, c)
	}
	if err != nil {
		return nil, s.locate(err, "join", nil, "")
	}
	return &Tx{store: s, conn: c}, nil
}
