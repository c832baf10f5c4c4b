package embedded

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

const (
	maxRow  = 64 << 20 // bytes of a row's values
	maxArgs = 32766    // SQLITE_MAX_VARIABLE_NUMBER
)

// A driver is a directory's file as a transactional database.
type driver struct {
	file *sqlitefile.File
	dir  string
	opts Options
}

func open(ctx context.Context, dir string, opts Options) (transactional.Driver, error) {
	file, err := sqlitefile.Open(ctx, dir, sqlitefile.Options{Relaxed: opts.Relaxed, UnitTimeout: opts.UnitTimeout})
	if err != nil {
		return nil, fault.Wrap(fault.ErrMisconfigured, "transactional", "open", err)
	}
	return &driver{file: file, dir: dir, opts: opts}, nil
}

// Run implements transactional.Driver: one savepoint of a group commit.
func (d *driver) Run(ctx context.Context, unit func(transactional.Conn) error) error {
	return d.RunUntil(ctx, nil, unit)
}

// RunUntil implements transactional.Cutter.
func (d *driver) RunUntil(ctx, end context.Context, unit func(transactional.Conn) error) error {
	// Package transactional runs a unit again that is told fault.ErrBusy.
	return d.file.WriteAs(ctx, sqlitefile.Terms{End: end, Again: true}, func(c sqlitefile.Conn) error {
		poisoned := &conn{Conn: c}
		if err := unit(poisoned); err != nil {
			return err
		}
		return poisoned.err
	})
}

// View implements transactional.Driver: one snapshot.
func (d *driver) View(ctx context.Context, unit func(transactional.Conn) error) error {
	return d.file.Read(ctx, func(c sqlitefile.Conn) error { return unit(c) })
}

// Commits implements transactional.Counting: one process at a time opens the
// directory.
func (d *driver) Commits() (uint64, bool) { return d.file.Commits(), true }

// Features implements transactional.Driver.
func (d *driver) Features() transactional.Features {
	return transactional.Features{
		Name: "embedded", Durability: d.durability(), MaxRow: maxRow, MaxArgs: maxArgs,
		OwnsSchema: true, Dialect: dialect,
	}
}

func (d *driver) durability() fault.Durability {
	if d.opts.Relaxed {
		return fault.Written
	}
	return fault.Fsynced
}

// Check implements transactional.Driver.
func (d *driver) Check(ctx context.Context) fault.Report {
	r := fault.Report{
		Purpose: "transactional", Driver: "embedded", Address: d.dir, Durability: d.durability(), MaxObject: maxRow,
	}
	if abs, err := filepath.Abs(d.dir); err == nil {
		r.Address = abs
	}
	began := time.Now()
	err := d.file.Read(ctx, func(c sqlitefile.Conn) error {
		return c.Query(ctx, "SELECT sqlite_version()", nil, func(scan func(...any) error) error {
			return scan(&r.Version)
		})
	})
	if err != nil {
		r.Problems = []string{"the file cannot be read: " + err.Error()}
		return r
	}
	r.Reachable, r.Latency, r.Version = true, time.Since(began), "SQLite "+r.Version
	return r
}

// Close implements transactional.Driver.
func (d *driver) Close() error { return d.file.Close() }

// A conn refuses further statements after one that failed, as servers must.
type conn struct {
	sqlitefile.Conn
	err error
}

func (c *conn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.Conn.Exec(ctx, query, args...)
	c.err = err
	return n, err
}

func (c *conn) Query(ctx context.Context, query string, args []any, row func(scan func(dest ...any) error) error) error {
	if c.err != nil {
		return c.err
	}
	var own error
	err := c.Conn.Query(ctx, query, args, func(scan func(dest ...any) error) error {
		own = row(scan)
		return own
	})
	if err != nil && (own == nil || !errors.Is(err, own)) {
		c.err = err
	}
	return err
}
