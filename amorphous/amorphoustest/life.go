package amorphoustest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func testExpiry(t *testing.T, h Harness) {
	for _, placed := range []bool{false, true} {
		name := map[bool]string{false: "Plain", true: "Placed"}[placed]
		tb := h.table(t, placed)
		expiring := func(id string, version int64, in time.Duration) amorphous.Row {
			r := row("p", "o", id, version)
			r.Expires = time.Now().Add(in).Truncate(time.Microsecond).UTC()
			return r
		}
		t.Run(name+"/Kept", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			r := expiring("kept", 1, time.Hour)
			tb.must(r)
			tb.holds("a cell is there until it expires, and says when", r)
		})
		t.Run(name+"/Past", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			r := expiring("past", 5, -time.Hour)
			tb.must(r)
			tb.lacks("an expired cell is not returned", r)
			tb.loses(row("p", "o", "past", 4), "an expired cell still is the newest version")
			tb.lacks("an older write does not come back behind an expired one", r)
			tb.must(row("p", "o", "past", 6))
			tb.holds("a newer write replaces an expired one", row("p", "o", "past", 6))
		})
		t.Run(name+"/Soon", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			r := expiring("soon", 1, 50*time.Millisecond)
			tb.must(r)
			for len(tb.read(r.Address())) > 0 {
				if time.Now().After(r.Expires.Add(5 * time.Second)) {
					t.Fatal("a cell that expired is still returned 5 s later")
				}
			}
			for _, cell := range tb.all(amorphous.Range{Partition: "p"}) {
				if cell.ID == r.ID {
					t.Error("a scan returns an expired cell")
				}
			}
		})
	}
}

func testLifecycle(t *testing.T, h Harness) {
	t.Run("Closed", func(t *testing.T) { testClosed(h.table(t, false)) })
	t.Run("CancelledBefore", func(t *testing.T) { testCancelled(h.table(t, false)) })
	t.Run("CancelledDuring", func(t *testing.T) { testCancelledDuring(h.table(t, true), h.Rows/8) })
	t.Run("TwoOpenings", func(t *testing.T) {
		one := h.table(t, true)
		two := one.on(t, h.open(t))
		one.must(row("p", "o", "a", 1))
		two.holds("two openings see each other", row("p", "o", "a", 1))
		two.must(row("q", "o", "a", 2))
		one.loses(row("p", "o", "a", 1), "two openings agree on who is newest")
		one.one("two openings agree on the place", "a", row("q", "o", "a", 2))
	})
	t.Run("Stress", func(t *testing.T) { testOpenClose(t, h) })
	t.Run("Schema", func(t *testing.T) {
		tb := h.table(t, true)
		if len(tb.store.Schema(tb.table)) == 0 {
			t.Error("Schema returns the statements that create the tables")
		}
		tb.must(row("p", "o", "a", 1))
		if err := tb.store.CreateSchema(t.Context(), tb.table); err != nil {
			t.Errorf("creating what is there: %v", err)
		}
		tb.holds("CreateSchema only ever adds", row("p", "o", "a", 1))
	})
	t.Run("Check", func(t *testing.T) {
		report := h.table(t, false).store.Check(t.Context())
		if !report.OK() || report.Purpose != "amorphous" || report.Driver == "" {
			t.Errorf("a store that works reports so: %+v", report)
		}
	})
}

func testClosed(tb *table) {
	tb.must(row("p", "o", "a", 1))
	for range 2 {
		if err := tb.store.Close(); err != nil {
			tb.Errorf("closing twice is fine: %v", err)
		}
	}
	ctx, s := tb.Context(), tb.store
	const after = "use after Close is ErrClosed"
	class(tb, after, s.Write(ctx, tb.table, row("p", "o", "b", 1))[0], fault.ErrClosed)
	_, err := s.Read(ctx, tb.table, amorphous.Address{Partition: "p", Order: []byte("o"), ID: "a"})
	class(tb, after, err, fault.ErrClosed)
	_, err = s.Scan(ctx, tb.table, amorphous.Range{Partition: "p"})
	class(tb, after, err, fault.ErrClosed)
	class(tb, after, s.Prepare(ctx, tb.table), fault.ErrClosed)
	class(tb, after, s.CreateSchema(ctx, tb.table), fault.ErrClosed)
	if r := s.Check(ctx); r.OK() || r.Class != fault.ErrClosed {
		tb.Errorf("a closed store is not healthy, and says why: %v", r)
	}
}

func testCancelled(tb *table) {
	ctx := cancelled(tb.T)
	r := row("p", "o", "a", 1)
	for _, err := range tb.store.Write(ctx, tb.table, r, r) {
		if !errors.Is(err, context.Canceled) || fault.Unknown(err) {
			tb.Errorf("a context that had ended: nothing was sent: %v", err)
		}
	}
	tb.lacks("a context that had ended: nothing was sent", r)
	if _, err := tb.store.Read(ctx, tb.table, r.Address()); !errors.Is(err, context.Canceled) {
		tb.Errorf("read with a context that had ended: %v", err)
	}
	if _, err := tb.store.Scan(ctx, tb.table, amorphous.Range{Partition: "p"}); !errors.Is(err, context.Canceled) {
		tb.Errorf("scan with a context that had ended: %v", err)
	}
}

