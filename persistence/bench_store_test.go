package persistence_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
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
// a loop by hand over SQLite that writes the same rows, and one envelope in
// and out, in groups of the same size.
func BenchmarkPutInProcess(b *testing.B) {
	b.Run("layer", func(b *testing.B) {
		layer, h := openStored(b)
		putStored(b, layer, h, 0, 1)
		b.ResetTimer()
		putStored(b, layer, h, 1, b.N)
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
	})
	b.Run("raw", func(b *testing.B) {
		db := openRaw(b)
		b.ResetTimer()
		for from := 0; from < b.N; from += storedGroup {
			rawGroup(b, db, from, min(storedGroup, b.N-from))
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
	})
}

func openRaw(b *testing.B) *sql.DB {
	db, err := sql.Open("sqlite", "file:"+b.TempDir()+"/raw.db?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=cache_size(-65536)")
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	b.Cleanup(func() { db.Close() })
	for _, text := range []string{
		"CREATE TABLE envelope (id BLOB PRIMARY KEY, state INTEGER, body BLOB) WITHOUT ROWID",
		"CREATE TABLE row (id TEXT PRIMARY KEY, version INTEGER, user TEXT, venue TEXT, at INTEGER, note TEXT) WITHOUT ROWID",
		"CREATE TABLE cell (part TEXT, ord BLOB, id TEXT, version INTEGER, body BLOB, PRIMARY KEY (part, ord, id)) WITHOUT ROWID",
	} {
		if _, err := db.Exec(text); err != nil {
			b.Fatal(err)
		}
	}
	return db
}

// rawGroup does by hand what a group of Puts does: one commit accepts rows and
// envelopes, one writes the cells, and one takes the envelopes away.
func rawGroup(b *testing.B, db *sql.DB, from, n int) {
	steps := []struct {
		text string
		args func(o stored) []any
	}{
		{"INSERT INTO row VALUES (?,?,?,?,?,?)", func(o stored) []any { return []any{o.ID, 1, o.User, o.Venue, o.At.UnixMicro(), o.Note} }},
		{"INSERT INTO envelope VALUES (?,?,?)", func(o stored) []any { return []any{[]byte(o.ID), 1, []byte(o.User + o.Venue + o.Note)} }},
		{"INSERT INTO cell VALUES (?,?,?,?,?)", func(o stored) []any {
			return []any{o.ID, []byte{}, o.ID, 1, []byte(o.User + o.Venue + o.Note)}
		}},
		{"DELETE FROM envelope WHERE id = ?", func(o stored) []any { return []any{[]byte(o.ID)} }},
	}
	for _, commit := range [][2]int{{0, 2}, {2, 3}, {3, 4}} {
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range steps[commit[0]:commit[1]] {
			statement, err := tx.Prepare(s.text)
			if err != nil {
				b.Fatal(err)
			}
			for i := range n {
				if _, err := statement.Exec(s.args(storedAt(from + i))...); err != nil {
					b.Fatal(err)
				}
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
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
