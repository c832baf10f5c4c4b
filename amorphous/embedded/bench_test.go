package embedded_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/embedded"
)

const benchBody = 200

func benchStore(b *testing.B) *amorphous.Store {
	b.Helper()
	store, err := amorphous.Open(b.Context(), embedded.Dir(b.TempDir(), nil), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { store.Close() })
	return store
}

// benchRows are n rows in random ones of 5,000 partitions, as an inbox gets them.
func benchRows(random *rand.Rand, from, n int) []amorphous.Row {
	rows := make([]amorphous.Row, n)
	for i := range rows {
		body := make([]byte, benchBody)
		copy(body, `{"x":"`)
		rows[i] = amorphous.Row{
			Partition: fmt.Sprintf("user-%d", random.IntN(5000)), Order: binary.BigEndian.AppendUint64(nil, uint64(from+i)),
			ID: fmt.Sprintf("c%d", from+i), Shape: 1, Stamp: amorphous.Stamp{Version: int64(from + i + 1), Tie: 1}, Body: body,
		}
	}
	return rows
}

var batches = []int{1, 16, 64, 441}

func BenchmarkWrite(b *testing.B) {
	for _, placed := range []bool{false, true} {
		for _, size := range batches {
			for _, callers := range []int{1, 8} {
				b.Run(fmt.Sprintf("placed=%v/batch=%d/callers=%d", placed, size, callers), func(b *testing.B) {
					benchWrite(b, amorphous.Table{Name: "bench", Placed: placed}, size, callers)
				})
			}
		}
	}
}

func benchWrite(b *testing.B, table amorphous.Table, size, callers int) {
	store := benchStore(b)
	random := rand.New(rand.NewPCG(1, 2))
	calls := make([][]amorphous.Row, b.N)
	for i := range calls {
		calls[i] = benchRows(random, i*size, size)
	}
	next := make(chan []amorphous.Row, b.N)
	for _, rows := range calls {
		next <- rows
	}
	close(next)
	b.ReportAllocs()
	b.ResetTimer()
	done := make(chan error)
	for range callers {
		go func() {
			for rows := range next {
				for _, err := range store.Write(context.Background(), table, rows...) {
					if err != nil {
						done <- err
						return
					}
				}
			}
			done <- nil
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkRaw is what one would write by hand: the same rows into the same
// table, one transaction with multi-row inserts per batch, through
// database/sql. A batch is what eight callers bring at the same time in
// BenchmarkWrite, or one.
func BenchmarkRaw(b *testing.B) {
	for _, size := range batches {
		for _, callers := range []int{1, 8} {
			b.Run(fmt.Sprintf("batch=%d/callers=%d", size, callers), func(b *testing.B) { benchRaw(b, size, callers) })
		}
	}
}

func benchRaw(b *testing.B, size, callers int) {
	insert := rawInsert(b)
	random := rand.New(rand.NewPCG(1, 2))
	group := size * callers
	groups := (b.N + callers - 1) / callers
	calls := make([][]amorphous.Row, groups)
	for i := range calls {
		calls[i] = benchRows(random, i*group, group)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, rows := range calls {
		if err := insert(rows); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(groups*group)/b.Elapsed().Seconds(), "rows/s")
}

// openRaw opens a SQLite file of one connection, with this table.
func openRaw(b *testing.B, table string) *sql.DB {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "x.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate&_pragma=cache_size(-65536)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(table); err != nil {
		b.Fatal(err)
	}
	return db
}

// rawInsert returns what inserts a group of rows by hand, in one transaction of
// multi-row statements.
func rawInsert(b *testing.B) func(rows []amorphous.Row) error {
	db := openRaw(b, "CREATE TABLE b (part TEXT NOT NULL, ord BLOB NOT NULL, id TEXT NOT NULL, shape INTEGER NOT NULL, version INTEGER NOT NULL, tie INTEGER NOT NULL, expires INTEGER, body BLOB NOT NULL, PRIMARY KEY (part, ord, id, shape)) WITHOUT ROWID")
	const most = 64
	conn, err := db.Conn(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	ctx := context.Background()
	statements := map[int]*sql.Stmt{}
	prepare := func(n int) (stmt *sql.Stmt, err error) {
		if statements[n] == nil {
			statements[n], err = conn.PrepareContext(ctx, "INSERT INTO b VALUES (?,?,?,?,?,?,?,?)"+strings.Repeat(",(?,?,?,?,?,?,?,?)", n-1))
		}
		return statements[n], err
	}
	return func(rows []amorphous.Row) error {
		if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
			return err
		}
		for len(rows) > 0 {
			n := min(len(rows), most)
			stmt, err := prepare(n)
			if err != nil {
				return err
			}
			args := make([]any, 0, 8*n)
			for _, r := range rows[:n] {
				args = append(args, r.Partition, r.Order, r.ID, int64(r.Shape), r.Stamp.Version, int64(r.Stamp.Tie), nil, r.Body)
			}
			if _, err := stmt.Exec(args...); err != nil {
				return err
			}
			rows = rows[n:]
		}
		_, err := conn.ExecContext(ctx, "COMMIT")
		return err
	}
}

// BenchmarkScanNewest reads the first 20 rows of a partition in a table of n.
func BenchmarkScanNewest(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			if n > 10_000 && testing.Short() {
				b.Skip("skipped by -short")
			}
			store := benchStore(b)
			table := amorphous.Table{Name: "bench"}
			random := rand.New(rand.NewPCG(1, 2))
			for from := 0; from < n; from += 5000 {
				for _, err := range store.Write(b.Context(), table, benchRows(random, from, 5000)...) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				page, err := store.Scan(b.Context(), table, amorphous.Range{Partition: fmt.Sprintf("user-%d", random.IntN(5000)), Reverse: true, Limit: 20})
				if err != nil || len(page.Rows) > 20 {
					b.Fatal(err)
				}
			}
		})
	}
}

type inboxRow struct {
	ID    string `persistence:"key"`
	To    string
	From  string
	Venue string
	At    int64
}

// BenchmarkCollection writes a fan-out the way a program does.
func BenchmarkCollection(b *testing.B) {
	for _, size := range batches {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			inbox, err := amorphous.NewCollection[inboxRow](benchStore(b), "inbox", &amorphous.Layout{PartitionBy: "To", Newest: "At", Copies: true})
			if err != nil {
				b.Fatal(err)
			}
			random := rand.New(rand.NewPCG(1, 2))
			objs := make([]inboxRow, size)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				for j := range objs {
					objs[j] = inboxRow{ID: fmt.Sprintf("c%d", i), To: fmt.Sprintf("user-%d", random.IntN(5000)), From: "user-1", Venue: "the pier at the end", At: int64(i)}
				}
				if err := inbox.PutAt(b.Context(), amorphous.Stamp{Version: int64(i + 1)}, objs...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
