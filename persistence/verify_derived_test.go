package persistence_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
)

// A leaflet has a copy for each of its readers, and counts under its topic.
type (
	leaflet struct {
		ID      string `persistence:"key"`
		Topic   string
		Readers []string
		Pages   int
		At      time.Time
	}
	leafletCopy struct {
		ID     string `persistence:"key"`
		Reader string
		Pages  int
		At     time.Time
	}
)

func leafletCopies(l leaflet) iter.Seq[leafletCopy] {
	return func(yield func(leafletCopy) bool) {
		for _, reader := range l.Readers {
			if !yield(leafletCopy{l.ID, reader, l.Pages, l.At}) {
				return
			}
		}
	}
}

func leafletPlan(record persistence.Purpose) persistence.Plan[leaflet] {
	return persistence.Plan[leaflet]{
		{Name: "object", Purpose: record},
		{Name: "copies", Purpose: persistence.Amorphous, Derive: persistence.Rows(leafletCopies), PartitionBy: "Reader", Newest: "At", Bucket: time.Hour},
		{Name: "topics", Purpose: persistence.Amorphous, Count: &persistence.Counts{By: []string{"Topic"}, At: "At", Per: []time.Duration{time.Minute}}},
		{Name: "pages", Purpose: persistence.Amorphous, Count: &persistence.Counts{Sum: "Pages"}},
	}
}

// leaflets are ten of two topics, and seventy of a third in one minute, which
// is what a reader of counts seals.
func leaflets() map[string]leaflet {
	out := map[string]leaflet{}
	for i := range 80 {
		l := leaflet{ID: fmt.Sprint("i", i), Topic: []string{"sea", "sky"}[i%2], Readers: []string{"ann", "bob", "cid"}[:1+i%3], Pages: i, At: dawn.Add(time.Duration(i) * time.Minute)}
		if i >= 10 {
			l.Topic, l.At, l.Readers = "mass", dawn, []string{"all"}
		}
		out[l.ID] = l
	}
	return out
}

// TestRepairOfDerived damages derived rows, counts, and what says where they
// are, by hand: Verify finds all of it and nothing else, and Repair mends it.
func TestRepairOfDerived(t *testing.T) {
	vandals(t, func(t *testing.T, v *vandal) {
		for name, record := range map[string]persistence.Purpose{"leafrow": persistence.Transactional, "leafcell": persistence.Amorphous} {
			if v.cql != nil && record == persistence.Amorphous {
				continue // it differs in the record alone, and costs half a minute
			}
			v := *v
			t.Run(name, func(t *testing.T) {
				v.t = t
				d := &derivedDamage{vandal: &v, kind: name, want: leaflets()}
				d.handle = persistence.Declare(v.layer, name, leafletPlan(record))
				d.copies = persistence.Derived[leafletCopy](d.handle, "copies")
				d.run(record)
			})
		}
	})
}

type derivedDamage struct {
	*vandal
	kind   string
	handle *persistence.Handle[leaflet]
	copies *persistence.DerivedHandle[leafletCopy]
	want   map[string]leaflet
}

