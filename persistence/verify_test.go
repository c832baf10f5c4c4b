package persistence_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/fourfold-dev/fourfold/amorphous"
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

// TestRepairAfterDamage damages every store by hand: Verify finds all of it and
// nothing else, and Repair mends it.
func TestRepairAfterDamage(t *testing.T) {
	vandals(t, func(t *testing.T, v *vandal) {
		for name, record := range map[string]persistence.Purpose{"verrow": persistence.Transactional, "vercell": persistence.Amorphous} {
			v := *v
			t.Run(name, func(t *testing.T) {
				v.t = t
				testDamage(t, &v, name, record)
			})
		}
	})
}

func testDamage(t *testing.T, v *vandal, kind string, record persistence.Purpose) {
	h := persistence.Declare(v.layer, kind, verifyPlan(record))
	if err := v.layer.CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]stay{}
	for i := range 12 {
		s := stayOf(i*1800, "ann")
		s.ID = fmt.Sprint("s", i)
		want[s.ID] = s
	}
	putEach(t, h, slices.Collect(maps.Values(want))...)
	if _, err := h.GetAll(t.Context(), "s5", "s6"); err != nil { // fills the cache
		t.Fatal(err)
	}
	if _, lines := verify(t, h); len(lines) > 0 {
		t.Fatalf("what is whole has no differences: %v", lines)
	}
	activity := kind + "__activity"
	v.remove(activity, "s1")
	v.alter(activity, "s2", `"ann"`, `"eve"`)
	v.copy(activity, "s3", "ghost\x1f1", "s3")
	v.copy(activity, "s4", "ann\x1f77", "nobody")
	v.staleCache(kind+":s5", `"ann"`, `"eve"`)
	v.remove(kind+"__names", "s6")
	expected := []string{"activity nobody surplus", "activity s1 missing", "activity s2 altered", "activity s3 surplus", "hot s5 altered", "names s6 missing"}
	if v.cql != nil {
		expected[2] = "activity s2 newer" // CQL gives what it writes the time as a version
	}
	if record == persistence.Transactional {
		v.sql("UPDATE " + v.ns + "_" + kind + " SET " + quoteUser(v) + "='mia' WHERE id='s7'")
		v.sql("DELETE FROM " + v.ns + "_" + kind + " WHERE id='s8'")
		s7 := want["s7"]
		s7.User = "mia"
		want["s7"] = s7
		delete(want, "s8")
		expected = append(expected, "activity s7 missing", "activity s7 surplus", "names s7 missing", "names s7 surplus", "hot s7 altered", "activity s8 surplus", "names s8 surplus")
	}
	mendAll(t, h, expected)
	dropBuckets(t, v, kind)
	_, lines := verify(t, h)
	if len(lines) < 2 || !strings.Contains(lines[0], "missing") {
		t.Errorf("a list of buckets that is gone: %v", lines)
	}
	mendAll(t, h, lines)
	checkStays(t, h, want)
}

func quoteUser(v *vandal) string {
	if v.cql == nil {
		return `"user"`
	}
	return "`user`"
}

