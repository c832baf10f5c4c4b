package live

import (
	"crypto/rand"
	"flag"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	gocql2 "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/amorphoustest"
	"github.com/fourfold-dev/fourfold/internal/servers"
)

// given asks for the suite on the ring that the environment names. The check
// command names its own node in the same variable, like which the suite has had
// one already.
//
//	FOURFOLD_AMORPHOUS=cassandra://127.0.0.1/music go test ./amorphous/cassandra/internal/live -run TestGiven -v -timeout 1h -args -given
var given = flag.Bool("given", false, "run the suite on the ring that FOURFOLD_AMORPHOUS names")

// TestGiven makes a keyspace of its own there, replicated like the one that the URL
// names, drops it, and touches no other. It makes it without TLS.
func TestGiven(t *testing.T) {
	if !*given {
		t.Skip("the campaign that runs the suite on a ring of one's own is asked for by -given")
	}
	rest, ok := strings.CutPrefix(servers.Amorphous.Given(), "cassandra://")
	before, query, _ := strings.Cut(rest, "?")
	authority, named, found := strings.Cut(before, "/")
	if !ok || !found {
		t.Fatalf("%s names no keyspace", servers.Amorphous.Variable)
	}
	hosts := authority[strings.LastIndexByte(authority, '@')+1:]
	cluster := gocql2.NewCluster(strings.Split(hosts, ",")...)
	cluster.Timeout = 5 * time.Minute // a keyspace with many tables is dropped slowly
	if hosts != authority {
		user, password, _ := strings.Cut(strings.TrimSuffix(authority, "@"+hosts), ":")
		login := gocql2.PasswordAuthenticator{}
		login.Username, _ = url.PathUnescape(user)
		login.Password, _ = url.PathUnescape(password)
		cluster.Authenticator = login
	}
	session, err := cluster.CreateSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	var replication map[string]string
	err = session.Query("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?", named).Scan(&replication)
	if err != nil {
		t.Fatalf("the keyspace %s, whose replication is taken: %v", named, err)
	}
	var pairs []string
	for name, value := range replication {
		pairs = append(pairs, fmt.Sprintf("'%s': '%s'", name, value))
	}
	keyspace := "given_" + strings.ToLower(rand.Text()[:10])
	if err := session.Query("CREATE KEYSPACE " + keyspace + " WITH replication = {" + strings.Join(pairs, ", ") + "}").Exec(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := session.Query("DROP KEYSPACE " + keyspace).Exec(); err != nil {
			t.Error(err)
		}
	}()
	text := "cassandra://" + authority + "/" + keyspace
	if query != "" {
		text += "?" + query
	}
	amorphoustest.Run(t, amorphoustest.Harness{Source: amorphous.URL(text), Rows: 400, Full: *full})
}
