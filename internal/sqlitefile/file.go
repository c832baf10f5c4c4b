package sqlitefile

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Options of a File; zero values are the defaults. A directory that this
// process has open already is opened again with the same Options, or not.
type Options struct {
	// Relaxed gives up fsync per commit (synchronous=NORMAL): a power cut may
	// lose the last commits, a kill does not.
	Relaxed bool
	// CacheMB is the page cache of the writer, in MiB of pages; SQLite takes
	// twice as much memory for them. Default 32.
	CacheMB int
	// UnitTimeout cuts off a unit that holds the writer. Default 5 s.
	UnitTimeout time.Duration
	// Readers is how many units may read at once. Default 4.
	Readers int
}

func (o Options) withDefaults() Options {
	if o.CacheMB == 0 {
		o.CacheMB = 32
	}
	if o.UnitTimeout == 0 {
		o.UnitTimeout = 5 * time.Second
	}
	if o.Readers == 0 {
		o.Readers = 4
	}
	return o
}

func (o Options) validate() error {
	if o.CacheMB < 0 || o.UnitTimeout < 0 || o.Readers < 0 {
		return fault.New(fault.ErrInvalid, "", "open", "CacheMB, UnitTimeout and Readers must not be negative")
	}
	return nil
}

// A File is one opening of a SQLite database. Opens of the same directory in
// one process share one database, which the last Close closes; a second
// process gets an error at once that names the holder's pid. Its methods may
// be called from many goroutines.
type File struct {
	slot *slot
	db   *database

	mu      sync.Mutex
	closed  bool
	closing chan struct{}          // closed with it
	calls   sync.WaitGroup         // what Close waits for
	reads   map[*unitConn]struct{} // what Close interrupts

	closeOnce sync.Once
	closeErr  error
}

// Open opens or creates the file in dir: the directory 0700, files 0600,
// whatever the umask. A directory that is a symbolic link, or that others may
// write to, and one that another process has open, is fault.ErrMisconfigured;
// an empty name is fault.ErrInvalid. ctx bounds the opening only.
func Open(ctx context.Context, dir string, opts Options) (*File, error) {
	if dir == "" {
		return nil, fault.New(fault.ErrInvalid, "", "open", "no directory was named")
	}
	if err := opts.validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir, err := prepareDir(dir)
	if err != nil {
		return nil, err
	}
	return openShared(ctx, dir, opts.withDefaults())
}

// A Conn executes SQL inside one unit. It may be used until the unit returns;
// afterwards, and when the unit was cut off, it answers fault.ErrClosed. The
// context of a statement is looked at before the statement and between two
// rows: it never interrupts a statement of the writer, because that would take
// the rest of the group with it.
//
// Arguments are int64, int, uint64 (all 64 bits come back into a *uint64),
// float64 (no NaN), bool, string, []byte and nil; anything else is
// fault.ErrInvalid. A nil []byte is NULL, an empty one is an empty blob.
//
// Statements that control transactions (BEGIN, COMMIT, ROLLBACK also as a
// conflict clause, SAVEPOINT, RELEASE), ATTACH, DETACH, VACUUM and pragmas that
// change the connection are fault.ErrRefused: transaction and connection
// belong to the whole group. After a full or failing disk every further
// statement of the unit answers the same error.
type Conn interface {
	// Exec runs a statement, or several without arguments, and returns how
	// many rows the last INSERT, UPDATE or DELETE changed.
	Exec(ctx context.Context, query string, args ...any) (int64, error)
	// Query runs one statement and calls row for each of its rows. The
	// destinations of scan, one per column, are pointers to int64, int, uint64,
	// float64, bool, string, []byte and any; for a column that may be NULL a
	// pointer to such a pointer, *[]byte, *any, or a sql.Scanner such as
	// *sql.NullInt64. Scan is for the row at hand, what it stores is the
	// caller's to keep, and a value that does not fit is fault.ErrCorrupt. An
	// error of row ends the query and is returned as it is. Inside row other
	// statements may be executed.
	Query(ctx context.Context, query string, args []any, row func(scan func(dest ...any) error) error) error
}

