package cql

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A requests counts what is sent.
type requests struct {
	*emulator
	sent atomic.Int64
}

func (r *requests) Exec(ctx context.Context, c Consistency, s Statement) error {
	r.sent.Add(1)
	return r.emulator.Exec(ctx, c, s)
}

func (r *requests) Batch(ctx context.Context, c Consistency, statements []Statement) error {
	r.sent.Add(1)
	return r.emulator.Batch(ctx, c, statements)
}

// Rows of several tables that come together are one request. Those of a table that
// is not there fail alone.
func TestRowsOfSeveralTablesAreOneRequest(t *testing.T) {
	ctx := t.Context()
	session := &requests{emulator: &emulator{}}
	d, err := New(Handed(session), Options{Keyspace: "ks"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	one, two, absent := amorphous.Table{Name: "one"}, amorphous.Table{Name: "two"}, amorphous.Table{Name: "absent"}
	if err := d.CreateSchema(ctx, []amorphous.Table{one, two}); err != nil {
		t.Fatal(err)
	}
	row := func(id string) []amorphous.Row {
		return []amorphous.Row{{Partition: id, ID: id, Shape: 1, Stamp: amorphous.Stamp{Version: 1}, Body: []byte(id)}}
	}
	there := func(table amorphous.Table, id string) bool {
		rows, err := d.Read(ctx, table, []amorphous.Address{{Partition: id, ID: id}})
		if err != nil {
			t.Fatal(err)
		}
		return len(rows) == 1
	}

	session.sent.Store(0)
	errs := d.WriteTables(ctx, []amorphous.TableRows{{Table: one, Rows: row("a")}, {Table: two, Rows: row("b")}})
	if len(errs) != 2 || len(errs[0]) != 1 || len(errs[1]) != 1 || errs[0][0] != nil || errs[1][0] != nil {
		t.Fatalf("answers %v", errs)
	}
	if n := session.sent.Load(); n != 1 {
		t.Errorf("%d requests for a row in each of two tables, want 1", n)
	}
	if !there(one, "a") || !there(two, "b") {
		t.Error("a row is not there")
	}

	errs = d.WriteTables(ctx, []amorphous.TableRows{{Table: absent, Rows: row("c")}, {Table: one}, {Table: two, Rows: row("d")}})
	if fault.ClassOf(errs[0][0]) != fault.ErrMisconfigured || len(errs[1]) != 0 || errs[2][0] != nil {
		t.Errorf("answers %v, want that the first table is missing, and nothing else", errs)
	}
	if !there(two, "d") {
		t.Error("the row beside one of a table that is missing is not there")
	}
}
