package amorphoustest

import (
	"fmt"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// reopen closes, restarts and opens again.
func (tb *table) reopen(h Harness) {
	tb.Helper()
	if err := tb.store.Close(); err != nil {
		tb.Fatalf("close: %v", err)
	}
	if h.Restart != nil {
		h.Restart(tb.T)
	}
	tb.store = h.open(tb.T)
}

func testRestart(t *testing.T, h Harness) {
	for _, placed := range []bool{false, true} {
		name := map[bool]string{false: "Plain", true: "Placed"}[placed]
		t.Run(name, func(t *testing.T) {
			tb := h.table(t, placed)
			if tb.store.Features().Durability == fault.Memory {
				t.Skip("the driver does not promise that writes survive it (Features.Durability)")
			}
			var want []amorphous.Row
			for i := range h.Rows {
				if i == h.Rows/3 || i == h.Rows/2 {
					tb.reopen(h)
				}
				if i%100 == 0 {
					end := min(i+100, h.Rows)
					var part []amorphous.Row
					for j := i; j < end; j++ {
						part = append(part, row("r", fmt.Sprintf("%06d", j), fmt.Sprintf("r%d", j), 1))
					}
					tb.must(part...)
					want = append(want, part...)
				}
			}
			gone := want[5]
			tb.must(tombstone(gone, 2, 0))
			want = append(want[:5:5], want[6:]...)
			tb.reopen(h)
			tb.loses(gone, "a tombstone survives a restart")
			same(tb, "what was acknowledged survives restarts", tb.all(amorphous.Range{Partition: "r"}), want)
		})
	}
	t.Run("Cursor", func(t *testing.T) {
		tb := h.table(t, false)
		var want []amorphous.Row
		for i := range 30 {
			want = append(want, row("r", fmt.Sprintf("%02d", i), "x", 1))
		}
		tb.must(want...)
		r := amorphous.Range{Partition: "r", Limit: 10}
		page, err := tb.store.Scan(t.Context(), tb.table, r)
		if err != nil {
			t.Fatal(err)
		}
		tb.reopen(h)
		r.After = page.Next
		same(tb, "a cursor survives a restart", append(page.Rows, tb.all(r)...), want)
	})
}

func testPurge(t *testing.T, h Harness) {
	for _, placed := range []bool{false, true} {
		name := map[bool]string{false: "Plain", true: "Placed"}[placed]
		t.Run(name, func(t *testing.T) {
			tb := h.table(t, placed)
			kept, gone, expired := row("p", "o", "kept", 1), row("p", "o", "gone", 1), row("p", "o", "expired", 1)
			expired.Expires = time.Now().Add(-time.Hour)
			tb.must(kept, gone, expired)
			tb.must(tombstone(gone, 2, 0))
			removed, err := tb.store.Purge(t.Context(), tb.table, time.Now().Add(-24*time.Hour))
			if err != nil || removed != 0 {
				t.Errorf("a purge leaves what is younger: removed %d, error %v", removed, err)
			}
			tb.loses(gone, "a purge leaves what is younger")
			removed, err = tb.store.Purge(t.Context(), tb.table, time.Now().Add(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			tb.holds("a purge removes nothing that lives", kept)
			if removed == 0 {
				t.Skip("the driver leaves purging to its server (amorphous.Purger)")
			}
			// Whether an older write is taken again is not promised either way.
			tb.must(row("p", "o", "gone", 3))
			tb.holds("what is newer than a purged tombstone is taken", row("p", "o", "gone", 3))
			tb.must(row("p", "o", "kept", 2))
			tb.loses(row("p", "o", "kept", 1), "a purge does not forget the version of what lives")
		})
	}
}
