package embedded_test

import (
	"context"
	"testing"

	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
	"github.com/fourfold-dev/fourfold/transactional/transactionaltest"
)

func source(b *testing.B) transactional.Source { return embedded.Dir(b.TempDir(), nil) }

func Benchmark(b *testing.B) { transactionaltest.Bench(b, source) }

// BenchmarkRaw is what to compare with: the two inserts of a unit by hand, in
// groups of 64, without a version guard and with nobody waiting for them.
func BenchmarkRaw(b *testing.B) {
	store, err := transactional.Open(b.Context(), source(b), nil)
	if err != nil {
		b.Fatal(err)
	}
	schema := store.Schema(transactionaltest.BenchTable)
	store.Close()
	file, err := sqlitefile.Open(b.Context(), b.TempDir(), sqlitefile.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	ctx := context.Background()
	write := func(unit func(sqlitefile.Conn) error) {
		if err := file.Write(ctx, unit); err != nil {
			b.Fatal(err)
		}
	}
	write(func(c sqlitefile.Conn) error {
		for _, text := range schema {
			if _, err := c.Exec(ctx, text); err != nil {
				return err
			}
		}
		return nil
	})
	b.ResetTimer()
	for i := int64(0); i < int64(b.N); i += 64 {
		write(func(c sqlitefile.Conn) error {
			for n := i; n < i+64; n++ {
				if err := rawInserts(ctx, c, n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "units/s")
}

func rawInserts(ctx context.Context, c sqlitefile.Conn, n int64) error {
	u := transactionaltest.BenchUnit(n)
	row, r := u.Writes[0].Row, u.Add[0]
	_, err := c.Exec(ctx, `INSERT INTO ff_checkins (id, version, tie, deleted, user, venue, at, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		row.ID, n, int64(0), int64(0), row.Values[0], row.Values[1], n, row.Values[3])
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, `INSERT INTO ff_outbox (id, state, queue, sort, kind, okey, lane, priority, accepted, progress, body) VALUES (?, 0, ?, 1, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID[:], r.Lane, r.Kind, r.Key, r.Lane, int64(1), n, r.Progress, r.Body)
	return err
}
