package persistence_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	gourl "net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/fourfold-dev/fourfold/amorphous"
	_ "github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/transactional"
	_ "github.com/fourfold-dev/fourfold/transactional/mysql"
	"github.com/fourfold-dev/fourfold/transitory"
	_ "github.com/fourfold-dev/fourfold/transitory/beanstalkd"
	"github.com/fourfold-dev/fourfold/volatile"
	_ "github.com/fourfold-dev/fourfold/volatile/memcached"
)

var crashServers = flag.Bool("crash.servers", false, "run TestCrashOverServers, which kills servers of its own beside -crash.runs programs")

// crashURLs carries the servers' URLs to the processes that are killed.
const crashURLs = "FOURFOLD_CRASH_URLS"

// A fleet is a program over the four servers that is killed. Each run has a
// namespace of its own, whose tables are dropped behind it.
type fleet struct {
	run      string                    // the namespace, and the one user
	sales    *persistence.Handle[sale] // transactional custody
	notes    *persistence.Handle[note] // transitory custody
	counts   *persistence.Handle[tally]
	messages *persistence.Handle[message]
	slips    *persistence.DerivedHandle[slip]
}

type (
	sale struct {
		ID   string `persistence:"key"`
		User string
		At   time.Time
	}
	note struct {
		ID   string `persistence:"key"`
		User string
		At   time.Time
	}
	// slip is a row that a sale implies: one of its user, one of its shop.
	slip struct {
		ID string `persistence:"key"`
		Of string
	}
	// message is what the handler of a note leaves behind.
	message struct {
		ID   string `persistence:"key"`
		User string
		At   time.Time
	}
)

func (f *fleet) open(ctx context.Context, dir string) (*persistence.Layer, error) {
	urls := strings.Split(os.Getenv(crashURLs), " ")
	if len(urls) != 4 {
		return nil, fmt.Errorf("%s names %d servers", crashURLs, len(urls))
	}
	f.run = crashNamespace(dir)
	layer, err := persistence.Open(ctx, persistence.Stores{
		Transitory: transitory.URL(urls[0]), Volatile: volatile.URL(urls[1]),
		Transactional: transactional.URL(urls[2]), Amorphous: amorphous.URL(urls[3]),
	}, &persistence.Options{Namespace: f.run, Lease: 3 * time.Second})
	if err != nil {
		return nil, err
	}
	f.declare(layer)
	return layer, layer.CreateSchema(ctx)
}

// crashNamespace is the namespace of the run in a directory.
func crashNamespace(dir string) string {
	hash := fnv.New64a()
	hash.Write([]byte(dir))
	return fmt.Sprintf("c%x", hash.Sum64()&(1<<40-1))
}

func (f *fleet) declare(layer *persistence.Layer) {
	f.counts = persistence.Declare(layer, "count", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	f.messages = persistence.Declare(layer, "message", persistence.Plan[message]{
		{Priority: 0, Purpose: persistence.Amorphous, Name: "by", PartitionBy: "User"},
	})
	f.sales = persistence.Declare(layer, "sale", persistence.Plan[sale]{
		{Priority: 1, Name: "near", Purpose: persistence.Volatile, RealTime: true},
		{Priority: 2, Name: "count", Purpose: persistence.Transactional, Tx: f.count},
		{Priority: 3, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		{Priority: 4, Name: "object", Purpose: persistence.Amorphous},
		{Priority: 5, Name: "slips", Purpose: persistence.Amorphous, PartitionBy: "Of", Derive: persistence.Rows(func(s sale) iter.Seq[slip] {
			return slices.Values([]slip{{s.ID, s.User}, {s.ID, s.User + ".shop"}})
		})},
		{Priority: 5, Name: "users", Purpose: persistence.Amorphous, Count: &persistence.Counts{By: []string{"User"}, At: "At", Per: []time.Duration{time.Hour}}},
	})
	f.slips = persistence.Derived[slip](f.sales, "slips")
	f.notes = persistence.Declare(layer, "note", persistence.Plan[note]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, Do: f.tell},
		{Priority: 2, Name: "object", Purpose: persistence.Amorphous},
	}, persistence.KindOptions{Custody: persistence.TransitoryCustody})
}

