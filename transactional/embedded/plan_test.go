package embedded_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
)

// A spyDriver notes the texts of all statements, so that the plans of exactly
// those that run can be looked at.
type spyDriver struct {
	transactional.Driver
	seen map[string][]any
}

type spyConn struct {
	transactional.Conn
	seen map[string][]any
}

func (d *spyDriver) Run(ctx context.Context, unit func(transactional.Conn) error) error {
	return d.Driver.Run(ctx, func(c transactional.Conn) error { return unit(&spyConn{c, d.seen}) })
}

func (d *spyDriver) View(ctx context.Context, unit func(transactional.Conn) error) error {
	return d.Driver.View(ctx, func(c transactional.Conn) error { return unit(&spyConn{c, d.seen}) })
}

func (c *spyConn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	c.seen[query] = args
	return c.Conn.Exec(ctx, query, args...)
}

func (c *spyConn) Query(ctx context.Context, query string, args []any, row func(func(...any) error) error) error {
	c.seen[query] = args
	return c.Conn.Query(ctx, query, args, row)
}

// TestPlans proves that no statement on the outbox walks the table: with a
// backlog of a million a scan would be a second, not a millisecond.
func TestPlans(t *testing.T) {
	driver, err := embedded.Dir(t.TempDir(), nil).OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spy := &spyDriver{driver, map[string][]any{}}
	store, err := transactional.New(spy, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	exercise(t, store)
	checked := 0
	for text, args := range spy.seen {
		if !strings.Contains(text, "ff_") || strings.HasPrefix(text, "CREATE") || strings.HasPrefix(text, "INSERT") {
			continue
		}
		checked++
		var plan []string
		err := driver.View(t.Context(), func(c transactional.Conn) error {
			return c.Query(t.Context(), "EXPLAIN QUERY PLAN "+text, args, func(scan func(...any) error) error {
				var id, parent, unused, detail any
				err := scan(&id, &parent, &unused, &detail)
				plan = append(plan, fmt.Sprint(detail))
				return err
			})
		})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for _, step := range plan {
			scans := strings.HasPrefix(step, "SCAN ff_") && !strings.Contains(step, "INDEX ff_dead_kind")
			sorts := strings.Contains(step, "TEMP B-TREE") && !strings.Contains(text, "UNION ALL")
			if scans || sorts {
				t.Errorf("a statement does not walk its index alone:\n%s\n%s", text, strings.Join(plan, "\n"))
				break
			}
		}
	}
	if checked < 15 {
		t.Fatalf("only %d statements were looked at", checked)
	}
}

// exercise runs everything that the outbox offers.
func exercise(t *testing.T, s *transactional.Store) {
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	lanes := []string{"a", "b", "c"}
	orders := []transactional.Order{{Task: "t", Key: "k"}}
	var u transactional.Unit
	for n := range int64(3) {
		u.Add = append(u.Add, transactional.Record{ID: crashID(n + 1), Kind: "k", Lane: "a", Orders: orders, Token: fmt.Sprint(n), Remember: 1})
	}
	u.Bury = []transactional.DeadLetter{{ID: "d", Kind: "k", Task: "t"}}
	u.Writes = crashUnit(1).Writes
	_, err := s.Apply(ctx, &u)
	must(err)
	records, err := s.Claim(ctx, transactional.ClaimRequest{Lanes: lanes, Max: 2, Owner: 1, Lease: 1})
	must(err)
	_, err = s.ClaimByID(ctx, 1, 1, crashID(3))
	must(err)
	_, _, err = s.Urgent(ctx, lanes)
	must(err)
	s.Extend(ctx, 1, 1, records[0].ID)
	_, err = s.Blocked(ctx, records[1].ID, orders)
	must(err)
	_, err = s.Apply(ctx, &transactional.Unit{
		Settle: []transactional.Settlement{
			{ID: records[0].ID, Owner: 1, Done: true, Keep: 1},
			{ID: records[1].ID, Owner: 1, Lane: "a", Release: orders},
		},
		Unbury: []string{"d"},
	})
	must(err)
	for range 2 {
		_, err = s.Sweep(ctx)
		must(err)
	}
	if _, _, err = s.Find(ctx, records[0].ID); fault.ClassOf(err) != fault.ErrNotFound {
		must(err)
	}
	_, _, err = s.Find(ctx, records[1].ID)
	must(err)
	must(s.Walk(ctx, func(transactional.Record) bool { return true }))
	_, err = s.DeadLetters(ctx, transactional.DeadFilter{Kind: "k", Task: "t"})
	must(err)
	_, err = s.Recover(ctx)
	must(err)
	_, err = s.Raise(ctx, "n", 1)
	must(err)
}
