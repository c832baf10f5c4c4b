package cql

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/group"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// MaxBody is the largest body of a row, in bytes: well under the 16 MiB that
// Cassandra takes in one mutation, because large cells make its reads slow.
const MaxBody = 1 << 20

// Options of a Driver; zero values are the defaults, but for Keyspace.
type Options struct {
	Keyspace string      // where the tables are
	Address  string      // for reports: where the servers are, without any secret
	Write    Consistency // default LocalQuorum
	Read     Consistency // default LocalQuorum
	// Timeout bounds one statement. Default 10 s.
	Timeout time.Duration
	// InFlight bounds the statements under way at once. Default 256.
	InFlight int
	// Hedge is how long a statement waits for its answer before it is sent once
	// more. Default zero: it never is.
	Hedge time.Duration
}

// ValidKeyspace reports whether a keyspace's name needs no more than quotes: a
// letter, then letters, digits and underscores, at most 48 bytes.
func ValidKeyspace(name string) bool {
	if name == "" || len(name) > 48 {
		return false
	}
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return true
}

// Driver implements amorphous.Driver.
type Driver struct {
	conn   *Connector
	opts   Options
	slots  chan struct{}
	spare  chan struct{} // for what is sent once more
	writes *group.Group[*call]

	mu     sync.RWMutex
	tables map[amorphous.Table]*table
}

// New returns a driver on a connector, which it closes.
func New(conn *Connector, opts Options) (*Driver, error) {
	if !ValidKeyspace(opts.Keyspace) {
		return nil, fault.New(fault.ErrInvalid, "", "", "the keyspace is a letter, then letters, digits and underscores, at most 48 bytes")
	}
	if opts.Write == 0 {
		opts.Write = LocalQuorum
	}
	if opts.Read == 0 {
		opts.Read = LocalQuorum
	}
	if opts.Timeout == 0 {
		opts.Timeout = 10 * time.Second
	}
	if opts.InFlight == 0 {
		opts.InFlight = 256
	}
	d := &Driver{conn: conn, opts: opts, slots: make(chan struct{}, opts.InFlight), spare: make(chan struct{}, max(opts.InFlight/4, 1)), tables: map[amorphous.Table]*table{}}
	d.writes = group.New(group.Options{MaxItems: groupCalls, MaxSize: groupBytes, Parallel: groupsAtOnce, Eager: groupsEager, Small: groupSmall, Patience: groupPatience}, (*call).cost, d.runGroup)
	return d, nil
}

// Features implements amorphous.Featured. Acknowledged means: in the memory of
// as many replicas as the consistency asks; each of them syncs its commit log
// in its own time.
func (d *Driver) Features() amorphous.Features {
	return amorphous.Features{Name: "cassandra", Durability: fault.Replicated, MaxBody: MaxBody}
}

// table returns the statements of a table.
func (d *Driver) table(t amorphous.Table) *table {
	d.mu.RLock()
	known := d.tables[t]
	d.mu.RUnlock()
	if known == nil {
		known = newTable(d.opts.Keyspace, t)
		d.mu.Lock()
		d.tables[t] = known
		d.mu.Unlock()
	}
	return known
}

// Prepare implements amorphous.Driver. Missing tables are found at first use.
func (d *Driver) Prepare(_ context.Context, tables []amorphous.Table) error {
	for _, t := range tables {
		d.table(t)
	}
	return nil
}

// Schema implements amorphous.Driver.
func (d *Driver) Schema(tables []amorphous.Table) []string {
	var out []string
	for _, t := range tables {
		out = append(out, d.table(t).schema()...)
	}
	return out
}

// CreateSchema implements amorphous.Driver. Statements run one after another:
// Cassandra has trouble with schema changes that run side by side.
func (d *Driver) CreateSchema(ctx context.Context, tables []amorphous.Table) error {
	for _, text := range d.Schema(tables) {
		err := d.operate(ctx, d.opts.Timeout, func(ctx context.Context, s Session) error {
			return d.attempt(ctx, s, true, func(ctx context.Context, s Session) error {
				return s.Exec(ctx, d.opts.Write, Statement{Text: text})
			})
		})
		if err != nil && fault.ClassOf(err) != fault.ErrExists {
			return err
		}
	}
	return nil
}

// explain adds the statements that mend a missing table.
func (t *table) explain(err error) error {
	if !isMissing(err) {
		return err
	}
	return &fault.Error{Class: fault.ErrMisconfigured, Err: fmt.Errorf("%w; create it with: %s", err, strings.Join(t.schema(), "; "))}
}

// MissingKeyspace reports a keyspace that is not there, with a statement that
// mends it; how it is replicated is for an operator to say.
func MissingKeyspace(name string) error {
	return fault.New(fault.ErrMisconfigured, "", "", "the keyspace "+name+" does not exist; such as: CREATE KEYSPACE \""+name+
		"\" WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': 3}")
}

// Close implements amorphous.Driver: writes that were accepted finish first.
func (d *Driver) Close() error {
	d.writes.Close()
	d.conn.Close()
	return nil
}
