package persistence_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// touches reports whether an operation touches a name.
func touches(name string) func(persistencetest.Op) bool {
	return func(op persistencetest.Op) bool {
		if slices.Contains(op.On, name) {
			return op.Name != "read" && op.Name != "scan" && op.Name != "exec" && op.Name != "query"
		}
		return op.Name == "run" && slices.ContainsFunc(op.SQL, func(q string) bool {
			return strings.Contains(q, name) && !strings.HasPrefix(q, "SELECT")
		})
	}
}

// P6: "An unknown outcome is reported as itself, is retried only where a repeat
// is harmless, and never passes for a failure or a success." Here the answer to
// the COMMIT of acceptance is lost, or the COMMIT itself.
func TestUnknownAcceptance(t *testing.T) {
	for name, applied := range map[string]bool{"the answer is lost": true, "the commit is lost": false} {
		t.Run(name, func(t *testing.T) {
			inDrill(t, func(d *drill) {
				d.serve()
				lose := d.faults.Dropped
				if applied {
					lose = d.faults.Unknown
				}
				lose(persistence.Transactional, 1, touches("lost"))
				r, err := d.visits.Put(d.Context(), visit{ID: "lost", User: "ann"})
				if !fault.Unknown(err) || fault.Accepted(err) || fault.Retryable(err) || fault.Permanent(err) || r != nil {
					t.Fatalf("Put returned %v, %v; want unknown and nothing else", r, err)
				}
				time.Sleep(15 * time.Second)
				_, err = d.visits.Get(d.Context(), "lost")
				if there := err == nil; there != applied {
					t.Errorf("all or nothing: the object is there: %v (%v), the commit was applied: %v", there, err, applied)
				}
				n, err := d.tallies.Get(d.Context(), "ann")
				if applied && (err != nil || n.N != 1) || !applied && !errors.Is(err, fault.ErrNotFound) {
					t.Errorf("counted %d, %v", n.N, err)
				}
				d.clean()
			})
		})
	}
}

// However many acceptances are not known, one goroutine looks for them: a server
// that takes commits and answers none leaves thousands behind.
func TestManyUnknownAcceptances(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		synctest.Wait()
		before, most := runtime.NumGoroutine(), 0
		const lost, there = 300, 20
		put := func(i int) {
			t.Helper()
			if _, err := d.visits.Put(d.Context(), visit{ID: fmt.Sprint("v", i), User: "ann"}); !fault.Unknown(err) {
				t.Fatalf("Put returned %v; want unknown", err)
			}
			most = max(most, runtime.NumGoroutine())
		}
		accepts := func(op persistencetest.Op) bool { // of the keys v0, v1, …
			return slices.ContainsFunc(op.On, func(on string) bool {
				return strings.HasPrefix(on, "v") && on != "visit" && touches(on)(op)
			})
		}
		d.faults.Dropped(persistence.Transactional, lost, accepts)
		for i := range lost {
			put(i)
		}
		d.faults.Unknown(persistence.Transactional, there, accepts)
		for i := range there {
			put(lost + i)
		}
		if most > before+50 {
			t.Errorf("%d goroutines for %d unknown acceptances, %d before", most, lost+there, before)
		}
		time.Sleep(adopted)
		if n, err := d.tallies.Get(d.Context(), "ann"); err != nil || n.N != there {
			t.Errorf("counted %d of the %d that are there, %v", n.N, there, err)
		}
		d.clean()
	})
}

// adopted is when an acceptance of which only the answer was lost has been worked
// on: long before the lease of ten seconds would end.
const adopted = 3 * time.Second

// The same with a token: the caller asks again and gets the first acceptance.
func TestUnknownAcceptanceWithToken(t *testing.T) {
	for name, applied := range map[string]bool{"the answer is lost": true, "the commit is lost": false} {
		t.Run(name, func(t *testing.T) {
			inDrill(t, func(d *drill) {
				d.serve()
				lose := d.faults.Dropped
				if applied {
					lose = d.faults.Unknown
				}
				lose(persistence.Transactional, 1, touches("lost"))
				v := visit{ID: "lost", User: "ann"}
				if _, err := d.visits.Put(d.Context(), v, persistence.Token("t1")); !fault.Unknown(err) {
					t.Fatalf("Put returned %v, want unknown", err)
				}
				r, err := d.visits.Put(d.Context(), v, persistence.Token("t1"))
				if err != nil {
					t.Fatal("the repeat:", err)
				}
				d.within(15*time.Second, []*persistence.Receipt{r})
				if n, err := d.tallies.Get(d.Context(), "ann"); err != nil || n.N != 1 {
					t.Errorf("counted %d, %v; want 1", n.N, err)
				}
				d.clean()
			})
		})
	}
}

