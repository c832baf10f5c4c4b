package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
	"github.com/fourfold-dev/fourfold/persistence"
)

// tasks are the six tasks in the order of the plan.
var tasks = [...]struct{ name, purpose string }{
	{"distribute", "transitory"}, {"venue", "volatile"}, {"nearby", "transitory"},
	{"badges", "transactional"}, {"activity", "amorphous"}, {"object", "amorphous"},
}

// A watcher observes the layer: how many tasks are under way, and, in the paced
// stretch, how long each took from acceptance to done. What it counts is for
// pacing and for the table only; totals are read back from the stores.
type watcher struct {
	stretch town.Stretch
	ended   atomic.Int64  // tasks that came to an end
	moved   chan struct{} // holds a token when some did

	mu    sync.Mutex
	calm  map[string][]time.Duration // by task
	spike map[string][]time.Duration
}

func newWatcher(stretch town.Stretch) *watcher {
	return &watcher{stretch: stretch, moved: make(chan struct{}, 1), calm: map[string][]time.Duration{}, spike: map[string][]time.Duration{}}
}

// TaskDone is called by the layer when a run of a task ends.
func (w *watcher) TaskDone(_ context.Context, e persistence.TaskEvent) {
	if e.Kind != "checkin" {
		return
	}
	switch e.Result {
	case "done", "superseded", "skipped", "dead", "unknown":
	default:
		return // it runs again
	}
	w.ended.Add(1)
	select {
	case w.moved <- struct{}{}:
	default:
	}
	// In a town with a stretch, lines are numbered in order of arrival.
	index := int(keyLine(e.Key)) - 1
	if index < w.stretch.From || index >= w.stretch.To {
		return
	}
	took := e.Ended.Sub(e.Accepted)
	w.mu.Lock()
	defer w.mu.Unlock()
	if index >= w.stretch.Spike && index < w.stretch.Calm {
		w.spike[e.Task] = append(w.spike[e.Task], took)
	} else {
		w.calm[e.Task] = append(w.calm[e.Task], took)
	}
}

// table prints how long the six tasks took.
func (w *watcher) table(out io.Writer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.calm) == 0 && len(w.spike) == 0 {
		return
	}
	fmt.Fprintf(out, "\nFrom acceptance to done: %d check-ins at a calm pace, then %d at once, then %d at the calm pace\n",
		w.stretch.Spike-w.stretch.From, w.stretch.Calm-w.stretch.Spike, w.stretch.To-w.stretch.Calm)
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "  task\tpurpose\tcalm p50\tp99\tspike p50\tp99\t")
	for i, task := range tasks {
		calm, spike := w.calm[task.name], w.spike[task.name]
		fmt.Fprintf(tab, "  %d %s\t%s\t%s\t%s\t%s\t%s\t\n", i+1, task.name, task.purpose,
			span(percentile(calm, 50)), span(percentile(calm, 99)),
			span(percentile(spike, 50)), span(percentile(spike, 99)))
	}
	tab.Flush()
}

// percentile returns the smallest of the durations that p percent of them do
// not exceed (the nearest rank), zero when there are none. It sorts them.
func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	rank := (p*len(all) + 99) / 100 // from 1, rounded up
	return all[max(rank, 1)-1]
}

// span writes a duration with three digits at most.
func span(d time.Duration) string {
	for _, unit := range [...]time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		switch {
		case d >= 100*unit:
			return d.Round(unit).String()
		case d >= 10*unit:
			return d.Round(unit / 10).String()
		case d >= unit:
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}
