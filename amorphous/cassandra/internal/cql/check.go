package cql

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Check implements amorphous.Checker.
func (d *Driver) Check(ctx context.Context) fault.Report {
	report := fault.Report{Purpose: "amorphous", Driver: "cassandra", Address: d.opts.Address, Durability: fault.Replicated, MaxObject: MaxBody}
	start := time.Now()
	versions, err := d.names(ctx, Statement{Text: "SELECT release_version FROM system.local"})
	report.Latency = time.Since(start)
	if report.Reachable = err == nil && len(versions) > 0; !report.Reachable {
		report.Problems = append(report.Problems, "it does not tell its version: "+fmt.Sprint(err))
		return report
	}
	report.Version = versions[0]
	if problem := versionProblem(report.Version); problem != "" {
		report.Problems = append(report.Problems, problem)
	}
	found, err := d.names(ctx, Statement{"SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?", []any{d.opts.Keyspace}})
	switch {
	case err != nil:
		report.Problems = append(report.Problems, "it does not tell its keyspaces: "+err.Error())
	case len(found) == 0:
		report.Problems = append(report.Problems, MissingKeyspace(d.opts.Keyspace).Error())
	default:
		report.Problems = append(report.Problems, d.lacking(ctx)...)
	}
	return report
}

// lacking says which tables are missing of those that were prepared or used,
// with the statements that create them.
func (d *Driver) lacking(ctx context.Context) (problems []string) {
	found, err := d.names(ctx, Statement{"SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?", []any{d.opts.Keyspace}})
	if err != nil {
		return []string{"it does not tell its tables: " + err.Error()}
	}
	d.mu.RLock()
	tables := slices.SortedFunc(maps.Values(d.tables), func(a, b *table) int { return strings.Compare(a.cells, b.cells) })
	d.mu.RUnlock()
	for _, t := range tables {
		for _, statement := range t.schema() {
			// A statement names its table second, after the keyspace: "k"."t"
			_, rest, _ := strings.Cut(statement, `"."`)
			name, _, _ := strings.Cut(rest, `"`)
			if !slices.Contains(found, name) {
				problems = append(problems, "the schema lacks a table; run: "+statement)
			}
		}
	}
	return problems
}

// Listed implements amorphous.Lister.
func (d *Driver) Listed(ctx context.Context, t amorphous.Table) (bool, error) {
	found, err := d.names(ctx, Statement{"SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?",
		[]any{d.opts.Keyspace, listName(t.Name)}})
	return len(found) > 0, err
}

// names reads the first column of a statement's rows.
func (d *Driver) names(ctx context.Context, st Statement) (names []string, err error) {
	err = d.query(ctx, func(ctx context.Context, s Session) error {
		names = nil
		return s.Each(ctx, One, st, fetchRows, func(scan func(dest ...any) error) error {
			var name string
			err := scan(&name)
			names = append(names, name)
			return err
		})
	})
	return names, err
}

// oldest is the first version that the store works on: what came before is no
// longer mended by those who make it, and orders its schema changes otherwise.
const oldest = 4

func versionProblem(version string) string {
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < oldest {
		return fmt.Sprintf("the server is Cassandra %s; %d.0 or newer is needed", version, oldest)
	}
	return ""
}
