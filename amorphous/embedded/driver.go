package embedded

import (
	"context"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/group"
	"github.com/fourfold-dev/fourfold/internal/schemes"
	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// MaxBody is the largest body of a row, in bytes.
const MaxBody = 4 << 20

// Options of the embedded store; zero values are the defaults.
type Options struct {
	// Relaxed gives up the fsync per commit: a power cut may lose the last
	// commits, a kill of the process does not. Features say so.
	Relaxed bool
}

// Dir is the Source of a store in a directory, which is created 0700. Opening
// the same directory again in this process shares the file; a second process
// is refused.
func Dir(dir string, opts *Options) amorphous.Source {
	var o Options
	if opts != nil {
		o = *opts
	}
	return amorphous.SourceFunc(func(ctx context.Context) (amorphous.Driver, error) {
		file, err := sqlitefile.Open(ctx, dir, sqlitefile.Options{Relaxed: o.Relaxed})
		if err != nil {
			return nil, err
		}
		return newDriver(file, dir, o), nil
	})
}

func init() {
	amorphous.Register("embedded", openURL)
}

func openURL(ctx context.Context, text string) (amorphous.Driver, error) {
	dir, relaxed, err := schemes.Directory(text)
	if err != nil {
		return nil, fault.New(fault.ErrInvalid, "", "", err.Error())
	}
	return Dir(dir, &Options{Relaxed: relaxed}).OpenDriver(ctx)
}

// driver implements amorphous.Driver on one SQLite file.
type driver struct {
	file   *sqlitefile.File
	dir    string
	opts   Options
	writes *group.Group[*call]
	// entries are writes too, each with its entry in a register.
	entries *group.Group[*entryCall]

	mu     sync.RWMutex
	tables map[string]*table
	closed bool

	counts  *group.Group[*tallyCall]
	tallies talliedTables
}

func newDriver(file *sqlitefile.File, dir string, opts Options) *driver {
	d := &driver{file: file, dir: dir, opts: opts, tables: map[string]*table{}}
	d.writes = group.New(group.Options{MaxItems: groupCalls, MaxSize: groupBytes}, (*call).cost, d.runGroup)
	d.entries = group.New(group.Options{MaxItems: groupCalls, MaxSize: groupBytes}, (*entryCall).cost, d.runEntries)
	d.counts = group.New(group.Options{MaxItems: groupCalls, MaxSize: groupBytes}, (*tallyCall).cost, d.runTallies)
	d.tallies.known = map[string]*tallied{}
	return d
}

// Features implements amorphous.Featured.
func (d *driver) Features() amorphous.Features {
	return amorphous.Features{Name: "embedded", Durability: d.durability(), MaxBody: MaxBody, Superseded: true}
}

func (d *driver) durability() fault.Durability {
	if d.opts.Relaxed {
		return fault.Written
	}
	return fault.Fsynced
}

// Prepare implements amorphous.Driver: it creates what is missing.
func (d *driver) Prepare(ctx context.Context, tables []amorphous.Table) error {
	for _, t := range tables {
		var err error
		if t.Tallied {
			_, err = d.tallied(ctx, t)
		} else {
			_, err = d.table(ctx, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// CreateSchema implements amorphous.Driver.
func (d *driver) CreateSchema(ctx context.Context, tables []amorphous.Table) error {
	return d.Prepare(ctx, tables)
}

// Schema implements amorphous.Driver.
func (d *driver) Schema(tables []amorphous.Table) []string {
	var out []string
	for _, t := range tables {
		if t.Tallied {
			out = append(out, newTallied(t.Name).schema()...)
		} else {
			out = append(out, newTable(t).schema()...)
		}
	}
	return out
}

// table returns what is known of a table, created at its first use.
func (d *driver) table(ctx context.Context, t amorphous.Table) (*table, error) {
	d.mu.RLock()
	known, closed := d.tables[t.Name], d.closed
	d.mu.RUnlock()
	if closed {
		return nil, fault.New(fault.ErrClosed, "", "", "the store was closed")
	}
	if known == nil {
		known = newTable(t)
		if err := known.create(ctx, d.file); err != nil {
			return nil, err
		}
		d.mu.Lock()
		d.tables[t.Name] = known
		d.mu.Unlock()
	}
	if known.placed != t.Placed {
		return nil, misplaced(t)
	}
	return known, nil
}

// misplaced reports a table that was made for the other kind of use: its
// companion would lack the places, or the tombstones, of the rows that exist.
func misplaced(t amorphous.Table) error {
	was := "Placed"
	if t.Placed {
		was = "not Placed"
	}
	return fault.New(fault.ErrMisconfigured, "", "", "the table "+t.Name+" was created as "+was+"; a table keeps that for good, use another name")
}

// Check implements amorphous.Checker.
func (d *driver) Check(ctx context.Context) fault.Report {
	report := fault.Report{Purpose: "amorphous", Driver: "embedded", Address: d.dir, Durability: d.durability(), MaxObject: MaxBody}
	start := time.Now()
	err := d.file.Read(ctx, func(conn sqlitefile.Conn) error {
		return conn.Query(ctx, "SELECT sqlite_version()", nil, func(scan func(dest ...any) error) error {
			return scan(&report.Version)
		})
	})
	report.Latency = time.Since(start)
	if report.Reachable = err == nil; err != nil {
		report.Problems = append(report.Problems, err.Error())
	}
	return report
}

// Close implements amorphous.Driver: writes that were accepted finish first.
func (d *driver) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.writes.Close()
	d.entries.Close()
	d.counts.Close()
	return d.file.Close()
}
