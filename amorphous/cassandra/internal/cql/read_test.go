package cql

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// A counted counts the queries that read rows.
type counted struct {
	Session
	queries atomic.Int64
}

func (c *counted) Each(ctx context.Context, at Consistency, s Statement, n int, row func(func(...any) error) error) error {
	c.queries.Add(1)
	return c.Session.Each(ctx, at, s, n, row)
}

// Rows that are known to be small are read in fewer statements, those that are
// large or not known in as many as there are batches, and always all of them.
func TestSmallRowsAreReadTogether(t *testing.T) {
	table, ctx := amorphous.Table{Name: "t"}, t.Context()
	session := &counted{Session: &emulator{tables: map[string]map[string]*storage{`"ks"."t"`: {}}}}
	d, err := New(Handed(session), Options{Keyspace: "ks"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var at []amorphous.Address
	for i := range 64 {
		at = append(at, amorphous.Address{Partition: fmt.Sprint(i), ID: "places"})
	}
	write := func(size int, version int64) {
		rows := make([]amorphous.Row, len(at))
		for i := range rows {
			rows[i] = amorphous.Row{Partition: at[i].Partition, ID: at[i].ID, Shape: 1, Stamp: amorphous.Stamp{Version: version}, Body: make([]byte, size)}
		}
		for _, err := range d.Write(ctx, table, rows) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(what string, want int64) {
		t.Helper()
		session.queries.Store(0)
		rows, err := d.Read(ctx, table, at)
		if err != nil || len(rows) != len(at) {
			t.Fatalf("%s: %d rows, %v", what, len(rows), err)
		}
		if got := session.queries.Load(); got != want {
			t.Errorf("%s: %d statements, want %d", what, got, want)
		}
	}
	write(100, 1)
	read("of what size they are is not known", 7)
	read("small", 2)
	write(fetchBytes, 2)
	read("they were small", 2)
	read("large", 7)
}
