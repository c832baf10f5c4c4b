package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A server may speak the protocol and know no InnoDB, and so not its variable: it
// has durability of its own. It is taken by URL and by a pool of the caller's, and
// Check finds it well.
func TestAServerWithoutInnoDB_D4(t *testing.T) {
	for _, lacks := range []string{"", flushVariable} {
		pool := sql.OpenDB(variables{"VERSION()": "8.0.36", "@@sql_mode": "STRICT_ALL_TABLES", flushVariable: "1", "1": "1",
			"@@max_allowed_packet": "67108864", "@@read_only": "0"}.without(lacks))
		defer pool.Close()
		d, err := FromDB(pool, nil).OpenDriver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = d.Run(t.Context(), func(transactional.Conn) error { return nil })
		if report := d.Check(t.Context()); err != nil || !report.OK() {
			t.Errorf("a server that lacks %q: %v, %v", lacks, err, report)
		}
	}
	loose := sql.OpenDB(variables{"VERSION()": "8.0.36", "@@sql_mode": "STRICT_ALL_TABLES", flushVariable: "2"})
	defer loose.Close()
	d, err := FromDB(loose, nil).OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = d.Run(t.Context(), func(transactional.Conn) error { return nil })
	if fault.ClassOf(err) != fault.ErrMisconfigured {
		t.Errorf("one that has the variable, and may lose what was committed: %v", err)
	}
}

// variables are those of a server, which knows nothing else: it is its connector,
// and each of its connections.
type variables map[string]string

func (v variables) without(name string) variables { delete(v, name); return v }

func (v variables) Connect(context.Context) (driver.Conn, error) { return &asked{known: v}, nil }
func (v variables) Driver() driver.Driver                        { return nil }

// asked is a connection to such a server, and what it answers.
type asked struct {
	driver.Conn
	known variables
}

func (a *asked) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(0), nil
}

func (a *asked) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	names := strings.Split(strings.TrimPrefix(query, "SELECT "), ", ")
	for _, name := range names {
		if _, known := a.known[name]; !known {
			return nil, answer(1193, "HY000", "Unknown system variable "+name)
		}
	}
	return &row{names: names, known: a.known}, nil
}

func (a *asked) Close() error { return nil }

// A row is of the variables that were asked for.
type row struct {
	names []string
	known variables
}

func (r *row) Columns() []string { return slices.Clone(r.names) }
func (r *row) Close() error      { return nil }

func (r *row) Next(to []driver.Value) error {
	if r.names == nil {
		return io.EOF
	}
	for i, name := range r.names {
		to[i] = []byte(r.known[name])
	}
	r.names = nil
	return nil
}
