package persistence_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
)

// large makes BenchmarkPutStored fill a store to a million objects first,
// which takes minutes: go test -bench PutStored -large ./persistence
var large = flag.Bool("large", false, "benchmarks with a million stored objects")

// A stored is what the benchmarks of stored objects put: a row in acceptance,
// and a cell by a worker.
type stored struct {
	ID    string `persistence:"key"`
	User  string
	Venue string
	At    time.Time
	Note  string
}

func storedAt(n int) stored {
	return stored{
		ID: fmt.Sprintf("%012d", n), User: fmt.Sprintf("user-%d", n%1000), Venue: "pier",
		At: time.UnixMicro(int64(n)).UTC(), Note: strings.Repeat("a note of some length ", 4),
	}
}

var storedPlan = persistence.Plan[stored]{
	{Name: "row", Purpose: persistence.Transactional},
	{Name: "cell", Purpose: persistence.Amorphous, Priority: 1},
}

func openStored(b *testing.B) (*persistence.Layer, *persistence.Handle[stored]) {
	layer, err := embedded.Open(b.Context(), b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	h := persistence.Declare(layer, "stored", storedPlan)
	ctx, stop := context.WithCancel(context.Background())
	var working sync.WaitGroup
	working.Go(func() { _ = layer.Work(ctx) })
	b.Cleanup(func() { stop(); working.Wait(); layer.Close() })
	return layer, h
}

// putStored puts n objects from a number on, in groups of the same size as the
// raw loop's, and waits until all their tasks are done.
func putStored(b *testing.B, layer *persistence.Layer, h *persistence.Handle[stored], from, n int) {
	for n > 0 {
		objs := make([]stored, 0, storedGroup)
		for ; n > 0 && len(objs) < storedGroup; n-- {
			objs = append(objs, storedAt(from))
			from++
		}
		for _, r := range h.PutAll(b.Context(), objs) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	}
	if _, err := layer.Drain(b.Context()); err != nil {
		b.Fatal(err)
	}
}

const storedGroup = 256

// BenchmarkPutInProcess is a Put with a row and a cell, all tasks done, beside
// a loop by hand over SQLite that writes the same rows into the same tables, and
// one envelope in and out, in groups of the same size. The two take turns, so
// that whatever else the machine does is shared by both.
func BenchmarkPutInProcess(b *testing.B) {
	layer, h := openStored(b)
	db := openRaw(b)
	putStored(b, layer, h, 0, 1)
	var took [2]time.Duration
	b.ResetTimer()
	for from := 0; from < b.N; from += turnPuts {
		n := min(turnPuts, b.N-from)
		start := time.Now()
		putStored(b, layer, h, 1+from, n)
		between := time.Now()
		putRaw(b, db, 1+from, n)
		took[0] += between.Sub(start)
		took[1] += time.Since(between)
	}
	b.ReportMetric(float64(b.N)/took[0].Seconds(), "puts/s")
	b.ReportMetric(float64(b.N)/took[1].Seconds(), "raw/s")
	b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "of-raw")
}

// turnPuts is how many Puts one of the two does before it is the other's turn:
// long beside what a Drain at the end of a turn waits for.
const turnPuts = 16 * storedGroup

// openRaw opens a file with the tables that a layer makes, and one for
// envelopes, as the layer opens its own: what is committed is fsynced, pages and
// cache are as large, and the log is as long when it is copied.
func openRaw(tb testing.TB) *sql.DB {
	dir := tb.TempDir()
	layer, err := embedded.Open(tb.Context(), dir, nil)
	if err != nil {
		tb.Fatal(err)
	}
	persistence.Declare(layer, "stored", storedPlan)
	if err := layer.CreateSchema(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	layer.Close()
	db, err := sql.Open("sqlite", "file:"+dir+"/fourfold.db?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"+
		"&_pragma=cache_size(-32768)&_pragma=wal_autocheckpoint(8000)")
	if err != nil {
		tb.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { db.Close() })
	if _, err := db.Exec("CREATE TABLE envelope (id BLOB PRIMARY KEY, state INTEGER, body BLOB) WITHOUT ROWID"); err != nil {
		tb.Fatal(err)
	}
	return db
}

// putRaw does by hand what n Puts do.
func putRaw(tb testing.TB, db *sql.DB, from, n int) {
	for ; n > 0; n -= storedGroup {
		objs := make([]rawObject, min(n, storedGroup))
		for i := range objs {
			objs[i] = rawAt(tb, from)
			from++
		}
		rawGroup(tb, db, objs)
	}
}

// A rawObject is a stored on its way through the loop by hand.
type rawObject struct {
	stored
	envelope     []byte // its id
	body         []byte
	version, tie int64
}

func rawAt(tb testing.TB, n int) rawObject {
	o := rawObject{stored: storedAt(n), version: time.Now().UnixMicro()}
	hash := fnv.New64a()
	hash.Write([]byte(o.ID))
	o.tie = int64(hash.Sum64())
	o.envelope = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(o.version)), hash.Sum64())
	body, err := json.Marshal(struct {
		ID    string    `json:"id"`
		User  string    `json:"user"`
		Venue string    `json:"venue"`
		At    time.Time `json:"at"`
		Note  string    `json:"note"`
	}(o.stored))
	if err != nil {
		tb.Fatal(err)
	}
	o.body = body
	return o
}

