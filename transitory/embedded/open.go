package embedded

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/schemes"
	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

func init() {
	transitory.Register("embedded", func(ctx context.Context, url string) (transitory.Driver, error) {
		dir, relaxed, err := schemes.Directory(url)
		if err != nil {
			return nil, fault.New(fault.ErrInvalid, "transitory", "open", err.Error())
		}
		return open(ctx, dir, Options{Relaxed: relaxed})
	})
}

// Options of a queue in a directory; zero values are the defaults. When a
// directory is opened a second time in one process, the options of the first
// opening hold.
type Options struct {
	// Relaxed gives up the fsync of every change: a power cut may lose the
	// last ones, a kill of the process does not. Features.Durability says so.
	Relaxed bool
	// Window is how many ready jobs of a tube memory knows; it grows to twice
	// as many before it is cut back. Default 16384; at least 16.
	Window int
	// BodyBytes is how many bytes of bodies memory keeps, over all tubes; other
	// bodies are read when their job is reserved. Default 32 MiB.
	BodyBytes int
}

func (o Options) withDefaults() Options {
	if o.Window == 0 {
		o.Window = 16384
	}
	if o.BodyBytes == 0 {
		o.BodyBytes = 32 << 20
	}
	return o
}

func (o Options) validate() error {
	var faults []string
	if o.Window < 16 {
		faults = append(faults, fmt.Sprintf("Window is %d; it must be 16 or more", o.Window))
	}
	if o.BodyBytes < 0 {
		faults = append(faults, fmt.Sprintf("BodyBytes is %d; it must not be negative", o.BodyBytes))
	}
	if len(faults) == 0 {
		return nil
	}
	return fault.New(fault.ErrInvalid, "transitory", "open", strings.Join(faults, "; "))
}

// Dir is the queue that lies in a directory, which is made when it is missing.
// Nothing is opened before OpenDriver is called; opts may be nil.
func Dir(dir string, opts *Options) transitory.Source {
	var o Options
	if opts != nil {
		o = *opts
	}
	return transitory.SourceFunc(func(ctx context.Context) (transitory.Driver, error) {
		return open(ctx, dir, o)
	})
}

// cores are the open directories of this process. Reservations live in memory,
// so all openings of one directory must share one memory.
var (
	coresMu sync.Mutex
	cores   = map[string]*shared{}
)

type shared struct {
	core *core
	refs int
	opts Options
}

func open(ctx context.Context, dir string, opts Options) (transitory.Driver, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	file, err := sqlitefile.Open(ctx, dir, sqlitefile.Options{Relaxed: opts.Relaxed})
	if err != nil {
		return nil, fault.Wrap(fault.ErrMisconfigured, "transitory", "open", err)
	}
	path, err := realPath(dir)
	if err != nil {
		return nil, fault.Wrap(fault.ErrMisconfigured, "transitory", "open", joinClose(err, file))
	}
	coresMu.Lock()
	defer coresMu.Unlock()
	s := cores[path]
	if s == nil {
		c := newCore(path, file, opts)
		if err := c.load(ctx); err != nil {
			_ = c.close()
			return nil, fault.Wrap(fault.ErrUnavailable, "transitory", "open", err)
		}
		s = &shared{core: c, opts: opts}
		cores[path] = s
	} else if err := file.Close(); err != nil { // the core has an opening of its own
		return nil, fault.Wrap(fault.ErrUnavailable, "transitory", "open", err)
	}
	s.refs++
	return newDriver(s, path), nil
}

func joinClose(err error, file *sqlitefile.File) error {
	_ = file.Close()
	return err
}

// realPath is the one name of a directory.
func realPath(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

func newDriver(s *shared, path string) *driver {
	durability := fault.Fsynced
	if s.opts.Relaxed {
		durability = fault.Written
	}
	return &driver{
		core:  s.core,
		owner: &owner{epoch: newEpoch()},
		path:  path,
		features: transitory.Features{
			Name: "embedded", Durability: durability, MaxBody: MaxBody,
			Resolution: resolution, Strict: true, FIFO: true, Urgent: true,
		},
		release: func() error { return release(s, path) },
		closed:  make(chan struct{}),
	}
}

// release gives a core back. The last one closes it while nobody can open the
// directory, so that a new core never loads what an old one still writes.
func release(s *shared, path string) error {
	coresMu.Lock()
	defer coresMu.Unlock()
	s.refs--
	if s.refs > 0 {
		return nil
	}
	delete(cores, path)
	return s.core.close()
}

// newEpoch names an opening, so that ids of another one are known as foreign.
func newEpoch() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Check asks the file for its version.
func (d *driver) Check(ctx context.Context) fault.Report {
	report := fault.Report{
		Purpose: "transitory", Driver: "embedded", Address: d.path,
		Durability: d.features.Durability, MaxObject: MaxBody,
	}
	if err := d.ready(ctx, "check"); err != nil {
		report.Problems = []string{err.Error()}
		return report
	}
	began := time.Now()
	err := d.core.file.Read(ctx, func(conn sqlitefile.Conn) error {
		return conn.Query(ctx, "SELECT sqlite_version()", nil, func(scan func(...any) error) error {
			return scan(&report.Version)
		})
	})
	if err != nil {
		report.Problems = []string{"the file cannot be read: " + err.Error()}
		return report
	}
	report.Reachable, report.Latency, report.Version = true, time.Since(began), "SQLite "+report.Version
	if err := d.core.tally.failed(); err != nil {
		report.Problems = append(report.Problems, "how often jobs were handed out is not written any more, and is forgotten when the process ends: "+err.Error())
	}
	return report
}