func (f *fleet) count(ctx context.Context, tx *persistence.Tx, s sale) error {
	n, err := f.counts.In(tx).Get(ctx, s.User)
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return err
	}
	n.User = s.User
	n.N++
	_, err = f.counts.In(tx).Put(ctx, n)
	return err
}

func (f *fleet) tell(ctx context.Context, n note) error {
	_, err := f.messages.Put(ctx, message(n))
	return err
}

// load puts sales and notes side by side; a Put may fail while a server is away.
func (f *fleet) load(ctx context.Context, _ *persistence.Layer, r *persistencetest.Recorder) error {
	done := make(chan struct{})
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	go func() {
		defer close(done)
		for i := range 15 {
			id := fmt.Sprintf("%s.r%d.note.%d", f.run, r.Round, i)
			_ = r.Try(id, func() error { _, err := f.notes.Put(ctx, note{id, f.run, at}); return err })
		}
	}()
	for i := range 25 {
		id := fmt.Sprintf("%s.r%d.sale.%d", f.run, r.Round, i)
		_ = r.Try(id, func() error { _, err := f.sales.Put(ctx, sale{id, f.run, at}); return err })
	}
	<-done
	return nil
}

func (f *fleet) check(ctx context.Context, layer *persistence.Layer, h *persistencetest.History) error {
	found := map[string]int{}
	for s, err := range f.sales.Find(ctx, persistence.Query{Task: "activity", Where: map[string]any{"User": f.run}}) {
		if err != nil {
			return err
		}
		found[s.ID]++
	}
	for m, err := range f.messages.Find(ctx, persistence.Query{Task: "by", Where: map[string]any{"User": f.run}}) {
		if err != nil {
			return err
		}
		found[m.ID]++
	}
	slips := map[string]int{}
	for s, err := range f.slips.Find(ctx, persistence.Query{}) {
		if err != nil {
			return err
		}
		slips[s.ID]++
	}
	var bad findings
	acked := map[string]bool{}
	for _, id := range h.Acked {
		acked[id] = true
	}
	sales := 0
	for _, ids := range [][]string{h.Acked, h.Open, h.Refused} {
		for _, id := range ids {
			get := func() error { _, err := f.notes.Get(ctx, id); return err }
			sold := strings.Contains(id, ".sale.")
			if sold {
				get = func() error { _, err := f.sales.Get(ctx, id); return err }
			}
			there := exists(&bad, id, acked[id], get)
			if there != (found[id] == 1) {
				bad.add("%s: the stores do not agree: object %v, %d times in its user's list", id, there, found[id])
			}
			if sold && there {
				sales++
			}
			if sold && there != (slips[id] == 2) {
				bad.add("%s has %d slips: object %v", id, slips[id], there)
			}
		}
	}
	for _, id := range h.Refused {
		if found[id] > 0 {
			bad.add("%s was refused and is there", id)
		}
	}
	for id := range found {
		if !h.Tried(id) {
			bad.add("%s is there and was never put", id)
		}
	}
	if n, err := f.counts.Get(ctx, f.run); n.N != sales || err != nil && sales > 0 {
		bad.add("%d sales are there, and %d were counted: %v", sales, n.N, err)
	}
	if n, err := f.sales.Total(ctx, persistence.CountQuery{Of: []any{f.run}}); err != nil || n != int64(sales) {
		bad.add("%d sales are there, and the amorphous count is %d: %v", sales, n, err)
	}
	letters, err := layer.DeadLetters().List(ctx, persistence.DeadFilter{})
	if err != nil || len(letters) > 0 {
		bad.add("dead letters %+v, %v", letters, err)
	}
	if len(bad) > 0 {
		return errors.New(strings.Join(bad, "\n"))
	}
	return nil
}

