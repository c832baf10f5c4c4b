package mysql_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// An orderSpy notes the rows that statements name, in their order.
type orderSpy struct {
	transactional.Driver

	mu   sync.Mutex
	seen []namedRows
}

type namedRows struct {
	verb string
	ids  []string
}

type orderConn struct {
	transactional.Conn
	spy *orderSpy
}

func (d *orderSpy) Run(ctx context.Context, unit func(transactional.Conn) error) error {
	return d.Driver.Run(ctx, func(c transactional.Conn) error { return unit(&orderConn{c, d}) })
}

func (c *orderConn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	c.spy.note(query, args)
	return c.Conn.Exec(ctx, query, args...)
}

func (c *orderConn) Query(ctx context.Context, query string, args []any, row func(func(...any) error) error) error {
	c.spy.note(query, args)
	return c.Conn.Query(ctx, query, args, row)
}

func (d *orderSpy) note(query string, args []any) {
	verb, _, _ := strings.Cut(query, " ")
	if strings.Contains(query, " ON DUPLICATE KEY") {
		verb = "UPSERT"
	}
	var ids []string
	for _, a := range args {
		if id, ok := a.(string); ok && strings.HasPrefix(id, "key-") {
			ids = append(ids, id)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if ids != nil {
		d.seen = append(d.seen, namedRows{verb, ids})
	}
}

// taken are the rows of all statements since it was called, by their verbs.
func (d *orderSpy) taken() map[string][]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	rows := map[string][]string{}
	for _, s := range d.seen {
		rows[s.verb] = append(rows[s.verb], s.ids...)
	}
	d.seen = nil
	return rows
}

// Whoever takes locks in the order of the keys deadlocks with nobody who does:
// in whatever order a program names rows, they are locked, written and removed
// in that of their keys, over all statements of a transaction.
func TestRowsAreInTheOrderOfTheirKeys(t *testing.T) {
	s := theServer(t)
	d, err := mysql.Open(s.url(s.database(t)), nil).OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spy := &orderSpy{Driver: d}
	store := open(t, transactional.SourceFunc(func(context.Context) (transactional.Driver, error) { return spy, nil }), things)
	const rows = 45 // statements of 32, 8, 4 and 1 rows
	write := func(version int64, change func(*transactional.Write)) map[string][]string {
		t.Helper()
		u := &transactional.Unit{}
		for _, i := range rand.Perm(rows) {
			w := put(fmt.Sprintf("key-%02d", i), version, 1)
			change(&w)
			u.Writes = append(u.Writes, w)
		}
		if _, err := store.Apply(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		return spy.taken()
	}
	for i, c := range []struct {
		change func(*transactional.Write)
		verbs  []string
	}{
		{func(w *transactional.Write) { w.Mode = transactional.Insert }, []string{"SELECT", "INSERT"}},
		{func(*transactional.Write) {}, []string{"UPSERT"}},
		{func(w *transactional.Write) { w.Mode = transactional.Above }, []string{"SELECT", "UPSERT"}},
		{func(w *transactional.Write) { w.Row.Deleted, w.Row.Values = true, nil }, []string{"SELECT", "DELETE", "INSERT"}},
	} {
		got := write(int64(i+1), c.change)
		for _, verb := range c.verbs {
			ids := got[verb]
			if !slices.IsSorted(ids) {
				t.Errorf("step %d: the rows of %s are in no order: %v", i, verb, ids)
			}
			if n := len(slices.Compact(slices.Clone(ids))); n != rows {
				t.Errorf("step %d: %s names %d rows, want %d", i, verb, n, rows)
			}
		}
	}
}

var people = &transactional.Table{
	Name: "people", Columns: []transactional.Column{{Name: "email", Type: transactional.Text}}, Unique: [][]string{{"email"}},
}

// D6: rows of other keys, in whatever order, meet in the index of a unique
// column. Nothing that the order of keys could do prevents that deadlock; the
// unit runs again.
func TestDeadlockThroughAUniqueValue_D6(t *testing.T) {
	s, name, store := fresh(t, nil, people)
	status := func(variable string) (n int) {
		t.Helper()
		const query = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = ?"
		if err := s.root.QueryRow(query, variable).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	other, err := s.pool(t, name, "").Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Rollback()
	insert := func(id, email string) {
		t.Helper()
		query := "INSERT INTO " + store.Name(people) + " (id, version, tie, deleted, email) VALUES (?, 1, 0, 0, ?)"
		if _, err := other.Exec(query, id, email); err != nil {
			t.Fatalf("the other transaction goes on, or nothing is proved: %v", err)
		}
	}
	for i := range 50 { // the server ends the transaction that has less to undo
		insert(fmt.Sprintf("z%d", i), fmt.Sprintf("z%d", i))
	}
	insert("y1", "second")
	deadlocks := status("INNODB_DEADLOCKS")
	done := make(chan error, 1)
	go func() {
		u := &transactional.Unit{}
		for id, email := range map[string]string{"a1": "first", "a2": "second"} {
			u.Writes = append(u.Writes, transactional.Write{Table: people, Row: transactional.Row{
				ID: id, Stamp: transactional.Stamp{Version: 1}, Values: []any{email},
			}})
		}
		_, err := store.Apply(context.Background(), u)
		done <- err
	}()
	eventually(t, 10*time.Second, "the unit waits for the other transaction's value", func() bool {
		return status("INNODB_ROW_LOCK_CURRENT_WAITS") > 0
	})
	insert("y2", "first") // which the unit has written
	if n := status("INNODB_DEADLOCKS") - deadlocks; n == 0 {
		t.Fatal("there was no deadlock, so nothing is proved")
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("a unit that deadlocked is run again: %v", err)
	}
	got, err := store.Read(t.Context(), people, "a1", "a2")
	if err != nil || len(got) != 2 {
		t.Errorf("%d of its rows are there, want both: %v", len(got), err)
	}
}
