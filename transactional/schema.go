package transactional

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A SchemaError says that tables or columns are missing, and how to mend that.
// It is fault.ErrMisconfigured.
type SchemaError struct {
	Statements []string // that add what is missing
	Err        error    // the driver's; may be nil
}

// Error names the first statements, and what the driver said.
func (e *SchemaError) Error() string {
	const most = 2
	s := "tables or columns are missing; create them with CreateSchema, or by: " + strings.Join(e.Statements[:min(most, len(e.Statements))], "; ")
	if more := len(e.Statements) - most; more > 0 {
		s += fmt.Sprintf("; and %d more, which Schema returns", more)
	}
	if e.Err != nil {
		s = e.Err.Error() + ": " + s
	}
	return s
}

// Unwrap shows the class and the driver's error.
func (e *SchemaError) Unwrap() []error {
	if e.Err == nil {
		return []error{fault.ErrMisconfigured}
	}
	return []error{fault.ErrMisconfigured, e.Err}
}

// Prepare makes known that tables will be used: created at once where the
// driver owns its schema, and given the columns and indexes that they lack.
// Elsewhere it only checks the declarations; a missing table is a SchemaError
// at first use, and Check reports it. A Table is declared once and not changed
// afterwards.
func (s *Store) Prepare(ctx context.Context, tables ...*Table) error {
	if err := s.open(ctx); err != nil {
		return s.locate(err, "prepare", nil, "")
	}
	for _, t := range tables {
		if _, err := s.plan(ctx, t); err != nil {
			return s.locate(err, "prepare", t, "")
		}
	}
	return nil
}

// plan returns the plan of a table, and creates the table where that is ours.
func (s *Store) plan(ctx context.Context, t *Table) (*plan, error) {
	p, err := s.compiled(t)
	if err != nil || !s.features.OwnsSchema || p.prepared.Load() {
		return p, err
	}
	s.creating.Lock()
	defer s.creating.Unlock()
	if p.prepared.Load() {
		return p, nil
	}
	if err := s.add(ctx, p.definition(s)); err != nil {
		return nil, err
	}
	p.prepared.Store(true)
	return p, nil
}

// compiled returns the plan of a table and asks no database.
func (s *Store) compiled(t *Table) (*plan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.plans[t]; p != nil {
		return p, nil
	}
	p, err := newPlan(s, t)
	if err == nil {
		p.upsert.fine = s.features.SharedLog && len(s.plans) < fineTables
		p.insert.fine = p.upsert.fine
		s.plans[t] = p
	}
	return p, err
}

// createOurs creates the outbox and its companions where that is ours.
func (s *Store) createOurs(ctx context.Context) error {
	s.creating.Lock()
	defer s.creating.Unlock()
	if s.ready.Load() {
		return nil
	}
	definitions, _ := s.definitions(nil)
	if err := s.add(ctx, definitions...); err != nil {
		return err
	}
	s.ready.Store(true)
	return nil
}

// Schema returns the statements that create the outbox and the tables, or nil
// when a declaration is faulty. Statements that find their table there change
// nothing.
func (s *Store) Schema(tables ...*Table) []string {
	var out []string
	definitions, err := s.definitions(tables)
	if err != nil {
		return nil
	}
	for _, d := range definitions {
		out = append(out, d.create(&s.dialect)...)
	}
	return out
}

// CreateSchema executes Schema; what is there stays, columns are added.
func (s *Store) CreateSchema(ctx context.Context, tables ...*Table) error {
	if s.closed.Load() {
		return fault.New(fault.ErrClosed, purpose, "create schema", "the store was closed")
	}
	definitions, err := s.definitions(tables)
	if err == nil {
		err = s.add(ctx, definitions...)
	}
	if _, joins := s.driver.(Joiner); joins && err == nil {
		_ = s.learn(ctx) // which the first Join would do
	}
	return s.locate(err, "create schema", nil, "")
}

// definitions are those of our tables and of the user's.
func (s *Store) definitions(tables []*Table) ([]definition, error) {
	var out []definition
	for i := range systemTables {
		out = append(out, systemTables[i].definition(s))
	}
	for _, t := range tables {
		p, err := newPlan(s, t)
		if err != nil {
			return nil, err
		}
		out = append(out, p.definition(s))
	}
	return out, nil
}