// mendAll checks the differences, mends them and looks again.
func mendAll[T any](t *testing.T, h *persistence.Handle[T], expected []string) {
	t.Helper()
	diffs, lines := verify(t, h)
	slices.Sort(expected)
	if !slices.Equal(lines, expected) {
		t.Errorf("verify found\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(expected, "\n"))
	}
	for _, d := range diffs {
		if err := h.Repair(t.Context(), d); err != nil {
			t.Errorf("%v: %v", d, err)
		}
	}
	if again, _ := verify(t, h); len(again) > 0 {
		t.Errorf("what was mended still differs: %v", again)
	}
}

// dropBuckets forgets that some buckets have rows.
func dropBuckets(t *testing.T, v *vandal, kind string) {
	t.Helper()
	table := v.name(kind + "__activity__buckets")
	if v.cql == nil {
		v.sql("DELETE FROM " + table + " WHERE part='ann'")
		return
	}
	v.exec("DELETE FROM " + table + " WHERE part='ann'")
}

// checkStays reads everything in every way.
func checkStays(t *testing.T, h *persistence.Handle[stay], want map[string]stay) {
	t.Helper()
	keys := slices.Collect(maps.Keys(want))
	all, err := h.GetAll(t.Context(), append(keys, "s8", "nobody")...)
	if err != nil || !maps.Equal(all, want) {
		t.Errorf("GetAll returns %v, %v", all, err)
	}
	for _, user := range []string{"ann", "mia", "ghost", "eve"} {
		n := 0
		for s, err := range h.Find(t.Context(), persistence.Query{Task: "activity", Where: map[string]any{"User": user}}) {
			if err != nil || s != want[s.ID] || s.User != user {
				t.Errorf("the activity of %s holds %+v, %v", user, s, err)
			}
			n++
		}
		for _, s := range want {
			if s.User == user {
				n--
			}
		}
		if n != 0 {
			t.Errorf("the activity of %s holds %+d rows more than it should", user, n)
		}
	}
	for i := range 3 { // what was repaired gives way to what is newer
		s := stay{ID: fmt.Sprint("s", i+1), User: "new", At: dawn}
		putEach(t, h, s)
		page, err := h.FindPage(t.Context(), persistence.Query{Task: "activity", Where: map[string]any{"User": "new"}})
		if err != nil || len(page.Objects) != i+1 {
			t.Errorf("a Put after a repair: %v, %v", page.Objects, err)
		}
	}
	if _, lines := verify(t, h); len(lines) > 0 {
		t.Errorf("after newer puts: %v", lines)
	}
}

func TestVerifyResumes(t *testing.T) {
	layer := openLayer(t, nil)
	h := persistence.Declare(layer, "ver", verifyPlan(persistence.Transactional))
	for i := range 600 {
		putEach(t, h, stayOf(i, "ann"))
	}
	v := &vandal{t: t, layer: layer, ns: "ff"}
	for i := range 6 {
		v.remove("ver__activity", stayOf(i*100, "").ID)
	}
	found, cursor := map[string]int{}, ""
	for starts := 0; ; starts++ {
		ver := h.Verify(&persistence.VerifyOptions{After: cursor, Young: -1, Rate: 1 << 20})
		stopped := false
		for d, err := range ver.Differences(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if found[d.Key]++; starts < 3 && ver.Looked() > 256 {
				stopped = true
				break
			}
		}
		if cursor = ver.Cursor(); !stopped {
			break
		}
	}
	if len(found) != 6 {
		t.Errorf("a verification that is continued finds %v", found)
	}
	for _, err := range h.Verify(&persistence.VerifyOptions{After: "nonsense"}).Differences(t.Context()) {
		if err == nil {
			t.Error("a cursor that is none")
		}
	}
	if young := h.Verify(&persistence.VerifyOptions{Young: time.Hour}); young != nil {
		for d, err := range young.Differences(t.Context()) {
			t.Errorf("what is young is under way: %v, %v", d, err)
		}
	}
	random := rand.Text()
	if got := h.Scan(random); got.Cursor() != "" {
		t.Errorf("a forged cursor: %q", got.Cursor())
	}
}

// TestVerifyOfCopies: a second copy by key is compared too, and mended with
// what programs of another shape wrote.
func TestVerifyOfCopies(t *testing.T) {
	layer := openLayer(t, nil)
	h := persistence.Declare(layer, "copy", persistence.Plan[stay]{
		{Name: "object", Purpose: persistence.Transactional}, {Name: "archive", Purpose: persistence.Amorphous},
	})
	putEach(t, h, stay{ID: "a", User: "ann", At: dawn}, stay{ID: "b", User: "bob", At: dawn})
	table := amorphous.Table{Name: "copy__archive"}
	stamp := amorphous.Stamp{Version: time.Now().UnixMicro(), Tie: 1}
	order := binary.BigEndian.AppendUint64(nil, 1)
	for _, err := range layer.Amorphous().Write(t.Context(), table,
		amorphous.Row{Partition: "a", ID: "a", Deleted: true, Stamp: stamp},
		amorphous.Row{Partition: "x", Order: order, ID: "x", Shape: 1, Stamp: stamp, Body: []byte(`{"id":"x"}`)}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	mendAll(t, h, []string{"archive a missing", "archive x surplus"})
}
