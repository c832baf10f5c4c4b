package live

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	gocql2 "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/internal/servers"
)

// BenchmarkWrite compares the store with statements written by hand, in one
// run on one node: the same rows, the same number of callers.
func BenchmarkWrite(b *testing.B) {
	address, _, _ := strings.Cut(strings.TrimPrefix(servers.Shared(b, servers.Amorphous), "cassandra://"), "/")
	cluster := gocql2.NewCluster(address)
	cluster.WriteCoalesceWaitTime = 0
	session, err := cluster.CreateSession()
	if err != nil {
		b.Fatal(err)
	}
	defer session.Close()
	keyspace := "k" + strings.ToLower(rand.Text()[:10])
	for _, text := range []string{
		`CREATE KEYSPACE "` + keyspace + `" WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
		`CREATE TABLE "` + keyspace + `".raw (part text, ord blob, id text, body blob, PRIMARY KEY ((part), ord, id))`,
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
	plain, placed := amorphous.Table{Name: "plain"}, amorphous.Table{Name: "placed", Placed: true}
	if err := store.CreateSchema(b.Context(), plain, placed); err != nil {
		b.Fatal(err)
	}
	raw := `INSERT INTO "` + keyspace + `".raw (part, ord, id, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ?`
	ways := map[string]func(rows []amorphous.Row) error{
		"plain":  func(rows []amorphous.Row) error { return first(store.Write(context.Background(), plain, rows...)) },
		"placed": func(rows []amorphous.Row) error { return first(store.Write(context.Background(), placed, rows...)) },
		"raw": func(rows []amorphous.Row) error {
			for _, r := range rows {
				if err := session.Query(raw, r.Partition, r.Order, r.ID, r.Body, r.Stamp.Version).Idempotent(true).Exec(); err != nil {
					return err
				}
			}
			return nil
		},
	}
	for _, callers := range []int{1, 16, 64} {
		for _, size := range []int{1, 16, 441} {
			for _, name := range []string{"raw", "plain", "placed"} {
				b.Run(fmt.Sprintf("callers=%d/batch=%d/%s", callers, size, name), func(b *testing.B) { benchWrite(b, callers, size, ways[name]) })
			}
		}
	}
}

func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

var serial atomic.Int64

func benchWrite(b *testing.B, callers, size int, write func([]amorphous.Row) error) {
	body := make([]byte, 200)
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error)
	b.ResetTimer()
	for range callers {
		go func() {
			for left.Add(-1) >= 0 {
				rows := make([]amorphous.Row, size)
				for i := range rows {
					n := serial.Add(1)
					rows[i] = amorphous.Row{Partition: fmt.Sprintf("user-%d", mathrand.IntN(5000)), Order: binary.BigEndian.AppendUint64(nil, uint64(n)),
						ID: fmt.Sprintf("c%d", n), Shape: 1, Stamp: amorphous.Stamp{Version: n}, Body: body}
				}
				if err := write(rows); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "rows/s")
}
