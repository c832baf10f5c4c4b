package live

import (
	"context"
	"crypto/rand"
	"flag"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gocql2 "github.com/apache/cassandra-gocql-driver/v2"
	"github.com/gocql/gocql"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/amorphoustest"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra/gocqlv1"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra/internal/cql"
	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// whole has all three clients go through every order and interleaving, and
// through as many random histories as the suite does in memory:
//
//	go test ./amorphous/cassandra/internal/live -run TestReal -v -timeout 6h -args -whole -full
var whole = flag.Bool("whole", false, "have each client go through all that the first one does, and more histories")

// full makes the long tests of the suite as long as they get.
var full = flag.Bool("full", false, "run the suite at its full size")

// TestMain takes fewer random histories than the suite does in memory: each
// step is a round trip here.
func TestMain(m *testing.M) {
	flag.Parse()
	histories(25)
	os.Exit(m.Run())
}

// asked is how many random histories somebody asked for by -rapid.checks.
var asked = sync.OnceValue(func() bool {
	f := flag.Lookup("rapid.checks")
	return f.Value.String() != f.DefValue
})

// histories says how many random histories are run from here on.
func histories(n int) {
	if asked() || *whole {
		return
	}
	if err := flag.Set("rapid.checks", strconv.Itoa(n)); err != nil {
		panic(err)
	}
}

// TestReal runs everything that needs a real server on one node: the whole suite
// by URL, and then, every check of it once more, by the sessions that a program
// may hand over. What these have to themselves is how a statement is sent and an
// answer read; in which order calls arrive is settled above them, so they take
// some of the orders and interleavings, and the first client all.
func TestReal(t *testing.T) {
	node := servers.Test(t, servers.Cassandra{Heap: 768})
	keyspace := "k" + strings.ToLower(rand.Text()[:10])
	session := dial(t, node.Address())
	err := session.Query(`CREATE KEYSPACE "` + keyspace + `" WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`).Exec()
	if err != nil {
		t.Fatal(err)
	}
	closeSession := sync.OnceFunc(session.Close)
	defer closeSession()
	url := "cassandra://" + node.Address() + "/" + keyspace
	t.Run("URL", func(t *testing.T) {
		amorphoustest.Run(t, amorphoustest.Harness{Source: amorphous.URL(url), Rows: 400, Full: *full})
	})
	histories(8)
	t.Run("Session", func(t *testing.T) {
		amorphoustest.Run(t, amorphoustest.Harness{Source: cassandra.FromSession(session, keyspace, nil), Rows: 200, Full: *full, Brief: !*whole})
	})
	t.Run("SessionV1", func(t *testing.T) {
		old := dialOld(t, node.Address())
		amorphoustest.Run(t, amorphoustest.Harness{Source: gocqlv1.FromSession(old, keyspace, nil), Rows: 200, Full: *full, Brief: !*whole})
	})
	t.Run("MissingTable", func(t *testing.T) { testMissingTable(t, url) })
	t.Run("MissingKeyspace", func(t *testing.T) { testMissingKeyspace(t, node.Address()) })
	closeSession()
	t.Run("Killed_E12", func(t *testing.T) { testKilled(t, node, keyspace) })
}

// dial opens a session of a program's own, until the test ends: with lines, so
// that it leaves nothing behind if it is closed while it connects again.
func dial(t *testing.T, addr string) *gocql2.Session {
	t.Helper()
	lines := cql.NewLines(time.Second)
	cluster := gocql2.NewCluster(addr)
	cluster.Dialer = lines
	cluster.Timeout, cluster.ReconnectInterval = 20*time.Second, time.Second
	cluster.Logger = heard{lines}
	session, err := cluster.CreateSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		lines.End()
		session.Close()
	})
	return session
}

// heard tells the lines of a session what its client logs.
type heard struct{ lines *cql.Lines }

func (h heard) Error(msg string, _ ...gocql2.LogField)   { h.lines.Heard(msg) }
func (h heard) Warning(msg string, _ ...gocql2.LogField) { h.lines.Heard(msg) }
func (h heard) Info(msg string, _ ...gocql2.LogField)    { h.lines.Heard(msg) }
func (h heard) Debug(msg string, _ ...gocql2.LogField)   { h.lines.Heard(msg) }

func dialOld(t *testing.T, addr string) *gocql.Session {
	t.Helper()
	lines := cql.NewLines(time.Second)
	cluster := gocql.NewCluster(addr)
	cluster.Dialer = lines
	cluster.Timeout, cluster.ReconnectInterval = 20*time.Second, time.Second
	cluster.Logger = log.New(io.Discard, "", 0)
	session, err := cluster.CreateSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		lines.End()
		session.Close()
	})
	return session
}

func open(t *testing.T, url string) *amorphous.Store {
	t.Helper()
	store, err := amorphous.Open(t.Context(), amorphous.URL(url), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// testMissingTable: a missing table is reported with the statement that mends
// it, and works once it is there.
func testMissingTable(t *testing.T, url string) {
	store := open(t, url)
	for _, placed := range []bool{false, true} {
		table := amorphous.Table{Name: "missing" + map[bool]string{true: "_placed", false: ""}[placed], Placed: placed}
		row := amorphous.Row{Partition: "p", ID: "i", Shape: 1, Stamp: amorphous.Stamp{Version: 1}, Body: []byte("{}")}
		err := store.Write(t.Context(), table, row)[0]
		if fault.ClassOf(err) != fault.ErrMisconfigured || !strings.Contains(err.Error(), "CREATE TABLE") {
			t.Errorf("write to a missing table: %v", err)
		}
		_, err = store.Read(t.Context(), table, amorphous.Address{Partition: "p", ID: "i"})
		if fault.ClassOf(err) != fault.ErrMisconfigured {
			t.Errorf("read of a missing table: %v", err)
		}
		if err := store.CreateSchema(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		if err := store.Write(t.Context(), table, row)[0]; err != nil {
			t.Errorf("write once the table is there: %v", err)
		}
	}
}

func testMissingKeyspace(t *testing.T, addr string) {
	store := open(t, "cassandra://"+addr+"/nobody_made_this")
	_, err := store.Read(t.Context(), amorphous.Table{Name: "t"}, amorphous.Address{Partition: "p", ID: "i"})
	if fault.ClassOf(err) != fault.ErrMisconfigured {
		t.Errorf("a missing keyspace: %v", err)
	}
}

// gocqlCluster is a client by TLS with a password.
func gocqlCluster(addr string, authority *servers.Authority, user, password string) *gocql2.ClusterConfig {
	cluster := gocql2.NewCluster(addr)
	cluster.Timeout, cluster.Logger = 20*time.Second, gocql2.NewLogger(gocql2.LogLevelNone)
	cluster.SslOpts = &gocql2.SslOptions{Config: authority.Client(name), EnableHostVerification: true}
	cluster.Authenticator = gocql2.PasswordAuthenticator{Username: user, Password: password,
		AllowedAuthenticators: []string{"org.apache.cassandra.auth.PasswordAuthenticator"}}
	return cluster
}

func passwordOf(password string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return password, nil }
}
