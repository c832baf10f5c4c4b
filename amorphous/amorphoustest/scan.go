package amorphoustest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func isSuperseded(err error) bool { return errors.Is(err, amorphous.ErrSuperseded) }

func testScan(t *testing.T, h Harness) {
	tb := h.table(t, false)
	var want []amorphous.Row
	for i := range 50 {
		r := row("wide", fmt.Sprintf("%02d", i/2), fmt.Sprintf("id%02d", i), int64(i+1))
		want = append(want, r)
		if i%5 == 0 {
			want = append(want, shaped(r, 9, int64(i+2), `{"x":1}`))
		}
	}
	tb.must(want...)
	tb.must(row("other", "00", "id00", 1))
	t.Run("Forward", func(t *testing.T) { testPages(tb.on(t, tb.store), amorphous.Range{Partition: "wide"}, want) })
	t.Run("Reverse", func(t *testing.T) {
		back := slices.Clone(want)
		slices.Reverse(back)
		testPages(tb.on(t, tb.store), amorphous.Range{Partition: "wide", Reverse: true}, back)
	})
	t.Run("Bounds", func(t *testing.T) { testBounds(tb.on(t, tb.store), want) })
	t.Run("Whole", func(t *testing.T) { testWhole(tb.on(t, tb.store), len(want)+1) })
	t.Run("Empty", func(t *testing.T) {
		tb := tb.on(t, tb.store)
		if rows := tb.all(amorphous.Range{Partition: "nobody"}); len(rows) > 0 {
			t.Errorf("a partition that is not there is empty: %s", show(rows))
		}
	})
	t.Run("ConcurrentInserts", func(t *testing.T) { testPagingWhileWriting(h.table(t, false), h.Rows) })
	t.Run("HostileCursors", func(t *testing.T) { testHostileCursors(tb.on(t, tb.store)) })
	t.Run("LargeRows", func(t *testing.T) { testLargeRows(h.table(t, false)) })
}

// testPages reads a range with every small limit.
func testPages(tb *table, r amorphous.Range, want []amorphous.Row) {
	for _, limit := range []int{1, 2, 3, 7, 49, 50, 51, 1000, 0} {
		r.Limit = limit
		r.After = nil
		page, err := tb.store.Scan(tb.Context(), tb.table, r)
		if err != nil {
			tb.Fatal(err)
		}
		rows := 0
		for range amorphous.Grouped(page.Rows) {
			rows++
		}
		if limit > 0 && rows > limit {
			tb.Errorf("the limit counts rows: %d rows for limit %d", rows, limit)
		}
		same(tb, fmt.Sprintf("pages of %d rows are the range, cells of a row never split", limit), tb.all(r), want)
	}
}

func testBounds(tb *table, all []amorphous.Row) {
	within := func(from, to string) (out []amorphous.Row) {
		for _, r := range all {
			if (from == "" || string(r.Order) >= from) && (to == "" || string(r.Order) < to) {
				out = append(out, r)
			}
		}
		return out
	}
	for _, b := range [][2]string{{"05", "10"}, {"05", ""}, {"", "10"}, {"05", "05"}, {"050", "051"}, {"99", ""}} {
		r := amorphous.Range{Partition: "wide", Limit: 3}
		if b[0] != "" {
			r.From = []byte(b[0])
		}
		if b[1] != "" {
			r.To = []byte(b[1])
		}
		want := within(b[0], b[1])
		same(tb, fmt.Sprintf("From <= Order < To (%q)", b), tb.all(r), want)
		r.Reverse = true
		slices.Reverse(want)
		same(tb, fmt.Sprintf("bounds hold in reverse (%q)", b), tb.all(r), want)
	}
}