// rawShape stands for the number of the set of properties, which a cell has in
// its key.
const rawShape = int64(0x6ebf9c0d1e4a7d53)

// rawGroup does by hand what a group of Puts does: one commit accepts rows and
// envelopes, one writes the cells, and one takes the envelopes away.
func rawGroup(tb testing.TB, db *sql.DB, objs []rawObject) {
	steps := []struct {
		text string
		args func(o *rawObject) []any
	}{
		{"INSERT INTO ff_stored (id, version, tie, deleted, user, venue, at, note) VALUES (?,?,?,0,?,?,?,?)", func(o *rawObject) []any {
			return []any{o.ID, o.version, o.tie, o.User, o.Venue, o.At.UnixMicro(), o.Note}
		}},
		{"INSERT INTO envelope VALUES (?,1,?)", func(o *rawObject) []any { return []any{o.envelope, o.body} }},
		{"INSERT INTO amorphous$ff_stored__cell (part, ord, id, shape, version, tie, body) VALUES (?,x'',?,?,?,?,?)", func(o *rawObject) []any {
			return []any{o.ID, o.ID, rawShape, o.version, o.tie, o.body}
		}},
		{"DELETE FROM envelope WHERE id = ?", func(o *rawObject) []any { return []any{o.envelope} }},
	}
	for _, commit := range [][2]int{{0, 2}, {2, 3}, {3, 4}} {
		tx, err := db.Begin()
		if err != nil {
			tb.Fatal(err)
		}
		for _, s := range steps[commit[0]:commit[1]] {
			statement, err := tx.Prepare(s.text)
			if err != nil {
				tb.Fatal(err)
			}
			for i := range objs {
				if _, err := statement.Exec(s.args(&objs[i])...); err != nil {
					tb.Fatal(err)
				}
			}
		}
		if err := tx.Commit(); err != nil {
			tb.Fatal(err)
		}
	}
}

// TestRawLoopWritesTheSameRows: what the layer is measured against leaves behind
// what the layer leaves, but for the values of stamps.
func TestRawLoopWritesTheSameRows(t *testing.T) {
	dir := t.TempDir()
	layer, err := embedded.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := persistence.Declare(layer, "stored", storedPlan)
	for i := range 3 {
		if _, err := h.Put(t.Context(), storedAt(i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := layer.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	layer.Close()
	db, err := sql.Open("sqlite", "file:"+dir+"/fourfold.db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	raw := openRaw(t)
	putRaw(t, raw, 0, 3)
	for _, query := range []string{
		"SELECT id, version > 1e15, abs(tie) > 1e9, deleted, user, venue, at, note FROM ff_stored ORDER BY id",
		"SELECT part, ord, id, abs(shape) > 1e9, version > 1e15, abs(tie) > 1e9, expires, body FROM amorphous$ff_stored__cell ORDER BY id",
		"SELECT COUNT(*), '', '', '', '', '', '', '' FROM ff_outbox",
	} {
		ours, theirs := eight(t, db, query), eight(t, raw, query)
		if len(ours) == 0 || !reflect.DeepEqual(ours, theirs) {
			t.Errorf("%s\nlayer %q\nraw   %q", query, ours, theirs)
		}
	}
}

// eight returns the rows of a query of eight columns.
func eight(t *testing.T, db *sql.DB, query string) (out [][8]any) {
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var r [8]any
		if err := rows.Scan(&r[0], &r[1], &r[2], &r[3], &r[4], &r[5], &r[6], &r[7]); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// BenchmarkPutStored is a Put, a Get and a Find beside objects that are stored
// already, with keys that grow with time. With -large there are a million.
func BenchmarkPutStored(b *testing.B) {
	sizes := []int{1_000, 10_000}
	if *large {
		sizes = []int{10_000, 1_000_000}
	}
	for _, size := range sizes {
		b.Run(fmt.Sprintf("stored=%d", size), func(b *testing.B) {
			layer, h := openStored(b)
			putStored(b, layer, h, 0, size)
			next := size
			b.Run("Put", func(b *testing.B) {
				putStored(b, layer, h, next, b.N)
				next += b.N
			})
			b.Run("Get", func(b *testing.B) {
				for i := range b.N {
					if _, err := h.Get(b.Context(), storedAt(i*7919%size).ID); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("Find", func(b *testing.B) {
				for i := range b.N {
					key := storedAt(i * 7919 % size).ID
					for _, err := range h.Find(b.Context(), persistence.Query{Task: "row", From: key, Limit: 10}) {
						if err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		})
	}
}
