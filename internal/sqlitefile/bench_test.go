package sqlitefile

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// upsert returns a multi-row statement and its arguments, for keys that ascend.
func upsert(rows int) string {
	return "INSERT INTO b (k, n, v) VALUES " + strings.TrimSuffix(strings.Repeat("(?, ?, ?),", rows), ",") +
		" ON CONFLICT (k) DO UPDATE SET n = excluded.n, v = excluded.v"
}

func upsertArgs(from int64, rows int, v []byte) []any {
	args := make([]any, 0, 3*rows)
	for i := range rows {
		args = append(args, fmt.Sprintf("key-%012d", from+int64(i)), from, v)
	}
	return args
}

const benchTable = "CREATE TABLE b (k TEXT PRIMARY KEY, n INTEGER, v BLOB) STRICT, WITHOUT ROWID"

func openBench(b *testing.B, opts Options) *File {
	b.Helper()
	f := openTest(b, opts)
	mustWrite(b, f, benchTable)
	return f
}

// benchUnits writes units of rows rows each from callers goroutines.
func benchUnits(b *testing.B, f *File, callers, rows int) {
	var next atomic.Int64
	query, v := upsert(rows), make([]byte, 300)
	ctx := context.Background()
	b.SetParallelism(max(1, callers/2)) // times GOMAXPROCS, which is 2 where this was measured
	b.ReportAllocs()
	b.ResetTimer()
	work := func() {
		from := next.Add(int64(rows)) - int64(rows)
		args := upsertArgs(from, rows, v)
		err := f.Write(ctx, func(c Conn) error {
			_, err := c.Exec(ctx, query, args...)
			return err
		})
		if err != nil {
			b.Error(err)
		}
	}
	if callers == 1 {
		for range b.N {
			work()
		}
	} else {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				work()
			}
		})
	}
	b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkWrite(b *testing.B) {
	for _, relaxed := range []bool{false, true} {
		for _, c := range []struct{ callers, rows int }{{1, 1}, {64, 1}, {256, 1}, {1, 64}, {64, 64}} {
			b.Run(fmt.Sprintf("relaxed=%v/callers=%d/rows=%d", relaxed, c.callers, c.rows), func(b *testing.B) {
				benchUnits(b, openBench(b, Options{Relaxed: relaxed}), c.callers, c.rows)
			})
		}
	}
}

// BenchmarkDatabaseSQL is what one would write by hand: the same rows through
// database/sql, a prepared statement, a transaction per group.
func BenchmarkDatabaseSQL(b *testing.B) {
	for _, c := range []struct{ group, rows int }{{1, 1}, {64, 1}, {1, 64}} {
		b.Run(fmt.Sprintf("group=%d/rows=%d", c.group, c.rows), func(b *testing.B) {
			db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "x.db")+
				"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate&_pragma=cache_size(-65536)")
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			db.SetMaxOpenConns(1)
			if _, err := db.Exec(benchTable); err != nil {
				b.Fatal(err)
			}
			stmt, err := db.Prepare(upsert(c.rows))
			if err != nil {
				b.Fatal(err)
			}
			defer stmt.Close()
			v := make([]byte, 300)
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += c.group {
				tx, err := db.Begin()
				if err != nil {
					b.Fatal(err)
				}
				for i := range c.group {
					if _, err := tx.Stmt(stmt).Exec(upsertArgs(int64((done+i)*c.rows), c.rows, v)...); err != nil {
						b.Fatal(err)
					}
				}
				if err := tx.Commit(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*c.rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	f := openBench(b, Options{})
	mustWrite(b, f, upsert(64), upsertArgs(0, 64, make([]byte, 300))...)
	ctx := b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			err := f.Read(ctx, func(c Conn) error {
				return c.Query(ctx, "SELECT n, v FROM b WHERE k = ?", []any{"key-000000000007"}, func(scan func(...any) error) error {
					var n int64
					var v []byte
					return scan(&n, &v)
				})
			})
			if err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkRandomKeys writes single rows with random keys into a table that is
// larger than the log, where the cost of copying the log shows: it reports how
// long the slowest in a thousand waited.
func BenchmarkRandomKeys(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			f := openBench(b, Options{})
			ctx, query, v := context.Background(), upsert(1), make([]byte, 300)
			put := func() error {
				key := fmt.Sprintf("key-%012d", rand.IntN(1e9))
				return f.Write(ctx, func(c Conn) error {
					_, err := c.Exec(ctx, query, key, 1, v)
					return err
				})
			}
			took := make([]time.Duration, b.N)
			var next atomic.Int64
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
						start := time.Now()
						if err := put(); err != nil {
							b.Error(err)
						}
						took[i] = time.Since(start)
					}
				})
			}
			wg.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(took[b.N*999/1000].Microseconds())/1000, "p99.9-ms")
			b.ReportMetric(float64(took[b.N-1].Microseconds())/1000, "max-ms")
		})
	}
}
