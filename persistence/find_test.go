package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// sight is found by partition, by order, by index and by key.
type sight struct {
	ID    string    `persistence:"key"`
	User  string    `transactional:",index" amorphous:""`
	Level int       `transactional:",index"`
	Mail  *string   `transactional:",unique"`
	At    time.Time `amorphous:""`
	Score float64   `amorphous:""`
}

var dawn = time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)

// watch declares sights in all layouts and puts ten of them, an hour apart,
// in an order of its own.
func watch(t *testing.T) (*persistence.Layer, *persistence.Handle[sight]) {
	layer := openLayer(t, nil)
	h := persistence.Declare(layer, "sight", persistence.Plan[sight]{
		{Name: "object", Purpose: persistence.Transactional},
		{Name: "by-user", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		{Name: "by-score", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "Score", Priority: 1},
		{Name: "by-level", Purpose: persistence.Amorphous, PartitionBy: "Level"},
		{Name: "rest", Purpose: persistence.Amorphous},
	})
	for _, i := range []int{3, 1, 4, 0, 5, 9, 2, 6, 8, 7} {
		if _, err := h.Put(t.Context(), sightOf(i)); err != nil {
			t.Fatal(err)
		}
	}
	drain(t, layer)
	return layer, h
}

func sightOf(i int) sight {
	mail := fmt.Sprintf("m%d@example.org", i)
	return sight{ID: fmt.Sprintf("s%d", i), User: "ann", Level: i % 3, Mail: &mail, At: dawn.Add(time.Duration(i) * time.Hour), Score: float64(i) - 4.5}
}

// numbers runs a query and returns which of the ten sights it yields.
func numbers(t *testing.T, h *persistence.Handle[sight], q persistence.Query) string {
	t.Helper()
	var out strings.Builder
	for s, err := range h.Find(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString(s.ID[1:])
	}
	return out.String()
}

func TestFind(t *testing.T) {
	_, h := watch(t)
	ann := map[string]any{"User": "ann"}
	at := func(hour int) time.Time { return dawn.Add(time.Duration(hour) * time.Hour) }
	tests := []struct {
		promise string
		q       persistence.Query
		want    string
	}{
		{"newest first by default", persistence.Query{Task: "by-user", Where: ann}, "9876543210"},
		{"Oldest reverses", persistence.Query{Task: "by-user", Where: ann, Oldest: true}, "0123456789"},
		{"From <= field < To", persistence.Query{Task: "by-user", Where: ann, From: at(2), To: at(5)}, "432"},
		{"bounds of the other direction", persistence.Query{Task: "by-user", Where: ann, From: at(2), To: at(5), Oldest: true}, "234"},
		{"nil is open", persistence.Query{Task: "by-user", Where: ann, From: at(7)}, "987"},
		{"nothing between", persistence.Query{Task: "by-user", Where: ann, From: at(5), To: at(5)}, ""},
		{"Limit", persistence.Query{Task: "by-user", Where: ann, Limit: 3}, "987"},
		{"an empty partition", persistence.Query{Task: "by-user", Where: map[string]any{"User": ""}}, ""},
		{"floats sort with their sign", persistence.Query{Task: "by-score", Where: ann, From: -1.5, To: 1.5}, "543"},
		{"whole numbers fit floats", persistence.Query{Task: "by-score", Where: ann, From: 3}, "98"},
		{"without Newest, by key", persistence.Query{Task: "by-level", Where: map[string]any{"Level": 2}}, "258"},
		{"numbers of any width", persistence.Query{Task: "by-level", Where: map[string]any{"Level": uint8(1)}}, "147"},
		{"the record by key", persistence.Query{}, "0123456789"},
		{"the record backwards", persistence.Query{Oldest: true, Limit: 2}, "98"},
		{"the record between keys", persistence.Query{From: "s3", To: "s6"}, "345"},
		{"an indexed field", persistence.Query{Where: map[string]any{"Level": 0}}, "0369"},
		{"a unique field", persistence.Query{Where: map[string]any{"Mail": "m4@example.org"}}, "4"},
		{"two indexed fields", persistence.Query{Where: map[string]any{"Level": 0, "User": "ann"}}, "0369"},
		{"the record by the name of its other part", persistence.Query{Task: "rest", Where: map[string]any{"Level": 0}}, "0369"},
	}
	for _, test := range tests {
		if got := numbers(t, h, test.q); got != test.want {
			t.Errorf("%s: got %s, want %s", test.promise, got, test.want)
		}
	}
	for s, err := range h.Find(t.Context(), persistence.Query{Limit: 1}) {
		if err != nil || !reflect.DeepEqual(s, sightOf(0)) {
			t.Errorf("a record in two stores is found as %+v, %v", s, err)
		}
	}
}

func TestFindOfAnAmorphousRecordFilters(t *testing.T) {
	layer := openLayer(t, nil)
	h := persistence.Declare(layer, "sight", persistence.Plan[whole]{{Purpose: persistence.Amorphous}})
	for i := range 10 {
		if _, err := h.Put(t.Context(), whole{ID: fmt.Sprint(i), Int: int64(i % 2)}); err != nil {
			t.Fatal(err)
		}
	}
	page, err := h.FindPage(t.Context(), persistence.Query{Where: map[string]any{"Int": 1}, Limit: 3})
	if err != nil || len(page.Objects) != 3 || page.Next == "" {
		t.Fatalf("the first page has %d objects, cursor %q, %v", len(page.Objects), page.Next, err)
	}
	rest, err := h.FindPage(t.Context(), persistence.Query{Where: map[string]any{"Int": 1}, After: page.Next})
	if err != nil || len(rest.Objects) != 2 || rest.Next != "" {
		t.Fatalf("the second page has %d objects, cursor %q, %v", len(rest.Objects), rest.Next, err)
	}
	if _, err := h.FindPage(t.Context(), persistence.Query{From: "a"}); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("bounds on a record without order are %v, want invalid", err)
	}
}

