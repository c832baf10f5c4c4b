package transactionaltest

import (
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

func testTokens(t *testing.T, h Harness) {
	h.run(t, "Repeat", testTokensRepeat)
	h.run(t, "Forgotten", testTokensForgotten)
}

func testTokensRepeat(e *env) {
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
}

func testTokensForgotten(e *env) {
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
}

func order(task, key string) transactional.Order { return transactional.Order{Task: task, Key: key} }

// waiting makes a record with orders.
func (e *env) waiting(orders ...transactional.Order) transactional.Record {
	r := e.record("lane", 1)
	r.Orders = orders
	return r
}

func (e *env) blocked(r transactional.Record, orders ...transactional.Order) []bool {
	e.Helper()
	b, err := e.store.Blocked(e.Context(), r.ID, orders)
	e.nil("blocked", err)
	return b
}

// back gives a record back to wait, as a worker does that finds it blocked.
func back(r transactional.Record) transactional.Settlement {
	s := held(r)
	s.Done, s.Lane, s.Priority, s.Due = false, r.Lane, r.Priority, time.Now().Add(time.Hour)
	return s
}

func testOrders(t *testing.T, h Harness) {
	h.run(t, "Blocked", func(e *env) {
		first, second := e.waiting(order("mail", "ann"), order("sms", "ann")), e.waiting(order("mail", "ann"), order("mail", "bob"))
		e.must(adds(first, second))
		e.same("the first record of an order is not blocked", e.blocked(first, first.Orders...), []bool{false, false})
		e.same("a record is blocked where an earlier one holds the order", e.blocked(second, second.Orders...), []bool{true, false})
		e.same("an order is a task with a key", e.blocked(second, order("mail", "cid"), order("fax", "ann")), []bool{false, false})
	})
	h.run(t, "Release", testOrdersRelease)
	h.run(t, "Done", testOrdersDone)
	h.run(t, "Middle", testOrdersMiddle)
	h.run(t, "Meanwhile", testOrdersMeanwhile)
	h.run(t, "Group", testOrdersGroup)
}

func testOrdersRelease(e *env) {
	first, second, third := e.waiting(order("t", "k")), e.waiting(order("t", "k")), e.waiting(order("t", "k"))
	e.must(adds(first, second, third))
	got := e.claim(1, 3, "lane")
	e.must(settles(back(got[1]), back(got[2])))
	e.same("who waits is not due", len(e.claim(1, 3, "lane")), 0)
	s := held(got[0])
	s.Done, s.Hold, s.Release = false, true, []transactional.Order{order("t", "k")}
	e.must(settles(s))
	e.same("the next in order becomes due when it is released, and only that", ids(e.claim(1, 3, "lane")), []transactional.RecordID{second.ID})
	e.same("an order that was released blocks nobody", e.blocked(second, order("t", "k")), []bool{false})
	e.same("the others still wait", e.blocked(third, order("t", "k")), []bool{true})
	rec, _, err := e.store.Find(e.Context(), first.ID)
	e.nil("find", err)
	e.same("the record no longer holds what it released", rec.Orders, []transactional.Order(nil))
}

func testOrdersDone(e *env) {
	first, second, other := e.waiting(order("t", "k"), order("u", "k")), e.waiting(order("t", "k")), e.waiting(order("u", "k"))
	e.must(adds(first, second, other))
	got := e.claim(1, 3, "lane")
	e.must(settles(back(got[1]), back(got[2])))
	e.must(settles(held(got[0])))
	e.same("a record that is done releases all of its orders", ids(e.claim(1, 3, "lane")), []transactional.RecordID{second.ID, other.ID})
}

func testOrdersMiddle(e *env) {
	first, second, third := e.waiting(order("t", "k")), e.waiting(order("t", "k")), e.waiting(order("t", "k"))
	e.must(adds(first, second, third))
	got := e.claim(1, 3, "lane")
	e.must(settles(back(got[0]), back(got[2])))
	e.must(settles(held(got[1])))
	e.same("whoever was not the first wakes nobody", len(e.claim(1, 3, "lane")), 0)
	e.same("the order stays the first one's", e.blocked(third, order("t", "k")), []bool{true})
}

func testOrdersMeanwhile(e *env) {
	first, second := e.waiting(order("t", "k")), e.waiting(order("t", "k"))
	e.must(adds(first, second))
	got := e.claim(1, 2, "lane")
	e.must(settles(held(got[0])))
	e.must(settles(back(got[1])))
	e.same("a release while the next one is claimed is not lost", ids(e.claim(1, 2, "lane")), []transactional.RecordID{second.ID})
}

func testOrdersGroup(e *env) {
	const n = 40
	var u transactional.Unit
	for range n {
		u.Add = append(u.Add, e.waiting(order("t", "k")))
	}
	e.must(&u)
	var ran []transactional.RecordID
	for len(ran) < n {
		var units []*transactional.Unit
		for _, r := range e.claim(1, n, "lane") {
			if e.blocked(r, order("t", "k"))[0] {
				units = append(units, settles(back(r)))
			} else {
				ran = append(ran, r.ID)
				units = append(units, settles(held(r)))
			}
		}
		if len(units) == 0 {
			e.Fatalf("nothing is due after %d of %d", len(ran), n)
		}
		_, errs := e.together(units)
		for _, err := range errs {
			e.nil("settle", err)
		}
	}
	e.same("tasks of one order run one after another, in the order of their records", ran, ids(u.Add))
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
