package transactionaltest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

func letter(id, kind, task, key string) transactional.DeadLetter {
	return transactional.DeadLetter{
		ID: id, Kind: kind, Task: task, Key: key, Reason: "refused", Detail: "the full text", Attempts: 3,
		Accepted: time.UnixMicro(1).UTC(), Died: time.UnixMicro(2).UTC(), Envelope: []byte{1, 2, 3},
	}
}

func testDead(t *testing.T, h Harness) {
	h.run(t, "Bury", func(e *env) {
		first := letter("a", "k", "t", "x")
		e.must(&transactional.Unit{Bury: []transactional.DeadLetter{first}})
		second := letter("a", "k", "t", "x")
		second.Reason = "another"
		e.must(&transactional.Unit{Bury: []transactional.DeadLetter{second, letter("b", "k", "t", "x")}})
		got, err := e.store.DeadLetters(e.Context(), transactional.DeadFilter{})
		e.nil("dead letters", err)
		e.same("a letter is kept whole, and one whose id is there is left as it is", got, []transactional.DeadLetter{first, letter("b", "k", "t", "x")})
		broken := letter("c", "k", "t", "x")
		broken.Reason, broken.Detail = "a\xffb", strings.Repeat("stack ", 10_000)
		e.must(&transactional.Unit{Bury: []transactional.DeadLetter{broken}})
		got, err = e.store.DeadLetters(e.Context(), transactional.DeadFilter{After: "b"})
		e.nil("dead letters", err)
		e.same("a reason may come from anywhere", [2]string{got[0].Reason, got[0].Detail}, [2]string{"a\ufffdb", broken.Detail})
	})
	h.run(t, "List", func(e *env) {
		var u transactional.Unit
		for i := range 30 {
			u.Bury = append(u.Bury, letter(fmt.Sprintf("id%02d", i), fmt.Sprint("k", i%2), fmt.Sprint("t", i%3), fmt.Sprint("x", i%5)))
		}
		e.must(&u)
		list := func(f transactional.DeadFilter) (out []string) {
			letters, err := e.store.DeadLetters(e.Context(), f)
			e.nil("dead letters", err)
			for _, l := range letters {
				out = append(out, l.ID)
			}
			return out
		}
		e.same("letters are listed by id", list(transactional.DeadFilter{Limit: 3}), []string{"id00", "id01", "id02"})
		e.same("after an id", list(transactional.DeadFilter{Limit: 2, After: "id27"}), []string{"id28", "id29"})
		e.same("of a kind, a task and a key", list(transactional.DeadFilter{Kind: "k1", Task: "t1", Key: "x2"}), []string{"id07"})
		e.same("of a key", list(transactional.DeadFilter{Key: "x4"}), []string{"id04", "id09", "id14", "id19", "id24", "id29"})
		counts, err := e.store.CountDead(e.Context())
		e.nil("count", err)
		e.same("they are counted by kind and task", counts, map[[2]string]int{
			{"k0", "t0"}: 5, {"k0", "t1"}: 5, {"k0", "t2"}: 5, {"k1", "t0"}: 5, {"k1", "t1"}: 5, {"k1", "t2"}: 5,
		})
	})
	h.run(t, "Oldest", func(e *env) {
		var u transactional.Unit
		for i, died := range []int64{50, 30, 70, 20} {
			l := letter(fmt.Sprint("id", i), "k", fmt.Sprint("t", i%2), "x")
			l.Died = time.UnixMicro(died).UTC()
			u.Bury = append(u.Bury, l)
		}
		e.must(&u)
		oldest, err := e.store.OldestDead(e.Context())
		e.nil("oldest", err)
		e.same("the oldest of each kind and task is told", oldest, map[[2]string]time.Time{
			{"k", "t0"}: time.UnixMicro(50).UTC(), {"k", "t1"}: time.UnixMicro(20).UTC(),
		})
	})
	h.run(t, "Unbury", func(e *env) {
		e.must(&transactional.Unit{Bury: []transactional.DeadLetter{letter("a", "k", "t", "x"), letter("b", "k", "t", "x")}})
		replay := e.record("lane", 1)
		e.must(&transactional.Unit{Unbury: []string{"a"}, Add: []transactional.Record{replay}})
		again := e.record("lane", 1)
		e.fails("a letter that is not there is ErrNotFound", &transactional.Unit{Unbury: []string{"b", "a"}, Add: []transactional.Record{again}}, fault.ErrNotFound)
		_, _, err := e.store.Find(e.Context(), again.ID)
		e.class("so a letter is replayed once", err, fault.ErrNotFound)
		e.must(&transactional.Unit{Unbury: []string{"b"}, Bury: []transactional.DeadLetter{letter("b", "k", "t", "y")}})
		got, err := e.store.DeadLetters(e.Context(), transactional.DeadFilter{})
		e.nil("dead letters", err)
		e.same("a letter that dies again is a new one", got, []transactional.DeadLetter{letter("b", "k", "t", "y")})
	})
}

func testMeta(t *testing.T, h Harness) {
	h.run(t, "Raise", func(e *env) {
		raise := func(name string, value int64) int64 {
			n, err := e.store.Raise(e.Context(), name, value)
			e.nil("raise", err)
			return n
		}
		e.same("a number that nobody raised is zero", raise("hlc", 0), int64(0))
		e.same("Raise sets it", raise("hlc", 5), int64(5))
		e.same("to at least the value", raise("hlc", 3), int64(5))
		e.same("reading is Raise with zero", raise("hlc", 0), int64(5))
		e.same("numbers have names", raise("Hlc", 1<<62), int64(1<<62))
		_, err := e.store.Raise(e.Context(), "hlc", -1)
		e.class("none is negative", err, fault.ErrInvalid)
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := range 10 {
					value := int64(10 + i*8 + w)
					if n, err := e.store.Raise(background(), "hlc", value); err != nil || n < value {
						e.Errorf("raise to %d: %d, %v", value, n, err)
					}
				}
			})
		}
		wg.Wait()
		e.same("also concurrently", raise("hlc", 0), int64(89))
	})
	h.run(t, "Clock", func(e *env) {
		before := time.Now()
		at, err := e.store.Clock(e.Context())
		e.nil("clock", err)
		if d := at.Sub(before); d < -time.Hour || d > time.Hour || at.Location() != time.UTC {
			e.Errorf("Clock is UTC: %v at %v", at, before)
		}
		again, err := e.store.Clock(e.Context())
		e.nil("clock", err)
		if again.Before(at.Add(-time.Second)) {
			e.Errorf("Clock goes forward: %v, then %v", at, again)
		}
	})
}
