package persistence_test

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	_ "github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/persistence"
	_ "github.com/fourfold-dev/fourfold/transactional/mysql"
	_ "github.com/fourfold-dev/fourfold/transitory/beanstalkd"
	_ "github.com/fourfold-dev/fourfold/volatile/memcached"
)

// TestRepairAfterDamage damages every store by hand: Verify finds all of it and
// nothing else, and Repair mends it.
func TestRepairAfterDamage(t *testing.T) {
	damage := func(t *testing.T, v *vandal) {
		for name, record := range map[string]persistence.Purpose{"verrow": persistence.Transactional, "vercell": persistence.Amorphous} {
			v := *v
			t.Run(name, func(t *testing.T) {
				v.t = t
				testDamage(t, &v, name, record)
			})
		}
	}
	vandals(t, damage)
	t.Run("blind", func(t *testing.T) {
		damage(t, &vandal{t: t, layer: openStores(t, blindStores(t.TempDir())), ns: "ff"})
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
	blind := !v.layer.Amorphous().Features().Superseded
	if registered, err := v.layer.Transactional().AnyPlaced(t.Context(), activity); err != nil || registered != blind {
		t.Errorf("that its places are registered is %v, %v, want %v", registered, err, blind)
	}
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
