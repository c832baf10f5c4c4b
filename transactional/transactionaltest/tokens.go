package transactionaltest

import (
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

func testTokens(t *testing.T, h Harness) {
	h.run(t, "Repeat", func(e *env) {
		token := func(kind, token string, digest uint64, remember time.Duration) transactional.Record {
			r := e.record("lane", 1)
			r.Kind, r.Token, r.Digest, r.Remember = kind, token, digest, remember
			return r
		}
		first := token("k", "t", 1<<63, time.Hour)
		e.same("a token is accepted", e.must(adds(first)).Repeats, []transactional.RecordID(nil))
		plain := e.record("lane", 1)
		u := adds(plain, token("k", "t", 1<<63, time.Hour))
		u.Writes = []transactional.Write{thing("a", 1, 1, insert)}
		e.same("a repeat has the first record's id, aligned with the unit's records",
			e.must(u).Repeats, []transactional.RecordID{{}, first.ID})
		e.lacks("of a unit that repeats nothing is applied", "a")
		_, _, err := e.store.Find(e.Context(), plain.ID)
		e.class("of a unit that repeats nothing is applied", err, fault.ErrNotFound)
		e.fails("the same token with another digest is ErrConflict", adds(token("k", "t", 2, time.Hour)), fault.ErrConflict)
		e.same("a token is one kind's own", e.must(adds(token("other", "t", 2, time.Hour))).Repeats, []transactional.RecordID(nil))
		r := e.claim(1, 1, "lane")[0]
		e.must(settles(held(r)))
		e.same("a token is remembered longer than its record", e.must(adds(token("k", "t", 1<<63, time.Hour))).Repeats, []transactional.RecordID{first.ID})
		e.same("records without a token never repeat", e.must(adds(token("k", "", 1, 0), token("k", "", 1, 0))).Repeats, []transactional.RecordID(nil))
	})
	h.run(t, "Forgotten", func(e *env) {
		add := func(digest uint64) error {
			r := e.record("lane", 1)
			r.Token, r.Digest, r.Remember = "t", digest, time.Microsecond
			_, err := e.store.Apply(e.Context(), adds(r))
			return err
		}
		e.nil("the first", add(1))
		e.until("a token is forgotten when its time is over, also before a sweep", func() bool { return add(2) == nil })
		e.until("a sweep forgets tokens for good", func() bool {
			_, err := e.store.Sweep(e.Context())
			e.nil("sweep", err)
			return add(3) == nil
		})
	})
}

func testOrders(t *testing.T, h Harness) {
	o := func(task, key string) transactional.Order { return transactional.Order{Task: task, Key: key} }
	far := time.Now().Add(time.Hour)
	waiting := func(e *env, orders ...transactional.Order) transactional.Record {
		r := e.record("lane", 1)
		r.Orders = orders
		return r
	}
	blocked := func(e *env, r transactional.Record, orders ...transactional.Order) []bool {
		e.Helper()
		b, err := e.store.Blocked(e.Context(), r.ID, orders)
		e.nil("blocked", err)
		return b
	}
	// back gives a record back to wait, as a worker does that finds it blocked.
	back := func(r transactional.Record) transactional.Settlement {
		s := held(r)
		s.Done, s.Lane, s.Priority, s.Due = false, r.Lane, r.Priority, far
		return s
	}
	h.run(t, "Blocked", func(e *env) {
		first, second := waiting(e, o("mail", "ann"), o("sms", "ann")), waiting(e, o("mail", "ann"), o("mail", "bob"))
		e.must(adds(first, second))
		e.same("the first record of an order is not blocked", blocked(e, first, first.Orders...), []bool{false, false})
		e.same("a record is blocked where an earlier one holds the order", blocked(e, second, second.Orders...), []bool{true, false})
		e.same("an order is a task with a key", blocked(e, second, o("mail", "cid"), o("fax", "ann")), []bool{false, false})
	})
	h.run(t, "Release", func(e *env) {
		first, second, third := waiting(e, o("t", "k")), waiting(e, o("t", "k")), waiting(e, o("t", "k"))
		e.must(adds(first, second, third))
		got := e.claim(1, 3, "lane")
		e.must(settles(back(got[1]), back(got[2])))
		e.same("who waits is not due", len(e.claim(1, 3, "lane")), 0)
		s := held(got[0])
		s.Done, s.Hold, s.Release = false, true, []transactional.Order{o("t", "k")}
		e.must(settles(s))
		e.same("the next in order becomes due when it is released, and only that", ids(e.claim(1, 3, "lane")), []transactional.RecordID{second.ID})
		e.same("an order that was released blocks nobody", blocked(e, second, o("t", "k")), []bool{false})
		e.same("the others still wait", blocked(e, third, o("t", "k")), []bool{true})
		rec, _, err := e.store.Find(e.Context(), first.ID)
		e.nil("find", err)
		e.same("the record no longer holds what it released", rec.Orders, []transactional.Order(nil))
	})
	h.run(t, "Done", func(e *env) {
		first, second, other := waiting(e, o("t", "k"), o("u", "k")), waiting(e, o("t", "k")), waiting(e, o("u", "k"))
		e.must(adds(first, second, other))
		got := e.claim(1, 3, "lane")
		e.must(settles(back(got[1]), back(got[2])))
		e.must(settles(held(got[0])))
		e.same("a record that is done releases all of its orders", ids(e.claim(1, 3, "lane")), []transactional.RecordID{second.ID, other.ID})
	})
	h.run(t, "Middle", func(e *env) {
		first, second, third := waiting(e, o("t", "k")), waiting(e, o("t", "k")), waiting(e, o("t", "k"))
		e.must(adds(first, second, third))
		got := e.claim(1, 3, "lane")
		e.must(settles(back(got[0]), back(got[2])))
		e.must(settles(held(got[1])))
		e.same("whoever was not the first wakes nobody", len(e.claim(1, 3, "lane")), 0)
		e.same("the order stays the first one's", blocked(e, third, o("t", "k")), []bool{true})
	})
	h.run(t, "Meanwhile", func(e *env) {
		first, second := waiting(e, o("t", "k")), waiting(e, o("t", "k"))
		e.must(adds(first, second))
		got := e.claim(1, 2, "lane")
		e.must(settles(held(got[0])))
		e.must(settles(back(got[1])))
		e.same("a release while the next one is claimed is not lost", ids(e.claim(1, 2, "lane")), []transactional.RecordID{second.ID})
	})
	h.run(t, "Group", func(e *env) {
		const n = 40
		var u transactional.Unit
		for range n {
			u.Add = append(u.Add, waiting(e, o("t", "k")))
		}
		e.must(&u)
		var order []transactional.RecordID
		for len(order) < n {
			var units []*transactional.Unit
			for _, r := range e.claim(1, n, "lane") {
				if blocked(e, r, o("t", "k"))[0] {
					units = append(units, settles(back(r)))
				} else {
					order = append(order, r.ID)
					units = append(units, settles(held(r)))
				}
			}
			if len(units) == 0 {
				e.Fatalf("nothing is due after %d of %d", len(order), n)
			}
			_, errs := e.together(units)
			for _, err := range errs {
				e.nil("settle", err)
			}
		}
		e.same("tasks of one order run one after another, in the order of their records", order, ids(u.Add))
	})
}

func testWalk(t *testing.T, h Harness) {
	h.run(t, "All", func(e *env) {
		var u transactional.Unit
		for i := range 1100 {
			r := e.record("lane", 1)
			if r.Progress = []byte{byte(i)}; i%100 == 0 {
				r.Orders = []transactional.Order{{Task: "t", Key: "k"}}
			}
			u.Add = append(u.Add, r)
		}
		e.must(&u)
		e.claim(1, 10, "lane")
		var seen []transactional.RecordID
		e.nil("walk", e.store.Walk(e.Context(), func(r transactional.Record) bool {
			i := len(seen)
			if r.Body != nil || len(r.Progress) != 1 || r.Progress[0] != byte(i) || (i%100 == 0) != (len(r.Orders) == 1) {
				e.Errorf("bodies are left out, the rest is there: %+v", r)
			}
			seen = append(seen, r.ID)
			return true
		}))
		e.same("Walk calls for every record that is there, in id order", seen, ids(u.Add))
		n := 0
		e.nil("walk", e.store.Walk(e.Context(), func(transactional.Record) bool { n++; return n < 3 }))
		e.same("until the function returns false", n, 3)
	})
}
