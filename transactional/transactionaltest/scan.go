package transactionaltest

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// rankings fills ranked with rows in which values repeat and are missing.
func rankings(e *env) []transactional.Row {
	ints := []any{nil, int64(math.MinInt64), int64(-1), int64(0), int64(7), int64(math.MaxInt64)}
	uints := []any{nil, uint64(0), uint64(9), uint64(1<<63 - 1), uint64(1 << 63), uint64(9_999_999_999_999_999_999), uint64(math.MaxUint64)}
	texts := []any{nil, "", "A", "B", "Z", "a", "a ", "ab", "b", "é", "日本", "😀"}
	floats := []any{nil, -1.5, 0.0, 1e-9, 0.5, 2.0, 1e300}
	var (
		u    transactional.Unit
		rows []transactional.Row
	)
	for i := range 60 {
		row := transactional.Row{
			ID: fmt.Sprintf("id%02d", (i*7)%60), Stamp: transactional.Stamp{Version: 1},
			Values: []any{ints[i%len(ints)], uints[i%len(uints)], texts[i%len(texts)], time.UnixMicro(int64(i % 9)).UTC(), floats[i%len(floats)]},
		}
		rows = append(rows, row)
		u.Writes = append(u.Writes, transactional.Write{Table: ranked, Row: row})
	}
	dead := transactional.Row{ID: "id99", Stamp: transactional.Stamp{Version: 1}, Deleted: true}
	u.Writes = append(u.Writes, transactional.Write{Table: ranked, Row: dead})
	e.must(&u)
	return rows
}

