package mysql_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// A counting driver counts the statements of transactions.
type counting struct {
	transactional.Driver
	execs, queries int
}

func (d *counting) Run(ctx context.Context, unit func(transactional.Conn) error) error {
	return d.Driver.Run(ctx, func(c transactional.Conn) error { return unit(&countingConn{c, d}) })
}

type countingConn struct {
	transactional.Conn
	d *counting
}

func (c *countingConn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	c.d.execs++
	return c.Conn.Exec(ctx, query, args...)
}

func (c *countingConn) Query(ctx context.Context, query string, args []any, row func(func(...any) error) error) error {
	c.d.queries++
	return c.Conn.Query(ctx, query, args, row)
}

// TestUpsertsTell: rows that win are one statement and no look, on our own
// connections and on those of a caller, whose pool may count otherwise; a row
// that is left alone makes the statement tell, and the rows are looked at.
func TestUpsertsTell(t *testing.T) {
	s := theServer(t)
	for what, source := range map[string]func(name string) transactional.Source{
		"URL":    func(name string) transactional.Source { return mysql.Open(s.url(name), nil) },
		"FromDB": func(name string) transactional.Source { return mysql.FromDB(s.pool(t, name, strict), nil) },
		"clientFoundRows": func(name string) transactional.Source {
			return mysql.FromDB(s.pool(t, name, strict+"&clientFoundRows=true"), nil)
		},
	} {
		inner, err := source(s.database(t)).OpenDriver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		d := &counting{Driver: inner}
		store, err := transactional.New(d, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		if err := store.CreateSchema(t.Context(), things); err != nil {
			t.Fatal(err)
		}
		several := func(version int64, from, to int) *transactional.Unit {
			u := &transactional.Unit{}
			for i := from; i < to; i++ {
				u.Writes = append(u.Writes, put(fmt.Sprint("row", i), version, int64(i)))
			}
			return u
		}
		for _, c := range []struct {
			why        string
			unit       *transactional.Unit
			looks      int
			superseded int
		}{
			{"fresh rows", several(2, 0, 5), 0, 0},
			{"newer ones", several(3, 0, 5), 0, 0},
			{"some newer, some fresh", several(4, 3, 8), 0, 0},
			{"a repeat", several(4, 3, 8), 1, 0},
			{"one newer, repeats", several(4, 2, 8), 1, 0},
			{"all older", several(3, 3, 8), 1, 5},
			{"fresh, repeats and older", several(3, 0, 12), 1, 6},
		} {
			d.execs, d.queries = 0, 0
			res, err := store.Apply(t.Context(), c.unit)
			if err != nil {
				t.Fatalf("%s: %s: %v", what, c.why, err)
			}
			superseded := 0
			for _, is := range res.Superseded {
				if is {
					superseded++
				}
			}
			if d.queries != c.looks || superseded != c.superseded {
				t.Errorf("%s: %s: %d looks, %d superseded; want %d and %d", what, c.why, d.queries, superseded, c.looks, c.superseded)
			}
			if n := len(c.unit.Writes); n <= 8 && d.execs != 1 {
				t.Errorf("%s: %s: %d statements for %d rows", what, c.why, d.execs, n)
			}
		}
	}
}
