package transactionaltest

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/transactional"
)

// BenchTable is the table of the rows that Bench writes.
var BenchTable = &transactional.Table{
	Name: "checkins",
	Columns: []transactional.Column{
		{Name: "user", Type: transactional.Text}, {Name: "venue", Type: transactional.Text},
		{Name: "at", Type: transactional.Time}, {Name: "doc", Type: transactional.JSON},
	},
	Index: [][]string{{"user"}},
}

var benchBody = make([]byte, 300)

// BenchUnit is one row of BenchTable and one outbox record, the n-th.
func BenchUnit(n int64) *transactional.Unit {
	row := transactional.Row{
		ID: fmt.Sprintf("checkin-%012d", n), Stamp: transactional.Stamp{Version: n},
		Values: []any{fmt.Sprintf("user-%d", n%1000), "pier", time.UnixMicro(n), `{"note":"a document of some length, as one finds it in a check-in"}`},
	}
	var id transactional.RecordID
	binary.BigEndian.PutUint64(id[:8], uint64(n))
	return &transactional.Unit{
		Writes: []transactional.Write{{Table: BenchTable, Row: row}},
		Add: []transactional.Record{{
			ID: id, Kind: "checkin", Key: row.ID, Lane: "realtime", Priority: 1,
			Progress: benchBody[:40], Body: benchBody, AcceptedAt: time.UnixMicro(n),
		}},
	}
}

// Bench measures a driver on empty databases: acceptance of units by one
// caller and by many, a record's whole way through the outbox, and claims
// before a backlog.
func Bench(b *testing.B, source func(b *testing.B) transactional.Source) {
	open := func(b *testing.B) *transactional.Store {
		store, err := transactional.Open(b.Context(), source(b), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { store.Close() })
		if err := store.CreateSchema(b.Context(), BenchTable); err != nil {
			b.Fatal(err)
		}
		return store
	}
	for _, n := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("Apply/callers=%d", n), func(b *testing.B) { benchApply(b, open(b), n) })
	}
	b.Run("Cycle", func(b *testing.B) { benchCycle(b, open(b)) })
	for _, backlog := range []int{0, 1_000_000} {
		b.Run(fmt.Sprintf("Claim/backlog=%d", backlog), func(b *testing.B) {
			if backlog > 0 && testing.Short() {
				b.Skip("a million records take half a minute to add; run without -short")
			}
			benchClaim(b, open(b), backlog)
		})
	}
}

// benchApply accepts units of one row and one record from n callers.
func benchApply(b *testing.B, store *transactional.Store, n int) {
	b.ReportAllocs()
	b.ResetTimer()
	var (
		next atomic.Int64
		wg   sync.WaitGroup
	)
	for range n {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if _, err := store.Apply(background(), BenchUnit(i)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "units/s")
}

// benchCycle takes records through the outbox: each added by one of 64
// callers, claimed and settled in batches of 64.
func benchCycle(b *testing.B, store *transactional.Store) {
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += 64 {
		sideBySide(b, store, 64, func(i int) *transactional.Unit {
			u := BenchUnit(int64(done + i + 1))
			u.Writes = nil
			return u
		})
		records, err := store.Claim(background(), transactional.ClaimRequest{
			Lanes: []string{"realtime", "background"}, Max: 64, Owner: 7, Lease: time.Minute,
		})
		if err != nil || len(records) != 64 {
			b.Fatal(len(records), err)
		}
		sideBySide(b, store, 64, func(i int) *transactional.Unit { return settles(held(records[i])) })
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func sideBySide(b *testing.B, store *transactional.Store, n int, unit func(i int) *transactional.Unit) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := store.Apply(background(), unit(i)); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
}

// benchClaim claims 64 records over eight lanes, with so many more behind
// them: the cost should not depend on that.
func benchClaim(b *testing.B, store *transactional.Store, backlog int) {
	lanes := []string{"l0", "l1", "l2", "l3", "l4", "l5", "l6", "l7"}
	add := func(from, n int) {
		var unit transactional.Unit
		for i := from; i < from+n; i++ {
			r := BenchUnit(int64(i + 1)).Add[0]
			r.Lane, r.Priority, r.Body = lanes[i%8], uint32(i%3), benchBody[:50]
			unit.Add = append(unit.Add, r)
		}
		if _, err := store.Apply(background(), &unit); err != nil {
			b.Fatal(err)
		}
	}
	for i := 0; i < backlog; i += 2000 {
		add(i, 2000)
	}
	at := backlog
	for b.Loop() {
		b.StopTimer()
		add(at, 64)
		at += 64
		b.StartTimer()
		records, err := store.Claim(background(), transactional.ClaimRequest{Lanes: lanes, Max: 64, Owner: 7, Lease: time.Hour})
		if err != nil || len(records) != 64 {
			b.Fatal(len(records), err)
		}
	}
}