// clean drops the tables of a run. What a failed run left in tubes and in the
// cache is under names that nobody uses again.
func (f *fleet) clean(ctx context.Context, dir string) error {
	urls := strings.Split(os.Getenv(crashURLs), " ")
	return errors.Join(dropRows(ctx, urls[2], crashNamespace(dir)), dropCells(ctx, urls[3], crashNamespace(dir)))
}

func dropRows(ctx context.Context, url, namespace string) error {
	at, err := gourl.Parse(url)
	if err != nil {
		return err
	}
	db, err := sql.Open("mysql", at.User.String()+"@tcp("+at.Host+")"+at.Path)
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT table_name FROM information_schema.tables WHERE table_schema=database() AND table_name LIKE ?", namespace+`\_%`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		err = errors.Join(err, rows.Scan(&name))
		names = append(names, "`"+name+"`")
	}
	if err = errors.Join(err, rows.Err()); err != nil || len(names) == 0 {
		return err
	}
	_, err = db.ExecContext(ctx, "DROP TABLE "+strings.Join(names, ", "))
	return err
}

func dropCells(ctx context.Context, url, namespace string) error {
	at, err := gourl.Parse(url)
	if err != nil {
		return err
	}
	cluster := gocql.NewCluster(at.Host)
	cluster.Timeout, cluster.ConnectTimeout = time.Minute, time.Minute
	session, err := cluster.CreateSession()
	if err != nil {
		return err
	}
	defer session.Close()
	keyspace := strings.TrimPrefix(at.Path, "/")
	rows := session.Query("SELECT table_name FROM system_schema.tables WHERE keyspace_name=?", keyspace).IterContext(ctx)
	var names []string
	for name := ""; rows.Scan(&name); {
		if strings.HasPrefix(name, namespace+"_") {
			names = append(names, name)
		}
	}
	err = rows.Close()
	for _, name := range names {
		err = errors.Join(err, session.Query(`DROP TABLE "`+keyspace+`"."`+name+`"`).ExecContext(ctx))
	}
	return err
}

// startOwn starts the four servers for this test alone, and returns a function
// that kills one of them and starts it again.
func startOwn(t *testing.T) (urls []string, disturb func(context.Context, *rand.Rand)) {
	t.Helper()
	var all []*servers.Server
	for _, kind := range []servers.Kind{servers.Beanstalkd{}, servers.Memcached{}, servers.MariaDB{Password: canary}, servers.Cassandra{}} {
		s := servers.Test(t, kind)
		all = append(all, s)
		urls = append(urls, s.URL())
	}
	return urls, func(ctx context.Context, rng *rand.Rand) {
		victim := all[rng.IntN(3)]
		if rng.IntN(8) == 0 {
			victim = all[3] // it takes half a minute to come back
		}
		for _, wait := range []time.Duration{time.Duration(rng.IntN(200)) * time.Millisecond, time.Duration(rng.IntN(2000)) * time.Millisecond} {
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			victim.Kill()
		}
		if err := victim.Restart(context.WithoutCancel(ctx)); err != nil {
			t.Errorf("a server that was killed does not start again: %v", err)
		}
	}
}

// The program over four real servers is killed as TestCrash kills it in process,
// and so are the servers, one beside each kill. It takes minutes, on demand only.
//
//	go test ./persistence -run CrashOverServers -timeout=2h -args -crash.servers -crash.runs=200 -crash.seed=1
func TestCrashOverServers_A4_F12(t *testing.T) {
	f := &fleet{}
	s := persistencetest.Scenario{Open: f.open, Load: f.load, Check: f.check, Clean: f.clean, Runs: 3, Secrets: []string{canary}}
	if os.Getenv(crashURLs) == "" {
		if !*crashServers {
			t.Skip("the campaign that -args -crash.servers asks for: programs and the four servers are killed, NOT TESTED here")
		}
		urls, disturb := startOwn(t)
		s.Disturb = disturb
		t.Setenv(crashURLs, strings.Join(urls, " "))
	}
	persistencetest.Crash(t, s)
}