// testCancelledDuring ends contexts at random moments. Whatever Write answers
// has to be true of what is in the store afterwards.
func testCancelledDuring(tb *table, n int) {
	outcomes := make([]error, n)
	var wg sync.WaitGroup
	next := atomic.Int64{}
	for range 8 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				ctx, cancel := context.WithTimeout(tb.Context(), time.Duration(rand.Int64N(int64(2*time.Millisecond))))
				outcomes[i] = tb.store.Write(ctx, tb.table, row("c", fmt.Sprintf("%06d", i), fmt.Sprintf("c%d", i), 1))[0]
				cancel()
			}
		})
	}
	wg.Wait()
	// A write that was given up may still be under way; one that is made now
	// goes after it.
	tb.must(row("c", "last", "last", 1))
	counts := map[fault.Outcome]int{}
	for i, err := range outcomes {
		r := row("c", fmt.Sprintf("%06d", i), fmt.Sprintf("c%d", i), 1)
		outcome := fault.OutcomeOf(err)
		counts[outcome]++
		if err != nil && !fault.Cancelled(err) && !fault.Retryable(err) {
			tb.Errorf("a cancelled write says so: %v", err)
		}
		switch outcome {
		case fault.Applied:
			tb.holds("a write that returned nil is there", r)
		case fault.NotApplied:
			tb.lacks("a write that was not applied is not there", r)
		}
	}
	tb.Logf("outcomes: %v", counts)
}

// testOpenClose opens, uses and closes from several goroutines at once.
func testOpenClose(t *testing.T, h Harness) {
	tb := h.table(t, false)
	openers, times := 5, 5
	if h.Full {
		openers, times = 10, 50
	}
	var wg sync.WaitGroup
	for g := range openers {
		wg.Go(func() {
			for i := range times {
				store, err := amorphous.Open(t.Context(), h.Source, nil)
				if err != nil {
					t.Errorf("open: %v", err)
					return
				}
				id := fmt.Sprintf("%d-%d", g, i)
				if err := store.Write(t.Context(), tb.table, row("stress", "o", id, 1))[0]; err != nil {
					t.Errorf("write: %v", err)
				}
				var closing sync.WaitGroup
				for range 2 {
					closing.Go(func() {
						if err := store.Close(); err != nil {
							t.Errorf("close: %v", err)
						}
					})
				}
				closing.Wait()
			}
		})
	}
	wg.Wait()
	if got := tb.all(amorphous.Range{Partition: "stress"}); len(got) != openers*times {
		t.Errorf("%d rows of %d are there after opening and closing", len(got), openers*times)
	}
}

func testConcurrency(t *testing.T, h Harness) {
	each := h.Rows / 50
	if h.Full {
		each = 1000
	}
	for _, placed := range []bool{false, true} {
		name := map[bool]string{false: "Plain", true: "Placed"}[placed]
		t.Run(name, func(t *testing.T) { testMixedOperations(h.table(t, placed), each) })
	}
}

// testMixedOperations runs 64 goroutines over few rows; afterwards the table
// must be what the model says of the same writes in any order.
func testMixedOperations(tb *table, each int) {
	var mu sync.Mutex
	model := Model{Placed: tb.table.Placed}
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 1))
			for range each {
				switch random.IntN(4) {
				case 0:
					tb.store.Read(tb.Context(), tb.table, amorphous.Address{Partition: "p0", ID: fmt.Sprintf("k%d", random.IntN(20))})
				case 1:
					tb.store.Scan(tb.Context(), tb.table, amorphous.Range{Partition: "p0", Limit: 5})
				default:
					rows := make([]amorphous.Row, 1+random.IntN(4))
					for i := range rows {
						rows[i] = randomRow(random, tb.table.Placed)
					}
					for i, err := range tb.write(rows...) {
						if err != nil && !isSuperseded(err) {
							tb.Errorf("write: %v", err)
							continue
						}
						mu.Lock()
						model.Write(rows[i])
						mu.Unlock()
					}
				}
			}
		})
	}
	wg.Wait()
	got := tb.all(amorphous.Range{})
	SortRows(got)
	same(tb, "after concurrent writes the table is what the set of writes implies", got, model.Live())
}

// randomRow is a write to one of few rows, its content a function of its
// stamp and shape, as the contract asks.
func randomRow(random *rand.Rand, placed bool) amorphous.Row {
	version := 1 + random.Int64N(30)
	r := row("p0", "", fmt.Sprintf("k%d", random.IntN(20)), version)
	r.Stamp.Tie = uint64(random.IntN(2)) << 63
	if placed {
		r.Partition = fmt.Sprintf("p%d", version%3)
		r.Order = []byte{byte(r.Stamp.Tie >> 63)}
	}
	if random.IntN(5) == 0 {
		return tombstone(r, version, r.Stamp.Tie)
	}
	r.Shape = 1 + uint64(random.IntN(2))<<63
	r.Body = bodyOf(r)
	return r
}
