package transactional_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
)

// A sequencing driver takes sequences, and notes how each of them went.
type sequencing struct {
	transactional.Driver
	went []string
}

// take returns what was noted since.
func (d *sequencing) take() string {
	defer func() { d.went = nil }()
	return strings.Join(d.went, ", ")
}

func (d *sequencing) RunSequence(ctx context.Context, ready func() error, statements []transactional.Statement) (done bool, err error) {
	if err := ready(); err != nil {
		return false, err
	}
	how := "inserts"
	err = d.Driver.Run(ctx, func(c transactional.Conn) error {
		for _, s := range statements {
			if strings.Contains(s.Text, "CONFLICT") != s.Wins {
				return fmt.Errorf("wins is %v for %s", s.Wins, s.Text)
			}
			n, err := c.Exec(ctx, s.Text, s.Args...)
			switch {
			case err != nil:
				return err
			case s.Wins && n == 0:
				return errors.New("left alone")
			case s.Wins:
				how = "upserts"
			}
		}
		return nil
	})
	if err != nil {
		how = "refused"
	}
	d.went = append(d.went, how)
	return err == nil, nil
}

// What a lone unit writes is taken for new, which costs the server least. One that is
// not goes statement by statement, and those after it are taken for what is there
// already: with a place they go that way too, and else with a guard, for a while. What
// goes for another table has nothing to do with it.
func TestALoneUnitIsTakenForNew(t *testing.T) {
	ctx := t.Context()
	inner, err := embedded.Dir(t.TempDir(), nil).OpenDriver(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d := &sequencing{Driver: inner}
	store, err := transactional.New(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	record := byte(0)
	plain := &transactional.Table{Name: "plain", Columns: pages.Columns}
	other := &transactional.Table{Name: "other", Columns: pages.Columns}
	apply := func(table *transactional.Table, id string, version int64, placed bool, want string, superseded bool) {
		t.Helper()
		record++
		unit := &transactional.Unit{
			Writes: []transactional.Write{{Table: table, Row: transactional.Row{ID: id, Stamp: transactional.Stamp{Version: version}, Values: []any{version}}}},
			Add:    []transactional.Record{{ID: transactional.RecordID{record}, Kind: "k", Lane: "l"}},
		}
		if placed {
			unit.Place = []transactional.Placement{{Space: table.Name, ID: id, Stamp: transactional.Stamp{Version: version}, Place: fmt.Append(nil, version)}}
		}
		res, err := store.Apply(ctx, unit)
		if err != nil || (res.Superseded != nil) != superseded {
			t.Fatalf("%s at %d: %+v, %v", id, version, res, err)
		}
		if got := d.take(); got != want {
			t.Errorf("%s at %d went as %q, want %q", id, version, got, want)
		}
		if _, _, err := store.Find(ctx, transactional.RecordID{record}); err != nil {
			t.Errorf("%s at %d: the record: %v", id, version, err)
		}
	}
	const byOne = ""
	apply(plain, "a", 2, false, "inserts", false)
	apply(plain, "b", 2, false, "inserts", false)
	apply(plain, "a", 3, false, "refused", false)
	apply(plain, "b", 3, false, "upserts", false)
	apply(plain, "c", 3, false, "upserts", false)
	apply(plain, "c", 1, false, "refused", true)
	apply(other, "a", 1, true, "inserts", false)
	apply(other, "a", 2, true, "refused", false)
	for n := range 32 {
		apply(other, fmt.Sprint("new", n), 1, true, byOne, false)
	}
	apply(other, "z", 1, true, "inserts", false)
	apply(plain, "d", 1, false, "upserts", false)
	rows, err := store.Read(ctx, plain, "a", "b", "c")
	if err != nil || len(rows) != 3 {
		t.Fatal(rows, err)
	}
	for _, r := range rows {
		if r.Stamp.Version != 3 {
			t.Errorf("%s is at %d, want 3", r.ID, r.Stamp.Version)
		}
	}
	placed, err := store.Placed(ctx, "other", "a")
	if err != nil || len(placed) != 1 || string(placed[0].Place) != "2" || string(placed[0].Former) != "1" {
		t.Errorf("what is known of places is %+v, %v", placed, err)
	}
}