// P5: "A transactional task has its effect exactly once", also when the answer
// to its COMMIT is lost, or the COMMIT itself, many times over.
func TestUnknownTxTask_A5_D1(t *testing.T) {
	for name, applied := range map[string]bool{"the answer is lost": true, "the commit is lost": false} {
		t.Run(name, func(t *testing.T) {
			inDrill(t, func(d *drill) {
				lose := d.faults.Dropped
				if applied {
					lose = d.faults.Unknown
				}
				lose(persistence.Transactional, 5, touches("ff_tally"))
				d.serve()
				rs := d.put(d.visits, 10)
				d.within(2*time.Minute, rs)
				if _, struck := d.faults.Calls(persistence.Transactional); struck != 5 {
					t.Fatalf("%d commits were lost, want 5: the test proves nothing", struck)
				}
				if n, err := d.tallies.Get(d.Context(), "ann"); err != nil || n.N != 10 {
					t.Errorf("counted %d, %v; want 10", n.N, err)
				}
				d.clean()
			})
		})
	}
}

// An unknown outcome of a default write is repeated, which is harmless: the
// same version is written again.
func TestUnknownDefaultWrites(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		d.faults.Unknown(persistence.Amorphous, 3)
		d.faults.Dropped(persistence.Amorphous, 3)
		// MaxAttempts is 1 for posts and visits, so the kind here has the
		// default.
		kept := persistence.Declare(d.layer, "kept", persistence.Plan[visit]{
			{Priority: 1, Name: "object", Purpose: persistence.Amorphous},
			{Priority: 1, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		})
		rs := d.put(kept, 5)
		d.within(time.Minute, rs)
		n := 0
		for _, err := range kept.Find(d.Context(), persistence.Query{Task: "activity", Where: map[string]any{"User": "ann"}}) {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
		if n != 5 {
			t.Errorf("%d activities of 5 objects", n)
		}
		d.clean()
	})
}

// What spilled because nobody knows, and runs twice, is done once, and does not
// hide what waits.
func TestSpilledTwiceIsCountedOnce(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.serve()
		const n = 10
		d.faults.Unknown(persistence.Transitory, n, func(op persistencetest.Op) bool { return op.Name == "put" })
		d.within(10*time.Second, d.put(d.posts, n))
		time.Sleep(time.Minute) // the jobs are done, too
		if _, runs := d.watch.of("post/object"); runs != 2*n {
			t.Fatalf("%d objects were written %d times: the test proves nothing", n, runs)
		}
		d.faults.Down(persistence.Amorphous)
		rs := d.put(d.posts, n)
		d.within(2*time.Second, rs, "tell")
		stats, err := d.layer.Stats(d.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stats.Tasks {
			if s.Kind == "post" && s.Task == "object" && (s.Pending != n || s.Done+s.Superseded != n) {
				t.Errorf("of %d objects %d are done and %d pending, want half and half", 2*n, s.Done+s.Superseded, s.Pending)
			}
		}
		d.faults.Up(persistence.Amorphous)
		d.within(5*time.Second, rs)
		d.clean()
	})
}

// A dead letter that goes back into the queue is pending there, until it ends, and
// so is whatever else lies there: "Pending is what this layer accepted and has not
// seen the end of". One that the queue did not take is not, nor is one of which
// nobody knows.
func TestWhatIsReplayedIsPending(t *testing.T) {
	inDrill(t, func(d *drill) {
		var healed atomic.Bool
		asks := persistence.Declare(d.layer, "ask", persistence.Plan[visit]{
			{Priority: 1, Name: "ask", Purpose: persistence.Transitory, MaxAttempts: 1, Do: func(context.Context, visit) error {
				if !healed.Load() {
					return errors.New("broken")
				}
				return nil
			}},
		})
		want := func(when string, pending, done int64) {
			d.Helper()
			stats, err := d.layer.Stats(d.Context())
			if err != nil {
				d.Fatal(err)
			}
			for _, s := range stats.Tasks {
				if s.Kind == "ask" && (s.Pending != pending || s.Done != done) {
					d.Errorf("%s: %d pending, %d done, want %d and %d", when, s.Pending, s.Done, pending, done)
				}
			}
		}
		d.put(asks, 3)
		drain(d.T, d.layer)
		letters, err := d.layer.DeadLetters().List(d.Context(), persistence.DeadFilter{})
		if err != nil || len(letters) != 3 {
			d.Fatalf("%d dead letters, %v", len(letters), err)
		}
		replay := func(i int) error {
			_, err := d.layer.DeadLetters().Replay(d.Context(), 0, letters[i].ID)
			return err
		}
		healed.Store(true)
		d.put(asks, 1)
		want("one put", 1, 0)
		if err := replay(0); err != nil {
			d.Fatal(err)
		}
		want("one replayed", 2, 0)
		edit := func(v *visit) error { v.User = "bob"; return nil }
		if err := persistence.EditDeadLetter(d.Context(), d.layer, letters[1].ID, edit); err != nil {
			d.Fatal(err)
		}
		want("one edited", 3, 0)
		puts := func(op persistencetest.Op) bool { return op.Name == "put" }
		d.faults.Unknown(persistence.Transitory, 1, puts)
		if err := replay(2); !fault.Unknown(err) {
			d.Fatalf("the queue's answer was lost: %v", err)
		}
		want("one that the queue may have", 3, 0)
		drain(d.T, d.layer)
		want("drained", 0, 4)
	}, persistence.Transactional)
}

