package embedded

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// refusing opens a file whose table t refuses rows with bad IDs.
func refusing(t *testing.T, tables ...amorphous.Table) *driver {
	t.Helper()
	opened, err := Dir(t.TempDir(), nil).OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	d := opened.(*driver)
	if err := d.Prepare(t.Context(), tables); err != nil {
		t.Fatal(err)
	}
	err = d.file.Write(t.Context(), func(conn sqlitefile.Conn) error {
		_, err := conn.Exec(t.Context(), "CREATE TRIGGER bad BEFORE INSERT ON amorphous$t WHEN new.id LIKE 'bad%' BEGIN SELECT RAISE(ABORT, 'no'); END")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestOneBadIntroduction: what cannot be written whole is not written at all,
// and does not harm its neighbours.
func TestOneBadIntroduction(t *testing.T) {
	ctx := t.Context()
	tables := []amorphous.Table{{Name: "r"}, {Name: "t"}}
	d := refusing(t, tables...)
	at := func(partition, id string) amorphous.Row {
		return amorphous.Row{Partition: partition, ID: id, Shape: 1, Stamp: amorphous.Stamp{Version: 1}}
	}
	var all []amorphous.Introduction
	for i := range 40 {
		one := amorphous.Introduction{Entry: at(fmt.Sprint("o", i), "e"), Rows: []amorphous.Row{at(fmt.Sprint("p", i), "good")}}
		if i == 7 {
			one.Rows = append(one.Rows, at("p7", "bad"))
		}
		all = append(all, one)
	}
	known, errs := d.Register(ctx, tables[0], tables[1], all)
	for i, one := range all {
		bad := i == 7
		if bad != fault.Permanent(errs[i]) || bad != (len(known[i]) == 0) {
			t.Errorf("introduction %d: %v, %v is known", i, errs[i], known[i])
		}
		entry, err := d.Read(ctx, tables[0], []amorphous.Address{one.Entry.Address()})
		rows, failed := d.Read(ctx, tables[1], []amorphous.Address{one.Rows[0].Address()})
		if err != nil || failed != nil || bad != (len(entry) == 0) || bad != (len(rows) == 0) {
			t.Errorf("introduction %d is written wholly or not at all: entry %v, row %v, %v, %v", i, entry, rows, err, failed)
		}
	}
}

// TestOneBadRow: a row that the file refuses fails alone, though it shared a
// unit with many others of several callers.
func TestOneBadRow(t *testing.T) {
	for _, placed := range []bool{false, true} {
		t.Run(fmt.Sprintf("placed=%v", placed), func(t *testing.T) { testOneBadRow(t, placed) })
	}
}

func testOneBadRow(t *testing.T, placed bool) {
	ctx := t.Context()
	table := amorphous.Table{Name: "t", Placed: placed}
	d := refusing(t, table)
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			var rows []amorphous.Row
			for i := range 20 {
				id := fmt.Sprintf("good%d-%d", c, i)
				if i == c {
					id = fmt.Sprintf("bad%d", c)
				}
				rows = append(rows, amorphous.Row{Partition: "p", ID: id, Shape: 1, Stamp: amorphous.Stamp{Version: 1}})
			}
			for i, err := range d.Write(ctx, table, rows) {
				if bad := i == c; bad != (err != nil) {
					t.Errorf("row %s: %v", rows[i].ID, err)
				} else if bad && !fault.Permanent(err) {
					t.Errorf("a bad row is refused for good: %v", err)
				}
			}
		})
	}
	wg.Wait()
	page, err := d.Scan(ctx, table, amorphous.Range{Partition: "p", Limit: 1000})
	if err != nil || len(page.Rows) != 8*19 {
		t.Errorf("%d rows are there, want %d: %v", len(page.Rows), 8*19, err)
	}
	read, err := d.Read(ctx, table, []amorphous.Address{{Partition: "p", ID: "bad1"}})
	if err != nil || len(read) != 0 {
		t.Errorf("a refused row left something: %v, %v", read, err)
	}
}

// TestPlacedForGood: a table keeps its kind.
func TestPlacedForGood(t *testing.T) {
	dir := t.TempDir()
	for i, placed := range []bool{true, false} {
		d, err := Dir(dir, nil).OpenDriver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = d.Prepare(context.Background(), []amorphous.Table{{Name: "t", Placed: placed}})
		if i == 1 && fault.ClassOf(err) != fault.ErrMisconfigured {
			t.Errorf("a Placed table used as a plain one: %v", err)
		}
		if i == 0 && err != nil {
			t.Error(err)
		}
		d.Close()
	}
}
