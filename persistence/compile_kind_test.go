package persistence

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestKindIsCompiled(t *testing.T) {
	type user struct {
		ID       string `persistence:"key"`
		Email    string `transactional:"mail,unique"`
		Password string `transactional:""`
		Bio      string `amorphous:""`
		Seen     int64  `volatile:",ttl=15m"`
		Token    string `transitory:""`
	}
	k, faults := compiled[user](nil, full)
	if len(faults) > 0 {
		t.Fatal(strings.Join(faults, "\n"))
	}
	if got := names(k.record); got != "transactional amorphous" {
		t.Errorf("the record is %s, want the two durable parts", got)
	}
	if got := names(k.parts); got != "volatile" || k.cache != nil {
		t.Errorf("parts are %q and cache %v: tagged volatile fields are a part, not a cache", got, k.cache)
	}
	if k.custody != TransactionalCustody {
		t.Error("a kind with a row defaults to transactional custody")
	}
	row := k.task("transactional").row
	if row.Columns[0].Name != "mail" || len(row.Columns) != 2 || row.Unique[0][0] != "mail" {
		t.Errorf("the table is %+v: columns for the two fields tagged transactional, under the names of their tags", row)
	}
	if k.task("volatile").ttl != 15*time.Minute {
		t.Errorf("the entry lives %v, want the ttl of its tag", k.task("volatile").ttl)
	}
	if len(k.all.Fields) != 6 {
		t.Errorf("the envelope carries %d fields, want every kept one", len(k.all.Fields))
	}
}

func TestPasswordNeverReachesTheCache(t *testing.T) {
	// With no tag of its own a purpose stores the whole object less
	// the fields tagged only for other purposes.
	type account struct {
		ID   string `persistence:"key"`
		Name string
		Hash string `transactional:""`
	}
	k, faults := compiled(Plan[account]{{Purpose: Transactional}, {Purpose: Amorphous}, {Purpose: Volatile}}, full)
	if len(faults) > 0 {
		t.Fatal(strings.Join(faults, "\n"))
	}
	for _, f := range k.cache.set.Fields {
		if f.Go == "Hash" {
			t.Error("the hash is cached")
		}
	}
	if k.holdsAll() {
		t.Error("the cache does not hold the hash, so Get must read it")
	}
}

func TestTablesHaveNamesThatEveryStoreTakes(t *testing.T) {
	long := strings.Repeat("a", 40)
	for _, names := range [][]string{{"visit"}, {"visit", "by-user"}, {long}, {long, long}, {long, long, "buckets"}} {
		name := physical(names...)
		if len(name) > maxPhysical || strings.ContainsAny(name, "-") {
			t.Errorf("%v is table %q", names, name)
		}
	}
	if physical(long, "a") == physical(long, "b") || physical(long) == physical(long+"b") {
		t.Error("two long names share a table")
	}
}

func TestOutlineIsStable(t *testing.T) {
	// The plan is data: it can be printed and compared, whatever the order of
	// its tasks.
	plan := Plan[visit]{
		{Priority: 6, Name: "object", Purpose: Amorphous},
		{Priority: 5, Name: "activity", Purpose: Amorphous, PartitionBy: "User", Newest: "At", TTL: time.Hour},
		{Priority: 4, Name: "badges", Purpose: Transactional, Tx: tx, Within: time.Minute, Late: Expire},
		{Priority: 2, Name: "venue", Purpose: Volatile, RealTime: true, Do: do, MaxAttempts: 3},
		{Priority: 1, Name: "distribute", Purpose: Transitory, RealTime: true, Do: do, When: func(visit) bool { return true }},
		{Purpose: Volatile, Fields: []string{"Venue"}},
	}
	const want = `0  before Put returns  volatile    volatile       writes a cache entry; only Venue
1  real time           distribute  transitory     runs Do; when its condition holds
2  real time           venue       volatile       runs Do; 3 attempts
4  background          badges      transactional  runs Tx in a transaction; within 1m0s, else expired
5  background          activity    amorphous      writes the object by User, newest At first; for 1h0m0s
6  background          object      amorphous      writes the object by key
`
	if got := plan.Outline(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	slices.Reverse(plan)
	if got := plan.Outline(); got != want {
		t.Errorf("the order of the tasks changes the outline:\n%s", got)
	}
}

func names(tasks []*task) string {
	var out []string
	for _, t := range tasks {
		out = append(out, t.name)
	}
	return strings.Join(out, " ")
}

// FuzzNames states what a valid name is good for: it survives as a table, and
// no two of them meet when they are joined.
func FuzzNames(f *testing.F) {
	f.Add("a", "b-c")
	f.Add("visit_", "x")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !validName(a) || !validName(b) {
			return
		}
		if joined := physical(a, b); strings.Count(joined, "__") != 1 && len(a)+len(b)+2 <= maxPhysical {
			t.Errorf("%q and %q join to %q, which falls apart otherwise", a, b, joined)
		}
		if physical(a) == physical(b) && strings.ReplaceAll(a, "-", "_") != strings.ReplaceAll(b, "-", "_") {
			t.Errorf("%q and %q are one table", a, b)
		}
	})
}