// Write runs unit alone on the writer, inside its own savepoint, and returns
// when the group commit that holds it is durable. A unit that returns an
// error, panics, or holds the writer longer than UnitTimeout is rolled back
// alone. A caller whose ctx ends while it waits gets ctx's error if the unit
// had not started, else ctx's and fault.ErrUnknown.
//
// A unit must not call Write itself, which would wait for the unit's own end.
//
// The unit runs in a goroutine of the File's, at most once, and while Write
// waits; only when Write has returned such a fault.ErrUnknown, or a cut-off,
// may it still be running, and what it shares with its caller is then not to
// be touched. A cut-off wraps context.DeadlineExceeded and has no class.
func (f *File) Write(ctx context.Context, unit func(Conn) error) error {
	return f.WriteAs(ctx, Terms{}, unit)
}

// Terms are what a unit and the writer agree on; zero values are those of
// Write.
type Terms struct {
	// End cuts the unit off, with its error, when it ends while the unit runs.
	// Nil never ends.
	End context.Context
	// Again says that the caller runs the unit again when the answer is
	// fault.ErrBusy. Such a unit needs no savepoint, which would copy every page
	// that the unit changes: should it fail, the whole group is rolled back, and
	// its neighbours, which are all of this kind, are told fault.ErrBusy.
	Again bool
}

// WriteAs is Write on other terms.
func (f *File) WriteAs(ctx context.Context, terms Terms, unit func(Conn) error) error {
	if err := f.enter(); err != nil {
		return err
	}
	defer f.calls.Done()
	return f.db.writer.do(ctx, &job{unit: unit, terms: terms, done: make(chan struct{})})
}

// enter counts a call in, so that Close can wait for it.
func (f *File) enter() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return closedError()
	}
	f.calls.Add(1)
	return nil
}

// Commits counts the group commits of all openings of the directory. It grows
// when what was committed can be read: what a Read did not find is not there
// before Commits has grown, unless another program wrote it into the file.
func (f *File) Commits() uint64 { return f.db.writer.commits.Load() }

// Close closes this opening: what is being written finishes, what is being
// read is interrupted, and what comes later is fault.ErrClosed. The last
// opening of a directory closes the database. Closing twice is fine.
func (f *File) Close() error {
	f.closeOnce.Do(func() {
		f.mu.Lock()
		f.closed = true
		close(f.closing)
		reads := slices.Collect(maps.Keys(f.reads))
		f.mu.Unlock()
		for _, u := range reads {
			u.revoke(closedError())
		}
		f.calls.Wait()
		f.closeErr = f.slot.release()
	})
	return f.closeErr
}

func closedError() error {
	return fault.New(fault.ErrClosed, "", "sqlite", "the file is closed")
}

// A database is what the openings of one directory share.
type database struct {
	dir     string
	opts    Options
	lock    *dirLock
	writer  *writer
	readers *readers
}

func openDatabase(dir string, opts Options) (*database, error) {
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	db := &database{dir: dir, opts: opts, lock: lock}
	path, err := createFile(dir)
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	there, err := stays(path)
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	raw, err := openWriter(path, opts)
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	db.writer = newWriter(raw, opts.UnitTimeout, there, func() (*rawConn, error) { return openWriter(path, opts) })
	db.readers = newReaders(opts.Readers, func() (*rawConn, error) {
		if err := there(); err != nil { // or it would find an empty file, its own
			return nil, err
		}
		return openReader(path)
	})
	return db, nil
}

// close ends the readers first: whoever closes last checkpoints, and only the
// writer can.
func (db *database) close() error {
	err := db.readers.close()
	return errors.Join(err, db.writer.close(), db.lock.release())
}