func TestPagesSurviveWrites(t *testing.T) {
	// A cursor is a place: what is written meanwhile neither repeats nor hides
	// what was there.
	layer, h := watch(t)
	for name, q := range map[string]persistence.Query{
		"partition": {Task: "by-user", Where: map[string]any{"User": "ann"}, Limit: 3},
		"record":    {Limit: 3},
		"index":     {Where: map[string]any{"User": "ann"}, Limit: 3},
	} {
		var seen []string
		for round := 0; ; round++ {
			page, err := h.FindPage(t.Context(), q)
			if err != nil {
				t.Fatal(name, err)
			}
			for _, s := range page.Objects {
				seen = append(seen, s.ID)
			}
			again := sightOf(round % 10)
			again.Score++
			if _, err := h.Put(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			drain(t, layer)
			if q.After = page.Next; page.Next == "" {
				break
			}
			if len(page.Objects) != q.Limit {
				t.Errorf("%s: a page before the last has %d objects", name, len(page.Objects))
			}
		}
		slices.Sort(seen)
		if got := strings.Join(slices.Compact(seen), ""); len(seen) != 10 || got != "s0s1s2s3s4s5s6s7s8s9" {
			t.Errorf("%s: the pages hold %v", name, seen)
		}
	}
}

func TestCursorsOfOthersAreRefused(t *testing.T) {
	_, h := watch(t)
	q := persistence.Query{Task: "by-user", Where: map[string]any{"User": "ann"}, Limit: 3}
	page, err := h.FindPage(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]persistence.Query{
		"another partition": {Task: "by-user", Where: map[string]any{"User": "bob"}, After: page.Next},
		"another task":      {Task: "by-score", Where: map[string]any{"User": "ann"}, After: page.Next},
		"another direction": {Task: "by-user", Where: map[string]any{"User": "ann"}, Oldest: true, After: page.Next},
		"other bounds":      {Task: "by-user", Where: map[string]any{"User": "ann"}, From: dawn, After: page.Next},
		"the record":        {After: page.Next},
		"no cursor at all":  {After: "next"},
		"cut off":           {Task: "by-user", Where: map[string]any{"User": "ann"}, After: page.Next[:len(page.Next)/2]},
	} {
		if _, err := h.FindPage(t.Context(), other); !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("a cursor of %s is %v, want invalid", name, err)
		}
	}
	q.Limit, q.After = 7, page.Next
	if next, err := h.FindPage(t.Context(), q); err != nil || len(next.Objects) != 7 {
		t.Errorf("with another Limit the cursor gives %d objects, %v", len(next.Objects), err)
	}
}