// Queue answers that are lost: in transitory custody a task may repeat, none is
// lost. What the queue may have taken is accepted in the outbox; where there is
// none, Put says that it does not know, and so it does when its context is over.
func TestUnknownQueue(t *testing.T) {
	for _, taken := range []bool{true, false} {
		for _, without := range [][]persistence.Purpose{nil, {persistence.Transactional}} {
			inDrill(t, func(d *drill) {
				d.serve()
				lose, put := d.faults.Unknown, func(op persistencetest.Op) bool { return op.Name == "put" }
				if !taken {
					lose = d.faults.Dropped
				}
				lose(persistence.Transitory, 1, put)
				r, err := d.posts.Put(d.Context(), visit{ID: "lost", User: "ann"})
				if without == nil {
					if err != nil || r.Custody != persistence.TransactionalCustody {
						t.Fatalf("Put returned %v, %v; want it in the outbox", r, err)
					}
					d.within(10*time.Second, []*persistence.Receipt{r})
				} else if !fault.Unknown(err) || fault.Accepted(err) || r != nil {
					t.Fatalf("Put returned %v, %v; want unknown", r, err)
				}
				d.faults.Unknown(persistence.Transitory, 4, func(op persistencetest.Op) bool { return op.Name == "delete" })
				rs := d.put(d.posts, 10)
				d.within(time.Minute, rs)
				time.Sleep(time.Minute)
				if v, err := d.posts.Get(d.Context(), "lost"); (taken || without == nil) && (err != nil || v.User != "ann") {
					t.Errorf("what was accepted is not there: %+v, %v", v, err)
				}
				d.clean()
			}, without...)
		}
	}
	inDrill(t, func(d *drill) {
		ctx, cancel := context.WithCancel(d.Context())
		d.faults.Dropped(persistence.Transitory, 1, func(op persistencetest.Op) bool {
			if op.Name == "put" {
				cancel()
			}
			return op.Name == "put"
		})
		if r, err := d.posts.Put(ctx, visit{ID: "ended", User: "ann"}); !fault.Unknown(err) || r != nil {
			t.Errorf("Put returned %v, %v; want unknown", r, err)
		}
	})
}

// A Put whose context ends is accepted whole or not at all, whatever it was told:
// Drain looks for what a commit accepted whose answer nobody waited for.
func TestPutsThatAreCut_A25(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		layer := openLayer(t, nil)
		var ran sync.Map
		pings := persistence.Declare(layer, "ping", persistence.Plan[ping]{
			{Priority: 1, Name: "answer", Purpose: persistence.Transitory, Do: func(_ context.Context, p ping) error {
				ran.Store(p.ID, true)
				return nil
			}},
			{Priority: 2, Name: "object", Purpose: persistence.Amorphous},
		}, opts)
		stop := persistencetest.Work(t, layer)
		var ids []string
		unknown := 0
		for i := range 150 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*20*time.Microsecond)
			objs := []ping{{ID: fmt.Sprint(i, "a")}, {ID: fmt.Sprint(i, "b")}, {ID: fmt.Sprint(i, "c")}}
			var err error
			switch i % 3 {
			case 0:
				_, err = pings.Put(ctx, objs[0])
			case 1:
				for _, r := range pings.PutAll(ctx, objs) {
					err = cmp.Or(err, r.Err)
				}
			case 2:
				err = layer.Tx(ctx, func(ctx context.Context, tx *persistence.Tx) error {
					_, err := pings.In(tx).Put(ctx, objs[0])
					return err
				})
			}
			cancel()
			if fault.Unknown(err) {
				unknown++
			}
			for _, p := range objs {
				ids = append(ids, p.ID)
			}
		}
		stop()
		if left := persistencetest.Drain(t, layer); len(left) > 0 {
			t.Errorf("left %+v", left)
		}
		for _, id := range ids {
			_, err := pings.Get(t.Context(), id)
			if _, answered := ran.Load(id); answered != (err == nil) {
				t.Errorf("%s: answered %v, read %v", id, answered, err)
			}
		}
		t.Logf("of %d calls %d were cut in their commit", len(ids)/3, unknown)
	})
}
