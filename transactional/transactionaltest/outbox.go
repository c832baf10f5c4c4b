package transactionaltest

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

func testClaim(t *testing.T, h Harness) {
	h.run(t, "Order", testClaimOrder)
	h.run(t, "RoundTrip", testClaimRoundTrip)
	h.run(t, "ByID", testClaimByID)
	h.run(t, "Urgent", testClaimUrgent)
	h.run(t, "Disjoint", testDisjoint)
}

func testClaimRoundTrip(e *env) {
	r := transactional.Record{
		ID: e.id(), Kind: "checkin", Key: "k\x00\xff", Lane: "lane", Priority: 1<<32 - 1, Due: time.UnixMicro(1_000_000).UTC(),
		Progress: []byte{0, 1}, Body: []byte("body\x00"), Orders: []transactional.Order{{Task: "a", Key: "1"}, {Task: "b", Key: ""}},
		Token: "token", Digest: 1<<64 - 1, Remember: time.Hour, AcceptedAt: time.UnixMicro(1_790_000_000_123_456).UTC(),
	}
	e.must(adds(r))
	r.Remember = 0 // is not kept with the record
	got, mark, err := e.store.Find(e.Context(), r.ID)
	e.nil("find", err)
	e.same("Find returns the whole record", got, r)
	e.same("Find returns no mark of a record that is there", mark, []byte(nil))
	r.Owner, r.Lease = 5, longLease
	e.same("Claim returns the whole record", e.claim(5, 1, "lane"), []transactional.Record{r})
	empty := transactional.Record{ID: e.id(), Kind: "k", Lane: "lane", Progress: []byte{}, Body: []byte{}}
	e.must(adds(empty))
	empty.Owner, empty.Lease = 5, longLease
	e.same("a record may be nearly empty", e.claim(5, 1, "lane"), []transactional.Record{empty})
}

func testClaimByID(e *env) {
	a, b, c, later := e.record("one", 1), e.record("two", 1), e.record("one", 1), e.record("one", 1)
	later.Due = time.Now().Add(time.Hour)
	e.must(adds(a, b, c, later))
	e.claim(1, 1, "one")
	got, err := e.store.ClaimByID(e.Context(), 2, longLease, c.ID, a.ID, b.ID, later.ID, e.id(), b.ID)
	e.nil("claim", err)
	slices.SortFunc(got, func(x, y transactional.Record) int { return cmp.Compare(string(x.ID[:]), string(y.ID[:])) })
	if early, err := e.store.Seize(e.Context(), 2, longLease, later.ID); err != nil || len(early) != 1 {
		e.Errorf("Seize claims what is not due: %v, %v", early, err)
	}
	e.same("ClaimByID claims the named records whatever their lane, and leaves out what is held, not due or not there",
		ids(got), []transactional.RecordID{b.ID, c.ID})
	e.same("the owner holds them", []uint64{got[0].Owner, got[1].Owner}, []uint64{2, 2})
	e.must(settles(held(got[0])))
}

func testClaimUrgent(e *env) {
	urgent := func(lanes ...string) [2]any {
		p, ok, err := e.store.Urgent(e.Context(), lanes)
		e.nil("urgent", err)
		return [2]any{p, ok}
	}
	e.same("Urgent says when nothing is due", urgent("a", "b"), [2]any{uint32(0), false})
	later := e.record("a", 0)
	later.Due = time.Now().Add(time.Hour)
	e.must(adds(e.record("a", 7), e.record("b", 5), e.record("c", 1), later))
	e.same("Urgent is the smallest priority of a due record in the lanes", urgent("a", "b"), [2]any{uint32(5), true})
	e.claim(1, 1, "b")
	e.same("what is claimed is not due", urgent("a", "b"), [2]any{uint32(7), true})
}

