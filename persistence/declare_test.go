package persistence_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// panics returns the error that a declaration panics with.
func panics(t *testing.T, declare func()) (err error) {
	t.Helper()
	defer func() {
		v := recover()
		if err, _ = v.(error); err == nil {
			t.Fatalf("the declaration panics with %v, which is no error", v)
		}
	}()
	declare()
	return nil
}

func TestDeclarePanicsWithAllFaults(t *testing.T) {
	layer := openLayer(t, nil)
	plan := persistence.Plan[visit]{{Purpose: persistence.Amorphous}}
	persistence.Declare(layer, "visit", plan, persistence.KindOptions{Formerly: []string{"checkin"}})
	tests := []struct {
		name    string
		declare func()
		want    []string
	}{
		{"a second kind of one name", func() { persistence.Declare(layer, "visit", plan) },
			[]string{`kind "visit" is declared already: declare each kind once and share its handle`}},
		{"the former name of another", func() { persistence.Declare(layer, "checkin", plan) },
			[]string{`kind "checkin": the name "checkin" belongs to kind "visit" already: remove it from one of the two Formerly, or choose another name`}},
		{"a former name that is taken", func() {
			persistence.Declare(layer, "stay", plan, persistence.KindOptions{Formerly: []string{"visit"}})
		},
			[]string{`kind "stay": the name "visit" belongs to kind "visit" already: remove it from one of the two Formerly, or choose another name`}},
		{"the table of another", func() {
			persistence.Declare(layer, "stay", plan, persistence.KindOptions{Table: "visit"})
		},
			[]string{`kind "stay": its table "visit" is that of kind "visit": choose another name, or another KindOptions.Table`}},
		{"two sets of options", func() {
			persistence.Declare(layer, "stay", plan, persistence.KindOptions{}, persistence.KindOptions{})
		},
			[]string{`kind "stay": Declare takes one KindOptions, not 2: put all options into one`}},
		{"several faults", func() {
			persistence.Declare(layer, "Visit", persistence.Plan[visit]{{Purpose: persistence.Amorphous, PartitionBy: "Vennue", TTL: -time.Second}})
		},
			[]string{`kind "Visit" (visit): the name is not valid`, `TTL is -1s`, `did you mean "Venue"?`}},
	}
	for _, test := range tests {
		err := panics(t, test.declare)
		if !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("%s: %v is not fault.ErrInvalid", test.name, err)
		}
		for _, want := range test.want {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s: got %v, want %s", test.name, err, want)
			}
		}
	}
	// What was refused is not there.
	persistence.Declare(layer, "stay", plan)
}

func TestSchemaNamesEveryTable(t *testing.T) {
	layer := openLayer(t, nil)
	persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Purpose: persistence.Transactional},
		{Name: "by-user", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At", Bucket: time.Hour},
	})
	statements := layer.Schema()
	for _, table := range []string{"ff_visit", "ff_outbox", "ff_visit__by_user", "ff_visit__by_user__buckets"} {
		if !slices.ContainsFunc(statements, func(s string) bool { return strings.Contains(s, table) }) {
			t.Errorf("no statement creates %s:\n%s", table, strings.Join(statements, "\n"))
		}
	}
	for _, s := range statements {
		if !strings.HasPrefix(s, "-- transactional (") && !strings.HasPrefix(s, "-- amorphous (") {
			t.Errorf("nobody can tell whose statement this is: %s", s)
		}
	}
	for range 2 {
		if err := layer.CreateSchema(t.Context()); err != nil {
			t.Errorf("CreateSchema, which may be run again: %v", err)
		}
	}
}

// A layer without a transactional store keeps what is its own in the amorphous
// one: nothing is left for the first dead letter to create, and no kind has the
// same tables, whatever its name.
func TestSchemaOfAnAmorphousLayerNamesItsOwnTables(t *testing.T) {
	stores := embedded.Stores(t.TempDir())
	stores.Volatile, stores.Transactional = nil, nil
	layer, err := persistence.Open(t.Context(), stores, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	for _, name := range []string{"dead", "dead-letters", "layer", "own"} {
		persistence.Declare(layer, name, persistence.Plan[visit]{
			{Priority: 1, Purpose: persistence.Amorphous},
			{Priority: 1, Name: "positions", Purpose: persistence.Amorphous, PartitionBy: "User"},
			{Priority: 1, Name: "own-positions", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At", Bucket: time.Hour},
		})
	}
	tables := map[string]int{}
	named := regexp.MustCompile(`CREATE TABLE IF NOT EXISTS "?([a-z$_]+)`)
	for _, s := range layer.Schema() {
		if found := named.FindStringSubmatch(s); found != nil {
			tables[found[1]]++
		}
	}
	for _, own := range []string{"amorphous$ff_layer__own__positions", "amorphous$ff_dead_letters"} {
		if tables[own] == 0 {
			t.Errorf("no statement creates %s, of %v", own, tables)
		}
	}
	for name, n := range tables {
		if n > 1 {
			t.Errorf("%s is the table of %d", name, n)
		}
	}
}

func TestCheckAsksEveryStore(t *testing.T) {
	layer := openLayer(t, nil)
	var purposes []string
	for _, report := range layer.Check(t.Context()) {
		purposes = append(purposes, report.Purpose)
		if !report.OK() {
			t.Errorf("a sound store reports %v", report)
		}
	}
	if want := []string{"transitory", "volatile", "transactional", "amorphous"}; !slices.Equal(purposes, want) {
		t.Errorf("reports of %v, want %v", purposes, want)
	}
}
