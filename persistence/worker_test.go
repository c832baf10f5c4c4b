package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// both runs a test in either custody.
func both(t *testing.T, test func(t *testing.T, custody persistence.KindOptions)) {
	for _, c := range []persistence.Custody{persistence.TransactionalCustody, persistence.TransitoryCustody} {
		t.Run(c.String(), func(t *testing.T) { test(t, persistence.KindOptions{Custody: c}) })
	}
}

type job struct {
	ID    string `persistence:"key"`
	Group string
}

// serve works until the test ends.
func serve(t *testing.T, layer *persistence.Layer) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- layer.Work(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, fault.ErrClosed) {
			t.Error("work:", err)
		}
	})
}

func wait(t *testing.T, r *persistence.Receipt, err error, tasks ...string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := r.Wait(ctx, tasks...); err != nil {
		t.Fatalf("%v: %v", r, err)
	}
}

func TestAHandlersAnswerDecides_A23(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		layer := openLayer(t, nil)
		var runs, snoozes atomic.Int64
		jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
			{Priority: 1, Name: "retry", Purpose: persistence.Transitory, Do: func(ctx context.Context, j job) error {
				if n := runs.Add(1); persistence.Current(ctx).Attempt != int(n) {
					t.Errorf("run %d says that it is attempt %d", n, persistence.Current(ctx).Attempt)
				} else if n < 2 {
					return errors.New("not yet")
				}
				return nil
			}},
			{Priority: 1, Name: "snooze", Purpose: persistence.Transitory, Do: func(ctx context.Context, j job) error {
				if snoozes.Add(1) < 3 {
					return persistence.Snooze(10 * time.Millisecond)
				}
				if a := persistence.Current(ctx).Attempt; a != 1 {
					t.Errorf("snoozing spent attempts: this is attempt %d", a)
				}
				return nil
			}},
			{Priority: 2, Name: "permanent", Purpose: persistence.Transitory, Do: func(context.Context, job) error {
				return persistence.Permanent(errors.New("the address is gone"))
			}},
			{Priority: 2, Name: "panic", Purpose: persistence.Transitory, MaxAttempts: 1, Do: func(context.Context, job) error {
				panic("a bug in the handler")
			}},
		}, opts)
		serve(t, layer)
		r, err := jobs.Put(t.Context(), job{ID: "j1"})
		wait(t, r, err, "retry", "snooze")
		if err := r.Wait(t.Context(), "permanent"); !errors.Is(err, fault.ErrRefused) {
			t.Errorf("waiting for a task that died: %v, want ErrRefused", err)
		}
		_ = r.Wait(t.Context(), "panic")
		letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{Kind: "job"})
		if err != nil || len(letters) != 2 {
			t.Fatalf("dead letters %v, %v; want two", letters, err)
		}
		for _, l := range letters {
			switch {
			case l.Task == "permanent" && l.Reason == "the address is gone" && l.Attempts == 1:
			case l.Task == "panic" && strings.Contains(l.Reason, "a bug in the handler") && strings.Contains(l.Detail, "worker_test.go"):
			default:
				t.Errorf("dead letter %+v", l)
			}
			if !strings.Contains(string(l.Object), `"j1"`) {
				t.Errorf("dead letter without its object: %s", l.Object)
			}
		}
	})
}

func TestUrgentTasksStartFirst(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		layer := openLayer(t, &persistence.Options{Workers: 1, RealTimeWorkers: 1})
		var mu sync.Mutex
		var order []string
		record := func(name string) func(context.Context, job) error {
			return func(_ context.Context, j job) error {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
				return nil
			}
		}
		jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
			{Priority: 7, Name: "last", Purpose: persistence.Transitory, Do: record("7")},
			{Priority: 3, Name: "third", Purpose: persistence.Transitory, Do: record("3")},
			{Priority: 5, Name: "fifth", Purpose: persistence.Transitory, Do: record("5")},
		}, opts)
		const n = 10
		for i := range n {
			if _, err := jobs.Put(t.Context(), job{ID: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if left := drain(t, layer); len(left) != 0 {
			t.Fatalf("drain left %v", left)
		}
		// With one worker and everything waiting at the start, no task of a
		// class may run before all more urgent ones of every object did.
		if !slices.IsSorted(order) || len(order) != 3*n {
			t.Errorf("order of starts: %v", order)
		}
	})
}

