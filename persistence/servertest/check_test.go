package servertest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	_ "github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"
)

// canary is a password that no report may say.
const canary = "canary-secret"

// checked opens a layer and returns what Check says of its last store.
func checked(t *testing.T, stores persistence.Stores, declare func(*persistence.Layer)) fault.Report {
	t.Helper()
	layer, err := persistence.Open(t.Context(), stores, &persistence.Options{Namespace: fmt.Sprintf("c%x", time.Now().UnixNano()&0xffffffff)})
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	if declare != nil {
		declare(layer)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	reports := layer.Check(ctx)
	r := reports[len(reports)-1]
	t.Log(r)
	if text := fmt.Sprintf("%v %+v", r, r); strings.Contains(text, canary) {
		t.Errorf("a password is in %s", text)
	}
	return r
}

// says wants a report of a server that answered, with these sentences and no
// other.
func says(t *testing.T, r fault.Report, sentences ...string) {
	t.Helper()
	if r.Version == "" || r.Latency <= 0 {
		t.Errorf("a server that answers has a version and a latency: %+v", r)
	}
	if len(r.Problems) != len(sentences) {
		t.Errorf("%d problems, want %d: %q", len(r.Problems), len(sentences), r.Problems)
		return
	}
	for i, want := range sentences {
		if !strings.Contains(r.Problems[i], want) {
			t.Errorf("it says %q, want %q", r.Problems[i], want)
		}
	}
}

// What Check says of real servers that are set up so that something would not
// work: each in a sentence that says what to do.
func TestCheckOfQueues(t *testing.T) {
	on := func(s *servers.Server, query string) persistence.Stores {
		return persistence.Stores{Transitory: transitory.URL(s.URL() + query)}
	}
	bare := servers.Test(t, servers.Beanstalkd{NoLog: true})
	says(t, checked(t, on(bare, ""), nil), "without a log, so jobs are in memory only; start it with -b")
	says(t, checked(t, on(bare, "?durability=written"), nil), "without a log, so jobs are in memory only; start it with -b")
	says(t, checked(t, on(bare, "?durability=memory"), nil))
	small := servers.Test(t, servers.Beanstalkd{Args: []string{"-z1000"}})
	says(t, checked(t, on(small, ""), nil), "bodies of 1000 bytes at most")
	small.Kill()
	if r := checked(t, on(small, ""), nil); r.Reachable || len(r.Problems) != 1 {
		t.Errorf("a server that is down: %v", r)
	}
}

func TestCheckOfCaches(t *testing.T) {
	on := func(s *servers.Server, query string) persistence.Stores {
		return persistence.Stores{Volatile: volatile.URL(s.URL() + query)}
	}
	small := servers.Test(t, servers.Memcached{Args: []string{"-I", "512k", "-C"}})
	says(t, checked(t, on(small, "?timeout=5s"), nil), "start it with a larger -I", "started with -C")
	small.Kill()
	if r := checked(t, on(small, ""), nil); r.Reachable || len(r.Problems) != 1 {
		t.Errorf("a server that is down: %v", r)
	}
}

func TestCheckOfDatabases(t *testing.T) {
	type account struct {
		ID      string `persistence:"key"`
		Balance int64  `transactional:""`
	}
	accounts := func(layer *persistence.Layer) { persistence.Declare[account](layer, "account", nil) }
	on := func(s *servers.Server, query string) persistence.Stores {
		return persistence.Stores{Transactional: transactional.URL(s.URL() + query)}
	}
	s := servers.Test(t, servers.MariaDB{Args: []string{"--max-allowed-packet=1M", "--sql-mode=", "--innodb-flush-log-at-trx-commit=2", "--read-only"}})
	r := checked(t, on(s, ""), accounts)
	says(t, r, "innodb_flush_log_at_trx_commit is 2: a power cut loses what was committed; set it to 1")
	if r.Reachable {
		t.Error("it is not used as it is")
	}
	r = checked(t, on(s, "?durability=written"), accounts)
	if len(r.Problems) < 4 {
		t.Fatalf("%v", r)
	}
	says(t, fault.Report{Version: r.Version, Latency: r.Latency, Problems: r.Problems[:2]}, "max_allowed_packet is 1048576 bytes", "read-only")
	lacks := strings.Join(r.Problems[2:], "\n")
	for _, want := range []string{"the schema lacks something; run: CREATE TABLE", "_account`"} {
		if !strings.Contains(lacks, want) {
			t.Errorf("%q is not in %s", want, lacks)
		}
	}
	wrong := strings.Replace(s.URL(), "root@", "root:"+canary+"@", 1)
	if r := checked(t, persistence.Stores{Transactional: transactional.URL(wrong)}, nil); r.Reachable || len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "Access denied") {
		t.Errorf("a wrong password: %v", r)
	}
	s.Kill()
	if r := checked(t, on(s, ""), nil); r.Reachable || len(r.Problems) != 1 {
		t.Errorf("a server that is down: %v", r)
	}
}

func TestCheckOfCells(t *testing.T) {
	type page struct {
		ID   string `persistence:"key"`
		Text string `amorphous:""`
	}
	pages := func(layer *persistence.Layer) { persistence.Declare[page](layer, "page", nil) }
	url := servers.Shared(t, servers.Amorphous)
	stores := embedded.Stores(t.TempDir()) // somewhere has to be what was accepted
	stores.Volatile, stores.Amorphous = nil, amorphous.URL(url)
	r := checked(t, stores, pages)
	if len(r.Problems) == 0 || !strings.Contains(strings.Join(r.Problems, "\n"), "the schema lacks a table; run: CREATE TABLE IF NOT EXISTS") {
		t.Errorf("tables that are missing: %v", r)
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "cassandra://"), "/")
	r = checked(t, persistence.Stores{Amorphous: amorphous.URL("cassandra://app:" + canary + "@" + host + "/nobody_made_this")}, nil)
	if r.OK() || !strings.Contains(strings.Join(r.Problems, "\n"), `CREATE KEYSPACE "nobody_made_this"`) {
		t.Errorf("a keyspace that is missing: %v", r)
	}
	if r := checked(t, persistence.Stores{Amorphous: amorphous.URL("cassandra://app:" + canary + "@127.0.0.1:1/k")}, nil); r.Reachable || len(r.Problems) != 1 {
		t.Errorf("a server that is down: %v", r)
	}
}
