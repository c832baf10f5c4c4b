package servertest_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/servertest"
	_ "github.com/fourfold-dev/fourfold/transactional/mysql"
	_ "github.com/fourfold-dev/fourfold/transitory/beanstalkd"
)

type errand struct {
	ID string `persistence:"key"`
}

// runs counts by key how often a handler ran.
type runs struct {
	mu    sync.Mutex
	times map[string]int
}

func (r *runs) do(_ context.Context, e errand) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.times == nil {
		r.times = map[string]int{}
	}
	r.times[e.ID]++
	return nil
}

func (r *runs) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.times)
}

// eventually waits until something holds; real servers take part.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// put puts errands and returns how many were accepted. One whose outcome is
// unknown is put again: in transitory custody a task may run twice, and none is
// lost.
func put(t *testing.T, kind *persistence.Handle[errand], prefix string, n int) {
	t.Helper()
	for i := range n {
		for end := time.Now().Add(20 * time.Second); ; {
			_, err := kind.Put(t.Context(), errand{ID: fmt.Sprintf("%s%d", prefix, i)})
			if err == nil || fault.Accepted(err) {
				break
			}
			if !fault.Unknown(err) && !fault.Retryable(err) || time.Now().After(end) {
				t.Fatalf("put: %v", err)
			}
		}
	}
}

// Two beanstalkds, and one is killed. It takes copies of what lies in
// transactional custody with it: these tasks are done all the same. What it held
// in transitory custody waits for it, and is done when it is back. Puts go on.
func TestOneOfTwoQueuesDies(t *testing.T) {
	servers := servertest.Start(t, servertest.Options{
		Purposes: []persistence.Purpose{persistence.Transitory, persistence.Transactional},
		Nodes:    map[persistence.Purpose]int{persistence.Transitory: 2}, Own: true,
	})
	layer, err := persistence.Open(t.Context(), servers.Stores(), servers.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	var queued, recorded runs
	// A task that lies in the queue alone, and one of which it has a copy.
	inQueue := persistence.Declare(layer, "queued", persistence.Plan[errand]{
		{Priority: 5, Name: "run", Purpose: persistence.Transitory, Do: queued.do},
	}, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	inOutbox := persistence.Declare(layer, "recorded", persistence.Plan[errand]{
		{Priority: 5, Name: "run", Purpose: persistence.Transitory, Do: recorded.do},
	}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
	if err := layer.CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	const n = 40
	put(t, inQueue, "before", n)
	put(t, inOutbox, "before", n)
	servers.Kill(persistence.Transitory, 0)

	ctx, stop := context.WithCancel(context.Background())
	worked := make(chan error, 1)
	go func() { worked <- layer.Work(ctx) }()
	defer func() {
		stop()
		if err := <-worked; err != nil {
			t.Errorf("Work: %v", err)
		}
	}()
	eventually(t, 30*time.Second, "what is in transactional custody is done without the server that held its copies", func() bool { return recorded.count() == n })
	put(t, inQueue, "during", n)
	put(t, inOutbox, "during", n)
	eventually(t, 30*time.Second, "what is put meanwhile is done", func() bool { return recorded.count() == 2*n && queued.count() >= n })
	eventually(t, 30*time.Second, "the other server's jobs are done", func() bool { return queued.count() >= n+n/2 })
	if done := queued.count(); done >= 2*n {
		t.Fatalf("%d of %d are done: the dead server held nothing, so nothing is shown", done, 2*n)
	}
	servers.Restart(persistence.Transitory, 0)
	eventually(t, 30*time.Second, "what the dead server held is done when it is back", func() bool { return queued.count() == 2*n })
	for key, times := range recorded.times {
		if times != 1 {
			t.Logf("%s ran %d times: tasks run at least once", key, times)
		}
	}
}

// A beanstalkd does not let its jobs be looked into: an erasure says so, and is
// no proof until they are gone. The job of the erased object is dropped when it
// is taken, and its handler does not run.
func TestEraseWhatAQueueHolds(t *testing.T) {
	servers := servertest.Start(t, servertest.Options{Purposes: []persistence.Purpose{persistence.Transitory}})
	stores := embedded.Stores(t.TempDir())
	stores.Transitory = servers.Stores().Transitory
	layer, err := persistence.Open(t.Context(), stores, servers.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	var ran runs
	kind := persistence.Declare(layer, "erased", persistence.Plan[errand]{
		{Priority: 5, Name: "run", Purpose: persistence.Transitory, Do: ran.do},
	}, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	put(t, kind, "e", 3)
	report, err := kind.Erase(t.Context(), "e1", nil)
	if err != nil || report.Proved || !strings.Contains(report.String(), "3 jobs") {
		t.Fatalf("%v, %v", report, err)
	}
	if _, err := layer.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ran.count() != 2 || ran.times["e1"] > 0 {
		t.Errorf("ran: %v", ran.times)
	}
	if report, err = kind.Erase(t.Context(), "e1", nil); err != nil || !report.Proved {
		t.Errorf("nothing waits any more: %v, %v", report, err)
	}
}