func TestFaultyQueriesSayWhy(t *testing.T) {
	_, h := watch(t)
	tests := []struct {
		q    persistence.Query
		want string
	}{
		{persistence.Query{Task: "by-usr"}, `Task "by-usr" is not in the plan, which has object, by-user, by-level, rest, by-score`},
		{persistence.Query{Task: "by-user"}, `task "by-user" lies in partitions by User: Where must name that field, and no other`},
		{persistence.Query{Task: "by-user", Where: map[string]any{"User": "ann", "Level": 1}}, `Where must name that field, and no other`},
		{persistence.Query{Task: "by-user", Where: map[string]any{"User": 7}}, `Where User: the value is of type int, and the field of type string`},
		{persistence.Query{Task: "by-user", Where: map[string]any{"User": nil}}, `Where User: nil selects nothing: give a value`},
		{persistence.Query{Task: "by-user", Where: map[string]any{"User": "ann"}, From: "noon"}, `From: the value is of type string, and the field of type time.Time`},
		{persistence.Query{Task: "by-level", Where: map[string]any{"Level": 1}, From: 1}, `From and To bound the field that orders, and task "by-level" has no Newest`},
		{persistence.Query{Where: map[string]any{"Usr": "ann"}}, `Where names "Usr", which is no kept field: did you mean "User"?`},
		{persistence.Query{Where: map[string]any{"Score": 1.0}}, `Where Score: only fields tagged index or unique can be searched`},
		{persistence.Query{From: 7}, `From: a record is ordered by its key, so the bound is a string, not a int`},
		{persistence.Query{Limit: -1}, `Limit is -1: use a positive number, or zero`},
	}
	for _, test := range tests {
		for _, err := range h.Find(t.Context(), test.q) {
			if !errors.Is(err, fault.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v is %v, want %s", test.q, err, test.want)
			}
		}
	}
}

func TestReadingInATransaction(t *testing.T) {
	layer := openLayer(t, nil)
	h := persistence.Declare(layer, "row", persistence.Plan[whole]{{Purpose: persistence.Transactional}})
	cells := persistence.Declare(layer, "cell", persistence.Plan[whole]{{Purpose: persistence.Amorphous}})
	for i := range 5 {
		if _, err := h.Put(t.Context(), whole{ID: fmt.Sprint(i), Int: int64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	err := layer.Tx(t.Context(), func(ctx context.Context, tx *persistence.Tx) error {
		if got, err := h.In(tx).Get(ctx, "3"); err != nil || got.Int != 3 {
			t.Errorf("Get in a transaction returns %+v, %v", got, err)
		}
		if _, err := h.In(tx).Get(ctx, "9"); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("what is not there is %v", err)
		}
		if _, err := h.In(tx).Put(ctx, whole{ID: "9", Int: 9}); err != nil {
			return err
		}
		if got, err := h.In(tx).Get(ctx, "9"); err != nil || got.Int != 9 {
			t.Errorf("a transaction does not see what it put: %+v, %v", got, err)
		}
		all, err := h.In(tx).Find(ctx, persistence.Query{From: "3"})
		if err != nil || len(all) != 3 {
			t.Errorf("Find in a transaction returns %d objects, %v; want its own Put among them", len(all), err)
		}
		if some, err := h.In(tx).Find(ctx, persistence.Query{Limit: 2}); err != nil || len(some) != 2 {
			t.Errorf("Find with a limit of 2 returns %d objects, %v", len(some), err)
		}
		if _, err := cells.In(tx).Get(ctx, "3"); !errors.Is(err, fault.ErrUnsupported) {
			t.Errorf("a record outside the transactional store is %v, want not supported", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
