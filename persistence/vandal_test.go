package persistence_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	_ "github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/servertest"
	_ "github.com/fourfold-dev/fourfold/transactional/mysql"
	_ "github.com/fourfold-dev/fourfold/transitory/beanstalkd"
	"github.com/fourfold-dev/fourfold/volatile"
	_ "github.com/fourfold-dev/fourfold/volatile/memcached"
)

// A vandal damages what stores hold, past everything that guards it: by SQL in
// the file or in MariaDB, by CQL in Cassandra.
type vandal struct {
	t     *testing.T
	layer *persistence.Layer
	ns    string
	cql   *gocql.Session // nil: the amorphous store is the file too
	space string         // the keyspace
}

// sql executes SQL in the transactional store, which in process is the file of
// the amorphous one too.
func (v *vandal) sql(query string, args ...any) {
	v.t.Helper()
	err := v.layer.Tx(v.t.Context(), func(ctx context.Context, tx *persistence.Tx) error {
		n, err := tx.Exec(ctx, query, args...)
		if err == nil && n == 0 {
			err = fmt.Errorf("nothing was damaged")
		}
		return err
	})
	if err != nil {
		v.t.Fatalf("%s: %v", query, err)
	}
}

// A rawCell is a cell as it lies in its table; a body begins with its head in
// Cassandra.
type rawCell struct {
	part  string
	ord   []byte
	shape int64
	body  []byte
}

func (v *vandal) name(table string) string {
	if v.cql == nil {
		return "amorphous$" + v.ns + "_" + table
	}
	return `"` + v.space + `".` + v.ns + "_" + table
}

// cell reads the one cell of an id.
func (v *vandal) cell(table, id string) (c rawCell) {
	v.t.Helper()
	found := 0
	if v.cql == nil {
		err := v.layer.Tx(v.t.Context(), func(ctx context.Context, tx *persistence.Tx) error {
			return tx.Query(ctx, "SELECT part,ord,shape,body FROM "+v.name(table)+" WHERE id=?", []any{id}, func(scan func(...any) error) error {
				found++
				return scan(&c.part, &c.ord, &c.shape, &c.body)
			})
		})
		if err != nil {
			v.t.Fatal(err)
		}
	} else {
		var read rawCell
		var key string
		rows := v.cql.Query("SELECT part, ord, id, shape, cell FROM " + v.name(table)).Iter()
		for rows.Scan(&read.part, &read.ord, &key, &read.shape, &read.body) {
			if key == id && read.body != nil {
				c = read
				c.ord, c.body = bytes.Clone(read.ord), bytes.Clone(read.body) // the next row is scanned into the same bytes
				found++
			}
		}
		if err := rows.Close(); err != nil {
			v.t.Fatal(err)
		}
	}
	if c.ord == nil {
		c.ord = []byte{} // an empty order comes back as none
	}
	if found != 1 {
		v.t.Fatalf("%s has %d cells of %s", table, found, id)
	}
	return c
}

func (v *vandal) exec(query string, args ...any) {
	v.t.Helper()
	if err := v.cql.Query(query, args...).Exec(); err != nil {
		v.t.Fatalf("%s: %v", query, err)
	}
}

// remove deletes the cells of an id.
func (v *vandal) remove(table, id string) {
	v.t.Helper()
	c := v.cell(table, id)
	if v.cql == nil {
		v.sql("DELETE FROM "+v.name(table)+" WHERE id=?", id)
		return
	}
	v.exec("DELETE FROM "+v.name(table)+" WHERE part=? AND ord=? AND id=?", c.part, c.ord, id)
}

// alter replaces a text in a body, and leaves the stamp alone where SQL can.
func (v *vandal) alter(table, id, from, to string) {
	v.t.Helper()
	c := v.cell(table, id)
	body := bytes.Replace(c.body, []byte(from), []byte(to), 1)
	if bytes.Equal(body, c.body) {
		v.t.Fatalf("the body %q has no %q", c.body, from)
	}
	if v.cql == nil {
		v.sql("UPDATE "+v.name(table)+" SET body=? WHERE id=?", body, id)
		return
	}
	v.exec("UPDATE "+v.name(table)+" SET cell=? WHERE part=? AND ord=? AND id=? AND shape=?", body, c.part, c.ord, id, c.shape)
}

// copy puts a copy of an id's cell elsewhere, perhaps under another id.
func (v *vandal) copy(table, id, part, as string) {
	v.t.Helper()
	c := v.cell(table, id)
	if v.cql == nil {
		v.sql("INSERT INTO "+v.name(table)+" SELECT ?,ord,?,shape,version,tie,expires,body FROM "+v.name(table)+" WHERE id=?", part, as, id)
		return
	}
	v.exec("INSERT INTO "+v.name(table)+" (part, ord, id, shape, cell) VALUES (?,?,?,?,?)", part, c.ord, as, c.shape, c.body)
}

// staleCache changes the cached object of a key, under the stamp it has.
func (v *vandal) staleCache(key, from, to string) {
	v.t.Helper()
	cache, ctx := v.layer.Volatile(), v.t.Context()
	e, ok, err := cache.Get(ctx, key)
	if err != nil || !ok {
		v.t.Fatalf("%s is not cached: %v", key, err)
	}
	e.Value = bytes.Replace(e.Value, []byte(from), []byte(to), 1)
	if err := cache.Delete(ctx, key); err != nil {
		v.t.Fatal(err)
	}
	if _, err := cache.Raise(ctx, key, volatile.Entry{Value: e.Value, Stamp: e.Stamp}, 0); err != nil {
		v.t.Fatal(err)
	}
}

// vandals opens a layer in process, and one on the four servers.
func vandals(t *testing.T, test func(t *testing.T, v *vandal)) {
	t.Run("embedded", func(t *testing.T) { test(t, &vandal{t: t, layer: openLayer(t, nil), ns: "ff"}) })
	t.Run("servers", func(t *testing.T) {
		servers := servertest.Start(t)
		opts := servers.Options()
		layer, err := persistence.Open(t.Context(), servers.Stores(), opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { layer.Close() })
		address, keyspace, _ := strings.Cut(strings.TrimPrefix(servers.URL(persistence.Amorphous), "cassandra://"), "/")
		keyspace, _, _ = strings.Cut(keyspace, "?")
		cluster := gocql.NewCluster(address)
		cluster.Timeout = 20 * time.Second
		session, err := cluster.CreateSession()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(session.Close)
		test(t, &vandal{t: t, layer: layer, ns: opts.Namespace, cql: session, space: keyspace})
	})
}

func verifyPlan(record persistence.Purpose) persistence.Plan[stay] {
	return persistence.Plan[stay]{
		{Name: "object", Purpose: record},
		{Name: "hot", Purpose: persistence.Volatile},
		{Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At", Bucket: time.Hour},
		{Name: "names", Purpose: persistence.Amorphous, PartitionBy: "User", Fields: []string{"User"}},
	}
}

// verify lists what differs: task, key and how, sorted.
func verify[T any](t *testing.T, h *persistence.Handle[T]) (diffs []persistence.Difference, lines []string) {
	t.Helper()
	for d, err := range h.Verify(&persistence.VerifyOptions{Young: -1}).Differences(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		diffs = append(diffs, d)
		lines = append(lines, d.Task+" "+d.Key+" "+d.What)
	}
	slices.Sort(lines)
	return diffs, lines
}