func (d *derivedDamage) run(record persistence.Purpose) {
	if err := d.layer.CreateSchema(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	for _, r := range d.handle.PutAll(d.t.Context(), slices.Collect(maps.Values(d.want))) {
		if r.Err != nil {
			d.t.Fatal(r.Err)
		}
	}
	d.check() // and seals
	if _, lines := verify(d.t, d.handle); len(lines) > 0 {
		d.t.Fatalf("what is whole has no differences: %v", lines)
	}
	expected := d.damageRows()
	expected = append(expected, d.damageCounts()...)
	if record == persistence.Transactional {
		d.sql("DELETE FROM " + d.ns + "_" + d.kind + " WHERE id='i8'")
		delete(d.want, "i8")
		for range 3 {
			expected = append(expected, "copies i8 surplus")
		}
		expected = append(expected, "topics i8 surplus", "pages i8 surplus")
	}
	mendAll(d.t, d.handle, expected)
	d.check()
	d.damageLists()
	_, lines := verify(d.t, d.handle)
	if !slices.Contains(lines, "copies i2 missing") || !slices.Contains(lines, "topics i0 missing") || slices.Contains(lines, "topics i1 missing") {
		d.t.Errorf("lists that are gone: %v", lines)
	}
	mendAll(d.t, d.handle, lines)
	d.check()
	for i := range 7 { // what was repaired gives way to what is newer
		l := leaflet{ID: fmt.Sprint("i", i), Topic: "new", Readers: []string{"dan"}, Pages: 1, At: dawn.Add(3 * time.Hour)}
		if _, err := d.handle.Put(d.t.Context(), l); err != nil {
			d.t.Fatal(err)
		}
		d.want[l.ID] = l
	}
	if _, err := d.handle.Delete(d.t.Context(), "i9"); err != nil {
		d.t.Fatal(err)
	}
	delete(d.want, "i9")
	d.check()
	if _, lines := verify(d.t, d.handle); len(lines) > 0 {
		d.t.Errorf("after newer puts: %v", lines)
	}
}

// damageRows damages derived rows and their register.
func (d *derivedDamage) damageRows() []string {
	table := d.kind + "__copies"
	d.removeAt(table, "i2", "bob")
	c := d.at(table, "i4", "ann")
	d.write(table, c, "i4", bytes.Replace(c.body, []byte(`"pages":4`), []byte(`"pages":9`), 1))
	stray := d.at(table, "i5", "ann")
	stray.part = "ghost\x1f1"
	d.write(table, stray, "stray", stray.body)
	d.removeAll(table+"__places", "i7")
	altered := "copies i4 altered"
	if d.cql != nil {
		altered = "copies i4 newer" // CQL gives what it writes the time as a version
	}
	return []string{"copies i2 missing", altered, "copies stray surplus", "copies i7 missing"}
}

// damageCounts damages where objects count, and sums.
func (d *derivedDamage) damageCounts() []string {
	if d.cql == nil {
		members, tallies := d.name(d.kind+"__topics$members"), d.name(d.kind+"__topics$tallies")
		d.sql("DELETE FROM " + members + " WHERE id='i1'")
		d.sql("UPDATE " + members + " SET counts=(SELECT counts FROM " + members + " WHERE id='i3') WHERE id='i6'")
		d.sql("INSERT INTO "+members+" SELECT 'nobody',version,tie,unit,at,counts FROM "+members+" WHERE id=?", "i5")
		d.sql("UPDATE " + tallies + " SET n=n+5 WHERE part LIKE 'mass%'")
		d.sql("UPDATE " + d.name(d.kind+"__pages$tallies") + " SET n=0")
		return []string{"topics i1 missing", "topics  miscounted", "topics i6 missing", "topics i6 surplus", "topics  miscounted", "topics  miscounted",
			"topics nobody surplus", "topics  miscounted", "topics  miscounted", "pages  miscounted"}
	}
	table := d.kind + "__topics"
	d.removeAt(table, "i1", "sky")
	c := d.at(table, "i6", "sea")
	d.write(table, c, "i6", append(c.body, binary.AppendVarint(nil, 3)...))
	d.write(table, d.at(table, "i5", "sky"), "nobody", c.body)
	d.removeAll(table+"__places", "i3")
	seal := d.at(table+"__seals", "seal", "mass")
	seal.body[len(seal.body)-1] += 2
	d.write(table+"__seals", seal, "seal", seal.body)
	return []string{"topics i1 missing", "topics i6 newer", "topics nobody surplus", "topics i3 missing", "topics  miscounted"}
}

// damageLists forgets that a reader has rows in one hour, and that a topic
// counts.
func (d *derivedDamage) damageLists() {
	d.removeAll(d.kind+"__copies__buckets", "bob")
	d.removeAll(d.kind+"__topics__index", "of\x1fsea")
}

// A namedCell is a cell with its id.
type namedCell struct {
	rawCell
	id string
}

// cells reads all cells of a table, as they lie there.
func (d *derivedDamage) cells(table string) (all []namedCell) {
	d.t.Helper()
	var err error
	if d.cql == nil {
		err = d.layer.Tx(d.t.Context(), func(ctx context.Context, tx *persistence.Tx) error {
			return tx.Query(ctx, "SELECT part,ord,id,shape,body FROM "+d.name(table), nil, func(scan func(...any) error) error {
				var c namedCell
				err := scan(&c.part, &c.ord, &c.id, &c.shape, &c.body)
				all = append(all, c)
				return err
			})
		})
	} else {
		rows := d.cql.Query("SELECT part, ord, id, shape, cell FROM " + d.name(table)).Iter()
		for {
			var c namedCell
			if !rows.Scan(&c.part, &c.ord, &c.id, &c.shape, &c.body) {
				break
			}
			if c.body != nil && c.shape != math.MinInt64 { // not a tombstone
				all = append(all, c)
			}
		}
		err = rows.Close()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// ids are the ids that a table holds.
func (d *derivedDamage) ids(table string) (out []string) {
	d.t.Helper()
	for _, c := range d.cells(table) {
		out = append(out, c.id)
	}
	return out
}

// at is the cell of an id in the partition that begins with a text.
func (d *derivedDamage) at(table, id, prefix string) rawCell {
	d.t.Helper()
	all := slices.DeleteFunc(d.cells(table), func(c namedCell) bool { return c.id != id || !strings.HasPrefix(c.part, prefix) })
	if len(all) != 1 {
		d.t.Fatalf("%s has %d cells of %s in %s", table, len(all), id, prefix)
	}
	return all[0].rawCell
}

// write writes a cell, with the stamp that is there where SQL can, else with
// the newest of the table.
func (d *derivedDamage) write(table string, c rawCell, id string, body []byte) {
	d.t.Helper()
	if d.cql == nil {
		name := d.name(table)
		d.sql("INSERT OR REPLACE INTO "+name+" (part,ord,id,shape,version,tie,expires,body) SELECT ?,ord,?,shape,version,tie,expires,? FROM "+name+
			" WHERE ord=? AND shape=? LIMIT 1", c.part, id, body, c.ord, c.shape)
		return
	}
	d.exec("UPDATE "+d.name(table)+" SET cell=? WHERE part=? AND ord=? AND id=? AND shape=?", body, c.part, c.ord, id, c.shape)
}

func (d *derivedDamage) removeAt(table, id, prefix string) {
	d.t.Helper()
	c := d.at(table, id, prefix)
	if d.cql == nil {
		d.sql("DELETE FROM "+d.name(table)+" WHERE part=? AND ord=? AND id=?", c.part, c.ord, id)
		return
	}
	d.exec("DELETE FROM "+d.name(table)+" WHERE part=? AND ord=? AND id=?", c.part, c.ord, id)
}

// removeAll removes a partition.
func (d *derivedDamage) removeAll(table, partition string) {
	d.t.Helper()
	if d.cql == nil {
		d.sql("DELETE FROM "+d.name(table)+" WHERE part=?", partition)
		return
	}
	d.exec("DELETE FROM "+d.name(table)+" WHERE part=?", partition)
}

// check reads everything in every way.
func (d *derivedDamage) check() {
	d.t.Helper()
	ctx := d.t.Context()
	copies, topics, pages := map[string]int{}, map[string]int64{}, int64(0)
	for _, l := range d.want {
		for _, reader := range l.Readers {
			copies[reader+" "+l.ID] = l.Pages
		}
		topics[l.Topic]++
		pages += int64(l.Pages)
	}
	for _, reader := range []string{"ann", "bob", "cid", "all", "dan", "ghost"} {
		for c, err := range d.copies.Find(ctx, persistence.Query{Where: map[string]any{"Reader": reader}}) {
			if err != nil {
				d.t.Fatal(err)
			}
			if n, ok := copies[reader+" "+c.ID]; !ok || n != c.Pages {
				d.t.Errorf("%s has %+v", reader, c)
			}
			delete(copies, reader+" "+c.ID)
		}
	}
	if len(copies) > 0 {
		d.t.Errorf("copies are missing: %v", copies)
	}
	for range 2 { // unsealed, and sealed
		top, err := d.handle.Top(ctx, persistence.CountQuery{Task: "topics"}, 0)
		if err != nil {
			d.t.Fatal(err)
		}
		found := map[string]int64{}
		for _, c := range top {
			found[c.Of[0]] = c.N
		}
		for topic, n := range topics {
			if found[topic] != n {
				d.t.Errorf("%s counts %d, want %d", topic, found[topic], n)
			}
		}
		if len(found) != len(topics) {
			d.t.Errorf("topics: %v, want %v", found, topics)
		}
	}
	if n, err := d.handle.Total(ctx, persistence.CountQuery{Task: "pages"}); err != nil || n != pages {
		d.t.Errorf("%d pages, want %d: %v", n, pages, err)
	}
}
