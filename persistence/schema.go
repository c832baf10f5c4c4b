package persistence

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// Schema returns the statements that create the tables of the layer and of all
// declared kinds, for a DBA or a migration: those of the transactional store,
// then those of the amorphous one, each under a comment that says whose it is.
// They only ever add, and may be run again.
func (l *Layer) Schema() []string {
	var out []string
	rows, cells := l.tables()
	if l.rows != nil {
		out = appendSchema(out, "transactional", l.rows.Features().Name, l.rows.Schema(rows...))
	}
	if l.cells != nil {
		out = appendSchema(out, "amorphous", l.cells.Features().Name, l.cells.Schema(cells...))
	}
	return out
}

func appendSchema(out []string, purpose, driver string, statements []string) []string {
	for _, s := range statements {
		out = append(out, "-- "+purpose+" ("+driver+")\n"+strings.TrimSpace(s))
	}
	return out
}

// CreateSchema executes Schema on both stores. What is there stays, missing
// tables and columns are added. A store that cannot be reached does not keep
// the other from being prepared.
func (l *Layer) CreateSchema(ctx context.Context) error {
	if err := l.open("create schema"); err != nil {
		return err
	}
	var first, second error
	for _, k := range l.declared() {
		for _, t := range k.tasks {
			_, _ = l.bookOf(ctx, k, t) // what cannot be told yet is what the plan says
		}
	}
	rows, cells := l.tables()
	if l.rows != nil {
		first = l.rows.CreateSchema(ctx, rows...)
	}
	if l.cells != nil {
		second = l.cells.CreateSchema(ctx, cells...)
	}
	l.lookAtLayouts(ctx)
	return errors.Join(first, second)
}

// tables lists the tables of all declared kinds, and of the layer itself.
func (l *Layer) tables() (rows []*transactional.Table, cells []amorphous.Table) {
	for _, k := range l.declared() {
		r, c := k.tables()
		rows, cells = append(rows, r...), append(cells, c...)
	}
	switch l.debtBook().(type) {
	case rowBook:
		rows = append(rows, debtRows)
	case cellBook:
		cells = append(cells, debtCells)
	}
	if l.rows != nil {
		return append(rows, positionRows), cells
	}
	return rows, append(cells, positionCells, graves)
}

// tables lists the tables of one kind.
func (k *kind) tables() (rows []*transactional.Table, cells []amorphous.Table) {
	for _, t := range k.tasks {
		switch t.write {
		case writeRow:
			rows = append(rows, t.row)
		case writeCell:
			cells = append(cells, t.table())
			if t.bucket > 0 {
				cells = append(cells, t.bucketTable())
			}
		case writeCount:
			cells = append(cells, t.count.counter.Tables()...)
		case writeDerived:
			cells = append(cells, t.derive.rows.Tables()...)
		}
	}
	return rows, cells
}

// Check asks all stores of the layer for their health, side by side, and
// returns their reports by purpose: transitory, volatile, transactional,
// amorphous. A store that the layer does not have has no report. Missing
// tables of declared kinds are among the problems, with the statement that
// mends them, and so are kinds that hold something as a former declaration had
// it, with the call that mends that: see the package's "Changed layouts". Such a
// store is Reachable and not OK, and what a readiness probe asks is the former.
//
// After Close none is reachable, and the Class of each report is fault.ErrClosed.
func (l *Layer) Check(ctx context.Context) []fault.Report {
	var checks []func(context.Context) fault.Report
	if l.queue != nil {
		checks = append(checks, l.queue.Check)
	}
	if l.cache != nil {
		checks = append(checks, l.cache.Check)
	}
	if l.rows != nil {
		checks = append(checks, l.rows.Check)
	}
	if l.cells != nil {
		checks = append(checks, l.cells.Check)
	}
	reports := make([]fault.Report, len(checks))
	var wg sync.WaitGroup
	for i, check := range checks {
		wg.Go(func() { reports[i] = check(ctx) })
	}
	wg.Wait()
	if i := slices.IndexFunc(reports, func(r fault.Report) bool { return r.Purpose == Amorphous.String() && r.Reachable }); i >= 0 {
		reports[i].Problems = append(slices.Clip(reports[i].Problems), l.layoutProblems(ctx)...)
	}
	if l.closed.Load() { // also when it was closed meanwhile
		for i := range reports {
			r := &reports[i]
			r.Reachable, r.Class, r.Problems = false, fault.ErrClosed, []string{"the layer is closed"}
		}
	}
	return reports
}
