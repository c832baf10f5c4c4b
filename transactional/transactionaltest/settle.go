package transactionaltest

import (
	"fmt"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

func testSettle(t *testing.T, h Harness) {
	h.run(t, "Fencing", testFencing)
	h.run(t, "Done", testSettleDone)
	h.run(t, "Back", testBack)
	h.run(t, "Together", testSettleTogether)
	h.run(t, "DoneTogether", testDoneTogether)
}

func testSettleDone(e *env) {
	r := e.record("lane", 1)
	e.must(adds(r))
	s := held(e.claim(1, 1, "lane")[0])
	s.Mark = []byte("done: a, b")
	e.must(settles(s))
	_, mark, err := e.store.Find(e.Context(), r.ID)
	e.nil("find", err)
	e.same("a record that is done leaves its mark", mark, s.Mark)
	e.same("a record that is done is not claimed again", len(e.claim(1, 1, "lane")), 0)
	e.fails("a record that is done cannot be settled", settles(s), fault.ErrConflict)
	empty := e.record("lane", 1)
	e.must(adds(empty))
	s = held(e.claim(1, 1, "lane")[0])
	s.Keep = time.Microsecond
	e.must(settles(s))
	e.until("a mark goes when its time is over", func() bool {
		_, err := e.store.Sweep(e.Context())
		e.nil("sweep", err)
		_, mark, err := e.store.Find(e.Context(), empty.ID)
		if err == nil {
			e.same("a mark is never nil", mark, []byte{})
			return false
		}
		e.class("what was never there, or is forgotten, is ErrNotFound", err, fault.ErrNotFound)
		return true
	})
	_, mark, err = e.store.Find(e.Context(), r.ID)
	e.nil("find", err)
	e.same("other marks stay", mark, []byte("done: a, b"))
}

func testSettleTogether(e *env) {
	var u transactional.Unit
	for range 100 {
		u.Add = append(u.Add, e.record("lane", 1))
	}
	e.must(&u)
	var units []*transactional.Unit
	for i, r := range e.claim(1, 100, "lane") {
		s := held(r)
		switch i % 3 {
		case 1:
			s.Done, s.Lane, s.Priority = false, "next", uint32(i)
		case 2:
			s.Done, s.Hold, s.Progress = false, true, []byte{byte(i)}
		}
		if i%10 == 0 {
			s.Owner = 2
		}
		units = append(units, settles(s))
	}
	_, errs := e.together(units)
	for i, err := range errs {
		if i%10 == 0 {
			e.class("a settlement of a lost claim fails alone", err, fault.ErrConflict)
			continue
		}
		e.nil("a settlement succeeds", err)
		r, mark, err := e.store.Find(e.Context(), units[i].Settle[0].ID)
		e.nil("find", err)
		want := [4]any{true, "", uint32(0), uint64(0)}
		switch i % 3 {
		case 1:
			want = [4]any{false, "next", uint32(i), uint64(0)}
		case 2:
			want = [4]any{false, "lane", uint32(1), uint64(1)}
			e.same("progress is each record's own", r.Progress, []byte{byte(i)})
		}
		e.same("each settlement does what it says", [4]any{mark != nil, r.Lane, r.Priority, r.Owner}, want)
	}
}

// testDoneTogether ends many records in one commit, some of which have orders,
// were settled before, or are gone.
func testDoneTogether(e *env) {
	var u transactional.Unit
	for i := range 40 {
		r := e.record("lane", 1)
		if i%7 == 3 {
			r.Orders = []transactional.Order{{Task: "t", Key: fmt.Sprint(i)}}
		}
		u.Add = append(u.Add, r)
	}
	e.must(&u)
	for round, changed := range []bool{false, true} { // the second time nothing is as simple as it seems
		var units []*transactional.Unit
		gone := map[int]bool{}
		for i, r := range e.claim(1, 20, "lane") {
			s := held(r)
			switch {
			case changed && i%9 == 4:
				gone[i] = true
				e.must(settles(s))
			case changed && i%9 == 5:
				hold := s
				hold.Done, hold.Hold, hold.Progress = false, true, []byte("half")
				e.must(settles(hold))
				s.Seq++
			}
			s.Mark = []byte{byte(i)}
			units = append(units, settles(s))
		}
		e.same("half of them are claimed", len(units), 20)
		_, errs := e.together(units)
		for i, err := range errs {
			if gone[i] {
				e.class("what is gone fails alone", err, fault.ErrConflict)
				continue
			}
			e.nil(fmt.Sprint("a settlement succeeds in round ", round), err)
			_, mark, err := e.store.Find(e.Context(), units[i].Settle[0].ID)
			e.nil("find", err)
			e.same("each leaves its own mark", mark, []byte{byte(i)})
		}
	}
	e.same("nothing is left", len(e.claim(1, 100, "lane")), 0)
	again := e.record("lane", 1)
	again.Orders = []transactional.Order{{Task: "t", Key: "3"}}
	e.must(adds(again))
	e.same("no order is held any more", len(e.claim(1, 1, "lane")), 1)
}

func testFencing(e *env) {
	e.must(adds(e.record("lane", 1)))
	r := e.claimFor(1, time.Microsecond, 1, "lane")[0]
	stranger := held(r)
	stranger.Owner = 2
	e.fails("only the owner settles", settles(stranger), fault.ErrConflict)
	e.sweepUntil(1)
	e.fails("an owner whose lease was taken settles nothing", settles(held(r)), fault.ErrConflict)
	second := e.claim(2, 1, "lane")[0]
	e.same("a lease that ran out is counted as a loss", second.Lost, 1)
	e.fails("the old owner does not settle the new one's claim", settles(held(r)), fault.ErrConflict)
	progress := held(second)
	progress.Done, progress.Hold, progress.Progress = false, true, []byte("half")
	e.must(settles(progress))
	e.fails("a settlement of an earlier Seq, such as a late COMMIT's repeat, is refused", settles(progress), fault.ErrConflict)
	got, _, err := e.store.Find(e.Context(), r.ID)
	e.nil("find", err)
	e.same("applying a settlement raises Seq by one", got.Seq, second.Seq+1)
	e.must(settles(held(got)))
	e.fails("what is not there cannot be settled", settles(transactional.Settlement{ID: e.id(), Owner: 1, Done: true}), fault.ErrConflict)
}

func testBack(e *env) {
	r := e.record("lane", 1)
	r.Progress = []byte("all")
	e.must(adds(r))
	s := held(e.claim(1, 1, "lane")[0])
	s.Done, s.Lane, s.Priority = false, "other", 9
	e.must(settles(s))
	got := e.claim(2, 1, "other")
	if len(got) != 1 {
		e.Fatal("a record goes back to the lane of its settlement, due now")
	}
	e.same("nil progress is unchanged, and the priority is the new one",
		[3]any{string(got[0].Progress), got[0].Priority, got[0].Seq}, [3]any{"all", uint32(9), uint64(1)})
	s = held(got[0])
	s.Done, s.Lane, s.Progress = false, "lane", []byte("less")
	s.Due = time.Now().Add(time.Hour)
	e.must(settles(s))
	e.same("a record that goes back for later is not due", len(e.claim(1, 1, "lane", "other")), 0)
	rec, _, err := e.store.Find(e.Context(), r.ID)
	e.nil("find", err)
	e.same("progress is rewritten, the body never", [2]string{string(rec.Progress), string(rec.Body)}, [2]string{"less", string(r.Body)})
	e.same("the due time is kept in microseconds", rec.Due, s.Due.UTC().Truncate(time.Microsecond))
	e.same("nobody holds a record that went back", rec.Owner, uint64(0))
	e.same("going back is no loss", rec.Lost, 0)
}
