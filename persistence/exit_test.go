package persistence_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A handler that panics or ends its goroutine, as testing.T.FailNow does, is a
// refusal of its task, wherever the worker runs it: alone, beside siblings, in a
// transaction, for a delete, or as a suspect. Its siblings, the other envelopes
// and the only two workers go on.
func TestAHandlerThatDoesNotReturn(t *testing.T) {
	layer := openLayer(t, &persistence.Options{Workers: 1, RealTimeWorkers: 1})
	var ran atomic.Int64
	do := func(_ context.Context, j job) error { return leave(j.Group) }
	tx := func(_ context.Context, _ *persistence.Tx, j job) error { return leave(j.Group) }
	fine := func(context.Context, job) error { ran.Add(1); return nil }
	jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
		{Priority: 1, Name: "alone", Purpose: persistence.Transitory, MaxAttempts: 1, Do: do,
			OnDelete: func(_ context.Context, key string) error { return leave(key) }},
		{Priority: 2, Name: "left", Purpose: persistence.Transitory, MaxAttempts: 1, Do: do},
		{Priority: 2, Name: "middle", Purpose: persistence.Transitory, Do: fine},
		{Priority: 2, Name: "right", Purpose: persistence.Transitory, MaxAttempts: 1, Do: do},
		{Priority: 3, Name: "tx", Purpose: persistence.Transactional, MaxAttempts: 1, Tx: tx},
		{Priority: 3, Name: "txs", Purpose: persistence.Transactional, MaxAttempts: 1, Tx: tx},
		{Priority: 4, Name: "last", Purpose: persistence.Transitory, Do: fine},
	})
	put := func(id, how string) string {
		t.Helper()
		receipt, err := jobs.Put(t.Context(), job{ID: id, Group: how})
		if err != nil {
			t.Fatal(err)
		}
		return receipt.ID
	}
	for i := range 50 {
		put(fmt.Sprint("quick", i), "") // tasks that were never run are not known to be quick
	}
	drain(t, layer)
	for i, how := range []string{"exit", "panic", "exit", "exit"} {
		put(fmt.Sprint(how, i), how)
	}
	suspected(t, layer, put("suspect", "exit"))
	if _, err := jobs.Delete(t.Context(), "exit"); err != nil {
		t.Fatal(err)
	}
	drain(t, layer)
	letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
	if err != nil || len(letters) != 5*5+1 || ran.Load() != 55*2 {
		t.Errorf("%d dead letters (%v) and %d runs of what returns; want 26 and 110", len(letters), err, ran.Load())
	}
	for _, l := range letters {
		want := "the handler ended its goroutine"
		if strings.HasPrefix(l.Key, "panic") {
			want = "panic: ouch"
		}
		ended := l.Task[:2] == "tx" && want != "panic: ouch" // the stack is that of another goroutine
		if !strings.HasPrefix(l.Reason, want) || !ended && !strings.Contains(l.Detail, "exit_test.go") {
			t.Errorf("%s of %s: %q, want %q and the stack", l.Task, l.Key, l.Reason, want)
		}
	}
}

// leave does not return but for "".
func leave(how string) error {
	switch how {
	case "exit":
		runtime.Goexit()
	case "panic":
		panic("ouch")
	}
	return nil
}

// suspected makes an envelope one that was lost twice.
func suspected(t *testing.T, layer *persistence.Layer, envelope string) {
	t.Helper()
	var id transactional.RecordID
	_, err := hex.Decode(id[:], []byte(envelope))
	for range 2 {
		recs, err2 := layer.Transactional().ClaimByID(t.Context(), 99, time.Hour, id)
		_, err3 := layer.Transactional().Recover(t.Context())
		if err = errors.Join(err, err2, err3); err != nil || len(recs) != 1 {
			t.Fatalf("claimed %d envelopes, %v", len(recs), err)
		}
	}
}

// panicky panics at whatever it is told.
type panicky struct{ told atomic.Int64 }

func (p *panicky) PutDone(context.Context, persistence.PutEvent)   { p.told.Add(1); panic("put") }
func (p *panicky) TaskDone(context.Context, persistence.TaskEvent) { p.told.Add(1); panic("task") }

func TestAnObserverThatPanicsHarmsNobody(t *testing.T) {
	see := &panicky{}
	g := newGame(t, &persistence.Options{Observer: see})
	if _, err := g.visits.Put(t.Context(), visit{ID: "v1", User: "ann"}); err != nil {
		t.Fatal(err)
	}
	drain(t, g.layer)
	if v, err := g.visits.Get(t.Context(), "v1"); err != nil || v.User != "ann" || see.told.Load() != 5 {
		t.Errorf("%+v, %v, and the observer was told %d times, want 5", v, err, see.told.Load())
	}
}
