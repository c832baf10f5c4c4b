package fakecql

import (
	"slices"
	"sync"
	"testing"

	gocql2 "github.com/apache/cassandra-gocql-driver/v2"
	"github.com/gocql/gocql"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra/gocqlv1"
)

// marks are what a client was told of the statements for which it picked a host:
// whether each may be repeated.
type marks struct {
	mu         sync.Mutex
	idempotent []bool
}

func (m *marks) note(idempotent bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.idempotent = append(m.idempotent, idempotent)
}

// taken are the marks since it was called.
func (m *marks) taken() []bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.idempotent
	m.idempotent = nil
	return out
}

type policyV2 struct {
	gocql2.HostSelectionPolicy
	*marks
}

func (p policyV2) Pick(s gocql2.ExecutableStatement) gocql2.NextHost {
	p.note(s.IsIdempotent())
	return p.HostSelectionPolicy.Pick(s)
}

type policyV1 struct {
	gocql.HostSelectionPolicy
	*marks
}

func (p policyV1) Pick(q gocql.ExecutableQuery) gocql.NextHost {
	p.note(q.IsIdempotent())
	return p.HostSelectionPolicy.Pick(q)
}

// localQuorum is its code in the protocol.
const localQuorum = 6

// TestDefaults: unless somebody asks for another, every statement is of
// LOCAL_QUORUM, whatever the session's own default; and the client is told that
// it may be repeated, whoever repeats it.
func TestDefaults(t *testing.T) {
	server, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var seen marks
	for name, source := range map[string]func(t *testing.T) amorphous.Source{
		"URL": func(*testing.T) amorphous.Source { return amorphous.URL("cassandra://" + server.Addr + "/ks") },
		"v2": func(t *testing.T) amorphous.Source {
			cluster := gocql2.NewCluster(server.Addr)
			cluster.Consistency, cluster.Logger = gocql2.One, nopLogger{}
			cluster.PoolConfig.HostSelectionPolicy = policyV2{gocql2.RoundRobinHostPolicy(), &seen}
			session, err := cluster.CreateSession()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(session.Close)
			return cassandra.FromSession(session, "ks", nil)
		},
		"v1": func(t *testing.T) amorphous.Source {
			cluster := gocql.NewCluster(server.Addr)
			cluster.Consistency, cluster.Logger = gocql.One, nopLogger{}
			cluster.PoolConfig.HostSelectionPolicy = policyV1{gocql.RoundRobinHostPolicy(), &seen}
			session, err := cluster.CreateSession()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(session.Close)
			return gocqlv1.FromSession(session, "ks", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := amorphous.Open(t.Context(), source(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			server.Answer(nil)
			seen.taken()
			operate(t, store)
			if !slices.Contains(server.Executed(), "") {
				t.Fatal("there was no batch, so nothing is proved of one")
			}
			levels, repeatable := server.Levels(), seen.taken()
			if len(levels) < 4 || slices.ContainsFunc(levels, func(level int) bool { return level != localQuorum }) {
				t.Errorf("the consistencies %v; want four or more of LOCAL_QUORUM, which is %d", levels, localQuorum)
			}
			if name != "URL" && (len(repeatable) != len(levels) || slices.Contains(repeatable, false)) {
				t.Errorf("%d statements are marked as %v; want all to be idempotent", len(levels), repeatable)
			}
		})
	}
}

// operate writes a row alone and some together, and reads one and some.
func operate(t *testing.T, store *amorphous.Store) {
	t.Helper()
	if err := write(t, store); err != nil {
		t.Fatal(err)
	}
	var rows []amorphous.Row
	for _, id := range []string{"a", "b", "c"} {
		rows = append(rows, amorphous.Row{Partition: "p", ID: id, Shape: 1, Stamp: amorphous.Stamp{Version: 1}})
	}
	for _, err := range store.Write(t.Context(), plain, rows...) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := read(t, store); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Scan(t.Context(), plain, amorphous.Range{Partition: "p"}); err != nil {
		t.Fatal(err)
	}
}
