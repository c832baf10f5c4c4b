package cql

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// A told session answers Check's questions, in their order.
type told struct {
	Session
	answers [][]string
}

func (s *told) Each(_ context.Context, _ Consistency, _ Statement, _ int, row func(scan func(dest ...any) error) error) error {
	if len(s.answers) == 0 {
		return errors.New("it was asked too often")
	}
	names := s.answers[0]
	s.answers = s.answers[1:]
	return eachName(names, row)
}

// TestNothingIsBoundToNull_E15: a NULL would be a tombstone, which every read has to
// step over; and every write has its own time.
func TestNothingIsBoundToNull_E15(t *testing.T) {
	table := newTable("music", amorphous.Table{Name: "plays", Placed: true})
	now := time.Now()
	for _, row := range []amorphous.Row{
		{Partition: "p", ID: "i", Stamp: amorphous.Stamp{Version: 2}},
		{Partition: "p", ID: "i", Shape: 1, Stamp: amorphous.Stamp{Version: 2}, Body: []byte("{}"), Order: []byte{1}, Expires: now.Add(time.Hour)},
		{Partition: "p", ID: "i", Stamp: amorphous.Stamp{Version: 2}, Deleted: true},
	} {
		statements := append([]Statement{table.putRow(&row, now)}, table.bury(placeOf(&row), row.Stamp, now)...)
		for _, m := range registrations([]item{{table, &row, new(error)}}) {
			statements = append(statements, m.statements...)
		}
		for _, st := range statements {
			if !strings.Contains(st.Text, "USING TIMESTAMP ?") {
				t.Errorf("no time of its own: %s", st.Text)
			}
			for i, arg := range st.Args {
				if b, isBytes := arg.([]byte); arg == nil || isBytes && b == nil {
					t.Errorf("argument %d of %s is NULL", i, st.Text)
				}
			}
		}
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		answers [][]string
		says    []string
	}{
		"all is well":         {[][]string{{"5.0.9"}, {"music"}, {"plays", "plays_At"}}, nil},
		"a server too old":    {[][]string{{"3.11.4"}, {"music"}, {"plays", "plays_At"}}, []string{"Cassandra 3.11.4; 4.0 or newer"}},
		"the keyspace":        {[][]string{{"4.1.0"}, {}}, []string{`CREATE KEYSPACE "music"`}},
		"both tables":         {[][]string{{"4.1.0"}, {"music"}, {"other"}}, []string{`CREATE TABLE IF NOT EXISTS "music"."plays" `, `CREATE TABLE IF NOT EXISTS "music"."plays_At"`}},
		"the companion":       {[][]string{{"4.1.0"}, {"music"}, {"plays"}}, []string{`CREATE TABLE IF NOT EXISTS "music"."plays_At"`}},
		"it says nothing":     {nil, []string{"asked too often"}},
		"nothing of keyspace": {[][]string{{"5.0.9"}}, []string{"does not tell its keyspaces"}},
		"nothing of tables":   {[][]string{{"5.0.9"}, {"music"}}, []string{"does not tell its tables"}},
	} {
		d, err := New(Handed(&told{answers: c.answers}), Options{Keyspace: "music"})
		if err != nil {
			t.Fatal(err)
		}
		d.table(amorphous.Table{Name: "plays", Placed: true})
		r := d.Check(t.Context())
		if len(r.Problems) != len(c.says) || r.Reachable != (len(c.answers) > 0) {
			t.Errorf("%s: %v", name, r)
			continue
		}
		for i, want := range c.says {
			if !strings.Contains(r.Problems[i], want) {
				t.Errorf("%s: says %q, want %q", name, r.Problems[i], want)
			}
		}
		d.Close()
	}
}
