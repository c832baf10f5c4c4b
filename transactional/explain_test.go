package transactional_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
)

// A listening driver notes what is executed.
type listening struct {
	transactional.Driver
	mu   sync.Mutex
	said []string
}

type listeningConn struct {
	transactional.Conn
	to *listening
}

func (d *listening) Run(ctx context.Context, unit func(transactional.Conn) error) error {
	return d.Driver.Run(ctx, func(c transactional.Conn) error { return unit(listeningConn{c, d}) })
}

func (c listeningConn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	c.to.mu.Lock()
	c.to.said = append(c.to.said, query)
	c.to.mu.Unlock()
	return c.Conn.Exec(ctx, query, args...)
}

// What Explain says is what the database gets.
func TestExplainIsWhatIsSent(t *testing.T) {
	driver, err := embedded.Dir(t.TempDir(), nil).OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := &listening{Driver: driver}
	store, err := transactional.New(l, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	table := &transactional.Table{Name: "users", Columns: []transactional.Column{{Name: "email", Type: transactional.Text}}}
	text, err := store.Explain(table)
	if err != nil || len(l.said) > 0 {
		t.Fatalf("%v; %d statements were executed for it", err, len(l.said))
	}
	row := transactional.Row{ID: "u1", Stamp: transactional.Stamp{Version: 1}, Values: []any{"ann@example.org"}}
	if _, err := store.Apply(t.Context(), &transactional.Unit{Writes: []transactional.Write{{Table: table, Row: row}}}); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(l.said, text) {
		t.Errorf("Explain says\n%s\nand executed was\n%q", text, l.said)
	}
	if _, err := store.Explain(&transactional.Table{Name: "a b"}); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("a faulty table: %v", err)
	}
}
