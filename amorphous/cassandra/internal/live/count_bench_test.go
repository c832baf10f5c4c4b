package live

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	gocql2 "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/internal/servers"
)

// BenchmarkCount counts mentions of 37 entities per minute, hour and day, by 16
// callers in groups of 64: exactly, and with counter columns, which a repeat
// would count twice, incremented in unlogged batches of the three. The figure
// is mentions per second.
func BenchmarkCount(b *testing.B) {
	node := servers.Test(b, servers.Cassandra{Heap: 768})
	cluster := gocql2.NewCluster(node.Address())
	cluster.Timeout = 20 * time.Second
	session, err := cluster.CreateSession()
	if err != nil {
		b.Fatal(err)
	}
	defer session.Close()
	keyspace := "k" + strings.ToLower(rand.Text()[:10])
	for _, text := range []string{
		`CREATE KEYSPACE "` + keyspace + `" WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
		`CREATE TABLE "` + keyspace + `".raw (entity text, day bigint, per bigint, at bigint, n counter, PRIMARY KEY ((entity, day), per, at))`,
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
	counter, err := amorphous.NewCounter(store, "mentions", &amorphous.Counts{By: []string{"entity"}, Per: perCount})
	if err == nil {
		err = store.CreateSchema(b.Context(), counter.Tables()...)
	}
	if err != nil {
		b.Fatal(err)
	}
	text := `UPDATE "` + keyspace + `".raw SET n = n + 1 WHERE entity = ? AND day = ? AND per = ? AND at = ?`
	b.Run("exact", func(b *testing.B) {
		benchCount(b, func(group []amorphous.Counted) error { return counter.Put(context.Background(), group...) })
	})
	for _, n := range []int{3, 1} {
		b.Run(fmt.Sprintf("increments=%d", n), func(b *testing.B) {
			benchCount(b, func(group []amorphous.Counted) error {
				for _, obj := range group {
					c := obj.Counts[0]
					batch := session.Batch(gocql2.CounterBatch)
					for _, per := range perCount[:n] {
						batch.Query(text, c.Of[0], c.At.Truncate(24*time.Hour).Unix(), int64(per), c.At.Truncate(per).Unix())
					}
					if err := batch.Exec(); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

var perCount = []time.Duration{time.Minute, time.Hour, 24 * time.Hour}

func benchCount(b *testing.B, count func(group []amorphous.Counted) error) {
	const callers, size = 16, 64
	at := time.Date(2022, 11, 28, 0, 0, 0, 0, time.UTC)
	run := rand.Text()[:6]
	groups := make(chan []amorphous.Counted, b.N/size+1)
	var group []amorphous.Counted
	for i := range b.N {
		group = append(group, amorphous.Counted{Key: fmt.Sprint(run, i), Counts: []amorphous.Count{{
			Of: []string{fmt.Sprint("entity ", i*i%37)}, At: at.Add(time.Duration(i) * 24 * time.Hour / time.Duration(b.N)), N: 1}}})
		if len(group) == size || i == b.N-1 {
			groups <- group
			group = nil
		}
	}
	close(groups)
	b.ResetTimer()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for group := range groups {
				if err := count(group); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mentions/s")
}