// testWhole checks that a scan over every partition returns everything once.
func testWhole(tb *table, n int) {
	for _, limit := range []int{1, 4, 1000} {
		rows := tb.all(amorphous.Range{Limit: limit})
		if len(rows) != n {
			tb.Errorf("a scan of the whole table with limit %d has %d cells, want %d", limit, len(rows), n)
		}
		seen := map[string]bool{}
		for cells := range amorphous.Grouped(rows) {
			key := cells[0].Partition + "\x00" + cells[0].ID
			if seen[key] {
				tb.Errorf("a row appears twice, or its cells are apart: %q", key)
			}
			seen[key] = true
		}
	}
}

// testPagingWhileWriting pages through a partition while others insert before,
// at and after the reader.
func testPagingWhileWriting(tb *table, n int) {
	key := func(i int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(i))) }
	var before []amorphous.Row
	for i := range n / 4 {
		before = append(before, row("wide", key(i*4), fmt.Sprintf("old%d", i), 1))
	}
	tb.must(before...)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := range 2 * n { // no more, or a slow reader never arrives
			select {
			case <-stop:
				return
			default:
			}
			if err := tb.write(row("wide", key(i*7%n), fmt.Sprintf("new%d", i), 1))[0]; err != nil {
				tb.Errorf("write: %v", err)
				return
			}
		}
	})
	var seen []amorphous.Row
	r := amorphous.Range{Partition: "wide", Limit: 17}
	for {
		page, err := tb.store.Scan(tb.Context(), tb.table, r)
		if err != nil {
			tb.Error(err)
			break
		}
		seen = append(seen, page.Rows...)
		if page.Next == nil {
			break
		}
		r.After = page.Next
	}
	close(stop)
	wg.Wait()
	var old []amorphous.Row
	for i, r := range seen {
		if i > 0 && (string(seen[i-1].Order) > string(r.Order) || seen[i-1].SameRow(&r)) {
			tb.Fatalf("pages stay in order and repeat nothing while others insert: %s", show(seen[i-1:i+1]))
		}
		if r.ID[:3] == "old" {
			old = append(old, r)
		}
	}
	same(tb, "what was there before is seen once while others insert", old, before)
}

// testHostileCursors feeds cursors that no store made.
func testHostileCursors(tb *table) {
	page, err := tb.store.Scan(tb.Context(), tb.table, amorphous.Range{Partition: "wide", Limit: 2})
	if err != nil || page.Next == nil {
		tb.Fatalf("scan: %v", err)
	}
	hostile := [][]byte{{}, {0}, []byte("%00"), []byte("' OR 1=1 --"), make([]byte, 5000), page.Next[:len(page.Next)-1], append(slices.Clone(page.Next), 0)}
	for i := range page.Next {
		bent := slices.Clone(page.Next)
		bent[i] ^= 0x40
		hostile = append(hostile, bent)
	}
	for _, cursor := range hostile {
		_, err := tb.store.Scan(tb.Context(), tb.table, amorphous.Range{Partition: "wide", After: cursor})
		class(tb, fmt.Sprintf("the cursor %.20x was not made by the store", cursor), err, fault.ErrInvalid)
	}
	_, err = tb.store.Scan(tb.Context(), tb.table, amorphous.Range{Partition: "other", After: page.Next})
	class(tb, "a cursor belongs to its partition", err, fault.ErrInvalid)
}

// testLargeRows scans rows whose sum is larger than a page may be.
func testLargeRows(tb *table) {
	size := min(tb.store.Features().MaxBody, 1<<20)
	var want []amorphous.Row
	for i := range 12 {
		r := row("large", fmt.Sprintf("%02d", i), "x", 1)
		r.Body = append(make([]byte, 0, size), `{"x":"`...)
		for len(r.Body) < size-2 {
			r.Body = append(r.Body, byte('a'+i))
		}
		r.Body = append(r.Body, `"}`...)
		want = append(want, r)
	}
	tb.must(want...)
	same(tb, "large rows come in more pages, all of them", tb.all(amorphous.Range{Partition: "large"}), want)
}
