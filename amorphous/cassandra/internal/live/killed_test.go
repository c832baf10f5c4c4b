package live

import (
	"context"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/amorphoustest"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra/gocqlv1"
	"github.com/fourfold-dev/fourfold/internal/leaktest"
	"github.com/fourfold-dev/fourfold/internal/servers"
)

// waits is where the first client (gocql v1.7.0) waits for ever if it is closed
// after it connected again and before it looked at the ring. It does not say when
// that is, and is not ours to close: a program hands its session over.
const waits = "github.com/gocql/gocql.(*Session).refreshRing"

// testKilled: the node is killed and started again under all three clients, at
// a third of the run, and with -whole at half of it too; a node takes ten seconds to
// start. Then connections are cut. When all is closed, no goroutine and no
// socket is left of it.
func testKilled(t *testing.T, node *servers.Server, keyspace string) {
	cable := servers.NewCable(t, node.Address())
	mark := leaktest.Now()
	url := "cassandra://" + cable.Address() + "/" + keyspace + "?connect_timeout=1s"
	t.Run("Run", func(t *testing.T) {
		session, old := dial(t, node.Address()), dialOld(t, node.Address())
		rows, parts := 300, []float64{1. / 3}
		if *full {
			rows = 3400
		}
		if *whole {
			parts = append(parts, 1./2)
		}
		amorphoustest.RunKilled(t, node.Restart, parts, map[string]amorphoustest.Harness{
			"URL":       {Source: amorphous.URL(url), Rows: rows},
			"Session":   {Source: cassandra.FromSession(session, keyspace, nil), Rows: rows},
			"SessionV1": {Source: gocqlv1.FromSession(old, keyspace, nil), Rows: rows},
		})
	})
	mark.Nothing(t, waits)
	testCut(t, cable, url)
	mark.Nothing(t, waits)
}

// testCut: a store whose connections are cut goes on with others, and does not
// add to them.
func testCut(t *testing.T, cable *servers.Cable, url string) {
	mark := leaktest.Now()
	store, err := amorphous.Open(t.Context(), amorphous.URL(url), nil)
	if err != nil {
		t.Fatal(err)
	}
	table, at := amorphous.Table{Name: "cut"}, amorphous.Address{Partition: "p", ID: "i"}
	if err := store.CreateSchema(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		cable.Cut()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		start := time.Now()
		if _, err := store.Read(ctx, table, at); err == nil {
			t.Error("a read over connections that are cut succeeds")
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("a call whose context ended after 200ms took %v", took)
		}
		cancel()
		cable.Mend()
		for deadline := time.Now().Add(30 * time.Second); ; {
			if _, err = store.Read(t.Context(), table, at); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("30 s after the connections were cut: %v", err)
			}
		}
	}
	// The client has two connections, and one of its control, each three sockets
	// here with the cable's, and a few goroutines beside the cable's two.
	mark.Within(t, 3*(2+6)+10, 3*(2+1))
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}
