package cql

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// A listening session notes the texts of what is executed.
type listening struct {
	*emulator
	mu   sync.Mutex
	said []string
}

func (l *listening) note(statements ...Statement) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range statements {
		l.said = append(l.said, s.Text)
	}
}

func (l *listening) Exec(ctx context.Context, c Consistency, s Statement) error {
	l.note(s)
	return l.emulator.Exec(ctx, c, s)
}

func (l *listening) Batch(ctx context.Context, c Consistency, statements []Statement) error {
	l.note(statements...)
	return l.emulator.Batch(ctx, c, statements)
}

func (l *listening) Each(ctx context.Context, c Consistency, s Statement, size int, row func(scan func(dest ...any) error) error) error {
	l.note(s)
	return l.emulator.Each(ctx, c, s, size, row)
}

// What Explain says is what the server gets.
func TestExplainIsWhatIsSent(t *testing.T) {
	l := &listening{emulator: &emulator{}}
	d, err := New(Handed(l), Options{Keyspace: "ks"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	plain, placed := amorphous.Table{Name: "plain"}, amorphous.Table{Name: "placed", Placed: true}
	if err := d.CreateSchema(t.Context(), []amorphous.Table{plain, placed}); err != nil {
		t.Fatal(err)
	}
	row := amorphous.Row{Partition: "p", ID: "i", Shape: 1, Stamp: amorphous.Stamp{Version: 1}, Body: []byte("{}")}
	expires := row
	expires.Expires = time.Now().Add(time.Hour)
	for _, test := range []struct {
		table amorphous.Table
		row   amorphous.Row
		lines int
	}{{plain, row, 1}, {plain, expires, 1}, {placed, row, 3}} {
		l.said = nil
		said := d.Explain(test.table, test.row)
		if len(said) != test.lines || len(l.said) > 0 {
			t.Errorf("%v: Explain says %q, and sends %q", test.table, said, l.said)
		}
		if err := d.Write(t.Context(), test.table, []amorphous.Row{test.row})[0]; err != nil {
			t.Fatal(err)
		}
		slices.Sort(said) // a cell is written while the list is read
		slices.Sort(l.said)
		if !slices.Equal(said, l.said) {
			t.Errorf("%v: Explain says\n%q\nand sent was\n%q", test.table, said, l.said)
		}
	}
}
