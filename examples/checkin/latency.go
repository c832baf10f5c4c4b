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
	"github.com/fourfold-dev/fourfold/examples/internal/console"
	"github.com/fourfold-dev/fourfold/persistence"
)

// tasks are the six tasks in the order of the plan.
var tasks = [...]struct{ name, purpose string }{
	{"distribute", "transitory"}, {"venue", "volatile"}, {"nearby", "transitory"},
	{"badges", "transactional"}, {"activity", "amorphous"}, {"object", "amorphous"},
}

// A watcher observes the layer: which stores are down, how many tasks are under
// way, and, in the paced stretch, how long each took from acceptance to done. What it counts is for
// pacing and for the table only; totals are read back from the stores.
type watcher struct {
	console.Away
	stretch town.Stretch
	ended   atomic.Int64  // tasks that came to an end
	moved   chan struct{} // holds a token when some did

	mu   sync.Mutex
	took [phases]map[string][]time.Duration // by task
}

// The phases of a stretch.
const (
	calm = iota
	spike
	after
	phases
)

func newWatcher(stretch town.Stretch) *watcher {
	w := &watcher{stretch: stretch, moved: make(chan struct{}, 1)}
	for phase := range w.took {
		w.took[phase] = map[string][]time.Duration{}
	}
	return w
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
	phase := calm
	switch {
	case index >= w.stretch.Calm:
		phase = after
	case index >= w.stretch.Spike:
		phase = spike
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.took[phase][e.Task] = append(w.took[phase][e.Task], e.Ended.Sub(e.Accepted))
}

// table prints how long the six tasks took.
func (w *watcher) table(out io.Writer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.took[calm])+len(w.took[spike])+len(w.took[after]) == 0 {
		return
	}
	s := w.stretch
	fmt.Fprintf(out, "\nFrom acceptance to done: %d check-ins at %d a second, then %d at %d a second, then %d as before\n",
		s.Spike-s.From, time.Second/calmEvery, s.Calm-s.Spike, time.Second/spikeEvery, s.To-s.Calm)
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "  task\tpurpose\tcalm p50\tp99\tspike p50\tp99\tafter p50\tp99\t")
	for i, task := range tasks {
		fmt.Fprintf(tab, "  %d %s\t%s\t", i+1, task.name, task.purpose)
		for phase := range w.took {
			took := w.took[phase][task.name]
			fmt.Fprintf(tab, "%s\t%s\t", span(percentile(took, 50)), span(percentile(took, 99)))
		}
		fmt.Fprintln(tab)
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
