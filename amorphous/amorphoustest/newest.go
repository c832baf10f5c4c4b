package amorphoustest

import (
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
)

func testNewest(t *testing.T, h Harness) {
	for _, placed := range []bool{false, true} {
		name := map[bool]string{false: "Plain", true: "Placed"}[placed]
		tb := h.table(t, placed)
		t.Run(name+"/NewerReplaces", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			tb.must(row("p", "o", "a", 1))
			tb.must(row("p", "o", "a", 2))
			tb.holds("newest wins", row("p", "o", "a", 2))
		})
		t.Run(name+"/OlderLoses", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			tb.must(row("p", "o", "b", 2))
			tb.loses(row("p", "o", "b", 1), "an older write loses")
			tb.holds("an older write never overwrites a newer version", row("p", "o", "b", 2))
		})
		t.Run(name+"/EqualIsNoOp", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			tb.must(row("p", "o", "c", 3))
			tb.must(row("p", "o", "c", 3))
			tb.holds("a repeat of a write changes nothing", row("p", "o", "c", 3))
		})
		t.Run(name+"/TieDecides", func(t *testing.T) { testTies(tb.on(t, tb.store)) })
		t.Run(name+"/OneCall", func(t *testing.T) { testOneCall(tb.on(t, tb.store)) })
		t.Run(name+"/Mixed", func(t *testing.T) { testMixedCall(tb.on(t, tb.store)) })
	}
}

// testTies writes equal versions in both orders, with ties on both sides of
// what a signed comparison would get wrong.
func testTies(tb *table) {
	ties := []uint64{0, 1, 1<<63 - 1, 1 << 63, 1<<63 + 1, 1<<64 - 1}
	for i, low := range ties {
		for j, high := range ties[i+1:] {
			for _, first := range []bool{true, false} {
				id := string(rune('A'+i)) + string(rune('A'+j)) + map[bool]string{true: "up", false: "down"}[first]
				older, newer := row("ties", "o", id, 9), row("ties", "o", id, 9)
				older.Stamp.Tie, newer.Stamp.Tie = low, high
				older.Body, newer.Body = bodyOf(older), bodyOf(newer)
				if first {
					tb.must(older)
					tb.must(newer)
				} else {
					tb.must(newer)
					tb.loses(older, "equal versions are ordered by Tie, unsigned")
				}
				tb.holds("equal versions are ordered by Tie, unsigned", newer)
			}
		}
	}
}

// testOneCall writes the same cell several times in one call.
func testOneCall(tb *table) {
	rows := []amorphous.Row{row("p", "o", "many", 2), row("p", "o", "many", 5), row("p", "o", "many", 3), row("p", "o", "many", 5)}
	errs := tb.write(rows...)
	for i, err := range errs {
		lost := rows[i].Stamp.Version != 5 && tb.store.Features().Superseded
		if (err != nil) != lost {
			tb.Errorf("of several rows of one call for one cell the newest wins: element %d is %v", i, err)
		}
	}
	tb.holds("of several rows of one call for one cell the newest wins", rows[1])
}

// testMixedCall writes in one call what is new, what wins and what loses.
func testMixedCall(tb *table) {
	const n = 300
	var old, mixed, want []amorphous.Row
	for i := range n {
		id := string(rune('0'+i/100)) + string(rune('0'+i/10%10)) + string(rune('0'+i%10))
		switch i % 3 {
		case 0:
			want = append(want, row("mixed", id, id, 5))
		case 1:
			old = append(old, row("mixed", id, id, 4))
			want = append(want, row("mixed", id, id, 5))
		default:
			old = append(old, row("mixed", id, id, 6))
			want = append(want, row("mixed", id, id, 6))
		}
		mixed = append(mixed, row("mixed", id, id, 5))
	}
	tb.must(old...)
	for i, err := range tb.write(mixed...) {
		if lost := i%3 == 2 && tb.store.Features().Superseded; (err != nil) != lost {
			tb.Fatalf("each row on its own: element %d is %v", i, err)
		}
	}
	same(tb, "each row on its own", tb.all(amorphous.Range{Partition: "mixed"}), want)
}

func testTombstones(t *testing.T, h Harness) {
	for _, placed := range []bool{false, true} {
		name := map[bool]string{false: "Plain", true: "Placed"}[placed]
		tb := h.table(t, placed)
		t.Run(name+"/Removes", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			a := row("p", "o", "a", 1)
			tb.must(a)
			tb.must(tombstone(a, 2, 0))
			tb.lacks("a tombstone removes older cells", a)
			tb.must(tombstone(a, 2, 0))
			tb.must(row("p", "o", "a", 3))
			tb.holds("a newer write after a tombstone is there", row("p", "o", "a", 3))
		})
		t.Run(name+"/ForbidsOlder", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			b := row("p", "o", "b", 5)
			tb.must(tombstone(b, 6, 0))
			tb.loses(b, "a late older write loses against the tombstone")
			tb.lacks("a late older write loses against the tombstone", b)
		})
		t.Run(name+"/KeepsNewer", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			c := row("p", "o", "c", 5)
			tb.must(c)
			tb.loses(tombstone(c, 4, 9), "a delete is superseded when the row has a newer version")
			tb.holds("a delete removes nothing newer", c)
			tb.loses(row("p", "o", "c", 3), "what a superseded delete covered stays dead")
		})
		t.Run(name+"/WinsTies", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			d, e := row("p", "o", "d", 5), row("p", "o", "e", 5)
			tb.must(d)
			tb.must(tombstone(d, 5, 5))
			tb.lacks("delete after insert at the same stamp wins", d)
			tb.must(tombstone(e, 5, 5))
			tb.loses(e, "insert after delete at the same stamp loses")
			tb.lacks("insert after delete at the same stamp loses", e)
			f := row("p", "o", "f", 5)
			tb.write(f, tombstone(f, 5, 5))
			tb.lacks("delete wins the tie within one call", f)
		})
		t.Run(name+"/Ties", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			g := row("p", "o", "g", 5)
			g.Stamp.Tie = 1 << 63
			tb.must(g)
			tb.loses(tombstone(g, 5, 1<<63-1), "a tombstone of a smaller tie is older")
			tb.holds("a tombstone of a smaller tie removes nothing", g)
		})
		t.Run(name+"/Absent", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			tb.must(tombstone(row("p", "o", "never", 1), 1, 0))
			tb.lacks("deleting what is not there is fine", row("p", "o", "never", 1))
		})
	}
}