// compareValues orders as the contract does: NULL first, then by value.
func compareValues(a, b any) int {
	if a == nil || b == nil {
		return cmp.Compare(btoi(a != nil), btoi(b != nil))
	}
	switch a := a.(type) {
	case int64:
		return cmp.Compare(a, b.(int64))
	case uint64:
		return cmp.Compare(a, b.(uint64))
	case float64:
		return cmp.Compare(a, b.(float64))
	case string:
		return bytes.Compare([]byte(a), []byte(b.(string)))
	case time.Time:
		return a.Compare(b.(time.Time))
	}
	panic("no order")
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// sorted is what a scan with the filter should return, of all pages.
func sorted(rows []transactional.Row, f transactional.Filter) []string {
	at := slices.IndexFunc(ranked.Columns, func(c transactional.Column) bool { return c.Name == f.By })
	value := func(r transactional.Row) any {
		if at < 0 {
			return r.ID
		}
		return r.Values[at]
	}
	var kept []transactional.Row
	for _, r := range rows {
		v := value(r)
		if f.From != nil && (v == nil || compareValues(v, f.From) < 0) || f.To != nil && (v == nil || compareValues(v, f.To) >= 0) {
			continue
		}
		equal := true
		for name, want := range f.Equal {
			i := slices.IndexFunc(ranked.Columns, func(c transactional.Column) bool { return c.Name == name })
			equal = equal && compareValues(r.Values[i], want) == 0
		}
		if equal {
			kept = append(kept, r)
		}
	}
	slices.SortFunc(kept, func(a, b transactional.Row) int {
		c := cmp.Or(compareValues(value(a), value(b)), cmp.Compare(a.ID, b.ID))
		if f.Reverse {
			return -c
		}
		return c
	})
	out := []string{}
	for _, r := range kept {
		out = append(out, r.ID)
	}
	return out
}

// pages reads all pages of a scan.
func (e *env) pages(f transactional.Filter) []string {
	e.Helper()
	out := []string{}
	for range 200 {
		rows, next, err := e.store.Scan(e.Context(), ranked, f)
		e.nil("scan", err)
		if f.Limit > 0 && len(rows) > f.Limit {
			e.Errorf("a page of %d rows, want at most %d", len(rows), f.Limit)
		}
		for _, r := range rows {
			out = append(out, r.ID)
		}
		if next == nil {
			return out
		}
		f.After = next
	}
	e.Fatal("a scan does not end")
	return nil
}

func testScan(t *testing.T, h Harness) {
	h.run(t, "Orders", testScanOrders)
	h.run(t, "Values", func(e *env) {
		rankings(e)
		rows, _, err := e.store.Scan(e.Context(), ranked, transactional.Filter{Limit: 1})
		e.nil("scan", err)
		e.same("a scan returns whole rows", rows, []transactional.Row{*e.row(ranked, "id00")})
	})
	h.run(t, "Concurrent", testScanConcurrent)
	h.run(t, "Refusals", testScanRefusals)
}

func testScanOrders(e *env) {
	rows := rankings(e)
	for _, f := range []transactional.Filter{
		{}, {From: "id10", To: "id20"},
		{By: "i"}, {By: "i", From: int64(-1)}, {By: "i", From: int64(-1), To: int64(7)}, {By: "i", To: int64(math.MaxInt64)},
		{By: "u"}, {By: "u", From: uint64(9), To: uint64(1 << 63)}, {By: "u", From: uint64(1 << 63)},
		{By: "s"}, {By: "s", From: "a"}, {By: "s", From: "A", To: "a "}, {By: "t"}, {By: "t", From: time.UnixMicro(3), To: time.UnixMicro(5)},
		{By: "f"}, {By: "f", From: 0.0, To: 0.5},
		{Equal: map[string]any{"s": "a"}}, {Equal: map[string]any{"s": "a "}}, {Equal: map[string]any{"s": "A", "i": nil}},
		{Equal: map[string]any{"u": uint64(math.MaxUint64)}}, {By: "i", Equal: map[string]any{"t": time.UnixMicro(4)}},
		{Equal: map[string]any{"f": 0.5}, By: "s"}, {Equal: map[string]any{"s": "nobody"}},
	} {
		for _, limit := range []int{0, 1, 7, 60} {
			for _, reverse := range []bool{false, true} {
				f.Limit, f.Reverse = limit, reverse
				e.same(fmt.Sprintf("a scan returns live rows in the order of the column and id, page by page: %+v", f), e.pages(f), sorted(rows, f))
			}
		}
	}
}

func testScanConcurrent(e *env) {
	want := sorted(rankings(e), transactional.Filter{By: "i"})
	f, n := transactional.Filter{By: "i", Limit: 5}, 0
	var seen []string
	for {
		rows, next, err := e.store.Scan(e.Context(), ranked, f)
		e.nil("scan", err)
		for _, r := range rows {
			if r.ID < "n" {
				seen = append(seen, r.ID)
			}
		}
		if next == nil {
			break
		}
		f.After = next
		n++
		e.must(writes(transactional.Write{Table: ranked, Row: transactional.Row{
			ID: fmt.Sprint("new", n), Stamp: transactional.Stamp{Version: 1}, Values: []any{int64(n - 5), nil, nil, nil, nil},
		}}))
	}
	e.same("rows that do not change are seen once, whatever is inserted meanwhile", seen, want)
}

func testScanRefusals(e *env) {
	rankings(e)
	_, next, err := e.store.Scan(e.Context(), ranked, transactional.Filter{By: "i", Limit: 3})
	e.nil("scan", err)
	for _, f := range []transactional.Filter{
		{By: "nobody"}, {Equal: map[string]any{"nobody": int64(1)}}, {Limit: -1}, {By: "i", From: "text"}, {From: int64(1)},
		{Equal: map[string]any{"i": "text"}}, {By: "i", After: []byte("junk")}, {By: "i", After: []byte{}}, {By: "s", After: next},
		{By: "i", Reverse: true, After: next}, {After: next},
	} {
		_, _, err := e.store.Scan(e.Context(), ranked, f)
		e.class(fmt.Sprintf("a faulty filter is refused: %+v", f), err, fault.ErrInvalid)
	}
	_, _, err = e.store.Scan(e.Context(), things, transactional.Filter{After: next})
	e.class("a cursor is of one table", err, fault.ErrInvalid)
}
