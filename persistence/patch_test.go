package persistence_test

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// profile is an open object: several programs change several of its fields.
type profile struct {
	ID    string `persistence:"key"`
	Team  string
	Name  string
	Score int64
	Since time.Time
}

var profilePlan = persistence.Plan[profile]{
	{Name: "object", Purpose: persistence.Amorphous},
	{Name: "by-team", Purpose: persistence.Amorphous, Priority: 1, PartitionBy: "Team", Newest: "Score"},
	{Name: "names", Purpose: persistence.Amorphous, Priority: 1, PartitionBy: "Team", Fields: []string{"Team", "Name"}},
}

func TestPatch(t *testing.T) {
	ctx, layer := t.Context(), openLayer(t, nil)
	h := persistence.Declare(layer, "profile", persistence.Plan[profile]{{Purpose: persistence.Amorphous}})
	want := profile{ID: "ann", Team: "red", Name: "Ann", Score: 1, Since: dawn}
	putEach(t, h, want)
	want.Score = 2
	if _, err := h.Patch(ctx, profile{ID: "ann", Score: 2}, "Score"); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Get(ctx, "ann"); err != nil || got != want {
		t.Errorf("a patch puts the named fields and leaves the others: %+v, %v", got, err)
	}
	for class, fields := range map[error][]string{fault.ErrInvalid: {}, errors.New("no kept field"): {"Nope"}} {
		_, err := h.Patch(ctx, want, fields...)
		if !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("a patch of %v: %v, want %v", fields, err, class)
		}
	}
	putEach(t, h, profile{ID: "ann", Name: "whole"})
	if got, err := h.Get(ctx, "ann"); err != nil || got != (profile{ID: "ann", Name: "whole"}) {
		t.Errorf("a newer whole object replaces a patch: %+v, %v", got, err)
	}
}

func putEach[T any](t *testing.T, h *persistence.Handle[T], objects ...T) {
	t.Helper()
	for i, r := range h.PutAll(t.Context(), objects) {
		if r.Err != nil {
			t.Fatalf("put of %+v: %v", objects[i], r.Err)
		}
	}
}

func TestPatchOfADocument(t *testing.T) {
	ctx, layer := t.Context(), openLayer(t, nil)
	h := persistence.Declare(layer, "doc", persistence.Plan[persistence.Document]{{Purpose: persistence.Amorphous, Priority: 1}})
	putEach(t, h, persistence.Document{"id": "a", "x": int64(1), "y": "why"})
	if _, err := h.Patch(ctx, persistence.Document{"id": "a", "x": "two", "y": "not named"}, "x", "z"); err != nil {
		t.Fatal(err)
	}
	drain(t, layer)
	want := persistence.Document{"id": "a", "x": "two", "y": "why", "z": nil}
	if got, err := h.Get(ctx, "a"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("a patch of a document, through custody: %v, %v", got, err)
	}
	putEach(t, h, persistence.Document{"id": "a", "only": true})
	drain(t, layer)
	if got, err := h.Get(ctx, "a"); err != nil || !reflect.DeepEqual(got, persistence.Document{"id": "a", "only": true}) {
		t.Errorf("a whole document covers what was patched: %v, %v", got, err)
	}
}

func TestPatchIsRefusedWithAWayOut(t *testing.T) {
	ctx, layer := t.Context(), openLayer(t, nil)
	for name, plan := range map[string]persistence.Plan[profile]{
		"row":     {{Purpose: persistence.Transactional}},
		"cached":  {{Purpose: persistence.Amorphous}, {Purpose: persistence.Volatile}},
		"when":    {{Purpose: persistence.Amorphous, When: func(profile) bool { return true }}},
		"ttl":     {{Purpose: persistence.Amorphous, TTL: time.Hour}},
		"expires": {{Purpose: persistence.Amorphous, Expires: "Since"}},
		"layout":  profilePlan,
		"count":   {{Purpose: persistence.Amorphous}, {Purpose: persistence.Amorphous, Name: "teams", Count: &persistence.Counts{By: []string{"Team"}}}},
		"derive": {{Purpose: persistence.Amorphous}, {Purpose: persistence.Amorphous, Name: "rows", Derive: persistence.Rows(
			func(p profile) iter.Seq[profile] { return slices.Values([]profile{p}) })}},
	} {
		h := persistence.Declare(layer, name, plan)
		_, err := h.Patch(ctx, profile{ID: "a", Name: "n"}, "Name")
		if fault.ClassOf(err) != fault.ErrUnsupported || !strings.Contains(err.Error(), "Put the object whole") {
			t.Errorf("%s: a patch is refused with a way out: %v", name, err)
		}
		if _, err := h.Get(ctx, "a"); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("%s: a refused patch writes nothing: %v", name, err)
		}
	}
	h := persistence.Declare(layer, "beside", persistence.Plan[profile]{profilePlan[0], profilePlan[2]})
	putEach(t, h, profile{ID: "a", Team: "red", Name: "n"})
	if _, err := h.Patch(ctx, profile{ID: "a", Score: 5}, "Score"); err != nil {
		t.Errorf("a field that no layout keeps needs no Patched: %v", err)
	}
}