func testClaimOrder(e *env) {
	var want []transactional.Record
	for i := range 200 {
		r := e.record([]string{"a", "b", "c"}[i%3], uint32((i*7)%5))
		e.must(adds(r))
		if r.Lane != "c" {
			want = append(want, r)
		}
	}
	slices.SortStableFunc(want, func(a, b transactional.Record) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(string(a.ID[:]), string(b.ID[:])))
	})
	var got []transactional.RecordID
	for _, most := range []int{1, 2, 16, 1000} {
		records := e.claim(1, most, "b", "a", "b")
		if len(records) > most {
			e.Errorf("a claim of %d returned %d", most, len(records))
		}
		got = append(got, ids(records)...)
	}
	e.same("records of the lanes are claimed by priority and then id, each once", got, ids(want))
	e.same("what is held is not claimed again", len(e.claim(2, 1000, "a", "b")), 0)
	e.same("other lanes are untouched", len(e.claim(2, 1000, "c")), 66)
	e.same("a claim of nothing claims nothing", len(e.claim(2, 0, "c")), 0)
}

// testDisjoint has two stores on one database claim at once.
func testDisjoint(e *env) {
	const n = 400
	var u transactional.Unit
	for i := range n {
		u.Add = append(u.Add, e.record([]string{"a", "b"}[i%2], uint32(i%3)))
	}
	e.must(&u)
	stores := []*transactional.Store{e.store, e.again(nil)}
	var (
		mu   sync.Mutex
		seen = map[transactional.RecordID]uint64{}
		wg   sync.WaitGroup
	)
	for w := range 8 {
		wg.Go(func() {
			for {
				records, err := stores[w%2].Claim(background(), transactional.ClaimRequest{
					Lanes: []string{"a", "b"}, Max: 7, Owner: uint64(w + 1), Lease: longLease,
				})
				mu.Lock()
				for _, r := range records {
					if other := seen[r.ID]; other != 0 {
						e.Errorf("record %v is held by %d and by %d", r.ID, other, w+1)
					}
					seen[r.ID] = uint64(w + 1)
				}
				over := err != nil || len(seen) == n
				mu.Unlock()
				if err != nil {
					e.Error(err)
				}
				if over {
					return
				}
			}
		})
	}
	wg.Wait()
	e.same("concurrent claims hand out every record, each once", len(seen), n)
}

func testDue(t *testing.T, h Harness) {
	h.run(t, "Later", func(e *env) {
		at, err := e.store.Clock(e.Context())
		e.nil("clock", err)
		soon, far := e.record("lane", 1), e.record("lane", 0)
		soon.Due, far.Due = at.Add(300*time.Millisecond), at.Add(time.Hour)
		e.must(adds(soon, far))
		var got []transactional.Record
		e.until("what becomes due is claimed, by itself", func() bool {
			got = e.claim(1, 10, "lane")
			return len(got) > 0
		})
		now, err := e.store.Clock(e.Context())
		e.nil("clock", err)
		e.same("what is not due is not claimed", ids(got), []transactional.RecordID{soon.ID})
		if now.Before(soon.Due) {
			e.Errorf("a record due at %v was claimed at %v", soon.Due, now)
		}
	})
	h.run(t, "Past", func(e *env) {
		r := e.record("lane", 1)
		r.Due = time.UnixMicro(1).UTC()
		e.must(adds(r))
		e.same("what was due long ago is due", len(e.claim(1, 1, "lane")), 1)
	})
	h.run(t, "Priority", func(e *env) {
		at, err := e.store.Clock(e.Context())
		e.nil("clock", err)
		e.must(adds(e.record("lane", 5)))
		r := e.record("lane", 1)
		r.Due = at.Add(20 * time.Millisecond)
		e.must(adds(r))
		e.until("Urgent sees what has become due", func() bool {
			p, ok, err := e.store.Urgent(e.Context(), []string{"lane"})
			e.nil("urgent", err)
			return ok && p == 1
		})
		e.same("what has become due is claimed by its priority", e.claim(1, 1, "lane")[0].ID, r.ID)
	})
}

