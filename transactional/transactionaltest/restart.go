package transactionaltest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// testRestart closes the store at a third and at half of a run, and kills its
// server there.
func testRestart(t *testing.T, h Harness) {
	h.run(t, "Run", func(e *env) {
		n := h.Ops
		for i := range n {
			if i == n/3 || i == n/2 {
				e.nil("close", e.store.Close())
				e.store = e.again(nil)
			}
			r := e.record("lane", uint32(i%3))
			e.must(&transactional.Unit{Writes: []transactional.Write{thing(fmt.Sprint("row", i), 1, int64(i), insert)}, Add: []transactional.Record{r}})
		}
		e.nil("close", e.store.Close())
		e.store = e.again(nil)
		for i := range n {
			e.holds("what was acknowledged is there after a restart", fmt.Sprint("row", i), 1, int64(i))
		}
		total := 0
		for {
			records := e.claim(1, 1000, "lane")
			if len(records) == 0 {
				break
			}
			total += len(records)
		}
		e.same("records too", total, n)
	})
	h.run(t, "Claims", func(e *env) {
		e.must(adds(e.record("lane", 1), e.record("lane", 1)))
		r := e.claim(1, 1, "lane")[0]
		e.nil("close", e.store.Close())
		e.store = e.again(nil)
		e.same("claims outlive their store", len(e.claim(2, 10, "lane")), 1)
		e.must(settles(held(r)))
	})
	t.Run("Killed", func(t *testing.T) {
		if h.Restart == nil {
			t.Skip("lacks: a server that can be killed (Harness.Restart)")
		}
		source, restart := h.Restart(t)
		h.Source = func(*testing.T) transactional.Source { return source }
		testKilled(h.open(t, tables...), restart)
	})
}

// testKilled kills the server under the writers, and under a transaction that is
// open. The store is not opened again.
func testKilled(e *env, restart func(context.Context) error) {
	e.must(adds(e.record("before", 1), e.record("before", 1)))
	mine := e.claim(1, 1, "before")[0]
	n := int64(e.h.Ops / 2)
	var (
		up          sync.RWMutex // held while the server is being restarted
		next, acked atomic.Int64
		writers     sync.WaitGroup
	)
	reached := map[int64]chan struct{}{n / 3: make(chan struct{}), n / 2: make(chan struct{})}
	for range 8 {
		writers.Go(func() {
			for i := next.Add(1); i <= n && e.insist(&up, i); i = next.Add(1) {
				if at := reached[acked.Add(1)]; at != nil {
					close(at)
				}
			}
		})
	}
	defer writers.Wait() // none reports to a test that is over
	written := make(chan struct{})
	go func() { writers.Wait(); close(written) }()
	for _, at := range []int64{n / 3, n / 2} {
		select {
		case <-reached[at]:
		case <-written: // a writer has said why
		}
		over := e.openTx(fmt.Sprint("tx", at), func() {
			up.Lock()
			defer up.Unlock()
			e.nil("restart", restart(e.Context()))
		})
		if over == nil {
			e.Error("a transaction that was open when the server was killed is committed")
		}
		e.lacks("what was not committed is gone", fmt.Sprint("tx", at))
	}
	<-written
	for i := range n {
		e.holds("what was acknowledged is there", fmt.Sprint("left", i+1), 1, i+1)
		e.holds("and the whole unit", fmt.Sprint("right", i+1), 1, i+1)
	}
	var total int64
	for records := e.claim(2, 1000, "lane"); len(records) > 0; records = e.claim(2, 1000, "lane") {
		total += int64(len(records))
	}
	e.same("with its record, once", total, n)
	e.same("claims outlive the server", len(e.claim(2, 10, "before")), 1)
	e.must(settles(held(mine)))
}

// insist applies a unit until it is known to be applied, however often the server
// is killed.
func (e *env) insist(up *sync.RWMutex, i int64) bool {
	u := writes(thing(fmt.Sprint("left", i), 1, i, insert), thing(fmt.Sprint("right", i), 1, i, insert))
	u.Add = []transactional.Record{e.record("lane", uint32(i%3))}
	unknown := false
	for deadline := time.Now().Add(time.Minute); ; {
		_, err := e.store.Apply(background(), u)
		switch {
		case err == nil, unknown && errors.Is(err, fault.ErrExists):
			return true
		case fault.Unknown(err):
			unknown = true
		case !fault.Retryable(err):
			e.Errorf("a server that is killed is an outage, or leaves the outcome unknown: %v", err)
			return false
		}
		if time.Now().After(deadline) {
			e.Errorf("a minute after it was killed, the server does not serve the store: %v", err)
			return false
		}
		await(up)
	}
}

// await returns when no restart is under way.
func await(up *sync.RWMutex) {
	up.RLock()
	defer up.RUnlock()
}

// openTx writes a row in a transaction, which is open while do runs, and returns
// what the transaction returned.
func (e *env) openTx(id string, do func()) error {
	wrote, end, over := make(chan struct{}, 64), make(chan struct{}), make(chan error, 1)
	go func() {
		over <- e.store.Tx(background(), func(ctx context.Context, tx *transactional.Tx) error {
			_, err := tx.Apply(ctx, writes(thing(id, 1, 1, insert)))
			wrote <- struct{}{}
			<-end
			return err
		})
	}()
	<-wrote
	do()
	close(end)
	return <-over
}
