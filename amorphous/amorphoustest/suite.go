package amorphoustest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Harness is what the suite needs to know of a driver.
type Harness struct {
	// Source opens the store under test. Every opening sees the same data, and
	// two openings at the same time behave as two programs do.
	Source amorphous.Source
	// Restart restarts the server between an opening and the next. Nil: there
	// is none; closing the last opening is the restart.
	Restart func(t *testing.T)
	// Rows is how many rows the larger tests write. Default 2,000.
	Rows int
	// Brief takes some of the orders and interleavings, where the suite goes
	// through all there are: for a second client of a server whose first one has
	// shown them all. Every check is made all the same.
	Brief bool
	// Full makes the long tests as long as they get: 10,000 rows, whatever Rows
	// says, 64 goroutines of 1,000 operations each, and ten that open and close
	// fifty times.
	Full bool
}

// Run runs the suite. Tables get random names, so that a server may be used by
// several runs.
func Run(t *testing.T, h Harness) {
	if h.Rows == 0 {
		h.Rows = 2000
	}
	if h.Full {
		h.Rows = 10_000
	}
	if testing.Short() {
		h.Rows, h.Brief = min(h.Rows, 400), true
	}
	groups := []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"Newest_E7", testNewest}, {"Tombstones_E8", testTombstones}, {"Shapes", testShapes},
		{"Placed", testPlaced}, {"Scan", testScan}, {"Expiry", testExpiry}, {"Values", testValues},
		{"Limits", testLimits}, {"Lifecycle", testLifecycle}, {"Concurrency", testConcurrency},
		{"Restart", testRestart}, {"Purge", testPurge}, {"Model", testModel}, {"Derived", testDerived}, {"Registrar", testRegistrar},
		{"Properties", testProperties}, {"Everything", testEverything}, {"Consistency", testConsistency},
		{"Counts", testCounts},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) { g.run(t, h) })
	}
}

// A table under test.
type table struct {
	*testing.T
	store *amorphous.Store
	table amorphous.Table
}

// open opens the store; the test closes it.
func (h Harness) open(t *testing.T) *amorphous.Store {
	t.Helper()
	store, err := amorphous.Open(t.Context(), h.Source, nil)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// table opens the store with one fresh table.
func (h Harness) table(t *testing.T, placed bool) *table {
	t.Helper()
	store := h.open(t)
	tbl := amorphous.Table{Name: "t" + strings.ToLower(rand.Text()[:12]), Placed: placed}
	if err := store.CreateSchema(t.Context(), tbl); err != nil {
		t.Fatalf("create schema: %v", err)
	}
	if err := store.Prepare(t.Context(), tbl); err != nil {
		t.Fatalf("prepare: %v", err)
	}
	return &table{t, store, tbl}
}

// on is the same table for another test or another opening.
func (tb *table) on(t *testing.T, store *amorphous.Store) *table { return &table{t, store, tb.table} }

// write writes and returns the errors.
func (tb *table) write(rows ...amorphous.Row) []error {
	return tb.store.Write(tb.Context(), tb.table, rows...)
}

// must writes rows that have to be taken.
func (tb *table) must(rows ...amorphous.Row) {
	tb.Helper()
	for i, err := range tb.write(rows...) {
		if err != nil {
			tb.Fatalf("write of %q at %q: %v", rows[i].ID, rows[i].Partition, err)
		}
	}
}

// loses writes a row that a newer one forestalls.
func (tb *table) loses(row amorphous.Row, sentence string) {
	tb.Helper()
	err := tb.write(row)[0]
	if tb.store.Features().Superseded {
		if !errors.Is(err, amorphous.ErrSuperseded) {
			tb.Errorf("%s: write returned %v, want ErrSuperseded", sentence, err)
		}
	} else if err != nil {
		tb.Errorf("%s: write returned %v, want nil from a blind store", sentence, err)
	}
}

// read returns the live cells of a row.
func (tb *table) read(at ...amorphous.Address) []amorphous.Row {
	tb.Helper()
	rows, err := tb.store.Read(tb.Context(), tb.table, at...)
	if err != nil {
		tb.Fatalf("read: %v", err)
	}
	return rows
}

// holds checks that exactly these rows are at their addresses.
func (tb *table) holds(sentence string, want ...amorphous.Row) {
	tb.Helper()
	var at []amorphous.Address
	for i := range want {
		if i == 0 || !want[i].SameRow(&want[i-1]) {
			at = append(at, want[i].Address())
		}
	}
	same(tb, sentence, tb.read(at...), want)
}

// lacks checks that nothing is at the row's address.
func (tb *table) lacks(sentence string, row amorphous.Row) {
	tb.Helper()
	if got := tb.read(row.Address()); len(got) > 0 {
		tb.Errorf("%s: found %s", sentence, show(got))
	}
}

// all scans the whole of a range, page by page.
func (tb *table) all(r amorphous.Range) []amorphous.Row {
	tb.Helper()
	var out []amorphous.Row
	for pages := 0; ; pages++ {
		page, err := tb.store.Scan(tb.Context(), tb.table, r)
		if err != nil {
			tb.Fatalf("scan: %v", err)
		}
		out = append(out, page.Rows...)
		if page.Next == nil {
			return out
		}
		if r.After = page.Next; pages > 100000 {
			tb.Fatal("scan does not end")
		}
	}
}

// row is a row with a body that tells its stamp and shape apart.
func row(partition, order, id string, version int64) amorphous.Row {
	r := amorphous.Row{Partition: partition, Order: []byte(order), ID: id, Shape: 7, Stamp: amorphous.Stamp{Version: version, Tie: 5}}
	r.Body = bodyOf(r)
	return r
}

func bodyOf(r amorphous.Row) []byte {
	return fmt.Appendf(nil, `{"v":%d,"t":%d,"s":%d}`, r.Stamp.Version, r.Stamp.Tie, r.Shape)
}

// tombstone is the delete of a row.
func tombstone(r amorphous.Row, version int64, tie uint64) amorphous.Row {
	return amorphous.Row{Partition: r.Partition, Order: r.Order, ID: r.ID, Deleted: true, Stamp: amorphous.Stamp{Version: version, Tie: tie}}
}

// equal compares two cells as values; times to the microsecond.
func equal(a, b amorphous.Row) bool {
	return a.SameRow(&b) && a.Shape == b.Shape && a.Stamp == b.Stamp && a.Deleted == b.Deleted &&
		bytes.Equal(a.Body, b.Body) && a.Expires.UnixMicro() == b.Expires.UnixMicro()
}

// failer is what the checks need of testing.T, table and rapid.T.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// same checks rows one by one.
func same(t failer, sentence string, got, want []amorphous.Row) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !equal(got[i], want[i]) {
			t.Fatalf("%s: cell %d differs:\n got %s\nwant %s", sentence, i, show(got), show(want))
		}
	}
}

func show(rows []amorphous.Row) string {
	var b strings.Builder
	for i, r := range rows {
		if i == 20 {
			return fmt.Sprintf("%s … (%d cells)", &b, len(rows))
		}
		fmt.Fprintf(&b, "[%q %x %q shape %x @%d.%d %.60q]", r.Partition, r.Order, r.ID, r.Shape, r.Stamp.Version, r.Stamp.Tie, r.Body)
	}
	return b.String()
}

// class checks the class of an error.
func class(t failer, sentence string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || fault.ClassOf(err) != want {
		t.Errorf("%s: got %v, want class %v", sentence, err, want)
	}
}

// cancelled returns a context that has ended.
func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
