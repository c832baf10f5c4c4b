package persistencetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Options of Open; zero values are the defaults.
type Options struct {
	// Layer are the options of the layer. A Logger that is not given writes to
	// the test's own log.
	Layer *persistence.Options
	// Dir is where the stores lie; a test that opens its layer twice names it.
	// Default: a directory of this call's own, which is removed when the test
	// ends.
	Dir string
	// Faults, if any, stands between the layer and its stores.
	Faults *Faults
	// Unfinished lets the test end with tasks in custody and with dead letters.
	Unfinished bool
}

// Open opens a layer over the four in-process stores. It is closed when the
// test ends, unless the test has closed it before, and the test fails when
// work is left then (see Options.Unfinished), or when a handler does not let
// the layer close. At most one Options may be given.
func Open(tb testing.TB, opts ...Options) *persistence.Layer {
	tb.Helper()
	var o Options
	switch len(opts) {
	case 0:
	case 1:
		o = opts[0]
	default:
		tb.Fatalf("persistencetest.Open takes one Options, not %d: put all options into one", len(opts))
	}
	if o.Dir == "" {
		o.Dir = tb.TempDir()
	}
	stores := embedded.Stores(o.Dir)
	if o.Faults != nil {
		stores = o.Faults.Wrap(stores)
	}
	layer, err := persistence.Open(tb.Context(), stores, layerOptions(tb, o.Layer))
	if err != nil {
		tb.Fatal("persistencetest.Open:", err)
	}
	tb.Cleanup(func() { finish(tb, layer, &o) })
	return layer
}

func layerOptions(tb testing.TB, given *persistence.Options) *persistence.Options {
	var out persistence.Options
	if given != nil {
		out = *given
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.NewTextHandler(tb.Output(), nil))
	}
	return &out
}

// patience is how long Drain and the end of a test wait for handlers.
const patience = 30 * time.Second

// finish ends a layer's life and reports what its test left behind.
func finish(tb testing.TB, layer *persistence.Layer, o *Options) {
	tb.Helper()
	if !o.Unfinished {
		if o.Faults != nil {
			o.Faults.Up() // what is left can only be counted where it lies
		}
		// The test's own context has ended.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), patience)
		defer cancel()
		switch stats, err := layer.Stats(ctx); {
		case errors.Is(err, fault.ErrClosed):
		case err != nil:
			tb.Errorf("persistencetest: what the test left cannot be counted: %v", err)
		default:
			if left := unfinished(stats); left != "" {
				tb.Errorf("persistencetest: the test ends with work that nobody looked at: %s\n"+
					"drain the layer, look at its dead letters, or open it with Options.Unfinished", left)
			}
		}
	}
	closed := make(chan error, 1)
	go func() { closed <- layer.Close() }()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case err := <-closed:
		if err != nil {
			tb.Errorf("persistencetest: close: %v", err)
		}
	case <-timeout.C:
		stacks := make([]byte, 1<<20)
		tb.Errorf("persistencetest: the layer does not close within %v: a handler ignores the end of its context\n%s",
			patience, stacks[:runtime.Stack(stacks, true)])
	}
}

// unfinished lists the tasks that are not done.
func unfinished(stats persistence.Stats) string {
	var out []string
	for _, t := range stats.Tasks {
		if t.Pending > 0 {
			out = append(out, fmt.Sprintf("%d of %s/%s pending", t.Pending, t.Kind, t.Task))
		}
		if t.Dead > 0 {
			out = append(out, fmt.Sprintf("%d of %s/%s dead", t.Dead, t.Kind, t.Task))
		}
	}
	return strings.Join(out, ", ")
}

// Drain runs everything that is due and returns what it left: tasks that wait
// for their time, for a store that is down, or for another program. The test
// fails when that takes more than half a minute.
func Drain(tb testing.TB, layer *persistence.Layer) []persistence.Left {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	left, err := layer.Drain(ctx)
	if err != nil {
		tb.Fatal("persistencetest.Drain:", err)
	}
	return left
}

// Work serves the layer's tasks until the test ends, or until the returned
// function is called, which waits for the workers. Calling it twice is fine.
func Work(tb testing.TB, layer *persistence.Layer) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := layer.Work(ctx); err != nil && !errors.Is(err, fault.ErrClosed) {
			tb.Errorf("persistencetest.Work: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	tb.Cleanup(stop)
	return stop
}
