package persistence_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A handler that neither returns nor looks at its context keeps its worker, and
// another takes its place when ten seconds have passed since its Timeout: its
// siblings are done, Stats and the log tell, and there are no more of these than
// workers. When it returns after all, its task is done as usual.
func TestAStuckHandlerKeepsNoSlot_A24(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		layer := persistencetest.Open(t, persistencetest.Options{Dir: dir,
			Layer: &persistence.Options{Workers: 1, RealTimeWorkers: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))}})
		free := make(chan struct{})
		jobs := persistence.Declare(layer, "job", persistence.Plan[job]{
			{Priority: 3, Name: "run", Purpose: persistence.Transitory, Timeout: 5 * time.Second, Do: func(_ context.Context, j job) error {
				if j.Group == "stuck" {
					<-free
				}
				return nil
			}},
		}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
		put := func(id, group string) *persistence.Receipt {
			r, err := jobs.Put(t.Context(), job{ID: id, Group: group})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		stuck := func(want int) {
			t.Helper()
			stats, err := layer.Stats(t.Context())
			if err != nil || stats.Stuck != want || want > 0 != strings.Contains(stats.String(), "neither return nor look") {
				t.Errorf("%d handlers are stuck, %v; want %d:\n%s", stats.Stuck, err, want, stats)
			}
		}
		stop := persistencetest.Work(t, layer)
		defer stop()
		first := put("first", "stuck")
		time.Sleep(time.Second)
		sibling := put("sibling", "quick")
		time.Sleep(10 * time.Second)
		stuck(0)
		if state, _ := sibling.State("run"); state == persistence.TaskDone {
			t.Error("the only worker is not stuck: nothing is proved")
		}
		time.Sleep(6 * time.Second)
		if state, _ := sibling.State("run"); state != persistence.TaskDone {
			t.Errorf("the sibling of a stuck handler is %v", state)
		}
		stuck(1)
		if said := log.String(); !strings.Contains(said, "another worker takes its place") || !strings.Contains(said, "key=first") {
			t.Errorf("the log does not say so:\n%s", said)
		}
		second := put("second", "stuck")
		time.Sleep(time.Minute)
		third := put("third", "stuck")
		time.Sleep(time.Minute)
		stuck(2) // as many as there are workers, the real-time one included
		last := put("last", "quick")
		close(free)
		for _, r := range []*persistence.Receipt{first, second, third, last} {
			if err := r.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Second)
		stuck(0)
	})
}
