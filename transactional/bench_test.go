package transactional_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
)

var benchTable = &transactional.Table{
	Name: "checkins",
	Columns: []transactional.Column{
		{Name: "user", Type: transactional.Text}, {Name: "venue", Type: transactional.Text},
		{Name: "at", Type: transactional.Time}, {Name: "doc", Type: transactional.JSON},
	},
	Index: [][]string{{"user"}},
}

var benchBody = make([]byte, 300)

func benchStore(b *testing.B) *transactional.Store {
	store, err := transactional.Open(b.Context(), embedded.Dir(b.TempDir(), nil), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { store.Close() })
	return store
}

func benchID(n int64) (id transactional.RecordID) {
	binary.BigEndian.PutUint64(id[:8], uint64(n))
	return id
}

func benchUnit(n int64) *transactional.Unit {
	row := transactional.Row{
		ID: fmt.Sprintf("checkin-%012d", n), Stamp: transactional.Stamp{Version: n},
		Values: []any{fmt.Sprintf("user-%d", n%1000), "pier", time.UnixMicro(n), `{"note":"a document of some length, as one finds it in a check-in"}`},
	}
	return &transactional.Unit{
		Writes: []transactional.Write{{Table: benchTable, Row: row}},
		Add: []transactional.Record{{
			ID: benchID(n), Kind: "checkin", Key: row.ID, Lane: "realtime", Priority: 1,
			Progress: benchBody[:40], Body: benchBody, AcceptedAt: time.UnixMicro(n),
		}},
	}
}

// callers runs do from n goroutines until b.N calls are made.
func callers(b *testing.B, n int, do func(i int64)) {
	var (
		next atomic.Int64
		wg   sync.WaitGroup
	)
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				do(i)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "units/s")
}

// One row and one outbox record per unit.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			store := benchStore(b)
			b.ReportAllocs()
			callers(b, n, func(i int64) {
				if _, err := store.Apply(context.Background(), benchUnit(i)); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// The floor: the same two inserts, by hand, in groups of 64, without a
// version guard, a fence, or anybody waiting.
func BenchmarkRawSQLite(b *testing.B) {
	file, err := sqlitefile.Open(b.Context(), b.TempDir(), sqlitefile.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	ctx := context.Background()
	store := benchStore(b)
	write := func(unit func(sqlitefile.Conn) error) {
		if err := file.Write(ctx, unit); err != nil {
			b.Fatal(err)
		}
	}
	write(func(c sqlitefile.Conn) error {
		for _, text := range store.Schema(benchTable) {
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
				u := benchUnit(n)
				v := u.Writes[0].Row.Values
				_, err := c.Exec(ctx, `INSERT INTO ff_checkins (id, version, tie, deleted, user, venue, at, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
					u.Writes[0].Row.ID, n, int64(0), int64(0), v[0], v[1], n, v[3])
				if err != nil {
					return err
				}
				r := u.Add[0]
				_, err = c.Exec(ctx, `INSERT INTO ff_outbox (id, state, queue, sort, kind, okey, lane, priority, accepted, progress, body) VALUES (?, 0, ?, 1, ?, ?, ?, ?, ?, ?, ?)`,
					r.ID[:], r.Lane, r.Kind, r.Key, r.Lane, int64(1), n, r.Progress, r.Body)
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "units/s")
}

// One record's way through the outbox: added by one of 64 callers, claimed
// and settled in batches of 64.
func BenchmarkCycle(b *testing.B) {
	store := benchStore(b)
	ctx := context.Background()
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += 64 {
		apply(b, store, 64, func(i int) *transactional.Unit {
			u := benchUnit(int64(done + i + 1))
			u.Writes = nil
			return u
		})
		records, err := store.Claim(ctx, transactional.ClaimRequest{
			Lanes: []string{"realtime", "background"}, Max: 64, Owner: 7, Lease: time.Minute,
		})
		if err != nil || len(records) != 64 {
			b.Fatal(len(records), err)
		}
		apply(b, store, 64, func(i int) *transactional.Unit {
			r := records[i]
			return &transactional.Unit{Settle: []transactional.Settlement{{ID: r.ID, Owner: 7, Seq: r.Seq, Done: true}}}
		})
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func apply(b *testing.B, store *transactional.Store, n int, unit func(i int) *transactional.Unit) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := store.Apply(context.Background(), unit(i)); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
}

// A claim of 64 over eight lanes, with no backlog and with a million records
// behind it. The two should cost about the same.
func BenchmarkClaimBacklog(b *testing.B) {
	for _, backlog := range []int{0, 1_000_000} {
		b.Run(fmt.Sprint(backlog), func(b *testing.B) {
			if backlog > 0 && testing.Short() {
				b.Skip("a million records take half a minute to add; run without -short")
			}
			store := benchStore(b)
			ctx := context.Background()
			lanes := []string{"l0", "l1", "l2", "l3", "l4", "l5", "l6", "l7"}
			add := func(from, n int) {
				var unit transactional.Unit
				for i := from; i < from+n; i++ {
					unit.Add = append(unit.Add, transactional.Record{
						ID: benchID(int64(i + 1)), Kind: "k", Key: "key", Lane: lanes[i%8], Priority: uint32(i % 3), Body: benchBody[:50],
					})
				}
				if _, err := store.Apply(ctx, &unit); err != nil {
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
				records, err := store.Claim(ctx, transactional.ClaimRequest{Lanes: lanes, Max: 64, Owner: 7, Lease: time.Hour})
				if err != nil || len(records) != 64 {
					b.Fatal(len(records), err)
				}
			}
		})
	}
}