func TestRealTimeIsNotDelayedByBackground(t *testing.T) {
	layer := openLayer(t, &persistence.Options{Workers: 2, RealTimeWorkers: 1})
	release := make(chan struct{})
	var busy atomic.Int64
	slow := persistence.Declare(layer, "slow", persistence.Plan[job]{
		{Priority: 1, Name: "block", Purpose: persistence.Transitory, Do: func(ctx context.Context, _ job) error {
			busy.Add(1)
			<-release
			return nil
		}},
	})
	quick := persistence.Declare(layer, "quick", persistence.Plan[job]{
		{Priority: 9, Name: "tell", Purpose: persistence.Transitory, RealTime: true, Do: func(context.Context, job) error { return nil }},
		{Priority: 10, Name: "later", Purpose: persistence.Transitory, Do: func(context.Context, job) error { return nil }},
	})
	serve(t, layer)
	for i := range 10 {
		if _, err := slow.Put(t.Context(), job{ID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		r, err := quick.Put(t.Context(), job{ID: fmt.Sprint(i)})
		wait(t, r, err, "tell")
		if s, _ := r.State("later"); busy.Load() >= 2 && s != persistence.TaskPending {
			t.Errorf("a background task is %s while every background worker is busy", s)
		}
	}
	close(release)
}

func TestOrderingKeyHoldsTheOrderOfAcceptance_F7(t *testing.T) {
	layer := openLayer(t, nil)
	var mu sync.Mutex
	got := map[string][]string{}
	var failed atomic.Bool
	jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
		{Priority: 1, Name: "apply", Purpose: persistence.Transitory, OrderingKey: "Group", Do: func(_ context.Context, j job) error {
			if j.ID == "a03" && !failed.Swap(true) {
				return errors.New("once")
			}
			mu.Lock()
			defer mu.Unlock()
			got[j.Group] = append(got[j.Group], j.ID)
			return nil
		}},
	}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
	serve(t, layer)
	var last []*persistence.Receipt
	want := map[string][]string{}
	for i := range 12 {
		for _, g := range []string{"a", "b"} {
			id := fmt.Sprintf("%s%02d", g, i)
			want[g] = append(want[g], id)
			r, err := jobs.Put(t.Context(), job{ID: id, Group: g})
			if err != nil {
				t.Fatal(err)
			}
			last = append(last, r)
		}
	}
	for _, r := range last {
		wait(t, r, nil)
	}
	for g := range want {
		if !slices.Equal(got[g], want[g]) {
			t.Errorf("group %s ran %v", g, got[g])
		}
	}
}

func TestConcurrencyAndPerKeyAreKept(t *testing.T) { synctest.Test(t, concurrencyAndPerKeyAreKept) }

func concurrencyAndPerKeyAreKept(t *testing.T) {
	layer := openLayer(t, nil)
	var now, most, nowA, mostA atomic.Int64
	enter := func(n, most *atomic.Int64) func() {
		if v := n.Add(1); v > most.Load() {
			most.Store(v)
		}
		return func() { n.Add(-1) }
	}
	jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
		{Priority: 1, Name: "run", Purpose: persistence.Transitory, Concurrency: 3, PerKey: 1, Do: func(_ context.Context, j job) error {
			defer enter(&now, &most)()
			if j.ID == "a" {
				defer enter(&nowA, &mostA)()
			}
			time.Sleep(time.Second) // all overlap that may
			return nil
		}},
	}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
	serve(t, layer)
	for i := range 40 {
		id := "a"
		if i%2 == 0 {
			id = fmt.Sprint(i)
		}
		if _, err := jobs.Put(t.Context(), job{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	drain(t, layer)
	if most.Load() != 3 || mostA.Load() != 1 {
		t.Errorf("%d runs at a time, %d for one key; want 3 and 1", most.Load(), mostA.Load())
	}
}

func TestUnknownTasksAreParkedAndDrainWhenServed(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		dir := t.TempDir()
		nothing := func(context.Context, job) error { return nil }
		tomorrow := persistence.Plan[job]{
			{Priority: 1, Name: "old", Purpose: persistence.Transitory, Do: nothing},
			{Priority: 2, Name: "new", Purpose: persistence.Transitory, Do: nothing},
		}
		open := func(plan persistence.Plan[job]) (*persistence.Layer, *persistence.Handle[job]) {
			layer, err := embedded.Open(t.Context(), dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			return layer, persistence.Declare(layer, "job", plan, opts)
		}
		layer, jobs := open(tomorrow)
		if _, err := jobs.Put(t.Context(), job{ID: "j"}); err != nil {
			t.Fatal(err)
		}
		layer.Close()

		layer, _ = open(tomorrow[:1])
		if left := drain(t, layer); len(left) != 1 {
			t.Errorf("an older program left %v, want the new task", left)
		}
		layer.Close()

		layer, _ = open(tomorrow)
		defer layer.Close()
		if left := drain(t, layer); len(left) != 0 {
			t.Errorf("the newer program left %v", left)
		}
		letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
		if err != nil || len(letters) != 0 {
			t.Errorf("dead letters %v, %v", letters, err)
		}
	})
}

func TestRenamedKindsAndTasksKeepWhatIsQueued_F14(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		dir := t.TempDir()
		layer, err := embedded.Open(t.Context(), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
			{Priority: 1, Name: "run", Purpose: persistence.Transitory, Do: func(context.Context, job) error { return nil }},
		}, opts)
		if _, err := jobs.Put(t.Context(), job{ID: "j"}); err != nil {
			t.Fatal(err)
		}
		layer.Close()

		layer, err = embedded.Open(t.Context(), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer layer.Close()
		var ran atomic.Int64
		opts.Formerly = []string{"job"}
		persistence.Declare(layer, "errand", persistence.Plan[job]{
			{Priority: 1, Name: "perform", Was: []string{"run"}, Purpose: persistence.Transitory, Do: func(context.Context, job) error {
				ran.Add(1)
				return nil
			}},
		}, opts)
		if left := drain(t, layer); len(left) != 0 || ran.Load() != 1 {
			t.Errorf("ran %d times, left %v", ran.Load(), left)
		}
	})
}