func testLeases(t *testing.T, h Harness) {
	h.run(t, "Expiry", testLeasesExpiry)
	h.run(t, "Extend", testLeasesExtend)
	h.run(t, "HandOver", testLeasesHandOver)
	h.run(t, "Many", testLeasesMany)
	h.run(t, "Recover", testLeasesRecover)
}

func testLeasesExpiry(e *env) {
	e.must(adds(e.record("lane", 1), e.record("lane", 1)))
	brief := e.claimFor(1, time.Microsecond, 1, "lane")[0]
	long := e.claim(1, 1, "lane")[0]
	e.sweepUntil(1)
	e.same("a claim whose lease is over may be claimed again, and only that", ids(e.claim(2, 10, "lane")), []transactional.RecordID{brief.ID})
	n, err := e.store.Sweep(e.Context())
	e.nil("sweep", err)
	e.same("a sweep frees nothing twice", n, 0)
	e.must(settles(held(long)))
}

func testLeasesExtend(e *env) {
	e.must(adds(e.record("lane", 1), e.record("lane", 1), e.record("lane", 1)))
	mine := e.claimFor(1, 20*time.Millisecond, 2, "lane")
	other := e.claim(2, 1, "lane")[0]
	e.same("Extend is nil when all were renewed", e.store.Extend(e.Context(), 1, longLease, ids(mine)...), []error(nil))
	errs := e.store.Extend(e.Context(), 1, longLease, mine[0].ID, other.ID, e.id(), mine[1].ID)
	e.same("Extend is aligned", []bool{errs[0] == nil, errs[1] == nil, errs[2] == nil, errs[3] == nil}, []bool{true, false, false, true})
	e.class("what another owner holds is ErrConflict", errs[1], fault.ErrConflict)
	e.class("what is not there is ErrConflict", errs[2], fault.ErrConflict)
	e.must(adds(e.record("clock", 1)))
	e.claimFor(3, 20*time.Millisecond, 1, "clock") // ends after the leases that were renewed would have
	e.sweepUntil(1)
	e.must(settles(held(mine[0]), held(mine[1])))
}

func testLeasesHandOver(e *env) {
	r := e.record("lane", 1)
	r.Owner, r.Lease = 7, longLease
	brief := e.record("lane", 2)
	brief.Owner, brief.Lease = 7, time.Microsecond
	e.must(adds(r, brief))
	e.same("a record that is claimed from the start is nobody else's", len(e.claim(1, 10, "lane")), 0)
	e.sweepUntil(1)
	e.same("until its lease is over", ids(e.claim(1, 10, "lane")), []transactional.RecordID{brief.ID})
	e.must(settles(transactional.Settlement{ID: r.ID, Owner: 7, Done: true}))
}

func testLeasesMany(e *env) {
	var u transactional.Unit
	for i := range 1000 {
		r := e.record(fmt.Sprint("lane", i%3), 1)
		r.Owner, r.Lease = 7, time.Microsecond
		u.Add = append(u.Add, r)
	}
	e.must(&u)
	e.sweepUntil(1000)
	e.same("a sweep frees all of a crashed owner's claims", len(e.claim(1, 1024, "lane0", "lane1", "lane2")), 1000)
}

func testLeasesRecover(e *env) {
	if e.store.Features().SharedLog {
		e.Skip("lacks: the only process that uses the database (Features.SharedLog)")
	}
	e.must(adds(e.record("lane", 1), e.record("lane", 1)))
	e.claim(1, 2, "lane")
	n, err := e.store.Recover(e.Context())
	e.nil("recover", err)
	e.same("Recover frees every claim at once", n, 2)
	again := e.claim(2, 2, "lane")
	e.same("and counts a loss", []int{again[0].Lost, again[1].Lost}, []int{1, 1})
}
