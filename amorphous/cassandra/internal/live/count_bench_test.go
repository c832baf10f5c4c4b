package live

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocql2 "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/internal/servers"
)

// BenchmarkAgainstRaw compares counts and derived rows with statements written
// by hand, in turn on one node. The ratios are the parts of their rates that
// ours reach, by the median of all turns.
func BenchmarkAgainstRaw(b *testing.B) {
	node := servers.Test(b, servers.Cassandra{Heap: 768})
	cluster := gocql2.NewCluster(node.Address())
	cluster.Timeout = 20 * time.Second
	cluster.WriteCoalesceWaitTime = 0
	session, err := cluster.CreateSession()
	if err != nil {
		b.Fatal(err)
	}
	defer session.Close()
	keyspace := "k" + strings.ToLower(rand.Text()[:10])
	for _, text := range []string{
		`CREATE KEYSPACE "` + keyspace + `" WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
		`CREATE TABLE "` + keyspace + `".raw (entity text, day bigint, per bigint, at bigint, n counter, PRIMARY KEY ((entity, day), per, at))`,
		`CREATE TABLE "` + keyspace + `".rows (part text, ord blob, id text, body blob, PRIMARY KEY ((part), ord, id))`,
	} {
		if err := session.Query(text).Exec(); err != nil {
			b.Fatal(err)
		}
	}
	store, err := amorphous.Open(b.Context(), cassandra.FromSession(session, keyspace, nil), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	b.Run("count", func(b *testing.B) { benchCount(b, session, keyspace, store) })
	b.Run("hot", func(b *testing.B) { benchHot(b, store) })
	for _, fan := range []int{1, 11, 441} {
		b.Run(fmt.Sprintf("derived=%d", fan), func(b *testing.B) { benchDerived(b, session, keyspace, store, fan) })
	}
}

var perCount = []time.Duration{time.Minute, time.Hour, 24 * time.Hour}

// counting returns a counter of a name of its own.
func counting(b *testing.B, store *amorphous.Store) *amorphous.Counter {
	b.Helper()
	counter, err := amorphous.NewCounter(store, "m"+strings.ToLower(rand.Text()[:8]), &amorphous.Counts{By: []string{"entity"}, Per: perCount})
	if err == nil {
		err = store.CreateSchema(b.Context(), counter.Tables()...)
	}
	if err != nil {
		b.Fatal(err)
	}
	return counter
}

// benchCount counts mentions of 37 entities per minute, hour and day, by 16
// callers in groups of 64: exactly, and with counter columns, which a repeat
// would count twice, incremented in unlogged batches of the three, or the
// minute's only. 100,000 mentions: -benchtime 25x
func benchCount(b *testing.B, session *gocql2.Session, keyspace string, store *amorphous.Store) {
	const callers, groups, size = 16, 4, 64
	counter := counting(b, store)
	text := `UPDATE "` + keyspace + `".raw SET n = n + 1 WHERE entity = ? AND day = ? AND per = ? AND at = ?`
	increment := func(per []time.Duration) func([]amorphous.Counted) error {
		return func(group []amorphous.Counted) error {
			for _, obj := range group {
				c := obj.Counts[0]
				batch := session.Batch(gocql2.CounterBatch)
				for _, per := range per {
					batch.Query(text, c.Of[0], c.At.Truncate(24*time.Hour).Unix(), int64(per), c.At.Truncate(per).Unix())
				}
				if err := batch.Exec(); err != nil {
					return err
				}
			}
			return nil
		}
	}
	exactly := func(group []amorphous.Counted) error { return counter.Put(context.Background(), group...) }
	at := time.Date(2022, 11, 28, 0, 0, 0, 0, time.UTC)
	var times [3][]time.Duration
	n := 0
	for b.Loop() {
		all := make([]amorphous.Counted, callers*groups*size)
		for i := range all {
			all[i] = amorphous.Counted{Key: fmt.Sprint(n), Counts: []amorphous.Count{{
				Of: []string{fmt.Sprint("entity ", n*n%37)}, At: at.Add(time.Duration(n) * 24 * time.Hour / 100_000), N: 1}}}
			n++
		}
		for way, count := range []func([]amorphous.Counted) error{exactly, increment(perCount), increment(perCount[:1])} {
			start := time.Now()
			byCallers(b, callers, slices.Collect(slices.Chunk(all, size)), count)
			times[way] = append(times[way], time.Since(start))
		}
	}
	exact := median(times[0])
	b.ReportMetric(callers*groups*size/exact, "mentions/s")
	b.ReportMetric(median(times[1])/exact, "of-increments")
	b.ReportMetric(median(times[2])/exact, "of-one-increment")
}

// benchHot counts by 16 callers, one mention each at a time: of one entity in one
// minute, and in turn of as many entities as there are mentions.
func benchHot(b *testing.B, store *amorphous.Store) {
	const callers, each = 16, 320
	counter := counting(b, store)
	at := time.Date(2022, 11, 28, 0, 0, 0, 0, time.UTC)
	var times [2][]time.Duration
	n := 0
	for b.Loop() {
		for way := range times {
			all := make([]amorphous.Counted, each)
			for i := range all {
				entity := "hot"
				if way == 1 {
					entity = fmt.Sprint("entity ", n)
				}
				all[i] = amorphous.Counted{Key: fmt.Sprint(n), Counts: []amorphous.Count{{Of: []string{entity}, At: at, N: 1}}}
				n++
			}
			start := time.Now()
			byCallers(b, callers, all, func(m amorphous.Counted) error { return counter.Put(context.Background(), m) })
			times[way] = append(times[way], time.Since(start))
		}
	}
	hot := median(times[0])
	b.ReportMetric(each/hot, "mentions/s")
	b.ReportMetric(median(times[1])/hot, "of-spread")
}

// benchDerived writes rows that objects imply, and in turn the same rows by hand,
// one statement each, by 64 callers.
func benchDerived(b *testing.B, session *gocql2.Session, keyspace string, store *amorphous.Store, fan int) {
	derived, err := amorphous.NewDerivedRows(store, "d"+strings.ToLower(rand.Text()[:8]), nil)
	if err == nil {
		err = store.CreateSchema(b.Context(), derived.Tables()...)
	}
	if err != nil {
		b.Fatal(err)
	}
	text := `INSERT INTO "` + keyspace + `".rows (part, ord, id, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ?`
	insert := func(r amorphous.Row) error {
		return session.Query(text, r.Partition, r.Order, r.ID, r.Body, r.Stamp.Version).Idempotent(true).Exec()
	}
	objects := max(512/fan, 1)
	body := make([]byte, 200)
	var times [2][]time.Duration
	n := 0
	for b.Loop() {
		var all []amorphous.Implication
		var rows []amorphous.Row
		for range objects {
			n++
			some := make([]amorphous.Row, fan)
			for j := range some {
				some[j] = amorphous.Row{Partition: fmt.Sprintf("user-%d", (n*7919+j*31)%5000), Order: []byte(fmt.Sprintf("%012d", n)),
					ID: fmt.Sprintf("c%d.%d", n, j), Shape: 1, Stamp: amorphous.Stamp{Version: int64(n), Tie: 1}, Body: body}
			}
			rows = append(rows, some...)
			all = append(all, amorphous.Implication{
				Origin: amorphous.Origin{Key: fmt.Sprint("o", n), Stamp: some[0].Stamp},
				Rows: func(yield func(amorphous.Row, error) bool) {
					for _, row := range some {
						if !yield(row, nil) {
							return
						}
					}
				},
			})
		}
		start := time.Now()
		if err := errors.Join(derived.Put(b.Context(), all...)...); err != nil {
			b.Fatal(err)
		}
		times[0] = append(times[0], time.Since(start))
		start = time.Now()
		byCallers(b, 64, rows, insert)
		times[1] = append(times[1], time.Since(start))
	}
	ours := median(times[0])
	b.ReportMetric(float64(objects*fan)/ours, "rows/s")
	b.ReportMetric(median(times[1])/ours, "of-hand")
}

// byCallers does work for each of the items, by so many callers.
func byCallers[T any](b *testing.B, callers int, items []T, do func(T) error) {
	b.Helper()
	next := make(chan T, len(items))
	for _, item := range items {
		next <- item
	}
	close(next)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for item := range next {
				if err := do(item); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// median is the median in seconds.
func median(times []time.Duration) float64 {
	slices.Sort(times)
	return times[len(times)/2].Seconds()
}
