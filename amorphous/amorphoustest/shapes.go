package amorphoustest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// shaped is a cell of another shape of the same row.
func shaped(r amorphous.Row, shape uint64, version int64, body string) amorphous.Row {
	r.Shape, r.Stamp.Version, r.Body = shape, version, []byte(body)
	return r
}

func testShapes(t *testing.T, h Harness) {
	for _, placed := range []bool{false, true} {
		name := map[bool]string{false: "Plain", true: "Placed"}[placed]
		tb := h.table(t, placed)
		t.Run(name+"/BesideEachOther", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			base := row("p", "o", "a", 1)
			one := shaped(base, 1, 1, `{"name":"ann","age":1}`)
			two := shaped(base, 1<<63+2, 2, `{"age":2,"mail":"a@b"}`)
			tb.must(two)
			tb.must(one)
			tb.holds("writers that know other properties write another cell", one, two)
			body, stamp, ok, err := amorphous.Merge(tb.read(base.Address()))
			if err != nil || !ok || stamp != two.Stamp {
				t.Fatalf("merge: stamp %v, ok %v, error %v", stamp, ok, err)
			}
			var got map[string]any
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"name": "ann", "age": 2.0, "mail": "a@b"}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("cells merge by property, each from the newest that has it: got %v, want %v", got, want)
			}
		})
		t.Run(name+"/EachNewest", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			base := row("p", "o", "b", 1)
			tb.must(shaped(base, 1, 5, `{"a":5}`), shaped(base, 2, 7, `{"b":7}`))
			tb.must(shaped(base, 1, 6, `{"a":6}`))
			tb.loses(shaped(base, 2, 6, `{"b":6}`), "newest wins per cell")
			tb.holds("newest wins per cell", shaped(base, 1, 6, `{"a":6}`), shaped(base, 2, 7, `{"b":7}`))
		})
		t.Run(name+"/TombstoneCoversAll", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			base := row("p", "o", "c", 1)
			tb.must(shaped(base, 1, 5, `{"a":5}`), shaped(base, 2, 7, `{"b":7}`), shaped(base, 3, 9, `{"c":9}`))
			tb.loses(tombstone(base, 7, 5), "a delete is superseded when any shape is newer")
			tb.holds("a tombstone removes the cells of every shape with an older or equal stamp", shaped(base, 3, 9, `{"c":9}`))
		})
		t.Run(name+"/Many", func(t *testing.T) { testReadAlike(tb.on(t, tb.store)) })
	}
}

// testReadAlike reads many rows at once, some of which lie alike in partitions of
// their own, as the entries of a register do.
func testReadAlike(tb *table) {
	var cells, want []amorphous.Row
	var at []amorphous.Address
	for i := range 150 {
		r := row(fmt.Sprint("many", i%75), "o", "alike", int64(i+1))
		if i%3 == 0 || tb.table.Placed {
			r.Order, r.ID = fmt.Append(nil, i%7), fmt.Sprint("other", i)
		}
		same := func(old amorphous.Row) bool { return old.SameRow(&r) }
		if !slices.ContainsFunc(cells, same) {
			cells = append(cells, shaped(r, 1, r.Stamp.Version, `{"a":1}`), shaped(r, 1<<63+9, r.Stamp.Version, `{"b":2}`))
		}
	}
	tb.must(cells...)
	for i := len(cells) - 2; i >= 0; i -= 2 {
		nothing := cells[i].Address()
		nothing.ID += "-not"
		at = append(at, nothing, cells[i].Address(), cells[i].Address())
		want = append(want, cells[i], cells[i+1])
	}
	at = append(at, at...)
	same(tb, "rows stand in the order of their first address, each once and whole, and what is not there is left out", tb.read(at...), want)
}
