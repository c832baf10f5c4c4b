package persistence_test

import (
	"fmt"
	"iter"
	"runtime"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
)

// A gazette implies a copy of its text for each of so many readers.
type (
	gazette struct {
		ID     string `persistence:"key"`
		Copies int
		From   int
	}
	gazetteCopy struct {
		ID     string `persistence:"key"`
		Reader string
		Text   string
	}
)

// TestDerivedRowsAreNotInMemory: one object becomes 10,000 rows of 1 KB, through
// a plan, and its next version a few of them and as many others. While they are
// derived no more than a few MB are in memory: a batch, and the places of all.
func TestDerivedRowsAreNotInMemory(t *testing.T) {
	const copies, size, most = 10_000, 1 << 10, 5 << 20
	text := strings.Repeat("x", size)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var before, peak int64
	layer := openLayer(t, nil)
	h := persistence.Declare(layer, "gazette", persistence.Plan[gazette]{
		{Purpose: persistence.Amorphous},
		{Name: "copies", Purpose: persistence.Amorphous, PartitionBy: "Reader", Derive: persistence.Rows(func(g gazette) iter.Seq[gazetteCopy] {
			return func(yield func(gazetteCopy) bool) {
				for i := range g.Copies {
					if i%2000 == 1999 {
						peak = max(peak, heap()-before)
					}
					if !yield(gazetteCopy{g.ID, fmt.Sprint("r", g.From+i), strings.Clone(text)}) {
						return
					}
				}
				peak = max(peak, heap()-before)
			}
		})},
	})
	read := persistence.Derived[gazetteCopy](h, "copies")
	for version, copies := range []int{copies, 1000} {
		before, peak = heap(), 0
		putEach(t, h, gazette{ID: "g", Copies: copies, From: version * 9500})
		if peak == 0 || peak > most {
			t.Errorf("version %d: %d KB were in memory, and the rows have %d", version, peak>>10, copies*size>>10)
		}
		t.Logf("version %d: at most %d KB beside what was there", version, peak>>10)
	}
	if rows, err := read.Of(t.Context(), "g"); err != nil || len(rows) != 1000 {
		t.Errorf("%d rows are left of the second version, %v", len(rows), err)
	}
}

// TestTooManyDerivedRowsAreRefused: an object that implies more rows than one may is
// a dead letter, and nothing of it is written: the rows of the version before stay,
// until a later one takes their place.
func TestTooManyDerivedRowsAreRefused(t *testing.T) {
	layer := openLayer(t, nil)
	h := persistence.Declare(layer, "gazette", persistence.Plan[gazette]{
		{Purpose: persistence.Amorphous},
		{Priority: 1, Name: "copies", Purpose: persistence.Amorphous, PartitionBy: "Reader", Derive: persistence.Rows(func(g gazette) iter.Seq[gazetteCopy] {
			return func(yield func(gazetteCopy) bool) {
				for i := range g.Copies {
					if !yield(gazetteCopy{g.ID, fmt.Sprint("r", g.From+i), ""}) {
						return
					}
				}
			}
		})},
	})
	read := persistence.Derived[gazetteCopy](h, "copies")
	for _, version := range []struct{ put, left int }{{700, 700}, {amorphous.MaxDerived + 1, 700}, {3, 3}} {
		putEach(t, h, gazette{ID: "g", Copies: version.put, From: version.put % 11})
		drain(t, layer)
		if rows, err := read.Of(t.Context(), "g"); err != nil || len(rows) != version.left {
			t.Errorf("with %d copies %d rows are left, want %d; %v", version.put, len(rows), version.left, err)
		}
	}
	letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
	const want = "the object implies more than 100000 rows: none of this version is written, and those of the one before stay"
	if err != nil || len(letters) != 1 || !strings.Contains(letters[0].Reason, want) {
		t.Errorf("the dead letters are %+v, %v; want one that says %q", letters, err, want)
	}
}
