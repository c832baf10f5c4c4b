package transactionaltest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// calls are all operations of a store, for what holds of each.
func calls(e *env, s *transactional.Store) map[string]func(context.Context) error {
	id := e.id()
	return map[string]func(context.Context) error{
		"Apply": func(ctx context.Context) error { _, err := s.Apply(ctx, writes(thing("x", 1, 1, newest))); return err },
		"Tx": func(ctx context.Context) error {
			return s.Tx(ctx, func(context.Context, *transactional.Tx) error { return nil })
		},
		"Join":         func(ctx context.Context) error { _, err := s.Join(ctx, nil); return err },
		"Prepare":      func(ctx context.Context) error { return s.Prepare(ctx, things) },
		"CreateSchema": func(ctx context.Context) error { return s.CreateSchema(ctx, things) },
		"Read":         func(ctx context.Context) error { _, err := s.Read(ctx, things, "x"); return err },
		"Scan":         func(ctx context.Context) error { _, _, err := s.Scan(ctx, things, transactional.Filter{}); return err },
		"Claim": func(ctx context.Context) error {
			_, err := s.Claim(ctx, transactional.ClaimRequest{Lanes: []string{"l"}, Max: 1, Owner: 1, Lease: 1000})
			return err
		},
		"ClaimByID":   func(ctx context.Context) error { _, err := s.ClaimByID(ctx, 1, 1000, id); return err },
		"Urgent":      func(ctx context.Context) error { _, _, err := s.Urgent(ctx, []string{"l"}); return err },
		"Extend":      func(ctx context.Context) error { return s.Extend(ctx, 1, 1000, id)[0] },
		"Blocked":     func(ctx context.Context) error { _, err := s.Blocked(ctx, id, []transactional.Order{{}}); return err },
		"Find":        func(ctx context.Context) error { _, _, err := s.Find(ctx, id); return err },
		"Walk":        func(ctx context.Context) error { return s.Walk(ctx, func(transactional.Record) bool { return true }) },
		"Sweep":       func(ctx context.Context) error { _, err := s.Sweep(ctx); return err },
		"Recover":     func(ctx context.Context) error { _, err := s.Recover(ctx); return err },
		"DeadLetters": func(ctx context.Context) error { _, err := s.DeadLetters(ctx, transactional.DeadFilter{}); return err },
		"OldestDead":  func(ctx context.Context) error { _, err := s.OldestDead(ctx); return err },
		"CountDead":   func(ctx context.Context) error { _, err := s.CountDead(ctx); return err },
		"Raise":       func(ctx context.Context) error { _, err := s.Raise(ctx, "n", 1); return err },
		"Clock":       func(ctx context.Context) error { _, err := s.Clock(ctx); return err },
		"PurgeTombstones": func(ctx context.Context) error {
			_, err := s.PurgeTombstones(ctx, things, 1)
			return err
		},
	}
}

func testLife(t *testing.T, h Harness) {
	h.run(t, "Closed", testLifeClosed)
	h.run(t, "Cancelled", testLifeCancelled)
	h.run(t, "During", testCancelledDuring)
	h.run(t, "After", func(e *env) {
		ctx, cancel := context.WithCancel(e.Context())
		_, err := e.store.Apply(ctx, writes(thing("a", 1, 1, insert)))
		cancel()
		e.nil("apply", err)
		e.holds("a context that ends after the call changes nothing", "a", 1, 1)
	})
	h.run(t, "Two", testLifeTwo)
	h.run(t, "Stress", testLifeStress)
	h.run(t, "CloseUnderLoad", testLifeCloseUnderLoad)
	h.run(t, "Check", func(e *env) {
		r := e.store.Check(e.Context())
		f := e.store.Features()
		if !r.OK() || r.Purpose != "transactional" || r.Driver != f.Name || r.Version == "" || r.Durability != f.Durability {
			e.Errorf("a store that works reports so: %+v", r)
		}
	})
}

func testLifeClosed(e *env) {
	s := e.again(nil)
	for range 2 {
		e.nil("closing twice is fine", s.Close())
	}
	for name, call := range calls(e, s) {
		e.class("use after Close is ErrClosed: "+name, call(e.Context()), fault.ErrClosed)
	}
	if r := s.Check(e.Context()); r.OK() || r.Class != fault.ErrClosed {
		e.Errorf("a closed store reports that it is not well, and why: %v", r)
	}
	e.must(writes(thing("a", 1, 1, insert)))
	e.holds("another opening goes on", "a", 1, 1)
}

