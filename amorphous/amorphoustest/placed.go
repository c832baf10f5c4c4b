package amorphoustest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
)

func testPlaced(t *testing.T, h Harness) {
	tb := h.table(t, true)
	t.Run("MovesPartition", func(t *testing.T) {
		tb := tb.on(t, tb.store)
		tb.must(row("p1", "o", "a", 1))
		tb.must(row("p2", "o", "a", 2))
		tb.one("a write at another partition removes the old row", "a", row("p2", "o", "a", 2))
	})
	t.Run("MovesOrder", func(t *testing.T) {
		tb := tb.on(t, tb.store)
		tb.must(row("p1", "o1", "b", 1))
		tb.must(row("p1", "o0", "b", 2))
		tb.one("a write at another order removes the old row", "b", row("p1", "o0", "b", 2))
	})
	t.Run("OlderElsewhereLoses", func(t *testing.T) {
		tb := tb.on(t, tb.store)
		tb.must(row("p1", "o", "c", 5))
		tb.loses(row("p2", "o", "c", 4), "an older write loses also when it names another partition")
		tb.one("an older write loses also when it names another partition", "c", row("p1", "o", "c", 5))
	})
	t.Run("BackAgain", func(t *testing.T) {
		tb := tb.on(t, tb.store)
		tb.must(row("p1", "o", "d", 1))
		tb.must(row("p2", "o", "d", 2))
		tb.must(row("p1", "o", "d", 3))
		tb.one("a row that returns to an old place is there", "d", row("p1", "o", "d", 3))
	})
	t.Run("DeleteNeedsNoPlace", func(t *testing.T) {
		tb := tb.on(t, tb.store)
		tb.must(row("p1", "o", "e", 1))
		tb.must(amorphous.Row{ID: "e", Deleted: true, Stamp: amorphous.Stamp{Version: 2}})
		tb.one("a delete needs no place", "e")
		tb.loses(row("p3", "o", "e", 1), "the tombstone holds at every place")
		tb.one("the tombstone holds at every place", "e")
		tb.must(row("p3", "o", "e", 3))
		tb.one("a newer write brings the row back", "e", row("p3", "o", "e", 3))
	})
	t.Run("MoveInOneCall", func(t *testing.T) {
		tb := tb.on(t, tb.store)
		tb.write(row("p1", "o", "f", 1), row("p2", "o", "f", 3), row("p3", "o", "f", 2))
		tb.one("the newest place wins within one call", "f", row("p2", "o", "f", 3))
	})
	t.Run("ShapesMoveTogether", func(t *testing.T) {
		tb := tb.on(t, tb.store)
		base := row("p1", "o", "g", 1)
		away := row("p2", "o", "g", 3)
		tb.must(shaped(base, 1, 1, `{"a":1}`), shaped(base, 2, 2, `{"b":2}`))
		tb.must(away)
		tb.one("a move removes every cell of the old place", "g", away)
	})
	t.Run("Listed", func(t *testing.T) { testListed(tb.on(t, tb.store)) })
	t.Run("EveryOrder", func(t *testing.T) { testEveryOrder(tb.on(t, tb.store)) })
	t.Run("Race", func(t *testing.T) { testPlaceRace(tb.on(t, tb.store), h.Rows/20) })
}

// testListed asks for the list of a table that has rows, and of one that nobody
// made.
func testListed(tb *table) {
	if listed, err := tb.store.Listed(tb.Context(), tb.table); !listed || err != nil {
		tb.Errorf("the list of a table that has rows is there: %v, %v", listed, err)
	}
	other := tb.table
	other.Name += "_no"
	listed, err := tb.store.Listed(tb.Context(), other)
	if again, errAgain := tb.store.Listed(tb.Context(), other); again != listed || err != nil || errAgain != nil {
		tb.Errorf("asking makes no list: %v, %v; %v, %v", listed, err, again, errAgain)
	}
}

// one checks that an ID has exactly these cells, by read and by scan.
func (tb *table) one(sentence, id string, want ...amorphous.Row) {
	tb.Helper()
	same(tb, sentence+" (read)", tb.read(amorphous.Address{ID: id}), want)
	var found []amorphous.Row
	for _, r := range tb.all(amorphous.Range{}) {
		if r.ID == id {
			found = append(found, r)
		}
	}
	same(tb, sentence+" (scan)", found, want)
}

// testEveryOrder makes the same five writes in all 120 orders: what is left
// must be the same each time.
func testEveryOrder(tb *table) {
	base := func(id string) []amorphous.Row {
		p1, p2 := row("p1", "o", id, 1), row("p2", "o", id, 1)
		return []amorphous.Row{
			shaped(p1, 1, 10, `{"a":10}`), shaped(p1, 2, 20, `{"b":20}`), shaped(p2, 1, 30, `{"a":30}`),
			shaped(p1, 3, 40, `{"c":40}`), tombstone(p1, 15, 0),
		}
	}
	orders := permutations(5)
	for n, order := range orders {
		id := fmt.Sprintf("order%03d", n)
		writes := base(id)
		for _, i := range order {
			tb.write(writes[i])
		}
		same(tb, fmt.Sprintf("a row is the same in whatever order its writes arrive (%v)", order),
			tb.read(amorphous.Address{ID: id}), []amorphous.Row{writes[3]})
	}
}

func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var out [][]int
	for _, p := range permutations(n - 1) {
		for at := 0; at <= len(p); at++ {
			next := append(append(append([]int{}, p[:at]...), n-1), p[at:]...)
			out = append(out, next)
		}
	}
	return out
}

// testPlaceRace lets four writers move the same rows about. Whoever comes last,
// the newest version must be left, alone.
func testPlaceRace(tb *table, ids int) {
	const writers = 4
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range ids {
				version := int64(1 + (i+w)%writers)
				r := row(fmt.Sprintf("race%d", version), fmt.Sprint(w), fmt.Sprintf("race-%d", i), version)
				if err := tb.write(r)[0]; err != nil && !isSuperseded(err) {
					tb.Errorf("write: %v", err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for _, r := range tb.all(amorphous.Range{}) {
		if len(r.ID) > 5 && r.ID[:5] == "race-" {
			seen[r.ID]++
			if r.Stamp.Version != writers || r.Partition != fmt.Sprintf("race%d", writers) {
				tb.Errorf("a move leaves exactly one row, the newest: %q lies at %q with version %d", r.ID, r.Partition, r.Stamp.Version)
			}
		}
	}
	for i := range ids {
		if n := seen[fmt.Sprintf("race-%d", i)]; n != 1 {
			tb.Errorf("a move leaves exactly one row: race-%d has %d", i, n)
		}
	}
}
