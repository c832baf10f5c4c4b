package persistence_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence"
)

// TestEraseOfDerived: an object has derived rows and counts whose registers were
// lost, and a copy was made by hand of one of its rows. Erase finds them all the
// same, and its second look proves that they are gone.
func TestEraseOfDerived(t *testing.T) {
	vandals(t, func(t *testing.T, v *vandal) {
		d := &derivedDamage{vandal: v, kind: "leaferase", want: map[string]leaflet{
			"e1": {ID: "e1", Topic: "sea", Readers: []string{"ann", "bob"}, Pages: 3, At: dawn},
			"e2": {ID: "e2", Topic: "sea", Readers: []string{"ann"}, Pages: 4, At: dawn},
		}}
		v.t = t
		d.handle = persistence.Declare(v.layer, d.kind, leafletPlan(persistence.Transactional))
		d.copies = persistence.Derived[leafletCopy](d.handle, "copies")
		if err := v.layer.CreateSchema(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, l := range d.want {
			if _, err := d.handle.Put(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		d.check()
		stray := d.at(d.kind+"__copies", "e1", "ann")
		stray.part = "ghost\x1f1"
		d.write(d.kind+"__copies", stray, "e1", stray.body)
		d.removeAll(d.kind+"__copies__places", "e1")
		if v.cql != nil {
			d.removeAll(d.kind+"__topics__places", "e1")
		}
		report, err := d.handle.Erase(t.Context(), "e1", &persistence.EraseOptions{Everywhere: true})
		if err != nil {
			t.Fatalf("%v\n%v", err, report)
		}
		for _, part := range []string{`partition "ann"`, `partition "bob"`, `partition "ghost"`, `topics (amorphous): ["sea"]`, "pages (amorphous)", "the record"} {
			if n := strings.Count(strings.Join(report.Found, "\n"), part); n != 1 {
				t.Errorf("the report names %q %d times:\n%v", part, n, report)
			}
		}
		delete(d.want, "e1")
		d.check()
		if held := d.ids(d.kind + "__copies"); !slices.Equal(held, []string{"e2"}) {
			t.Errorf("the table of copies holds %v", held)
		}
		if of, err := d.copies.Of(t.Context(), "e1"); err != nil || len(of) > 0 {
			t.Errorf("copies of what was erased: %v, %v", of, err)
		}
		again, err := d.handle.Erase(t.Context(), "e1", &persistence.EraseOptions{Everywhere: true})
		if err != nil || len(again.Found) > 0 || len(again.Left) > 0 {
			t.Errorf("erasing again finds nothing: %v, %v", again, err)
		}
		if _, lines := verify(t, d.handle); len(lines) > 0 {
			t.Errorf("after it: %v", lines)
		}
		back := leaflet{ID: "e1", Topic: "sky", Readers: []string{"cid"}, Pages: 1, At: dawn}
		if _, err := d.handle.Put(t.Context(), back); err != nil {
			t.Fatal(err)
		}
		d.want["e1"] = back
		d.check()
	})
}
