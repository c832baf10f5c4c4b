// Package sqlitefile is the one SQLite file behind the in-process stores: one
// group-committing writer for everything that three purposes write, so that
// concurrent units share an fsync, and a pool of readers beside it.
package sqlitefile

import (
	"context"
	"time"
)

// Options of a File; zero values are the defaults.
type Options struct {
	// Relaxed gives up fsync per commit (synchronous=NORMAL): a power cut may
	// lose the last commits, a kill does not.
	Relaxed bool
	// CacheMB is the page cache of the writer. Default 64.
	CacheMB int
	// UnitTimeout cuts off a unit that holds the writer. Default 5 s.
	UnitTimeout time.Duration
}

// A File is one open SQLite database. Opens of the same directory in one
// process share one File, which the last Close closes; a second process gets
// an error at once that names the holder's pid.
type File struct{}

// Open opens or creates the file in dir: the directory 0700, files 0600.
func Open(ctx context.Context, dir string, opts Options) (*File, error) { panic("todo") }

// A Conn executes SQL inside one unit.
type Conn interface {
	Exec(ctx context.Context, query string, args ...any) (int64, error)
	Query(ctx context.Context, query string, args []any, row func(scan func(dest ...any) error) error) error
}

// Write runs unit alone on the writer, inside its own savepoint, and returns
// when the group commit that holds it is durable. A unit that returns an
// error, panics, or holds the writer longer than UnitTimeout is rolled back
// alone. A caller whose ctx ends while it waits gets ctx's error if the unit
// had not started, else ctx's and fault.ErrUnknown.
func (f *File) Write(ctx context.Context, unit func(Conn) error) error { panic("todo") }

// Read runs unit on a reader, on one snapshot.
func (f *File) Read(ctx context.Context, unit func(Conn) error) error { panic("todo") }

// Close closes this opening. Closing twice is fine.
func (f *File) Close() error { panic("todo") }