func testLifeCancelled(e *env) {
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	for name, call := range calls(e, e.store) {
		if name == "Join" || name == "CreateSchema" {
			continue
		}
		if err := call(ctx); !errors.Is(err, context.Canceled) || fault.Unknown(err) {
			e.Errorf("a call whose context has ended does nothing and says so: %s: %v", name, err)
		}
	}
	e.lacks("and nothing is written", "x")
}

func testLifeTwo(e *env) {
	other := e.on(e.T)
	other.store = e.again(nil)
	e.must(writes(thing("a", 1, 1, insert)))
	other.holds("two openings see each other", "a", 1, 1)
	other.must(writes(thing("a", 2, 2, newest)))
	e.same("two openings agree on who is newest", e.must(writes(thing("a", 1, 3, newest))).Superseded, []bool{true})
	namesake, err := transactional.Open(e.Context(), e.src, &transactional.Options{Namespace: "other"})
	e.nil("open", err)
	defer namesake.Close()
	if !namesake.Features().OwnsSchema {
		e.nil("create schema", namesake.CreateSchema(e.Context(), things))
	}
	rows, err := namesake.Read(e.Context(), things, "a")
	e.nil("read", err)
	e.same("two namespaces never meet", len(rows), 0)
}

func testLifeStress(e *env) {
	times := 5
	if e.h.Full {
		times = 50
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range times {
				s, err := transactional.Open(background(), e.src, nil)
				if err != nil {
					e.Error(err)
					return
				}
				_, err = s.Apply(background(), writes(thing("a", 1, 1, newest)))
				if err = errors.Join(err, s.Close()); err != nil {
					e.Errorf("opening and closing concurrently: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func testLifeCloseUnderLoad(e *env) {
	s := e.again(nil)
	var wg sync.WaitGroup
	started := make(chan struct{}, 16)
	for range 16 {
		wg.Go(func() {
			for i := int64(1); ; i++ {
				_, err := s.Apply(background(), writes(thing("a", i, i, newest)))
				if i == 2 {
					started <- struct{}{}
				}
				if err != nil {
					e.class("whoever comes after Close is told ErrClosed", err, fault.ErrClosed)
					return
				}
			}
		})
	}
	for range 16 {
		<-started
	}
	e.nil("close", s.Close())
	wg.Wait()
}

// testCancelledDuring lets callers leave while somebody else keeps what they
// need.
func testCancelledDuring(e *env) {
	e.must(writes(thing("a", 1, 1, insert)))
	holding, release, over := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		over <- e.store.Tx(background(), func(ctx context.Context, tx *transactional.Tx) error {
			_, err := tx.Read(ctx, things, "a")
			close(holding)
			<-release
			return err
		})
	}()
	<-holding
	before := time.Now()
	ctx, cancel := context.WithTimeout(e.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := e.store.Apply(ctx, writes(thing("a", 2, 2, newest)))
	if err == nil {
		e.Error("a row that a transaction holds cannot be written")
	} else if !errors.Is(err, context.DeadlineExceeded) {
		e.Errorf("a caller that leaves gets its context's error: %v", err)
	}
	if took := time.Since(before); took > 2*time.Second {
		e.Errorf("a call obeys its context: it took %v", took)
	}
	close(release)
	e.nil("tx", <-over)
	e.must(writes(thing("a", 3, 3, newest)))
	e.holds("afterwards all is well", "a", 3, 3)
}

func testSchema(t *testing.T, h Harness) {
	h.run(t, "Grows", testSchemaGrows)
	h.run(t, "Missing", testSchemaMissing)
	h.run(t, "InTx", testSchemaInTx)
}

func testSchemaGrows(e *env) {
	old := &transactional.Table{Name: "growing", Columns: []transactional.Column{{Name: "a", Type: transactional.Int}}}
	grown := &transactional.Table{
		Name:    "growing",
		Columns: []transactional.Column{{Name: "a", Type: transactional.Int}, {Name: "b", Type: transactional.Text}, {Name: "c", Type: transactional.Bytes}},
		Unique:  [][]string{{"b"}}, Index: [][]string{{"a", "b"}},
	}
	row := func(table *transactional.Table, id string, version int64, values ...any) *transactional.Unit {
		return writes(transactional.Write{Table: table, Row: transactional.Row{ID: id, Stamp: transactional.Stamp{Version: version}, Values: values}})
	}
	e.nil("create", e.store.CreateSchema(e.Context(), old))
	e.must(row(old, "x", 1, int64(1)))
	for range 2 {
		e.nil("creating what is there adds what is missing", e.store.CreateSchema(e.Context(), grown))
	}
	e.same("rows that are there stay", e.row(grown, "x").Values, []any{int64(1), nil, nil})
	e.must(row(grown, "x", 2, int64(2), "b", []byte("c")))
	e.fails("new indexes hold", row(grown, "y", 1, nil, "b", nil), fault.ErrExists)
	e.must(row(old, "x", 3, int64(3)))
	e.same("the old program goes on", e.row(grown, "x").Values, []any{int64(3), "b", []byte("c")})
	e.nil("nothing is ever dropped", e.store.CreateSchema(e.Context(), old))
	e.same("nothing is ever dropped", e.row(grown, "x").Values, []any{int64(3), "b", []byte("c")})
	if n := len(e.store.Schema(grown)); n < 7 {
		e.Errorf("Schema returns the statements for the outbox and the tables: %d", n)
	}
}

func testSchemaMissing(e *env) {
	missing := &transactional.Table{Name: "missing", Columns: []transactional.Column{{Name: "a", Type: transactional.Int}}}
	w := transactional.Write{Table: missing, Row: transactional.Row{ID: "x", Stamp: transactional.Stamp{Version: 1}, Values: []any{int64(1)}}}
	if e.store.Features().OwnsSchema {
		e.nil("prepare", e.store.Prepare(e.Context(), missing))
		e.must(writes(w))
		e.same("a table is created when it is first used", e.row(missing, "x").Values, []any{int64(1)})
		return
	}
	e.nil("preparing a table that is missing is no error yet", e.store.Prepare(e.Context(), missing))
	r := e.store.Check(e.Context())
	if r.OK() || !strings.Contains(strings.Join(r.Problems, " "), "missing") {
		e.Errorf("Check reports missing tables with the statement that mends them: %v", r)
	}
	_, errs := e.together([]*transactional.Unit{writes(w), writes(thing("beside", 1, 1, newest)), writes(thing("beside2", 1, 1, newest))})
	e.class("using a table that is missing is ErrMisconfigured", errs[0], fault.ErrMisconfigured)
	var schema *transactional.SchemaError
	if !errors.As(errs[0], &schema) || len(schema.Statements) != 1 || !strings.Contains(schema.Error(), "CREATE TABLE") {
		e.Fatalf("with the statement that mends it: %v", errs[0])
	}
	e.nil("others in the group go on", errors.Join(errs[1:]...))
	e.nil("the statement mends it", e.store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error {
		_, err := tx.Exec(ctx, schema.Statements[0])
		return err
	}))
	e.must(writes(w))
	if r := e.store.Check(e.Context()); !r.OK() {
		e.Errorf("then Check is content: %v", r)
	}
}

func testSchemaInTx(e *env) {
	fresh := &transactional.Table{Name: "fresh", Columns: []transactional.Column{{Name: "a", Type: transactional.Int}}}
	if !e.store.Features().OwnsSchema {
		e.Skip("lacks: tables are created at first use (Features.OwnsSchema)")
	}
	w := transactional.Write{Table: fresh, Row: transactional.Row{ID: "x", Stamp: transactional.Stamp{Version: 1}, Values: []any{int64(1)}}}
	err := e.store.Tx(e.Context(), func(ctx context.Context, tx *transactional.Tx) error {
		_, err := tx.Apply(ctx, writes(w))
		return errors.Join(err, errOwn)
	})
	e.same("tx", errors.Is(err, errOwn), true)
	e.must(writes(w))
	e.same("a table that a rolled-back transaction created is created again", e.row(fresh, "x").Values, []any{int64(1)})
}