// lacking returns the statements that add what a table lacks.
func (s *Store) lacking(ctx context.Context, c Conn, d definition) ([]string, error) {
	columns, err := s.names(ctx, c, s.dialect.Columns, d.name)
	if err != nil {
		return nil, err
	}
	if len(columns) == 0 {
		return d.create(&s.dialect), nil
	}
	indexes, err := s.names(ctx, c, s.dialect.Indexes, d.name)
	if err != nil {
		return nil, err
	}
	var out []string
	q := s.dialect.Quote
	for _, col := range d.columns {
		if !slices.ContainsFunc(columns, func(have string) bool { return strings.EqualFold(have, col[0]) }) {
			out = append(out, "ALTER TABLE "+q(d.name)+" ADD COLUMN "+q(col[0])+" "+col[1])
		}
	}
	for _, i := range d.indexes {
		if !slices.ContainsFunc(indexes, func(have string) bool { return strings.EqualFold(have, i.name) }) {
			out = append(out, i.create(q, d.name, false))
		}
	}
	return out, nil
}

func (s *Store) names(ctx context.Context, c Conn, query, table string) ([]string, error) {
	var out []string
	err := c.Query(ctx, query, []any{table}, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		out = append(out, name)
		return err
	})
	return out, err
}

// add creates tables and whatever they lack. It looks first, so that a
// program whose tables are there does not wait for whoever writes.
func (s *Store) add(ctx context.Context, definitions ...definition) error {
	missing := false
	err := s.view(ctx, func(c Conn) error {
		missing = false
		for _, d := range definitions {
			statements, err := s.lacking(ctx, c, d)
			if err != nil {
				return err
			}
			missing = missing || len(statements) > 0
		}
		return nil
	})
	if err != nil || !missing {
		return err
	}
	return s.run(ctx, func(ctx context.Context, c Conn) error { return s.addWith(ctx, c, definitions) })
}

func (s *Store) addWith(ctx context.Context, c Conn, definitions []definition) error {
	for _, d := range definitions {
		statements, err := s.lacking(ctx, c, d)
		if err != nil {
			return err
		}
		for _, text := range statements {
			if _, err := c.Exec(ctx, text); err != nil {
				return schemaFailure(err, text)
			}
		}
	}
	return nil
}

// schemaFailure tells which statement the database refused: rows that are
// there may stand against a new unique index.
func schemaFailure(err error, text string) error {
	if errors.Is(err, fault.ErrExists) {
		return &fault.Error{Op: "create schema", Store: purpose, Class: fault.ErrMisconfigured,
			Err: errors.New("rows that are there collide: " + text)}
	}
	return err
}

// explain adds the whereabouts to an error, and what is missing to one that
// comes from a missing table.
func (s *Store) explain(ctx context.Context, err error, op string, p *plan) error {
	if err == nil {
		return nil
	}
	var table *Table
	var plans []*plan
	if p != nil {
		table, plans = p.table, []*plan{p}
	}
	return s.explainAll(ctx, s.locate(err, op, table, ""), plans)
}

func (s *Store) explainAll(ctx context.Context, err error, plans []*plan) error {
	var known *SchemaError
	if !errors.Is(err, fault.ErrMisconfigured) || errors.As(err, &known) {
		return err
	}
	missing := s.missing(ctx, plans)
	if len(missing) == 0 {
		return err
	}
	return &SchemaError{Statements: missing, Err: err}
}

// missing returns the statements that mend the schema, for our own tables and
// those of the plans; nil when nothing is missing or nobody can tell.
func (s *Store) missing(ctx context.Context, plans []*plan) []string {
	var out []string
	all, _ := s.definitions(nil)
	for _, p := range plans {
		all = append(all, p.definition(s))
	}
	err := s.view(ctx, func(c Conn) error {
		out = nil
		for _, d := range all {
			statements, err := s.lacking(ctx, c, d)
			if err != nil {
				return err
			}
			out = append(out, statements...)
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return out
}

// Check reports health, including missing tables with the statement that
// mends them.
func (s *Store) Check(ctx context.Context) fault.Report {
	if s.closed.Load() {
		return fault.Report{Purpose: purpose, Driver: s.features.Name, Class: fault.ErrClosed, Problems: []string{"the store is closed; open a new one"}}
	}
	r := s.driver.Check(ctx)
	if !r.Reachable || s.features.OwnsSchema {
		return r
	}
	s.mu.Lock()
	plans := make([]*plan, 0, len(s.plans))
	for _, p := range s.plans {
		plans = append(plans, p)
	}
	s.mu.Unlock()
	slices.SortFunc(plans, func(a, b *plan) int { return strings.Compare(a.physical, b.physical) })
	for _, text := range s.missing(ctx, plans) {
		r.Problems = append(r.Problems, "the schema lacks something; run: "+text)
	}
	return r
}
