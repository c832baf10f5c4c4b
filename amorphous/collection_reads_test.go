package amorphous_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// TestCollectionReads compares every kind of reading with a sorted slice, for
// every layout.
func TestCollectionReads(t *testing.T) {
	for _, l := range []amorphous.Layout{
		{Newest: "At"}, {Oldest: "At"}, {Newest: "At", Bucket: time.Hour}, {Oldest: "At", Bucket: time.Hour},
		{Newest: "At", Copies: true}, {Newest: "At", Copies: true, Bucket: 24 * time.Hour, TTL: 30 * 24 * time.Hour},
	} {
		l.PartitionBy = "To"
		t.Run(fmt.Sprintf("%+v", l), func(t *testing.T) { testReads(t, l) })
	}
}

func testReads(t *testing.T, l amorphous.Layout) {
	c := collect[Note](t, openStore(t), "notes", &l)
	var want []Note
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		want = append(want, note(i+1, "ann", day.Add(time.Duration(i)*7*time.Minute)))
	}
	shuffled := slices.Clone(want)
	random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for part := range slices.Chunk(append(shuffled, note(99, "bob", day), note(98, "", day)), 7) {
		if err := c.Put(t.Context(), part...); err != nil {
			t.Fatal(err)
		}
	}
	if l.Newest != "" {
		slices.Reverse(want)
	}
	for _, reverse := range []bool{false, true} {
		for _, span := range [][2]int{{-1, -1}, {10, 20}, {10, -1}, {-1, 20}, {20, 10}, {0, 60}, {30, 31}} {
			q := amorphous.Query{Reverse: reverse}
			var inside []Note
			for _, n := range want {
				if span[0] >= 0 {
					q.From = day.Add(time.Duration(span[0]) * 7 * time.Minute)
				}
				if span[1] >= 0 {
					q.To = day.Add(time.Duration(span[1]) * 7 * time.Minute)
				}
				if (q.From == nil || !n.At.Before(q.From.(time.Time))) && (q.To == nil || n.At.Before(q.To.(time.Time))) {
					inside = append(inside, n)
				}
			}
			if reverse {
				slices.Reverse(inside)
			}
			checkReads(t, c, q, inside)
		}
	}
	if got, err := c.List(t.Context(), "", 5); err != nil || ids(got) != "98" {
		t.Errorf("an empty partition field is a partition: %s, %v", ids(got), err)
	}
	n := 0
	for _, err := range c.Scan(nil).Objects(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 62 {
		t.Errorf("Scan yields %d objects, want 62", n)
	}
}

func checkReads(t *testing.T, c *amorphous.Collection[Note], q amorphous.Query, want []Note) {
	t.Helper()
	var all []Note
	for n, err := range c.All(t.Context(), "ann", &q) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	if ids(all) != ids(want) {
		t.Errorf("All %+v:\n got %s\nwant %s", q, ids(all), ids(want))
	}
	for _, limit := range []int{1, 7, 59, 60, 61} {
		q.Limit, q.After = limit, nil
		var paged []Note
		for {
			page, next, err := c.Page(t.Context(), "ann", &q)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) > limit {
				t.Fatalf("a page of %d for a limit of %d", len(page), limit)
			}
			if paged = append(paged, page...); next == nil {
				break
			}
			q.After = next
		}
		if ids(paged) != ids(want) {
			t.Errorf("pages of %d, %+v:\n got %s\nwant %s", limit, q, ids(paged), ids(want))
		}
	}
	if len(want) > 3 {
		q.Limit, q.After = 0, nil
		cursor, err := c.Cursor(want[2])
		if err != nil {
			t.Fatal(err)
		}
		if q.After = cursor; q.Limit == 0 {
			got, _, err := c.Page(t.Context(), "ann", &q)
			if err != nil || ids(got) != ids(want[3:]) {
				t.Errorf("Cursor goes on behind an object: got %s (%v), want %s", ids(got), err, ids(want[3:]))
			}
		}
	}
}