// TestPatchedLayoutsFollow lets patches, puts and deletes of one object race:
// afterwards every layout holds what the record holds, where it belongs.
func TestPatchedLayoutsFollow(t *testing.T) {
	ctx, layer := t.Context(), openLayer(t, nil)
	h := persistence.Declare(layer, "profile", profilePlan, persistence.KindOptions{Patched: true})
	stop := work(t, layer)
	var wg sync.WaitGroup
	for c := range 6 {
		wg.Go(func() {
			for i := range 20 {
				p := profile{ID: fmt.Sprint("p", i%4), Team: fmt.Sprint("team", (i+c)%3), Name: fmt.Sprint(c, ".", i), Score: int64(i), Since: dawn}
				var err error
				switch (i + c) % 5 {
				case 0:
					_, err = h.Put(ctx, p)
				case 1:
					_, err = h.Patch(ctx, p, "Team")
				case 2:
					_, err = h.Patch(ctx, p, "Name", "Score")
				case 3:
					_, err = h.Patch(ctx, p, "Since")
				case 4:
					if i > 10 {
						_, err = h.Delete(ctx, p.ID)
					}
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	putEach(t, h, profile{ID: "p0", Team: "last", Name: "zero", Score: 7})
	stop()
	drain(t, layer)
	checkFollowers(t, h)
}

// checkFollowers compares the layouts with the record, by key.
func checkFollowers(t *testing.T, h *persistence.Handle[profile]) {
	t.Helper()
	want := map[string]profile{}
	for p, err := range h.Scan("").Objects(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		want[p.ID] = p
	}
	if want["p0"].Name != "zero" {
		t.Fatalf("nothing is proved: the record holds %+v", want)
	}
	for _, task := range []string{"by-team", "names"} {
		seen := 0
		for _, team := range []string{"", "team0", "team1", "team2", "last"} {
			for p, err := range h.Find(t.Context(), persistence.Query{Task: task, Where: map[string]any{"Team": team}}) {
				w := want[p.ID]
				if task == "names" {
					w.Score, w.Since = 0, time.Time{}
				}
				if err != nil || p != w || team != w.Team {
					t.Errorf("%s in %s holds %+v, the record %+v, %v", task, team, p, want[p.ID], err)
				}
				seen++
			}
		}
		placed := 0
		for _, p := range want {
			// What was only patched since its delete may lack what places it.
			if p.Team != "" && (p.Name != "" || task == "names") {
				placed++
			}
		}
		if seen < placed {
			t.Errorf("%s holds %d rows of %d objects", task, seen, placed)
		}
	}
}

func TestChangedTypes(t *testing.T) {
	type former struct {
		ID    string `persistence:"key"`
		Score string
	}
	type latter struct {
		ID    string `persistence:"key"`
		Score int64
	}
	dir := t.TempDir()
	layer := openIn(t, dir)
	putEach(t, persistence.Declare(layer, "score", persistence.Plan[former]{{Purpose: persistence.Amorphous}}), former{"a", "12 points"}, former{"b", "?"})
	layer.Close()
	layer = openIn(t, dir)
	h := persistence.Declare(layer, "score", persistence.Plan[latter]{{Purpose: persistence.Amorphous}}, persistence.KindOptions{
		Convert: map[string]func(any) (any, error){"Score": func(old any) (any, error) {
			var n int64
			_, err := fmt.Sscanf(fmt.Sprint(old), "%d points", &n)
			return n, err
		}},
	})
	if got, err := h.Get(t.Context(), "a"); err != nil || got.Score != 12 {
		t.Errorf("a declared conversion reads the old value: %+v, %v", got, err)
	}
	if _, err := h.Get(t.Context(), "b"); fault.ClassOf(err) != fault.ErrCorrupt || !strings.Contains(err.Error(), "score") {
		t.Errorf("what no conversion reads is an error that names the property: %v", err)
	}
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "Convert") {
			t.Errorf("a conversion for no field is refused: %v", v)
		}
	}()
	persistence.Declare(layer, "other", persistence.Plan[latter]{{Purpose: persistence.Amorphous}},
		persistence.KindOptions{Convert: map[string]func(any) (any, error){"Nope": nil}})
}

func TestRowsThatEndThemselves(t *testing.T) {
	layer := openLayer(t, nil)
	h := persistence.Declare(layer, "profile", persistence.Plan[profile]{
		{Purpose: persistence.Amorphous, Expires: "Since"},
		{Name: "by-team", Purpose: persistence.Amorphous, PartitionBy: "Team", Newest: "Since", Bucket: time.Hour, Expires: "Since"},
	})
	putEach(t, h, profile{ID: "past", Team: "red", Since: dawn}, profile{ID: "future", Team: "red", Since: time.Now().Add(time.Hour)}, profile{ID: "ever", Team: "red"})
	all, err := h.GetAll(t.Context(), "past", "future", "ever")
	if _, there := all["past"]; err != nil || there || len(all) != 2 {
		t.Errorf("each object has an end of its own: %v, %v", all, err)
	}
	page, err := h.FindPage(amorphous.WithConsistency(t.Context(), amorphous.LocalOne), persistence.Query{Task: "by-team", Where: map[string]any{"Team": "red"}})
	if err != nil || len(page.Objects) != 2 {
		t.Errorf("so has its row in a layout: %v, %v", page.Objects, err)
	}
	for want, plan := range map[string]persistence.Plan[profile]{
		"name a time.Time":   {{Purpose: persistence.Amorphous, Expires: "Name"}},
		"leave out one":      {{Purpose: persistence.Amorphous, Expires: "Since", TTL: time.Hour}},
		"remove one of them": {{Purpose: persistence.Amorphous, Expires: "Since"}, {Purpose: persistence.Volatile}},
		"lays out an amor":   {{Purpose: persistence.Transactional, Expires: "Since"}},
	} {
		if err := plan.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
